"""JSON Lines: one object a line, UTF-8, as a stream."""

import json
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import CorpusError


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``(place, object)`` for each non-blank line; ``place`` names file and line for errors.

    Raises:
        CorpusError: If the file is missing, a line is not UTF-8, not JSON or not an object.
    """
    if not path.is_file():
        raise CorpusError(f"{path} is not a file -- there is nothing to read -- check the path.")
    try:
        lines = path.open("rb")
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}) -- check its permissions.") from None
    with lines:
        for number, raw in enumerate(lines, start=1):
            place = f"{path}, line {number}"
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if not raw.strip():
                continue
            yield place, _parse(raw, place)


def _parse(raw: bytes, place: str) -> dict[str, Any]:
    try:
        parsed = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{place}: byte {error.start + 1} (0x{raw[error.start]:02x}) is not valid UTF-8 -- the text "
            "would be read wrongly -- convert the file, for example with `iconv -f latin1 -t utf-8`."
        ) from None
    except json.JSONDecodeError as error:
        raise CorpusError(
            f"{place}: not valid JSON ({error.msg.removesuffix(' at')} at character {error.pos + 1}) -- each "
            "line must be one JSON object -- mend the line."
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets within brackets
        raise CorpusError(f"{place}: JSON that cannot be held ({error}) -- mend the line.") from None
    if not isinstance(parsed, dict):
        raise CorpusError(
            f"{place}: a JSON {type(parsed).__name__}, not an object -- each line must be one object "
            "with `id` and `text` -- mend the line."
        )
    return parsed


def text_field(fields: dict[str, Any], name: str, place: str) -> str:
    """A required string field.

    Raises:
        CorpusError: If it is missing, not a string, or holds a lone surrogate.
    """
    value = fields.get(name)
    if not isinstance(value, str):
        if value is None:
            raise CorpusError(f"{place}: field `{name}` is missing -- it is required -- add it to this line.")
        raise CorpusError(
            f"{place}: field `{name}` is {reprlib.repr(value)}, not a string -- it would be shown wrongly -- "
            "write it as text in quotes."
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise CorpusError(
            f"{place}: field `{name}` holds half of a surrogate pair (\\ud800-\\udfff) -- it is no "
            "character and cannot be stored as UTF-8 -- mend the line."
        )
    return value
