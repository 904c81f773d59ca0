"""The results of checks that there are: measured here, else those that came with the program (no torch)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from engine.check.effects import DOCUMENTS
from engine.check.result import Result, read_result
from engine.checks import CHECKS, HOME, Check, result_file
from engine.errors import WhenceError
from engine.machine import repository_folder
from engine.store import RunFolder

LEAVE_OUT, STABILITY = "leave-out", "stability"
NEEDED = {
    "exact": {"estimators"},
    "lds": {"estimators", "queries", "ceiling", "bench"},
    "removal": {"methods", "points", "calibration", "rare_groups"},
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


def is_of_run(name: str) -> bool:
    """Whether a check is of a run, so that without one there is nothing to check."""
    return "run" in settings_names(name)


def is_of_completion(name: str) -> bool:
    """Whether a check is of one completion of a run."""
    return "query" in settings_names(name)


def settings_names(name: str) -> set[str]:
    """The names of a check's settings."""
    return {field.name for field in fields(CHECKS[name].settings)}


def find_result(
    name: str, run: Path | None = None, home: Path = HOME, read: Callable[[Path], Result] = read_result
) -> Found:
    """The result of a check: the one measured here, else, of a check of no run, the one that came with the program.

    Args:
        name: The check.
        run: Folder of the run that it is of; None for a check of none.
        home: Where results that belong to no run are kept.
        read: Reads a file; pages give one that remembers.
    """
    own = result_file(name, None if run is None else str(run), home=home)
    shipped = repository_folder() / "sample_data" / "checks" / f"{name}.json"
    for file in (own, shipped) if run is None else (own,):
        if file.is_file():
            return read_found(name, file, file == shipped, read)
    return Found(name, CHECKS[name])


def read_found(name: str, file: Path, shipped: bool = False, read: Callable[[Path], Result] = read_result) -> Found:
    """A check's result in a file that is there; in ``trouble`` why it cannot be shown."""
    try:
        result = read(file)
    except WhenceError as error:
        return Found(name, CHECKS[name], trouble=str(error))
    if result.check != name or not NEEDED.get(name, set()) <= result.tables.keys():
        wrong = f"{file} is not a result of check {name} of this version -- it would be misread -- check again."
        return Found(name, CHECKS[name], trouble=wrong)
    return Found(name, CHECKS[name], result, shipped)


def leave_outs(run: RunFolder, read: Callable[[Path], Result] = read_result) -> list[Found]:
    """What was left out of a run so far, whatever the completion, newest first; then files that cannot be read."""
    files = sorted(run.check(LEAVE_OUT).parent.glob(f"{LEAVE_OUT}*.json"))
    return sorted(
        (read_found(LEAVE_OUT, file, read=read) for file in files),
        key=lambda one: one.result.finished if one.result else "",
        reverse=True,
    )


def calibration_of(removal: Found) -> Calibration | None:
    """The calibration of predicted changes in the result of check removal; None where there is none."""
    rows = removal.result.tables["calibration"] if removal.result is not None else []
    row = next((row for row in rows if row["what"] == DOCUMENTS), None)
    return None if removal.result is None or row is None else Calibration(removal.result, row)
