"""Requests for work that needs the model, and how it fares. No torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import runs
from engine.jobs import Job, JobTable
from engine.run import Run, readable
from engine.worker_process import ensure_worker, force_cancel

RECENT_JOBS = 200
MAP_FEATURES = {"words": "words", "hidden": "hidden states", "gradients": "gradients"}


def submit_sample(name: str) -> Job:
    """Ask for the run of an embedded sample."""
    arguments = {"config": name, "run": str(runs.runs_folder() / name)}
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
    folder = runs.runs_folder()
    return _table(str(folder)).recent(limit) if (folder / "jobs.sqlite").exists() else []


def keep_working() -> None:
    """Make sure that somebody does the waiting jobs."""
    ensure_worker(runs.runs_folder())


def cancel(job: Job, at_once: bool = False) -> None:
    """Cancel a job; ``at_once`` stops the worker if the job does not react."""
    if at_once:
        force_cancel(runs.runs_folder(), job.id)
    else:
        _table(str(runs.runs_folder())).cancel(job.id)


def job_log(job: Job) -> str:
    """What a job noted so far."""
    return _table(str(runs.runs_folder())).log(job.id)


def _token_arguments(run: Run, query: int, document: int, kind: str) -> dict[str, Any]:
    return {"run": str(run.path.resolve()), "query": query, "document": document, "kind": kind}


def submit(kind: str, arguments: dict[str, Any], title: str) -> Job:
    """Ask for a job; one that waits or runs with the same arguments is returned instead."""
    job = _table(str(runs.runs_folder())).submit(kind, arguments, title)
    keep_working()
    return job


@st.cache_resource(max_entries=4, show_spinner=False)
def _table(folder: str) -> JobTable:
    return JobTable(Path(folder))
