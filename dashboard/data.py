"""The pages' only door to the engine: cached reads of runs, and requests for jobs. No torch."""

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import streamlit as st

from dashboard.components import text
from engine.analysis.document_tokens import START_PLACE, scale_of, token_table, unit_influence
from engine.analysis.ranking import Size, headline, rank_by_size, rank_documents
from engine.analysis.units import Unit, display_units
from engine.corpus import Tokens
from engine.errors import FormatError, RunError, WhenceError
from engine.jobs import Job, JobTable
from engine.mixing import mixing, sampled
from engine.pipeline import SAMPLES, read_config, run_folder, sample_file
from engine.run import Run, TokenInfluence, is_run, readable
from engine.store import RunFolder, repository_folder
from engine.worker_process import ensure_worker, force_cancel

__all__ = [
    "START_PLACE", "Job", "Run", "TokenInfluence", "Unit", "headline", "mixing", "sampled", "scale_of", "token_table",
    "unit_influence",
]  # fmt: skip

RUN_COMMAND, FIRST_SAMPLE = "python -m engine run", SAMPLES[0]
CHOICES = ("query", "other_query", "tokens", "document", "token", "point", "focus", "word", "edit", "other", "area",
           "like", "documents")  # fmt: skip
"""What the address holds about one run and means nothing in another."""
OF_COMPLETION = ("tokens", "document", "token", "word", "edit", "other")
"""What it holds about one completion."""
RECENT_JOBS = 200
MAP_FEATURES = {"words": "words", "hidden": "hidden states", "gradients": "gradients"}

_OF_RUN = {Run: lambda run: (str(run.path), run.score.get("finished"))}


def runs_folder() -> Path:
    """Where runs and jobs live."""
    return Path(os.environ.get("WHENCE_RUNS", repository_folder() / "runs")).resolve()


@dataclass(frozen=True)
class UnreadableRun:
    """A run folder that this version cannot read.

    Attributes:
        path: The folder.
        name: The folder's name, readable.
        why: ``format`` if another version wrote it, ``manifest`` if its manifest cannot be read.
        sample: Title of the embedded sample that is computed in this folder; empty for any other.
    """

    path: Path
    name: str
    why: Literal["format", "manifest"]
    sample: str


def runs() -> dict[str, Path]:
    """Readable name of each finished run -> its folder; the one shown first comes first."""
    return {name: found for name, found in named_runs().items() if isinstance(found, Path)}


def unreadable_runs() -> dict[str, UnreadableRun]:
    """Readable name of each run folder that this version cannot read -> what is wrong with it."""
    return {name: found for name, found in named_runs().items() if isinstance(found, UnreadableRun)}


def named_runs() -> dict[str, Path | UnreadableRun]:
    """All that an address may name as its run: finished runs, then unreadable ones; first what ``WHENCE_RUN`` names."""
    folder = runs_folder()
    found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    named = os.environ.get("WHENCE_RUN")
    first = [_folder_of(named)] if named else []
    newest = sorted(found, key=_changed, reverse=True)
    there = [_looked_at(path) for path in dict.fromkeys(path.resolve() for path in first + newest)]
    shown = [one for one in there if one is not None]
    labels: dict[str, Path | UnreadableRun] = {}
    for one in sorted(shown, key=lambda one: isinstance(one, UnreadableRun)):
        name, path = (one.name, one.path) if isinstance(one, UnreadableRun) else (readable(one.name), one)
        labels[name if name not in labels else f"{name} ({path.name})"] = one
    if first and there[0] is not None:
        named = next(label for label, one in labels.items() if one == there[0])
        labels = {named: there[0]} | labels
    return labels


def _looked_at(path: Path) -> Path | UnreadableRun | None:
    """A finished run's folder, or why it cannot be read; None for any other folder."""
    state = _state(str(path), _changed(path))
    if state in ("format", "manifest"):
        sample = next((name for name in SAMPLES if (runs_folder() / name).resolve() == path), None)
        return UnreadableRun(path, readable(path.name), state, readable(sample) if sample else "")
    return path if state == "finished" else None


def _folder_of(name: str) -> Path:
    """The folder of a run named in the runs folder, of a TOML file, or given itself."""
    inside = runs_folder() / name
    try:
        return inside if inside.is_dir() else run_folder(name)
    except WhenceError:
        return inside


def use_run(path: Path | None) -> None:
    """Make a run the one that every page of this session shows."""
    st.session_state["_run_path"] = path


def run_in_use() -> Run | None:
    """The run the pages show; None without one, or if it is unreadable."""
    path = st.session_state.get("_run_path")
    return None if path is None or unreadable_in_use() else open_run(path)


def unreadable_in_use() -> UnreadableRun | None:
    """What is wrong with the run that the pages should show; None where nothing is, or without one."""
    path = st.session_state.get("_run_path")
    found = None if path is None else _looked_at(path)
    return found if isinstance(found, UnreadableRun) else None


def open_run(path: Path) -> Run:
    """Any finished run, for a page that shows two."""
    return _open(str(path), _changed(path))


