"""The pages' door to checks: what was measured of influence, requests for more, and what follows. No torch."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data, jobs, runs
from engine.check.calibration import CALIBRATED, NOT_CALIBRATED, calibration_figures
from engine.check.cost import leave_out_seconds
from engine.check.effects import BM25, DOCUMENTS, INFLUENCE, RANDOM, TOKENS, by_kind
from engine.check.found import (
    LEAVE_OUT,
    STABILITY,
    Calibration,
    Found,
    calibration_of,
    find_result,
    is_of_completion,
    is_of_run,
)
from engine.check.found import leave_outs as found_leave_outs
from engine.check.result import Result, read_result
from engine.check.settings import LeaveOutSettings
from engine.checks import CHECKS, command, kept_at
from engine.run import Run
from engine.settings import ESTIMATORS

__all__ = [
    "BM25", "CALIBRATED", "DOCUMENTS", "INFLUENCE", "LEAVE_OUT", "NOT_CALIBRATED", "RANDOM", "STABILITY", "TOKENS",
    "Found", "Result", "calibration_figures", "is_of_run",
]  # fmt: skip

ESTIMATED = frozenset((*ESTIMATORS.values(), "exact"))
"""Names of estimators of influence in results; whatever else stands there is a baseline."""
VERDICTS = ("steady", "shaky", "noise")


def names() -> list[str]:
    """All checks, in the order of the page; those of a completion last."""
    return sorted(CHECKS, key=is_of_completion)


def found(name: str, run: Run | None = None) -> Found:
    """The result of a check: the one measured here, else the one that came with the program.

    Args:
        name: The check.
        run: The run that it is of; None for a check of none.
    """
    return find_result(name, None if run is None else run.path, runs.runs_folder() / "checks", _read)


def _read(file: Path) -> Result:
    return _read_once(str(file), file.stat().st_mtime_ns)


@st.cache_data(max_entries=200, show_spinner=False)
def _read_once(file: str, changed: int) -> Result:
    """A result; ``changed`` keeps the cache true."""
    return read_result(Path(file))


def table(result: Result, name: str) -> pd.DataFrame:
    """One of a result's tables."""
    return pd.DataFrame(result.tables[name])


def lds_by_kind(result: Result) -> pd.DataFrame:
    """The linear datamodeling score of each kind of completion, a column per estimator."""
    return pd.DataFrame(by_kind(result.tables["queries"]))


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


def submit(name: str, settings: Mapping[str, Any], title: str) -> jobs.Job:
    """Ask for a check."""
    return jobs.submit("check", _asked(name, settings) | {"settings": dict(settings)}, title)


def job(name: str, settings: Mapping[str, Any]) -> jobs.Job | None:
    """The last request for a check whose result would be kept in the same place; None if there was none."""
    return jobs.find_job("check", _asked(name, settings))


def _asked(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    out = kept_at(name, CHECKS[name].settings(**settings), runs.runs_folder() / "checks")
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
    return found_leave_outs(run.folder, _read)


def left_out(run: Run, query: str, documents: Collection[str]) -> Result | None:
    """The newest result of leaving these documents out for a completion, all by id; None if there is none."""
    for one in leave_outs(run):
        if one.result is None or one.result.tables["completions"][0]["id"] != query:
            continue
        if {row["id"] for row in one.result.tables["documents"]} == set(documents):
            return one.result
    return None


# What follows


def calibration() -> Calibration | None:
    """The check of predicted changes in use; None where there is none."""
    return calibration_of(found("removal"))


def stability(run: Run) -> Result | None:
    """How steady the influences on each completion of a run are; None where that was not checked."""
    return found(STABILITY, run).result


def verdict(run: Run, query: str) -> dict[str, Any] | None:
    """The row of a completion, by id, in the check of its steadiness."""
    result = stability(run)
    rows = result.tables["completions"] if result is not None else []
    return next((row for row in rows if row["id"] == query), None)
