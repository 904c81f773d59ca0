"""What a check came to, kept with what made it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import WhenceError
from engine.store import versions, write_json

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
        seconds: How long it took.
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
def kept(check: str, settings: Any, path: Path) -> Iterator[Result]:
    """Yield a result to fill in; written when the block ends without error, in place of an earlier one.

    Raises:
        RunError: If it cannot be written there; known before the block, which may take long.
    """
    trial = path.with_name(f".{path.name}.trial")
    write_json({}, trial)
    trial.unlink()
    result, started = Result(check, asdict(settings), versions=versions()), time.monotonic()
    yield result
    result.seconds = round(time.monotonic() - started, 1)
    result.finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    write_result(result, path)


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