def run_address(label: str = "") -> dict[str, str]:
    """What a link must carry so that it shows the run of this name, or the run in use."""
    name = label or st.session_state.get("run")
    return {"run": name} if name and name != next(iter(named_runs())) else {}


def forget_choices(chosen: str = "run") -> None:
    """Drop from the address what belonged to another run, or to another completion if one of those was chosen."""
    for name in CHOICES if chosen == "run" else OF_COMPLETION:
        st.query_params.pop(name, None)


def _changed(path: Path) -> float:
    manifest = path / "manifest.json"
    return manifest.stat().st_mtime if manifest.is_file() else 0.0


@st.cache_data(max_entries=200, show_spinner=False)
def _state(path: str, changed: float) -> Literal["format", "manifest", "finished", "none"]:
    """What a folder holds: an unreadable run, and why; a finished one; or none. ``changed`` keeps the cache true."""
    try:
        RunFolder(Path(path)).manifest()
    except FormatError:
        return "format"
    except RunError:
        return "manifest"
    return "finished" if is_run(Path(path)) else "none"


@st.cache_resource(max_entries=4, show_spinner=False)
def _open(path: str, changed: float) -> Run:
    return Run(path)


@dataclass(frozen=True)
class Completion:
    """A completion under study, as the address and the pages name it.

    Attributes:
        query: Its number.
        id: Its id, for the address.
        label: Its title, made unique.
        kind: Its kind.
        prompt: Text before it.
        text: The completion.
        contrast: The completion it is compared with; else empty.
        log_prob: Log-probability the model gives it, nats.
    """

    query: int
    id: str
    label: str
    kind: str
    prompt: str
    text: str
    contrast: str
    log_prob: float


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_OF_RUN)
def completions(run: Run) -> list[Completion]:
    """The completions under study of a run, in order."""
    seen: dict[str, int] = {}
    found = []
    for row in run.queries.itertuples():
        title = " ".join(str(row.title).split()) or "Untitled"
        seen[title] = seen.get(title, 0) + 1
        label = title if seen[title] == 1 else f"{title} ({seen[title]})"
        found.append(
            Completion(row.query, row.id, label, row.kind, row.prompt, row.completion, row.contrast, row.log_prob)
        )
    return found


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=_OF_RUN)
def ranking(run: Run, query: int, tokens: tuple[int, ...] = (), size: Size | None = None) -> pd.DataFrame:
    """Documents by influence on a completion, or on its tokens ``tokens`` (:func:`rank_documents`).

    With a ``size`` by influence over it, the column ``normalised`` (:func:`rank_by_size`).

    Adds ``id`` and, where the size of the training set is known, ``left_out``: the predicted
    change of the measurement on leaving the document out.
    """
    chosen = tokens or None
    table = rank_documents(run, query, chosen) if size is None else rank_by_size(run, query, size, chosen)
    table["id"] = run.documents.set_index("document")["id"].reindex(table["document"]).to_numpy()
    if run.training_windows:
        table["left_out"] = -table["influence"] / run.training_windows
    return table


def select(table: pd.DataFrame, raised: bool, sources: Collection[str], languages: Collection[str]) -> pd.DataFrame:
    """Documents of a ranking that raised (or lowered) the completion, the strongest first.

    Args:
        table: A :func:`ranking`.
        raised: Those with positive influence; else those with negative.
        sources: Sources to keep; empty for all.
        languages: Languages to keep; empty for all.
    """
    table = table[table["influence"] > 0] if raised else table[table["influence"] < 0].iloc[::-1]
    for column, wanted in (("source", sources), ("language", languages)):
        if wanted:
            table = table[table[column].isin(list(wanted))]
    return table.reset_index(drop=True)


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=_OF_RUN)
def document_units(run: Run, document: int) -> tuple[str, list[Unit]]:
    """A document's text and the pieces it is shown in."""
    text = run.text(document)
    return text, display_units(text, run.document_tokens(document))


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=_OF_RUN)
def completion_units(run: Run, query: int, side: str = "completion") -> tuple[str, list[Unit], pd.DataFrame]:
    """Prompt and completion as one text, its pieces, and the rows of its tokens.

    Args:
        run: The run.
        query: Number of the query.
        side: ``completion``, or ``contrast`` for what it is compared with.

    Returns:
        The text; its units, whose ``tokens`` are places in the completion; the token rows.
    """
    row = run.queries.set_index("query").loc[query]
    rows = run.tokens_of_query(query)
    rows = rows[rows["side"] == side].reset_index(drop=True)
    tokens = Tokens(*(rows[name].to_numpy(dtype="int32") for name in ("token_id", "start", "end")))
    text = row["prompt"] + row[side]
    places = rows["token"].tolist()
    units = [
        Unit(unit.start, unit.end, tuple(places[token] for token in unit.tokens))
        for unit in display_units(text, tokens)
    ]
    return text, units, rows


def sides(run: Run) -> tuple[str, ...]:
    """What completion tokens belong to: the completion and, where it is measured, its alternative."""
    return ("completion", "contrast") if run.measurement == "contrast" else ("completion",)


