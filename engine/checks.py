"""The checks that ``python -m engine check NAME`` and the Trust page offer, and how one is carried out (no torch)."""

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.check.result import Result, Tables, kept
from engine.check.settings import (
    CheckBifSettings,
    ExactSettings,
    LdsSettings,
    LeaveOutSettings,
    RemovalSettings,
    StabilitySettings,
)
from engine.errors import WhenceError
from engine.export import without_nan
from engine.progress import Progress
from engine.settings import flags
from engine.store import RunFolder

HOME = Path("runs") / "checks"
"""Where results that belong to no run are kept unless another place is named."""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        title: Its name on pages.
        question: What it answers.
        settings: Class of its settings.
        function: ``module:function`` that carries it out, from settings, progress and a folder in which it may keep
            work that a stopped check goes on from, to its tables.
    """

    title: str
    question: str
    settings: type
    function: str

    def compute(self, settings: Any, progress: Progress, work: Path) -> Tables:
        """Carry it out; loads torch."""
        module, name = self.function.split(":")
        found: Callable[[Any, Progress, Path], Tables] = getattr(import_module(module), name)
        return found(settings, progress, work)


CHECKS = {
    "exact": Check(
        "Against exact answers",
        "How close is each estimator to the exact answer, on a model small enough to have one?",
        ExactSettings,
        "engine.check.exact:check_exact",
    ),
    "lds": Check(
        "Training on halves",
        "Does the sum of influences over a random half of the documents tell what training on that half does?",
        LdsSettings,
        "engine.check.lds:check_lds",
    ),
    "removal": Check(
        "Training without",
        "How much less likely does a completion become when what influenced it most was never learned?",
        RemovalSettings,
        "engine.check.removal:check_removal",
    ),
    "bif": Check(
        "Against sampling",
        "Does influence by sampling weights, the Bayesian influence function, agree with the run's?",
        CheckBifSettings,
        "engine.check.bayesian:check_bif",
    ),
    "leave-out": Check(
        "Going on without documents",
        "What does leaving some documents out do to a completion, predicted and measured?",
        LeaveOutSettings,
        "engine.check.leave_out:check_leave_out",
    ),
    "stability": Check(
        "Robust rankings",
        "Does each completion keep its strongest documents when damping, fitted documents or sampled labels change?",
        StabilitySettings,
        "engine.check.stability:check_stability",
    ),
}
"""By name, as the command line offers them."""


def settings_of(name: str, given: Mapping[str, Any]) -> Any:
    """Settings of a check from their names and values, as a job holds them.

    Raises:
        WhenceError: If there is no such check or setting, or a value cannot be used.
    """
    if name not in CHECKS:
        raise WhenceError(f"There is no check {name!r} -- this version has: {', '.join(CHECKS)}.")
    known = [field.name for field in fields(CHECKS[name].settings)]
    if unknown := sorted(given.keys() - set(known)):
        raise WhenceError(f"check {name} has no settings {unknown} -- it has: {', '.join(known)}.")
    return CHECKS[name].settings(**given)


def result_file(name: str, run: str | None, key: str = "", home: Path = HOME) -> Path:
    """Where a result is kept unless another place is named: of a check of a run in its folder.

    Args:
        name: The check.
        run: Folder of the run that is checked; None for a check of none.
        key: Tells apart results of which there may be several (:func:`choice_key`).
        home: Where results that belong to no run are kept.
    """
    stem = f"{name}-{key}" if key else name
    return home / f"{stem}.json" if run is None else RunFolder(Path(run)).check(stem)


def choice_key(settings: Any) -> str:
    """A hash of what was asked where a check is of one completion, as a run may have many; else empty."""
    asked = asdict(settings)
    if "query" not in asked:
        return ""
    told = json.dumps({name: value for name, value in asked.items() if name != "run"}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def kept_at(name: str, settings: Any, home: Path = HOME) -> Path:
    """The :func:`result_file` of a check with these settings."""
    return result_file(name, getattr(settings, "run", None), choice_key(settings), home)


def command(name: str, settings: Mapping[str, Any]) -> str:
    """The command line that carries out a check with these settings; those with their default are not named."""
    return shlex.join(["python", "-m", "engine", "check", name, *flags(CHECKS[name].settings, settings)])


def run_check(name: str, settings: Any, out: Path, progress: Progress) -> Result:
    """Carry out a check and keep its result; unfinished work lies beside it in a folder of the same name.

    Raises:
        WhenceError: If an input cannot be used, or the result cannot be written.
    """
    work = out.with_suffix("")
    with kept(name, settings, out, work) as result:
        found = CHECKS[name].compute(settings, progress, work)
        result.tables = {table: [without_nan(row) for row in rows] for table, rows in found.items()}
    return result
