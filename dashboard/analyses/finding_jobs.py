"""The pages' door to measuring findings: which runs to compare with, the job, the command, the time. No torch."""

import shlex
from pathlib import Path
from typing import Any

from dashboard import jobs, runs
from dashboard.analyses.findings import CLAIMS, Measured, kept_in
from engine.findings.findings import steps_of
from engine.findings.settings import FindingsSettings
from engine.machine import repository_folder
from engine.run import Run
from engine.store import RunFolder


def other_runs(run: Run) -> dict[str, Run]:
    """Runs of another model on the same corpus and completions, by name, that a run may be compared with."""
    opened = {name: runs.open_run(path) for name, path in runs.finished_runs().items() if path != run.path.resolve()}
    return {name: one for name, one in opened.items() if _same_but_model(run, one)}


def _same_but_model(run: Run, other: Run) -> bool:
    """Whether two runs are of the same corpus and completions, but of different models."""
    mine, others = (one.fit["inputs"] | one.query["inputs"] for one in (run, other))
    same = all(mine.get(name) == others.get(name) is not None for name in ("corpus_hash", "queries_hash"))
    return same and mine.get("model_hash") != others.get("model_hash")


def submit_findings(run: Run, other: Run | None = None, only: str | None = None) -> None:
    """Ask for all findings, or for one, to be measured on a run."""
    what = "Findings of the literature" if only is None else f"Finding “{CLAIMS[only].title}”"
    arguments = _about(run) | {"other": other and str(other.path.resolve()), "only": only and [only]}
    jobs.submit("findings", arguments, f"{what}, {run.name}")


def findings_job(run: Run) -> jobs.Job | None:
    """The last request to measure findings on a run; None if there was none."""
    return jobs.find_job("findings", _about(run))


def _about(run: Run) -> dict[str, Any]:
    return {"run": str(run.path.resolve())}


def command(run: Run, other: Run | None = None, only: str | None = None, **settings: int) -> str:
    """What measures the same from a terminal; ``settings`` are named where they are not the default."""
    default = FindingsSettings(str(run.path))
    words = ["python", "-m", "engine", "findings", "--run", _near(run.path)]
    words += ["--other", _near(other.path)] if other else []
    words += ["--only", only] if only else []
    for name, value in settings.items():
        words += [] if value == getattr(default, name) else [f"--{name}", str(value)]
    return shlex.join(words)


def command_of(run: Run, name: str, found: Measured) -> str:
    """What measures a finding of a run as it was measured, the other run among those that are here."""
    others = other_runs(run).values()
    other = next((one for one in others if steps_of(one) == found.made_from["other"]), None)
    return command(run, other, name, draws=found.draws, seed=found.seed)


def _near(path: Path) -> str:
    """A path as seen from the repository, where it lies in it."""
    place = path.resolve()
    return str(place.relative_to(repository_folder()) if place.is_relative_to(repository_folder()) else place)


def seconds_taken(run: Run) -> tuple[str, float, int] | None:
    """Where measuring took how long, and for how many findings: on this run, else on another one; None if unknown."""
    there = {run.name: run.path} | {
        name: path for name, path in runs.finished_runs().items() if path != run.path.resolve()
    }
    for name, path in there.items():
        measured = [one.seconds for one in kept_in(RunFolder(path)).values() if isinstance(one, Measured)]
        if measured:
            return name, sum(measured), len(measured)
    return None
