"""What a run is, in words, and the commands that compute it again."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.run import Run
from engine.settings import SETTINGS, flags
from engine.store import STEPS
from engine.words import MEASUREMENTS, date, duration, language, plain, share

SHOWN_GROUPS = 12
"""Sources, or languages, that are named; the others are counted."""
LAYERS = {"mlp": "MLP layers", "attention": "attention layers", "all": "MLP and attention layers"}
NOT_RECORDED = "not recorded"


def facts(run: Run) -> list[tuple[str, str]]:
    """Name and value of what a reader should know of a run, as plain text."""
    corpus, tracked, fit = run.fit["corpus"], run.fit["tracked"], run.fit["settings"]
    documents = run.documents
    languages = {language(code): count for code, count in documents["language"].value_counts().items()}
    return [
        ("Model", f"{plain(run.model_name)}, {tracked['parameters']:,} parameters"),
        ("Corpus", f"{file_name(corpus['path'])}: {corpus['documents']:,} documents, {corpus['tokens']:,} tokens"),
        ("Scored", f"{run.scored_documents:,} of {len(documents):,} documents, for {len(run.queries):,} completions"),
        ("Sources", _counted(documents["source"].value_counts().to_dict())),
        ("Languages", _counted(languages)),
        ("Tracked", _tracked(run)),
        ("Curvature", f"{run.estimator}, fitted on {_fitted_on(fit.get('fit_documents'))}"),
        ("Damping", run.damping),
        ("What is measured", f"{MEASUREMENTS[run.measurement]}, in {run.unit}"),
        ("Training set", _training_set(run)),
        ("Computed", f"{date(run.score.get('finished', ''))}, in {duration(_seconds(run))}"),
        ("Versions", _versions(run)),
        *_hashes(run),
    ]


def commands(run: Run) -> list[str]:
    """The command line of each step, with the settings and inputs that the manifest holds."""
    inputs = {
        "fit": ["--model", shown_path(run.fit["model"]), "--corpus", shown_path(run.fit["corpus"]["path"])],
        "query": ["--queries", shown_path(run.query["queries"]["path"])],
        "score": [],
    }
    known = {step: flags(SETTINGS[step], run.folder.step(step)["settings"]) for step in STEPS}
    start = ["python", "-m", "engine"]
    return [
        shlex.join([*start, step, "--run", shown_path(str(run.path)), *inputs[step], *known[step]]) for step in STEPS
    ]


def shown_path(path: str) -> str:
    """A path from the folder the program runs in, where that is shorter."""
    return min(path, os.path.relpath(path), key=len)


def file_name(path: str) -> str:
    """Last part of a path, whatever system it was written on."""
    return Path(path.replace("\\", "/")).name


def _counted(counts: dict[Any, int]) -> str:
    named = [f"{plain(str(name), 60)} {count:,}" for name, count in counts.items()]
    more = f" and {len(named) - SHOWN_GROUPS} more" if len(named) > SHOWN_GROUPS else ""
    return " · ".join(named[:SHOWN_GROUPS]) + more


def _tracked(run: Run) -> str:
    chosen, tracked = run.fit["settings"]["layers"], run.fit["tracked"]
    layers = LAYERS.get(chosen, f"layers whose names match {plain(chosen)}")
    return f"{layers}: {tracked['tracked_parameters']:,} parameters ({share(tracked['share'])})"


def _fitted_on(documents: int | None) -> str:
    return "all documents" if documents is None else f"{documents:,} documents drawn at random"


def _training_set(run: Run) -> str:
    known = run.training_windows
    if known is None:
        return "its size is unknown, so no change on leaving a document out is predicted"
    whole = "; this corpus is all of it" if run.fit["settings"]["training_windows"] == "corpus" else ""
    return f"{known:,} windows of text{whole}"


def _seconds(run: Run) -> float:
    return sum(step["seconds"] for step in (run.fit, run.query, run.score))


def _versions(run: Run) -> str:
    """Of Python and the packages that numbers depend on; those of a step that differ are named with it."""
    first = run.fit["versions"]
    said = [f"{name} {version}" for name, version in first.items() if name != "platform"]
    for step, entry in (("query", run.query), ("score", run.score)):
        others = entry["versions"].items() - first.items()
        said += [f"{name} {version} ({step})" for name, version in sorted(others) if name != "platform"]
    return ", ".join(said) or NOT_RECORDED


def _hashes(run: Run) -> Iterator[tuple[str, str]]:
    for name, step, key in (
        ("Hash of the model", run.fit, "model_hash"),
        ("Hash of the corpus", run.fit, "corpus_hash"),
        ("Hash of the completions", run.query, "queries_hash"),
    ):
        yield name, step["inputs"].get(key, NOT_RECORDED)
