"""The pages' door to checks: what was measured of influence, requests for more, and what follows. No torch."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data
from engine.check.cost import leave_out_seconds
from engine.check.effects import BM25, DOCUMENTS, INFLUENCE, RANDOM, TOKENS
from engine.check.result import Result, read_result
from engine.checks import CHECKS, Check, command, kept_at, result_file
from engine.errors import WhenceError
from engine.run import Run
from engine.settings import ESTIMATORS, LeaveOutSettings
from engine.store import repository_folder

__all__ = ["BM25", "DOCUMENTS", "INFLUENCE", "RANDOM", "TOKENS", "Result"]

ESTIMATED = frozenset((*ESTIMATORS.values(), "exact"))
"""Names of estimators of influence in results; whatever else stands there is a baseline."""
LEAVE_OUT, STABILITY = "leave-out", "stability"
VERDICTS = ("steady", "shaky", "noise")
NEEDED = {
    "exact": {"estimators"},
    "lds": {"estimators", "queries", "ceiling", "bench"},
    "removal": {"methods", "points", "calibration"},
    LEAVE_OUT: {"completions", "documents", "chance"},
    STABILITY: {"completions", "rule"},
}
"""Tables without which a result cannot be shown in its own way."""


@dataclass(frozen=True)
class Found:
    """A check, and its result where there is one.

    Attributes:
        name: Its name.
        check: Title and question.
        result: What it came to; None where there is nothing, or nothing that can be read.
        shipped: Whether the result came with the program; else it was measured here.
        trouble: Why a file that is there cannot be read; else empty.
    """

    name: str
    check: Check
    result: Result | None = None
    shipped: bool = False
    trouble: str = ""


def names() -> list[str]:
    """All checks, in the order of the page; those of a completion last."""
    return sorted(CHECKS, key=_is_of_completion)


def is_of_run(name: str) -> bool:
    """Whether a check is of a run, so that without one there is nothing to check."""
    return "run" in _settings_of(name)


def _is_of_completion(name: str) -> bool:
    return "query" in _settings_of(name)


def _settings_of(name: str) -> set[str]:
    return {field.name for field in fields(CHECKS[name].settings)}


def found(name: str, run: Run | None = None) -> Found:
    """The result of a check: the one measured here, else the one that came with the program.

    Args:
        name: The check.
        run: The run that it is of; None for a check of none.
    """
    own = result_file(name, str(run.path) if run is not None else None, home=data.runs_folder() / "checks")
    shipped = repository_folder() / "sample_data" / "checks" / f"{name}.json"
    for file in (own, shipped) if run is None else (own,):
        if file.is_file():
            return _found(name, file, file == shipped)
    return Found(name, CHECKS[name])


def _found(name: str, file: Path, shipped: bool = False) -> Found:
    read = _read(str(file), file.stat().st_mtime_ns)
    if isinstance(read, str):
        return Found(name, CHECKS[name], trouble=read)
    if read.check != name or not NEEDED.get(name, set()) <= read.tables.keys():
        wrong = f"{file} is not a result of check {name} of this version -- it would be misread -- check again."
        return Found(name, CHECKS[name], trouble=wrong)
    return Found(name, CHECKS[name], read, shipped)


@st.cache_data(max_entries=200, show_spinner=False)
def _read(file: str, changed: int) -> Result | str:
    """A result, or why it cannot be read; ``changed`` keeps the cache true."""
    try:
        return read_result(Path(file))
    except WhenceError as error:
        return str(error)


def table(result: Result, name: str) -> pd.DataFrame:
    """One of a result's tables."""
    return pd.DataFrame(result.tables[name])


def told(result: Result) -> str:
    """The command that measures it again."""
    return command(result.check, result.settings)


def provenance(result: Result) -> dict[str, str | float]:
    """What every downloaded row says about where it comes from."""
    about = {"check": result.check, "command": told(result), "measured": result.finished, "seconds": result.seconds}
    return about | {f"version_{package}": version for package, version in result.versions.items()}


# Requests


def default_settings(name: str, run: Run | None = None) -> dict[str, Any]:
    """Settings of a check that a button asks for."""
    given = {} if run is None else {"run": str(run.path.resolve())}
    return asdict(CHECKS[name].settings(**given))


def submit(name: str, settings: Mapping[str, Any], title: str) -> data.Job:
    """Ask for a check."""
    return data.submit("check", _asked(name, settings) | {"settings": dict(settings)}, title)


def job(name: str, settings: Mapping[str, Any]) -> data.Job | None:
    """The last request for a check whose result would be kept in the same place; None if there was none."""
    return data.find_job("check", _asked(name, settings))


def _asked(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    out = kept_at(name, CHECKS[name].settings(**settings), data.runs_folder() / "checks")
    return {"check": name, "out": str(out)}


# Leaving documents out


def leave_out_settings(run: Run, completion: data.Completion, documents: Sequence[str]) -> dict[str, Any]:
    """Settings to leave documents out for a completion, by their ids."""
    return asdict(LeaveOutSettings(str(run.path.resolve()), completion.id, documents=list(documents)))


def leave_out_cost(run: Run, documents: Collection[int], settings: Mapping[str, Any]) -> float:
    """About how many seconds it takes."""
    return leave_out_seconds(run, documents, LeaveOutSettings(**settings))


def leave_outs(run: Run) -> list[Found]:
    """What was left out so far, whatever the completion, newest first; then files that cannot be read."""
    files = sorted(run.folder.check(LEAVE_OUT).parent.glob(f"{LEAVE_OUT}*.json"))
    return sorted(
        (_found(LEAVE_OUT, file) for file in files),
        key=lambda one: one.result.finished if one.result else "",
        reverse=True,
    )


def left_out(run: Run, query: str, documents: Collection[str]) -> Result | None:
    """The newest result of leaving these documents out for a completion, all by id; None if there is none."""
    for one in leave_outs(run):
        if one.result is None or one.result.tables["completions"][0]["id"] != query:
            continue
        if {row["id"] for row in one.result.tables["documents"]} == set(documents):
            return one.result
    return None


# What follows


@dataclass(frozen=True)
class Calibration:
    """How predicted changes compared with retraining.

    Attributes:
        result: Where it was measured.
        row: ``slope``, measured change per predicted one, and ``correlation``, each with its interval; ``points``.
    """

    result: Result
    row: Mapping[str, float]

    @property
    def corpus(self) -> str:
        """Whose documents were left out."""
        given = self.result.settings.get("corpus")
        return Path(given).name if given else ""


def calibration() -> Calibration | None:
    """The check of predicted changes in use; None where there is none."""
    result = found("removal").result
    rows = result.tables["calibration"] if result is not None else []
    row = next((row for row in rows if row["what"] == DOCUMENTS), None)
    return None if result is None or row is None else Calibration(result, row)


def stability(run: Run) -> Result | None:
    """How steady the influences on each completion of a run are; None where that was not checked."""
    file = run.folder.check(STABILITY)
    if STABILITY not in CHECKS or not file.is_file():
        return None
    return _found(STABILITY, file).result


def verdict(run: Run, query: str) -> dict[str, Any] | None:
    """The row of a completion, by id, in the check of its steadiness."""
    result = stability(run)
    rows = result.tables["completions"] if result is not None else []
    return next((row for row in rows if row["id"] == query), None)
