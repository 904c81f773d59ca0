"""CSV and TSV: the first line names the columns; quoted texts may go over many lines."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import CorpusError
from engine.readers.columns import named
from engine.readers.files import Skipped, decoded, files_of, numbered_lines
from engine.readers.settings import ReadingSettings

SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",;\t|"
LONGEST = 1 << 26
"""Characters of a field; a quote that is never closed would otherwise take the rest of the file into memory."""

csv.field_size_limit(LONGEST)  # Python's own limit, for the whole process, is shorter than a book


def read(path: Path, settings: ReadingSettings, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of a CSV or TSV file, or of those in a folder."""
    for name, file in files_of(path, SUFFIXES, skipped):
        yield from named(_rows(file, name), settings)


def _rows(path: Path, name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    lines = (decoded(raw, f"{path}, line {number}") for number, raw in numbered_lines(path))
    head = next(lines, "")
    delimiter = max(DELIMITERS, key=head.count)
    columns = next(csv.reader([head], delimiter=delimiter), [])
    _check_columns(columns, path)
    table = csv.reader(lines, delimiter=delimiter, strict=True)
    number, line = 0, 2
    while True:
        place = f"{path}, line {line}"
        try:
            values = next(table, None)
        except csv.Error as error:
            raise CorpusError(
                f"{place}: not valid CSV ({error}) -- columns would be mixed up -- mend the line; a quote within a "
                'quoted field is written twice ("").'
            ) from None
        if values is None:
            return
        line = table.line_num + 2
        if values:
            number += 1
            yield place, f"{name}:{number}", _fields(columns, values, place)


def _check_columns(columns: list[str], path: Path) -> None:
    double = sorted({column for column in columns if columns.count(column) > 1})
    if double:
        raise CorpusError(
            f"{path}, line 1: column `{double[0]}` comes twice -- one of them would be lost -- rename it."
        )


def _fields(columns: list[str], values: list[str], place: str) -> dict[str, Any]:
    if len(values) != len(columns):
        raise CorpusError(
            f"{place}: {len(values)} fields, but the first line names {len(columns)} columns -- texts would stand in "
            "the wrong ones -- mend the line; a field that holds the separator needs quotes."
        )
    return dict(zip(columns, values, strict=True))
