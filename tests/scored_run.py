"""A complete run folder whose scores are chosen: what findings are tested on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tiny_run import write_tiny_run

from engine.run import Run
from engine.writing import write_table


def write_scored_run(
    path: Path,
    documents: Sequence[dict[str, Any]],
    queries: Sequence[dict[str, str]],
    scores: Mapping[str, np.ndarray],
) -> Run:
    """Write a run and put scores in the place of its made-up ones.

    Args:
        path: Its folder.
        documents: As in :func:`tiny_run.write_tiny_run`.
        queries: Likewise.
        scores: ``influence``, ``gradient_dot``, ``hidden`` (all in the documents' shard) or ``bm25``, ``[q, d]`` each;
            an influence is dealt out equally among the completion's tokens.
    """
    write_tiny_run(path, documents, queries)
    run = Run(path)
    files = {"bm25": run.folder.lexical}
    counts = run.query_tokens.groupby("query").size()
    for name, matrix in scores.items():
        file = files.get(name, run.folder.shard("documents", 0))
        table = pq.read_table(file)
        for query, values in enumerate(matrix):
            tokens = counts[query] if name == "influence" else 0
            columns = [f"{name}.{query}.{token}" for token in range(tokens)] or [f"{name}.{query}"]
            for column in columns:
                place = table.schema.get_field_index(column)
                table = table.set_column(place, column, [np.asarray(values, dtype=np.float64) / len(columns)])
        write_table(table, file)
    return run


def many_documents(count: int, **fields: Sequence[str]) -> list[dict[str, str]]:
    """Documents of two lines; ``fields`` are given in turn."""
    return [
        {"id": f"d{number}", "title": f"Document {number}", "source": "Web", "language": "en",
         "text": f"The number of this one is {number}.\nNothing more."}
        | {name: values[number % len(values)] for name, values in fields.items()}
        for number in range(count)
    ]  # fmt: skip


def many_queries(kinds: Sequence[str]) -> list[dict[str, str]]:
    """A completion of each of these kinds."""
    return [
        {"id": f"q{number}", "title": f"Question {number}", "prompt": f"The number {number} is", "completion": " a one",
         "kind": kind, "language": "en", "contrast": " no"}
        for number, kind in enumerate(kinds)
    ]  # fmt: skip
