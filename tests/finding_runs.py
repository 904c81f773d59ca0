"""Tiny runs whose scores are given, for tests of findings: made to hold, or made not to."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from tiny_run import write_tiny_run

from engine.run import Run
from engine.store import RunFolder
from engine.writing import write_json, write_table


def documents(languages: Sequence[str], texts: Sequence[str] = ()) -> list[dict[str, str]]:
    """Documents in these languages, with these texts or some of their own."""
    return [
        {"id": f"doc-{n}", "title": f"Document {n}", "source": "Web", "language": language,
         "text": texts[n] if texts else f"Text number {n}."}
        for n, language in enumerate(languages)
    ]  # fmt: skip


def queries(languages: Sequence[str], prompts: Sequence[str] = (), completions: Sequence[str] = ()) -> list[dict]:
    """Completions in these languages."""
    return [
        {"id": f"q{n}", "title": f"Question {n}", "kind": "Fact", "language": language,
         "prompt": prompts[n] if prompts else f"Prompt {n}", "completion": completions[n] if completions else " is so"}
        for n, language in enumerate(languages)
    ]  # fmt: skip


def write_scored_run(
    path: Path, of: list[dict], asked: list[dict], influence: np.ndarray, parameters: int = 1000, seed: int = 0
) -> Run:
    """A tiny run with this influence, ``[q, d]``, and random controls."""
    folder = RunFolder(write_tiny_run(path, of, asked, seed=seed))
    shard: pd.DataFrame = pd.read_parquet(folder.shard("documents", 0))
    for name in [name for name in shard if name.startswith("influence.")]:
        _, query, token = name.split(".")
        shard[name] = influence[int(query)] if token == "0" else 0.0
    write_table(pa.Table.from_pandas(shard, preserve_index=False), folder.shard("documents", 0))
    manifest = folder.manifest()
    manifest["steps"]["fit"]["tracked"]["parameters"] = parameters
    write_json(manifest, path / "manifest.json")
    return Run(path)
