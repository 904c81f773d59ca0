"""What a check came to, kept with what made it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import WhenceError
from engine.machine import versions
from engine.writing import write_json

FORMAT = 2
Tables = dict[str, list[dict[str, Any]]]
"""Tables by name, each a list of rows with the same keys, fit for JSON."""


@dataclass
class Result:
    """A check's result.

    Attributes:
        check: Its name.
        settings: What was asked for.
        tables: What was measured.
        seconds: How long it took, with what earlier calls spent on work that was kept.
        finished: When, in UTC.
        versions: Of Python and the packages that matter.
    """

    check: str
    settings: dict[str, Any]
    tables: Tables = field(default_factory=dict)
    seconds: float = 0.0
    finished: str = ""
    versions: dict[str, str] = field(default_factory=dict)


@contextmanager
def kept(check: str, settings: Any, path: Path, work: Path | None = None) -> Iterator[Result]:
    """Yield a result to fill in; written when the block ends without error, in place of an earlier one.

    Args:
        check: Its name.
        settings: What was asked for.
        path: The result's file.
        work: Folder of work that outlives a stopped call, and the seconds spent on it; None if there is none.

    Raises:
        RunError: If it cannot be written there; known before the block, which may take long.
    """
    trial = path.with_name(f".{path.name}.trial")
    write_json({}, trial)
    trial.unlink()
    result = Result(check, asdict(settings), versions=versions())
    with _timed(result, work):
        yield result
    result.finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    write_result(result, path)


@contextmanager
def _timed(result: Result, work: Path | None) -> Iterator[None]:
    """Count the block's seconds on top of those that earlier calls with the same settings spent, ended or stopped."""
    started, file = time.monotonic(), work / "seconds" if work else None
    spent = json.loads(file.read_text(encoding="utf-8")) if file and file.is_file() else {}
    asked = json.dumps(result.settings, sort_keys=True)
    try:
        yield
    finally:
        result.seconds = round(spent.get(asked, 0.0) + time.monotonic() - started, 1)
        if file and file.parent.is_dir():
            write_json(spent | {asked: result.seconds}, file)


def write_result(result: Result, path: Path) -> None:
    """Keep a result, in place of an earlier one."""
    write_json({"format": FORMAT} | asdict(result), path)


def read_result(path: Path) -> Result:
    """A result that was kept.

    Raises:
        WhenceError: If the file is none that this version reads.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WhenceError(f"{path} cannot be read ({error}) -- there is no result to show -- check again.") from None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise _misread(path)
    try:
        return Result(**content)
    except TypeError:  # keys that are unknown or missing
        raise _misread(path) from None


def _misread(path: Path) -> WhenceError:
    return WhenceError(f"{path} is not a check's result of this version -- it would be misread -- check again.")
