"""A run's tables as files for other programs: Parquet, CSV or JSON Lines by suffix."""

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engine.analysis.ranking import rank_documents
from engine.errors import RunError
from engine.run import Run
from engine.writing import writing

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet may take for the beginning of a formula, the wide forms of East Asian keyboards included."""
_DEFUSED = rf"(?s)'+[{re.escape(''.join(FORMULA_STARTS))}]"
_DANGEROUS = _DEFUSED.replace("'+", "'*")


def export(run: Run, table: str, out: str | Path) -> int:
    """Write one of a run's tables; the number of its rows.

    Args:
        run: The run.
        table: ``documents``, ``queries``, ``influence`` (each document on each completion, with
            baselines), ``tokens`` or ``prediction`` (stored token influences by position or prediction).
        out: File to write; its suffix gives the format: .parquet, .csv or .jsonl.

    Raises:
        RunError: If table or suffix is unknown, or the file cannot be written.
    """
    out = Path(out)
    if table not in TABLES:
        raise RunError(f"table {table!r} is unknown -- choose one of {', '.join(TABLES)}.")
    if out.suffix not in WRITERS:
        raise RunError(f"{out} has suffix {out.suffix!r} -- it gives the format -- use {', '.join(WRITERS)}.")
    with writing(out) as part:
        return WRITERS[out.suffix](TABLES[table](run), part)


def defuse(frame: pd.DataFrame) -> pd.DataFrame:
    """Text cells that a spreadsheet would run as a formula begin with an apostrophe instead (:func:`undo_defuse`)."""
    frame = frame.copy()
    for name in frame.select_dtypes(include=["object", "string"]):
        dangerous = frame[name].astype(str).str.match(_DANGEROUS)
        frame.loc[dangerous, name] = "'" + frame.loc[dangerous, name].astype(str)
    return frame


def undo_defuse(cell: str) -> str:
    """A text cell as it was before :func:`defuse`: what had such an apostrophe of its own has two by then."""
    return cell[1:] if re.match(_DEFUSED, cell) else cell


def without_nan(record: dict[str, Any]) -> dict[str, Any]:
    """None for what is not a number, since JSON has no NaN: the cosine of an empty document."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in record.items()}


def _documents(run: Run) -> Iterator[pd.DataFrame]:
    for batch in pq.ParquetFile(run.folder.documents).iter_batches(1024):
        yield batch.to_pandas().drop(columns="document")


def _queries(run: Run) -> Iterator[pd.DataFrame]:
    yield run.queries.drop(columns="query")


def _influence(run: Run) -> Iterator[pd.DataFrame]:
    ids = run.documents.set_index("document")["id"]
    for query in run.queries.itertuples():
        ranking = rank_documents(run, int(query.query))
        ranking.insert(0, "completion", query.title)
        ranking.insert(0, "query_id", query.id)
        ranking.insert(3, "document_id", ranking["document"].map(ids))
        yield ranking.drop(columns="document")


def _token_rows(kind: str) -> Callable[[Run], Iterator[pd.DataFrame]]:
    def rows(run: Run) -> Iterator[pd.DataFrame]:
        ids = run.documents.set_index("document")["id"]
        for query in run.queries.itertuples():
            completion_tokens = run.tokens_of_query(int(query.query))["text"].to_numpy()
            for document in run.documents_with_tokens(int(query.query), kind):
                found = run.token_influence(int(query.query), document, kind)
                assert found is not None
                tokens, text = run.document_tokens(document), run.text(document)
                pieces = [text[start:end] for start, end in zip(tokens.starts, tokens.ends, strict=True)]
                pieces = ["<start>", *pieces] if found.has_start else pieces
                completion, position = np.indices(found.influence.shape)
                yield pd.DataFrame(
                    {
                        "query_id": query.id,
                        "document_id": ids[document],
                        "completion_token": completion.ravel(),
                        "completion_text": completion_tokens[completion.ravel()],
                        "position": position.ravel() - found.has_start,
                        "text": np.asarray(pieces, dtype=object)[position.ravel()],
                        "influence": found.influence.ravel(),
                    }
                )

    return rows


def _write_parquet(frames: Iterator[pd.DataFrame], part: Path) -> int:
    writer, rows = None, 0
    for frame in frames:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        writer = writer or pq.ParquetWriter(part, table.schema, compression="zstd")
        writer.write_table(table.cast(writer.schema))
        rows += len(frame)
    if writer is None:
        pq.write_table(pa.table({}), part)
    else:
        writer.close()
    return rows


def _write_csv(frames: Iterator[pd.DataFrame], part: Path) -> int:
    rows = 0
    with part.open("w", encoding="utf-8", newline="") as file:
        for number, frame in enumerate(frames):
            # as RFC 4180 has it; only what is part of a line's end is quoted within a cell
            defuse(frame).to_csv(file, index=False, header=number == 0, lineterminator="\r\n")
            rows += len(frame)
    return rows


def _write_jsonl(frames: Iterator[pd.DataFrame], part: Path) -> int:
    rows = 0
    with part.open("w", encoding="utf-8") as file:
        for frame in frames:
            for row in frame.to_dict("records"):
                file.write(json.dumps(without_nan(row), ensure_ascii=False, default=lambda value: value.item()) + "\n")
            rows += len(frame)
    return rows


TABLES: dict[str, Callable[[Run], Iterator[pd.DataFrame]]] = {
    "documents": _documents,
    "queries": _queries,
    "influence": _influence,
    "tokens": _token_rows("position"),
    "prediction": _token_rows("prediction"),
}
WRITERS: dict[str, Callable[[Iterator[pd.DataFrame], Path], int]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}