@dataclass(frozen=True)
class Sample:
    """An embedded sample that may be computed.

    Attributes:
        name: Its name, for commands.
        title: Readable name, that of its run.
        about: What it is, in a line.
        taken: How long it took, on how many cores and when: keys ``seconds``, ``cores``, ``date``; empty if unknown.
    """

    name: str
    title: str
    about: str
    taken: dict[str, Any]


def samples_to_compute() -> list[Sample]:
    """The embedded samples that have no run in the runs folder, finished or unreadable, in order."""
    noted = repository_folder() / "sample_data" / "times.json"
    times = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else {}
    found = []
    for name in SAMPLES:
        folder = runs_folder() / name
        if not sample_file(name).is_file() or _looked_at(folder.resolve()) is not None:
            continue
        taken = times.get(name, {})
        taken = {**taken, "seconds": sum(taken["seconds"].values())} if taken else {}
        found.append(Sample(name, readable(name), read_config(name).about, taken))
    return found


def is_of_sample(run: Run) -> bool:
    """Whether a run is of the embedded sample's corpus."""
    return Path(run.fit["corpus"]["path"]).resolve() == Path(read_config(SAMPLES[0]).corpus).resolve()


def submit_sample(name: str) -> Job:
    """Ask for the run of an embedded sample."""
    arguments = {"config": name, "run": str(runs_folder() / name)}
    return submit("run", arguments, f"Compute “{readable(name)}”")


def submit_tokens(run: Run, query: int, document: int, kind: str, title: str) -> Job:
    """Ask for token influences that are not stored."""
    return submit("tokens", _token_arguments(run, query, document, kind), f"Tokens of {title}")


def submit_map(run: Run, features: str, seed: int = 0) -> Job:
    """Ask for a map of a run's documents (:mod:`engine.document_map`)."""
    arguments = {"run": str(run.path.resolve()), "features": features, "seed": seed}
    return submit("map", arguments, f"Map of {run.name} by {MAP_FEATURES[features]}")


def map_job(run: Run, features: str) -> Job | None:
    """The last request for a map by these features, whatever its seed; None if there was none."""
    wanted = {"run": str(run.path.resolve()), "features": features}.items()
    return next(
        (job for job in recent_jobs(RECENT_JOBS) if job.kind == "map" and wanted <= job.arguments.items()), None
    )


def submit_again(job: Job) -> Job:
    """Ask for a job that failed or was cancelled once more."""
    return submit(job.kind, job.arguments, job.title)


def token_job(run: Run, query: int, document: int, kind: str) -> Job | None:
    """The last request for these token influences; None if there was none."""
    return find_job("tokens", _token_arguments(run, query, document, kind))


def find_job(kind: str, arguments: dict[str, Any]) -> Job | None:
    """The last request of a kind that has these arguments among its own; None if there was none."""
    jobs = (job for job in recent_jobs(RECENT_JOBS) if job.kind == kind)
    return next((job for job in jobs if arguments.items() <= job.arguments.items()), None)


def run_job() -> Job | None:
    """The last request for a whole run; None if there was none."""
    return find_job("run", {})


def recent_jobs(limit: int = 10) -> Sequence[Job]:
    """The jobs asked for last, newest first."""
    folder = runs_folder()
    return _table(str(folder)).recent(limit) if (folder / "jobs.sqlite").exists() else []


def keep_working() -> None:
    """Make sure that somebody does the waiting jobs."""
    ensure_worker(runs_folder())


def cancel(job: Job, at_once: bool = False) -> None:
    """Cancel a job; ``at_once`` stops the worker if the job does not react."""
    if at_once:
        force_cancel(runs_folder(), job.id)
    else:
        _table(str(runs_folder())).cancel(job.id)


def job_log(job: Job) -> str:
    """What a job noted so far."""
    return _table(str(runs_folder())).log(job.id)


def _token_arguments(run: Run, query: int, document: int, kind: str) -> dict[str, Any]:
    return {"run": str(run.path.resolve()), "query": query, "document": document, "kind": kind}


def submit(kind: str, arguments: dict[str, Any], title: str) -> Job:
    """Ask for a job; one that waits or runs with the same arguments is returned instead."""
    job = _table(str(runs_folder())).submit(kind, arguments, title)
    keep_working()
    return job


@st.cache_resource(max_entries=4, show_spinner=False)
def _table(folder: str) -> JobTable:
    return JobTable(Path(folder))


def provenance(run: Run, completion: Completion) -> dict[str, str | float]:
    """What every downloaded row says about where it comes from."""
    return {
        "run": run.name,
        "model": run.model_name,
        "completion_under_study": completion.label,
        "prompt": completion.prompt,
        "completion": completion.text,
        "measurement": text.MEASUREMENTS[run.measurement],
        "influence_unit": f"{run.unit} per unit of weight",
        "curvature": run.estimator,
        "damping_factor": run.query["settings"]["damping_factor"],
        "computed": run.score.get("finished", ""),
    }
