"""Parquet: one row a document, some rows at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import CorpusError
from engine.readers.columns import named, wanted
from engine.readers.files import COMPRESSED, Skipped, files_of, opened
from engine.readers.settings import ReadingSettings

SUFFIXES = (".parquet", ".pq")
ROWS = 64
"""Rows in memory at a time."""
BUFFER_BYTES = 1 << 20
"""Of each column; without a buffer, a whole row group's columns are read at once."""
Row = tuple[str, str, dict[str, Any]]


def read(path: Path, settings: ReadingSettings, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of a Parquet file, or of those in a folder."""
    for name, file in files_of(path, SUFFIXES, skipped):
        if file.suffix.lower() in COMPRESSED:
            raise CorpusError(
                f"{file} is a compressed Parquet file -- its parts cannot be found in it, and Parquet compresses "
                "by itself -- decompress it first."
            )
        with opened(file) as content:
            table = _table(file, content)
            names = table.schema_arrow.names
            batches = table.iter_batches(ROWS, columns=wanted(names, settings))
            yield from named(rows(batches, name, str(file)), settings, names)


def _table(path: Path, content: Any) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(content, buffer_size=BUFFER_BYTES, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(
            f"{path} is not a Parquet file ({_first_line(error)}) -- there is nothing to read -- check the file."
        ) from None


def rows(batches: Iterator[pa.RecordBatch], name: str, place: str) -> Iterator[Row]:
    """Rows with their place, and a name from their number; whole numbers count as text, as ids often are.

    Raises:
        CorpusError: If rows cannot be decoded.
    """
    number = 0
    try:
        for batch in batches:
            for row in batch.to_pylist():
                number += 1
                fields = {column: str(value) if type(value) is int else value for column, value in row.items()}
                yield f"{place}, row {number}", f"{name}:{number}", fields
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise CorpusError(
            f"{place}, after row {number}: what follows cannot be decoded ({_first_line(error)}) -- documents would "
            "be missing -- write the file anew."
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
