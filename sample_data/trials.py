"""Does influence find more with other settings? ``python -m sample_data.trials [--run runs/sample-large] [--card]``.

Scores the questions about the sample's facts anew, with other damping, layers and measurement, and holds each ranking
against ``truth.json`` as :mod:`sample_data.retrieval` does. Takes about 50 minutes for the large model on 2 cores; a
killed one goes on where it stopped.
"""

import argparse
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from engine.corpus import read_queries
from engine.pipeline import RunConfig, compute, is_computed, read_config
from engine.progress import SilentProgress
from engine.run import Run
from engine.store import RunFolder
from engine.writing import write_json
from sample_data.card import rewrite_section, table
from sample_data.retrieval import GOAL, as_cell, recalls, summary, wanted_queries

AS_IT_IS = "as above"
TRIALS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "damping factor 0.01": {"query": {"damping_factor": 0.01}},
    "damping factor 1": {"query": {"damping_factor": 1.0}},
    "measurement: margin": {"query": {"measurement": "margin"}},
    "attention layers": {"fit": {"layers": "attention"}},
    "attention and MLP layers": {"fit": {"layers": "all"}},
}


def trial_config(config: RunConfig, changes: Mapping[str, Mapping[str, Any]], folder: Path, queries: Path) -> RunConfig:
    """The sample's run with some settings changed, documents' influences only."""
    changed = {step: replace(getattr(config, step), **more) for step, more in changes.items()}
    score = replace(config.score, keep_tokens=0, keep_prediction=0)
    return replace(config, run=str(folder), queries=str(queries), score=score, **changed)


def take_fit(source: Path, target: Path) -> None:
    """Begin a run with the finished fit step of another."""
    if target.exists():
        return
    begun = target.with_name(target.name + ".part")
    shutil.rmtree(begun, ignore_errors=True)
    for name in ("corpus", "fit"):
        shutil.copytree(source / name, begun / name)
    manifest = RunFolder(source).manifest()
    write_json(manifest | {"steps": {"fit": manifest["steps"]["fit"]}}, begun / "manifest.json")
    begun.rename(target)


def per_gradient_norm(run: Run) -> pd.DataFrame:
    """:func:`sample_data.retrieval.recalls` of influence divided by the norm of the document's gradient."""

    def divided(scores: pd.DataFrame) -> pd.DataFrame:
        norm = scores["gradient_dot"] / scores["gradient_cosine"]  # times the query's, which all documents share
        return scores.assign(influence=scores["influence"] / norm)

    return recalls(run, divided)


def main() -> None:
    """Compute the trials that are not there yet and print their table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", default="runs/sample-large", help="folder of a finished run, named as a sample is")
    parser.add_argument("--card", metavar="SECTION", help="write the table into this section of sample_data/README.md")
    given = parser.parse_args()
    base, config = Path(given.run), read_config(Path(given.run).name)
    home = base.parent / "trials"
    home.mkdir(exist_ok=True)
    queries, wanted = home / "queries.jsonl", {one for some in wanted_queries().values() for one in some}
    kept = [asdict(query) for query in read_queries(config.queries) if query.id in wanted]
    queries.write_text("".join(json.dumps(one) + "\n" for one in kept), encoding="utf-8")
    found = {AS_IT_IS: recalls(Run(base)), "divided by the document's gradient norm": per_gradient_norm(Run(base))}
    for number, (name, changes) in enumerate(TRIALS.items()):
        folder = home / f"{base.name}-{number}"
        trial = trial_config(config, changes, folder, queries)
        if "fit" not in changes:
            take_fit(base, folder)
        if not is_computed(trial):
            print(f"{name} ...", flush=True)
            compute(trial, SilentProgress())
        found[name] = recalls(Run(folder))
    rows = []
    for name, frame in found.items():
        cells = {row["group"]: as_cell(row) for row in summary(frame) if row["method"] == "influence"}
        rows.append([name, *(cells[group] for group in ("8", "4", GOAL, "paraphrases"))])
    body = table(["EK-FAC influence", "8 documents", "4", GOAL, "paraphrases"], rows)
    print(body)
    if given.card:
        rewrite_section(given.card, body)


if __name__ == "__main__":
    main()
