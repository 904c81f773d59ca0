"""No page lets the words of a run become markup: in its sentences, its charts, or the files it offers (no browser)."""

import csv
import io
import json
import re

import pytest
from hostile_run import (
    FURTHER,
    HOSTILE_COMMENTS,
    HOSTILE_LABELS,
    HOSTILE_REVIEWERS,
    decide_hostile,
    very_hostile_documents,
    write_hostile_run,
)
from page_words import words

from dashboard.components.review_comment import MOST
from dashboard.components.text import escape
from dashboard.components.token_strip import Piece, _packed, _paragraphs
from dashboard.data import document_units
from engine.review.files import read_decisions, write_decisions
from engine.review.outcome import decided
from engine.review.review import open_review
from engine.run import Run
from engine.words import HIDDEN_NAMES

PAGES = {
    "home": {},
    **{f"story, {step}": {"step": step} for step in "12345"},
    "influence": {"query": "=q/0", "document": "@drawn"},
    "ask": {"prompt": "=q", "completion": " <b>a</b>"},
    "concentration": {"query": "=q/0"},
    "concentration, rare": {"query": "=q/0", "part": "Rare and frequent tokens"},
    "concentration, inside": {"query": "=q/0", "part": "Inside documents"},
    "sources": {"completions": "All completions"},
    "sources, languages": {"completions": "All completions", "grouping": "Language"},
    "word_order": {"query": "=q/0", "document": very_hostile_documents()[0]["id"]},
    "findings": {"finding": "tails"},
    "compare": {"query": "=q/0", "other_query": "q/3", "document": "@drawn"},
    "map": {"colour": "Source"},
    "review": {"queue": "All documents", "document": "@drawn"},
    "review, team": {"queue": "All documents", "part": "Team"},
    "review, at once": {"queue": "All documents", "part": "Decide all at once"},
    "review, out": {"queue": "All documents", "part": "Export"},
    "trust": {},
}
MARKUP = r"<img|<script|<svg|<a |<sup|<i>|\]\(javascript|\*\*bold|\$x|:material/home|https?://evil|[\u202a-\u202e]"
DRAWN = r"<img|<script|<svg|<a |<sup|<i>|<b>bold|<b>b<|\u202e"
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    run = write_hostile_run(tmp_path_factory.mktemp("runs") / "hostile")
    decide_hostile(open_review(run))
    return run


@pytest.mark.parametrize("page", PAGES)
def test_on_no_page_words_of_a_run_are_markup_or_formulas(open_page, run, monkeypatch, page):
    offered = {}
    monkeypatch.setattr(
        "dashboard.components.downloads._button",
        lambda label, make, file_name, *more, **options: offered.update({file_name: make}),
    )
    app = open_page(run.path.parent, page.split(",")[0], **PAGES[page])
    assert not re.search(rf"(?<!\\)(?:{MARKUP})", words(app))
    for chart in app.get("plotly_chart"):
        assert not re.search(DRAWN, str(json.loads(chart.proto.spec)))
    for name in (name for name in offered if name.endswith(".csv")):
        _is_no_formula(offered[name]().decode("utf-8"))


def test_comments_labels_and_names_of_reviewers_are_read_as_they_were_written(open_page, run):
    said = words(open_page(run.path.parent, "review", queue="All documents", document="@drawn"))
    for comment in HOSTILE_COMMENTS:
        assert escape(comment, MOST) in said
    assert escape(HOSTILE_LABELS[0].name) in said and escape(str(HOSTILE_REVIEWERS[1])) in said


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_decisions_go_out_without_formulas_and_come_back_to_the_letter(run, tmp_path, suffix):
    review, file = open_review(run), tmp_path / f"out.{suffix}"
    assert write_decisions(review, file) == 2
    if suffix == "csv":
        _is_no_formula(file.read_text("utf-8"))
    back, there = read_decisions(file), decided(review)
    for column in ("id", "label", "reasons"):
        assert back[column].tolist() == there[column].tolist()
    assert all(comment in there.set_index("id")["reasons"]["@drawn"] for comment in HOSTILE_COMMENTS)


def _is_no_formula(file: str) -> None:
    """A cell that a spreadsheet would run is a number, and nothing else in its column needed defusing."""
    for row in csv.reader(io.StringIO(file, newline="")):
        for cell in row:
            if cell.startswith(FORMULAS):
                float(cell)  # raises if it is text


@pytest.mark.parametrize("name", FURTHER)
def test_what_the_strip_is_given_joins_back_to_the_document(run, name):
    """To the letter; the browser gets hidden characters by name, and a line's end as one character."""
    text, units = document_units(run, int(run.documents.set_index("id")["document"][f"@{name}"]))
    assert "".join(text[unit.start : unit.end] for unit in units) == text == FURTHER[name][1]
    packed = [_packed(part) for part in _paragraphs([Piece(text[one.start : one.end], 0.0) for one in units])]
    sent = "".join(piece for part in packed for piece in part["t"])
    assert re.sub("\0([^\0]*)\0", lambda found: _character(found[1]), sent) == text.replace("\r\n", "\n")


def _character(name: str) -> str:
    """The character that is shown by this name."""
    if name.startswith("TAG "):
        return chr(0xE0000 + ord(name[4:]))
    if name.startswith("U+"):
        return chr(int(name[2:], 16))
    return next(chr(code) for code, known in HIDDEN_NAMES.items() if known == name)


@pytest.mark.parametrize(("page", "label"), [("influence", "Document shown below"), ("compare", "Document to read")])
def test_a_row_is_chosen_from_the_list_beside_its_table(open_page, run, page, label):
    """For the keyboard: Streamlit's rows take the mouse only."""
    app = open_page(run.path.parent, page, query="q/1")
    box = next(one for one in app.selectbox if one.label == label)
    box.select_index(2).run()
    assert not app.exception
    third = str(app.dataframe[0].value["title"].iloc[2])
    assert f"3. {third[:40]}" in box.options[2]
    assert app.query_params["document"] == app.dataframe[0].value["id"].iloc[2]
