"""Decisions as files: what goes out, what comes back in, and what the command line says of both."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from review_desk import ANN, BEN, CLEO, INFLUENCE, WINDOWS, open_desk
from tiny_run import plain_queries, write_tiny_run

from engine.__main__ import main
from engine.checks import settings_of
from engine.errors import WhenceError
from engine.export import FORMULA_STARTS
from engine.review.files import read_decisions, write_decisions
from engine.review.incoming import apply, preview
from engine.review.labels import Label, Rules
from engine.review.outcome import COLUMNS, decided, leave_out_settings, to_drop
from engine.review.review import Review, open_review
from engine.run import Run

SUFFIXES = ("jsonl", "csv", "parquet")


@pytest.fixture
def review(tmp_path) -> Review:
    """Four documents decided, one of them disagreed on, one only unsure."""
    review = open_desk(tmp_path)
    review.label(ANN, [2, 3], "Drop", ["a password", "=HYPERLINK(1)"])
    review.label(BEN, [3], "Drop")
    review.comment(CLEO, [3], "agreed")
    review.label(ANN, [0], "Keep")
    review.label(ANN, [1], "Keep")
    review.label(BEN, [1], "Drop")
    review.label(BEN, [4], "Unsure")
    return review


def test_what_is_agreed_goes_out_with_reasons_and_influence(review):
    table = decided(review)
    assert list(table.columns) == COLUMNS and table["id"].tolist() == ["d0", "d2", "=d3"]
    assert table["decision"].tolist() == ["keep", "drop", "drop"]
    assert table["reasons"].tolist() == ["", "Ann (unverified): a password",
                                         "Ann (unverified): =HYPERLINK(1); Cleo (unverified): agreed"]  # fmt: skip
    assert table["reviewers"].tolist()[2] == "Ann (unverified); Ben"
    # of the completion that each raised most
    assert table["completion"].tolist() == ["Question 0"] * 3
    assert table["influence"].tolist() == pytest.approx([INFLUENCE[0, one] for one in (0, 2, 3)])
    of_second = decided(review, "drop", query=1)
    assert of_second["influence"].tolist() == pytest.approx([INFLUENCE[1, one] for one in (2, 3)])
    assert set(table["run_hash"]) == {review.run_hash}
    assert table["content_hash"].tolist() == [review.keys[one].content_hash for one in (0, 2, 3)]
    assert to_drop(review) == [2, 3]


def test_what_waits_for_a_second_reviewer_does_not_go_out(review):
    review.team.set_rules(ANN, Rules(2))
    assert decided(review)["id"].tolist() == ["=d3"]


def test_a_retired_label_still_means_what_it_meant(review):
    review.team.define_label(ANN, Label("Leak", "#112233", "l", "drop"))
    review.label(ANN, [5], "Leak")
    review.team.retire_label(ANN, "Leak")
    assert to_drop(review) == [2, 3, 5]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_decided_is_a_file_without_rows(suffix, tmp_path):
    review, out = open_desk(tmp_path), tmp_path / f"out.{suffix}"
    assert write_decisions(review, out) == 0
    assert read_decisions(out).empty


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_went_out_comes_back_as_it_was(suffix, review, tmp_path):
    out = tmp_path / f"out.{suffix}"
    assert write_decisions(review, out) == 3
    found = read_decisions(out)
    expected = decided(review)
    for column in ("id", "label", "reasons", "content_hash"):
        assert found[column].tolist() == expected[column].tolist()


def test_no_cell_of_a_csv_file_is_a_formula(review, tmp_path):
    write_decisions(review, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=d3" in cells and not [cell for cell in cells if cell.startswith(FORMULA_STARTS)]


def test_json_lines_hold_plain_values(review, tmp_path):
    write_decisions(review, tmp_path / "out.jsonl", "drop")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["decision"]) for row in rows] == [("d2", "drop"), ("=d3", "drop")]
    assert rows[0]["influence"] == pytest.approx(3.0)


# In


def incoming(*rows: tuple[str, ...]) -> pd.DataFrame:
    """Decisions as a file has them: id, label, reasons, content hash."""
    full = [(*row, *("", "")[len(row) - 2 :]) for row in rows]
    return pd.DataFrame(full, columns=["id", "label", "reasons", "content_hash"])


def test_a_preview_says_what_each_row_would_do_and_writes_nothing(review):
    before = review.standings()
    table = incoming(
        ("d5", "Drop"), ("d2", "Drop"), ("d0", "Drop"), ("d4", "Keep"), ("d9", "Drop"), ("d5 ", "Drop"),
        ("=d3", "Burn"), ("d1", "Keep", "", "another hash"),
    )  # fmt: skip
    found = preview(review, table, ANN)
    assert found["effect"].tolist() == ["new", "same", "change", "contradiction", "unknown_document",
                                        "unknown_document", "unknown_label", "other_text"]  # fmt: skip
    assert found["against"].tolist()[2:4] == ["Ann (unverified): Keep", "Ben: Unsure"]
    assert review.standings() == before


def test_rows_are_taken_over_as_one_batch_in_the_readers_name(review):
    table = incoming(("d5", "Drop", "Ben: old"), ("d4", "Keep"), ("d0", "Drop"))
    found = preview(review, table, ANN)
    batch = apply(review, found, ANN, source="list & more.csv")
    assert batch is not None and [(event.label, event.why) for event in batch.events] == [("Drop", "Ben: old")]
    assert batch.events[0].queue == "file=list+%26+more.csv" and review.standing(5).opinions[0].reviewer == ANN
    batch = apply(review, preview(review, table, ANN), ANN, ("change", "contradiction"))
    assert batch is not None and len(batch.events) == 2
    assert review.standing(4).state == "disagreed"  # Ben's label stands beside Ann's
    review.undo(ANN)
    assert (review.standing(4).label, review.standing(0).label) == ("Unsure", "Keep")
    assert apply(review, found[:0], ANN) is None


def test_taking_over_an_own_file_again_changes_nothing(review, tmp_path):
    write_decisions(review, tmp_path / "out.csv")
    found = preview(review, read_decisions(tmp_path / "out.csv"), ANN)
    assert found["effect"].tolist() == ["same"] * 3 and apply(review, found, ANN) is None


def test_a_preview_shows_no_label_that_is_hidden(review):
    review.team.set_rules(ANN, Rules(2, blind=True))
    (row,) = preview(review, incoming(("d2", "Keep")), BEN).to_dict("records")
    assert (row["effect"], row["against"]) == ("new", "")


def test_effects_that_write_nothing_cannot_be_taken_over(review):
    with pytest.raises(WhenceError, match="'same' cannot be taken over"):
        apply(review, preview(review, incoming(("d2", "Drop")), ANN), ANN, ["same"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.txt", "", "suffix '.txt'"),
        ("x.csv", "id,decision\nd0,drop\n", "no column 'label'"),
        ("x.csv", "id,label\nd0,Drop\nd0,Keep\n", "'d0' twice"),
        ("x.csv", "", "cannot be read"),
        ("x.parquet", "no parquet", "cannot be read"),
        ("x.jsonl", "{", "x.jsonl"),
        ("missing.csv", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_taken_over_is_told(name, content, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(WhenceError, match=said):
        read_decisions(tmp_path / name)


# The check


def test_the_documents_to_drop_become_settings_of_the_check(review):
    made = leave_out_settings(review.run, 1, [2, 3])
    assert (made.query, made.documents, made.beside) == ("q1", ["d2", "=d3"], 500)
    assert settings_of("leave-out", vars(made)) == made
    assert leave_out_settings(review.run, 1, [0] * 400).beside == 800  # more beside them than are left out


# The command line


def call(review: Review, capsys, *arguments: str, code: int = 0) -> str:
    assert main(["review", "--run", str(review.run.path), *arguments]) == code
    told = capsys.readouterr()
    return told.err if code else told.out


def test_list_says_where_documents_stand(review, capsys):
    shown = call(review, capsys, "list")
    assert "5: 0 undecided, 0 waiting, 4 agreed, 1 disagreed." in shown and "Document 3" in shown
    rows = json.loads(call(review, capsys, "list", "--json", "--queue", "show=disagreed"))
    assert [(row["id"], row["state"]) for row in rows] == [("d1", "disagreed")]
    rows = json.loads(call(review, capsys, "list", "--json", "--queue", "show=undecided&sources=Books"))
    assert [(row["id"], row["state"]) for row in rows] == [("d5", "undecided")]


def test_export_and_import_from_the_command_line(review, capsys, tmp_path):
    out = tmp_path / "drop.csv"
    shown = call(review, capsys, "export", "--out", str(out), "--decision", "drop")
    assert f"{out}: 2 rows. Not in it: 0 that wait for a second reviewer, 1 disagreed on." in " ".join(shown.split())
    shown = call(review, capsys, "import", "--file", str(out), "--reviewer", "Cleo")
    assert "2 new" in shown and "Nothing was written" in shown
    assert len(review.standing(2).opinions) == 1
    assert "2." in call(review, capsys, "import", "--file", str(out), "--reviewer", "Cleo", "--apply", "new")
    assert [one.reviewer.name for one in review.standing(2).opinions] == ["Ann", "Cleo"]
    assert "add --reviewer NAME" in call(review, capsys, "import", "--file", str(out), code=2)


def test_labels_and_rules_from_the_command_line(review, capsys):
    assert "Unsure" in call(review, capsys, "labels")
    define = ("labels", "--reviewer", "Ann", "--define", "Leak", "--key", "l", "--outcome", "drop")
    assert "Leak" in call(review, capsys, *define)
    shown = call(review, capsys, "labels", "--reviewer", "Ann", "--needed", "2", "--blind", "yes", "--retire", "Leak")
    assert "Leak" not in shown and "Two reviewers must agree" in shown
    assert review.team.rules == Rules(2, True)
    assert "already gives Drop" in call(review, capsys, *define[:-4], "--key", "d", code=2)


def test_agreement_from_the_command_line(review, capsys):
    (row,) = json.loads(call(review, capsys, "agreement", "--json"))
    assert (row["first"], row["second"], row["documents"]) == ("Ann (unverified)", "Ben", 2)
    assert "Kappa" in call(review, capsys, "agreement")


def test_predict_says_what_would_change_and_how_to_check_it(review, capsys):
    shown = call(review, capsys, "predict")
    assert "the 2 documents to drop" in shown and "check leave-out" in shown and "--documents d2 =d3" in shown
    rows = json.loads(call(review, capsys, "predict", "--json"))
    expected = {"q0": -(3.0 + 0.5) / WINDOWS, "q1": -(-3.0 + 0.25) / WINDOWS}
    assert {row["id"]: row["predicted"] for row in rows} == pytest.approx(expected, rel=1e-6)
    assert [row["id"] for row in rows] == ["q0", "q1"]  # what changes most comes first


def test_predict_says_why_it_cannot(capsys, tmp_path):
    documents = [{"id": "a", "title": "A", "source": "Web", "language": "en", "text": "one two"}]
    path: Path = write_tiny_run(tmp_path / "unknown", documents, plain_queries(), training_windows=None)
    review = open_review(Run(path))
    assert "nothing to predict" in call(review, capsys, "predict", code=2)
    review.label(ANN, [0], "Drop")
    assert "No change is predicted" in call(review, capsys, "predict")


def test_another_database_can_be_named(review, capsys, tmp_path):
    other = ("--database", f"sqlite:///{tmp_path / 'other.sqlite'}")
    assert "0: 0 undecided" in call(review, capsys, *other, "list")
    assert "use SQLite or PostgreSQL" in call(review, capsys, "--database", "mysql://h/d", "list", code=2)
