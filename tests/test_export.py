"""Exported files hold the numbers of the run, whatever the format, and cannot do harm in a spreadsheet."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tiny_run import write_tiny_run

from engine import Run, RunError, rank_documents
from engine.export import TABLES, WRITERS, defuse, export, undo_defuse

DOCUMENTS = [
    {"id": "=1+1", "text": 'a, "b";\r\nc\n', "source": "@SUM(A1)", "language": "en", "title": "+49 170"},
    {"id": "-2", "text": "등대 🚀\u2028é", "source": "Web", "language": "ko", "title": "\tTab"},
    {"id": "03", "text": "NA", "source": "null", "language": "nan", "title": "12"},
    {"id": "d", "text": "", "source": "Web", "language": "en", "title": "-"},
]
QUERIES = [
    {"id": "q,0", "prompt": "=cmd|' /C calc'!A0", "completion": " b c", "kind": "K", "language": "en", "title": "One"},
    {"id": "q1", "prompt": "-1", "completion": " é\n", "kind": "K", "language": "en", "title": "@Two"},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return Run(write_tiny_run(tmp_path_factory.mktemp("tiny") / "run", DOCUMENTS, QUERIES))


def read(path: Path) -> list[dict]:
    """Rows with text as text and numbers as numbers; CSV gives text only."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line, parse_constant=pytest.fail) for line in lines]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def expected(run: Run, table: str) -> pd.DataFrame:
    """The table put together from the reader, row by row."""
    ids, rows = run.documents["id"], []
    if table == "documents":
        return run.documents.assign(text=[run.text(number) for number in run.documents["document"]])
    if table == "queries":
        return run.queries
    for query in run.queries.itertuples():
        if table == "influence":
            ranking = rank_documents(run, query.query)
            ranking = ranking.assign(
                query_id=query.id, completion=query.title, document_id=ranking["document"].map(ids)
            )
            rows += ranking.to_dict("records")
            continue
        texts = run.tokens_of_query(query.query)["text"]
        for document in run.documents["document"]:
            kind = {"tokens": "position", "prediction": "prediction"}[table]
            found, tokens = run.token_influence(query.query, document, kind), run.document_tokens(document)
            for (completion, place), value in np.ndenumerate(found.influence):
                place -= 1
                piece = run.text(document)[tokens.starts[place] : tokens.ends[place]] if place >= 0 else "<start>"
                rows.append(
                    {
                        "query_id": query.id, "document_id": ids[document], "completion_token": completion,
                        "completion_text": texts[completion], "position": place, "text": piece, "influence": value,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("table", TABLES)
def test_every_table_in_every_format_holds_what_the_reader_gives(table, suffix, run, tmp_path):
    path = tmp_path / f"out{suffix}"
    count = export(run, table, path)
    found, wanted = read(path), expected(run, table)
    assert count == len(found) == len(wanted) > 0
    assert set(found[0]) == set(wanted) - {"document", "query"}
    for name in found[0]:
        column, values = wanted[name], [row[name] for row in found]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            dtype = column.dtype
            numbers = np.array([np.nan if value in (None, "") else value for value in values], dtype=object)
            assert np.array_equal(numbers.astype(float).astype(dtype), column.to_numpy(dtype), equal_nan=True), name
        elif suffix == ".csv":
            assert values == defuse(wanted)[name].tolist(), name
        else:
            assert values == column.tolist(), name


def test_no_cell_of_a_csv_file_begins_like_a_formula(run, tmp_path):
    """Spreadsheets run cells that begin with = + - @, a tab or a return; numbers stay numbers."""
    seen = 0
    for table in TABLES:
        export(run, table, tmp_path / "out.csv")
        for row in read(tmp_path / "out.csv"):
            for name, cell in row.items():
                if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
                    float(cell)  # raises if the cell is no number
                    assert name not in ("id", "title", "text", "source", "prompt", "query_id", "document_id"), name
                seen += cell.startswith("'")
    assert seen > 20


def test_defusing_changes_dangerous_cells_only():
    texts = ["=a", "a=", "", " =a", "\r=", "@", "＝a", "'=a", "'a", None]
    frame = pd.DataFrame({"text": texts, "number": [*range(-1, 8), np.nan]})
    found = defuse(frame)
    assert found["text"].tolist()[:9] == ["'=a", "a=", "", " =a", "'\r=", "'@", "'＝a", "''=a", "'a"]
    assert [undo_defuse(text) for text in found["text"][:9]] == texts[:9]
    assert pd.isna(found["text"][9])
    assert found["number"].equals(frame["number"])
    assert frame["text"][0] == "=a"


def test_a_file_of_a_real_run_holds_the_rankings(toy_run, tmp_path):
    run = Run(toy_run)
    count = export(run, "influence", tmp_path / "influence.parquet")
    found = pd.read_parquet(tmp_path / "influence.parquet")
    assert count == len(found) == 40
    for number, query in enumerate(run.queries.itertuples()):
        ranking = rank_documents(run, number)
        mine = found[found["query_id"] == query.id].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine[ranking.columns.drop("document")], ranking.drop(columns="document"))
    assert export(run, "tokens", tmp_path / "tokens.parquet") == sum(
        (run.documents["tokens"][document] + 1) * len(run.tokens_of_query(number))
        for number in (0, 1)
        for document in run.documents_with_tokens(number)
    )


@pytest.mark.parametrize(
    ("table", "name", "message"),
    [
        ("scores", "out.csv", "table 'scores' is unknown -- choose one of documents, queries, influence, tokens"),
        ("documents", "out.xlsx", r"suffix '\.xlsx' .* use \.parquet, \.csv, \.jsonl"),
        ("documents", "out", "suffix ''"),
        ("documents", "note.txt/out.csv", "could not be written: a part of the path is a file"),
        ("documents", "folder.csv", "could not be written: there is a folder of that name"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_writes_nothing(table, name, message, run, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(RunError, match=message):
        export(run, table, tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder.csv", "note.txt"]
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_a_failed_export_keeps_the_file_that_was_there(run, tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    path.write_text("before")

    def fail(frames: object, part: Path) -> int:
        part.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(WRITERS, ".csv", fail)
    with pytest.raises(RunError, match="the disk is full"):
        export(run, "documents", path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]
