"""JSON Lines: one object a line, UTF-8, as a stream."""

import json
import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import CorpusError
from engine.readers.columns import named
from engine.readers.files import Skipped, decoded, files_of, numbered_lines
from engine.readers.settings import ReadingSettings

SUFFIXES = (".jsonl", ".ndjson", ".json")
SURROGATE = re.compile("[\ud800-\udfff]")


def read(path: Path, settings: ReadingSettings, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of a JSONL file, or of those in a folder."""
    for name, file in files_of(path, SUFFIXES, skipped):
        objects = enumerate(read_objects(file), start=1)
        yield from named(((place, f"{name}:{number}", fields) for number, (place, fields) in objects), settings)


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``(place, object)`` for each non-blank line; ``place`` names file and line for errors.

    Raises:
        CorpusError: If the file is missing, a line is not UTF-8, not JSON or not an object.
    """
    for number, raw in numbered_lines(path):
        if raw.strip():
            place = f"{path}, line {number}"
            yield place, _parse(decoded(raw, place), place)


def first_object(path: Path) -> dict[str, Any]:
    """The object of a file's first line; empty where there is none."""
    try:
        return next((fields for _, fields in read_objects(path)), {})
    except CorpusError:
        return {}


def _parse(line: str, place: str) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
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
            "with `id` and `text` -- mend the line, or make one object a line with `jq -c '.[]'`."
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
    if SURROGATE.search(value):
        raise CorpusError(
            f"{place}: field `{name}` holds half of a surrogate pair (\\ud800-\\udfff) -- it is no "
            "character and cannot be stored as UTF-8 -- mend the line."
        )
    return value
