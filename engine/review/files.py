"""Decisions as files, out and in: JSON Lines, CSV or Parquet by suffix."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import WhenceError
from engine.export import WRITERS, undo_defuse
from engine.readers.jsonl import read_objects
from engine.review.labels import Outcome
from engine.review.outcome import decided
from engine.review.review import Review
from engine.writing import writing

NEEDED = ("id", "label")


def write_decisions(review: Review, out: Path, outcome: Outcome | None = None, query: int | None = None) -> int:
    """Write the documents that the team agreed to keep or drop; the number of rows.

    Args:
        review: The review.
        out: File to write; its suffix gives the format. In CSV no cell is a formula.
        outcome: ``keep`` or ``drop``; None for both.
        query: As in :func:`engine.review.outcome.decided`.

    Raises:
        WhenceError: If the suffix is unknown, or the file cannot be written.
    """
    write = _of_suffix(out, WRITERS)
    with writing(out) as part:
        return write(iter([decided(review, outcome, query)]), part)


def read_decisions(file: Path) -> pd.DataFrame:
    """Decisions of a file with the columns ``id`` and ``label``, and where it has them ``reasons``, ``content_hash``.

    Returns:
        id, label, reasons, content_hash as text, empty where the file says nothing.

    Raises:
        WhenceError: If the file cannot be read, lacks a column, or names a document twice.
    """
    read = _of_suffix(file, READERS)
    try:
        table = read(file)
    except (OSError, UnicodeDecodeError, pa.ArrowException, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise WhenceError(f"{file} cannot be read ({error}) -- nothing was taken from it -- check the file.") from None
    if missing := [name for name in NEEDED if name not in table and len(table)]:
        raise WhenceError(f"{file} has no column {missing[0]!r} -- what is decided of which document? -- add it.")
    table = table.reindex(columns=[*NEEDED, "reasons", "content_hash"]).astype(object)
    table = table.where(table.notna(), "").astype(str)
    if table["id"].duplicated().any():
        twice = table["id"][table["id"].duplicated()].iloc[0]
        raise WhenceError(f"{file} names the document {twice!r} twice -- which label holds? -- leave one of them.")
    return table.reset_index(drop=True)


def _of_suffix(file: Path, known: dict[str, Callable]) -> Callable:
    if file.suffix not in known:
        raise WhenceError(f"{file} has suffix {file.suffix!r} -- it gives the format -- use {', '.join(known)}.")
    return known[file.suffix]


def _read_csv(file: Path) -> pd.DataFrame:
    """With the apostrophes taken off again that keep a spreadsheet from running cells as formulas."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    return table.map(undo_defuse, na_action="ignore")


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".parquet": lambda file: pq.read_table(file).to_pandas(),
    ".csv": _read_csv,
    ".jsonl": lambda file: pd.DataFrame([fields for _, fields in read_objects(file)]),
}
