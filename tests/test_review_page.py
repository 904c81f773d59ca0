"""Review: decide, undo, redo, many at once, blind, what is empty or wrong, and files out and in (no browser)."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from page_words import words
from test_page_states import without_scores
from tiny_run import PAYLOADS, hostile_documents, plain_documents, plain_queries, write_tiny_run

from dashboard.analyses import review as analyses
from engine.analysis.ranking import rank_documents
from engine.document_map import DocumentMap, MapSettings, write_map
from engine.jobs import JobTable
from engine.review.events import Reviewer
from engine.review.labels import Label, Rules
from engine.review.review import Review, open_review
from engine.run import Run

ANN, BEN = Reviewer("Ann"), Reviewer("Ben")
ALL = {"queue": "All documents"}


@pytest.fixture
def runs(tmp_path) -> Path:
    write_tiny_run(tmp_path / "run", plain_documents(12), plain_queries())
    return tmp_path


@pytest.fixture
def review(runs) -> Review:
    return open_review(Run(runs / "run"))


@pytest.fixture
def opened(open_page, runs):
    """Opens the page as Ann, or as whoever is named."""

    def open_as(name: str = "Ann", **address):
        app = open_page(runs, "review", **address)
        app.text_input(key="_reviewer_field").input(name).run()
        assert not app.exception
        return app

    return open_as


def button(app, label: str):
    return next(one for one in app.button if one.label == label)


def press(app, label: str):
    button(app, label).click().run()
    assert not app.exception, app.exception
    return app


def labels(review: Review, reviewer: Reviewer = ANN) -> dict[int, str]:
    """Number of each document that the reviewer gave a label -> the label."""
    found = {number: one.own for number, one in review.standings(reviewer).items()}
    return {number: own.label for number, own in found.items() if own and own.label}


def in_view(app) -> str:
    return app.subheader[0].value


# One document after the other


def test_a_decision_is_kept_with_its_comment_and_the_next_undecided_document_is_shown(opened, review):
    app = opened(**ALL)
    assert in_view(app) == "Story number 0" and "0 of 12 decided, 12 to go" in words(app)
    app.text_input(key="comment_0").input("  a password  ")
    press(app, "Drop")
    assert in_view(app) == "Story number 1" and "1 of 12 decided, 11 to go" in words(app)
    (own,) = review.standing(0).opinions
    assert (own.label, own.why, own.reviewer) == ("Drop", "a password", ANN)
    ((event, undone),) = review.history(0)
    assert event.run_hash == review.run_hash and event.queue == "" and not undone


def test_undo_and_redo_take_back_and_give_again_and_show_the_document(opened, review):
    app = opened(**ALL)
    press(press(app, "Drop"), "Keep")
    assert labels(review) == {0: "Drop", 1: "Keep"}
    press(app, "Undo “Keep”")
    assert labels(review) == {0: "Drop"} and in_view(app) == "Story number 1"
    press(app, "Undo “Drop”")
    assert labels(review) == {} and in_view(app) == "Story number 0"
    assert "~~**Drop**" in words(app)
    press(press(app, "Redo “Drop”"), "Redo “Keep”")
    assert labels(review) == {0: "Drop", 1: "Keep"}
    assert button(app, "Redo").disabled


def test_skip_passes_over_and_back_and_on_go_through_decided_documents_too(opened, review):
    app = press(press(opened(**ALL), "Skip"), "Drop")
    assert in_view(app) == "Story number 2" and "1 of 12 decided, 1 skipped, 10 to go" in words(app)
    assert in_view(press(app, "Back")) == "Story number 1"
    assert button(app, "Drop").proto.type == "primary"
    assert in_view(press(app, "Back")) == "Story number 0" and button(app, "Back").disabled
    assert in_view(press(app, "Keep")) == "Story number 2"
    assert labels(review) == {0: "Keep", 1: "Drop"}


def test_a_comment_can_stand_alone_and_decides_nothing(opened, review):
    app = opened(**ALL)
    app.text_input(key="comment_0").input("Look again")
    press(app, "Only comment")
    assert review.standing(0).opinions[0].comments == ("Look again",)
    assert in_view(app) == "Story number 0" and not app.text_input(key="comment_0").value
    press(app, "Only comment")
    assert "The comment is empty" in app.error[0].value


def test_every_button_shows_its_key_and_no_two_have_the_same(opened, review):
    review.team.define_label(ANN, Label("Password", "#CC79A7", "p", "drop"))
    app = opened(**ALL)
    keys = {one.label: one.proto.shortcut.lower() for one in app.button if one.proto.shortcut}
    assert {"Keep": "k", "Drop": "d", "Password": "p", "Skip": "s", "Undo": "z", "Redo": "y"}.items() <= keys.items()
    assert len(set(keys.values())) == len(keys)
    moves = set(keys) - review.team.labels.keys()
    assert {keys[label] for label in moves if "+" not in keys[label]} <= analyses.RESERVED_KEYS.keys()


def test_a_key_pressed_twice_never_decides_the_next_document(opened):
    """The second press, before the page is drawn anew, is that of a button which is gone: each document has its own."""
    app = opened(**ALL)
    first = button(app, "Drop").proto.id
    press(app, "Drop")
    assert button(app, "Drop").proto.id != first


def test_nobody_decides_without_a_name_and_a_typed_one_is_called_unverified(open_page, opened, runs):
    app = open_page(runs, "review")
    assert all(button(app, label).disabled for label in ("Keep", "Drop", "Skip", "Undo", "Redo"))
    assert "reviewer" not in app.query_params
    app = press(opened(**ALL), "Drop")
    press(app, "Back")
    assert "Ann (unverified)".replace("(", "\\(").replace(")", "\\)") in words(app)


def test_sign_in_that_lacks_something_says_what_to_do(open_page, runs, monkeypatch):
    monkeypatch.setattr("streamlit.user_info.get_secrets_auth_section", lambda: {"client_id": "only"})
    app = open_page(runs, "review")
    assert "_reviewer_field" not in [one.key for one in app.text_input] and button(app, "Drop").disabled
    press(app, "Sign in to decide")
    assert "Nobody can sign in" in app.error[0].value and "secrets" in app.error[0].value


# The queue


def test_the_strongest_documents_come_first_and_the_address_says_all_of_it(opened, runs):
    ranking = rank_documents(Run(runs / "run"), 1)
    raised = ranking[ranking["influence"] > 0]
    app = opened(query="q/2")
    assert in_view(app) == raised["title"].iloc[0]
    assert f"0 of {len(raised)} decided" in words(app)
    lowered = ranking[ranking["influence"] < 0].iloc[::-1]
    lowered = lowered[(lowered["source"] == "Web") & (lowered["language"] == "de")]
    app = opened(query="q/2", direction="Lowered it", source="Web", language="German")
    assert in_view(app) == lowered["title"].iloc[0] and f"0 of {len(lowered)} decided" in words(app)
    assert in_view(opened(**ALL, search="NUMBER 7")) == "Story number 7"


def test_what_was_decided_chooses_what_is_shown(opened, review):
    review.label(ANN, [0, 1, 2], "Drop")
    review.label(BEN, [2], "Keep")
    assert in_view(opened(**ALL, show="Undecided")) == "Story number 3"
    app = opened(**ALL, show="Disagreements")
    assert in_view(app) == "Story number 2" and "1 in disagreement" in words(app)
    press(app, "Keep")
    assert "None of these documents" in words(app)
    assert in_view(press(app, "Show all of them")) == "Story number 2"


def test_near_duplicates_of_a_document_become_the_queue(open_page, tmp_path):
    documents = plain_documents(6)
    again = documents[2]["text"] + " Again."
    write_tiny_run(tmp_path / "run", [*documents, documents[2] | {"id": "twin", "title": "A twin", "text": again}],
                   plain_queries())  # fmt: skip
    app = open_page(tmp_path, "review", **ALL, language="German", show="Undecided", document="twin")
    assert "Story number 2  \n" in words(app)
    there = next(one for one in app.button if one.label.startswith("Go through all"))
    press(app, there.label)
    assert app.query_params["like"] == "twin" and in_view(app) == "A twin"
    assert "Near-duplicates of “A twin”, itself first" in words(app)
    assert button(app, "Back to the queue before").proto.shortcut == there.proto.shortcut
    press(app, "Back to the queue before")
    assert (app.query_params["queue"], app.query_params["language"]) == (ALL["queue"], "German")
    assert app.query_params["show"] == "Undecided" and "All documents, as they stand" in words(app)


def test_documents_are_handed_over_by_a_link_from_the_map_and_from_the_influence_table(open_page, runs):
    run = Run(runs / "run")
    places = np.array([[n, n % 2] for n in range(12)], dtype=np.float32)
    write_map(run.folder, DocumentMap(np.arange(12), places, MapSettings(), 12, 1.0))
    area = "2.5,-1;5.5,-1;5.5,2;2.5,2"
    links = [link.proto for link in open_page(runs, "map", area=area, colour="Source").get("page_link")]
    assert any(link.label == "Review these" for link in links)
    app = open_page(runs, "review", queue="Documents handed over", area=area, features="Words")
    assert "0 of 3 decided" in words(app) and in_view(app) == "Story number 3"
    app = open_page(runs, "review", queue="Documents handed over", documents=["plain-7", "plain-9", "gone"])
    assert "0 of 2 decided" in words(app) and "names 1 documents that this run does not have" in app.warning[0].value
    links = [link.proto for link in open_page(runs, "influence", ranked="Per token").get("page_link")]
    assert any(link.label.startswith("Review the first") for link in links)


def test_a_saved_filter_brings_back_what_was_chosen(opened, review):
    review.team.save_filter(BEN, "German web", "sources=Web&languages=de&search=number&show=undecided")
    app = press(opened(**ALL), "German web")
    assert app.multiselect(key="source").value == ["Web"] and app.text_input(key="search").value == "number"
    assert "0 of 3 decided" in words(app) and app.query_params["show"] == "Undecided"
    press(app, "Forget")
    assert review.team.filters == {}


# Many at once, and several reviewers


def test_many_at_once_names_the_count_first_and_undo_takes_all_back(opened, review):
    review.label(ANN, [1], "Keep")
    app = opened(**ALL, source="Web", part="Decide all at once")
    app.selectbox(key="bulk_label").select("Drop").run()
    press(app, "Label 6 documents “Drop” …")
    assert labels(review) == {1: "Keep"}
    assert "labels 6 documents “Drop” in your name. For 1 document this changes a label of yours" in words(app)
    press(app, "Yes, label 6 documents")
    assert labels(review) == dict.fromkeys(range(1, 12, 2), "Drop")
    press(app, "Undo “Drop” on 6")
    assert labels(review) == {1: "Keep"}


def test_another_filter_needs_another_confirmation(opened, review):
    app = opened(**ALL, part="Decide all at once")
    press(app, "Label 12 documents “Keep” …")
    app.multiselect(key="source").select("Web").run()
    assert not any(one.label.startswith("Yes") for one in app.button)


def test_blind_reviewers_see_others_only_after_they_decided(opened, review):
    review.team.set_rules(BEN, Rules(needed=2, blind=True))
    review.label(BEN, [0], "Drop", "secret reason")
    app = opened(**ALL)
    assert in_view(app) == "Story number 0" and "secret reason" not in words(app)
    assert "1 other turned to it; what they decided stays hidden" in words(app)
    press(press(app, "Keep"), "Back")
    assert "secret reason" in words(app) and "It stands as: disagreement" in words(app)


def test_two_reviewers_see_how_far_they_agree_beyond_chance(opened, review):
    review.label(ANN, range(8), ["Drop"] * 4 + ["Keep"] * 4)
    review.label(BEN, range(8), ["Drop"] * 3 + ["Keep"] * 5)
    said = words(opened(**ALL, part="Team"))
    assert "the same label on 88% of 8 documents, kappa **0.75**" in said


def test_the_team_defines_labels_of_its_own(opened, review):
    app = opened(**ALL, part="Team")
    app.text_input(key="label_name").input("Password")
    app.text_input(key="label_key").input("P")
    app.selectbox(key="label_means").select("Drop the document")
    press(app, "Save this label")
    assert review.team.labels["Password"] == Label("Password", "#CC79A7", "p", "drop")
    press(app, "Password")
    assert labels(review) == {0: "Password"}
    app.text_input(key="label_name").input("Other")
    app.text_input(key="label_key").input("Z")
    press(app, "Save this label")
    assert "belongs to undo" in app.error[0].value


# Out and in


def test_what_is_agreed_on_is_taken_away_in_three_formats_with_reasons_run_and_influence(opened, review):
    review.label(ANN, [2, 5], "Drop", "=1+1")
    review.label(ANN, [3], "Keep")
    said = words(opened(**ALL, part="Export"))
    assert "agreed to drop **2** and to keep **1**" in said
    influence = rank_documents(review.run, 1).set_index("document")["influence"]
    for ending in analyses.FILES:
        content = analyses.decisions_file(review, "drop", 1, ending)
        table = {"csv": pd.read_csv, "parquet": pd.read_parquet}.get(ending, lambda f: pd.read_json(f, lines=True))(
            io.BytesIO(content)
        )
        assert table["id"].tolist() == ["plain-2", "plain-5"]
        assert set(table["run_hash"]) == {review.run_hash}
        assert table["influence"].tolist() == pytest.approx(influence.loc[[2, 5]].tolist())
        assert table["reasons"].str.contains("1+1", regex=False).all()


def test_the_change_without_the_documents_to_drop_is_predicted_and_its_check_is_one_click_away(opened, review, runs):
    review.label(ANN, [2, 5], "Drop")
    app = opened(**ALL, query="q/1", part="Export")
    shown = next(frame.value for frame in app.dataframe if "predicted" in frame.value).set_index("id")["predicted"]
    influence = rank_documents(review.run, 0).set_index("document")["influence"]
    assert shown["q/1"] == pytest.approx(-influence.loc[[2, 5]].sum() / 1000)
    press(app, "Go on training without these documents")
    (job,) = JobTable(runs).recent()
    assert job.arguments["settings"]["documents"] == ["plain-2", "plain-5"]
    assert "Waiting for its turn." in [one.text for one in app.get("progress")]


def test_a_file_shows_its_conflicts_before_anything_is_written(opened, review):
    review.label(BEN, [1], "Keep")
    app = opened(**ALL, part="Import")
    rows = "id,label,reasons\nplain-0,Drop,spam\nplain-1,Drop,\ngone,Drop,\nplain-2,Nonsense,\n"
    app.file_uploader[0].upload("list.csv", rows.encode(), "text/csv").run()
    assert not app.exception and labels(review) == {}
    said = words(app)
    for effect in ("new", "contradiction", "unknown_document", "unknown_label"):
        assert f"- **1**: {analyses.EFFECTS[effect]}" in said
    press(app, "Take over 1 decision as mine")
    assert labels(review) == {0: "Drop"}


# What is empty or wrong


def test_a_link_to_a_document_that_is_not_there_is_said(opened):
    app = opened(**ALL, document="gone")
    assert "names a document that this run does not have" in app.warning[0].value and in_view(app) == "Story number 0"
    app = opened(queue="Near-duplicates of a document", like="gone")
    assert "names a document that this run does not have" in app.warning[0].value and not app.subheader


def test_a_queue_of_nothing_says_where_its_documents_come_from(opened):
    assert "Near-duplicates of which document?" in words(opened(queue="Near-duplicates of a document"))
    assert "No documents were handed over" in words(opened(queue="Documents handed over"))


def test_filters_that_nothing_passes_say_so_and_can_be_cleared(opened):
    app = opened(**ALL, search="no such words")
    assert "No document passes the filters." in words(app)
    assert "0 of 12 decided" in words(press(app, "Clear the filters"))


def test_a_queue_that_is_done_says_so_and_undo_still_works(opened, review):
    review.label(ANN, range(11), "Keep")
    app = press(opened(**ALL), "Drop")
    assert "All 12 decided: nothing is left in this queue" in words(app)
    press(app, "Undo “Drop”")
    assert "11 of 12 decided, 1 to go" in words(app) and in_view(app) == "Story number 11"


def test_where_no_document_was_scored_all_documents_can_be_gone_through(open_page, tmp_path):
    without_scores(Run(write_tiny_run(tmp_path / "run", plain_documents(12), plain_queries())))
    app = open_page(tmp_path, "review")
    assert "scored no document, so none is the strongest" in words(app)
    press(app, "Go through all documents")
    assert "0 of 12 decided" in words(app) and "not scored for this completion" in words(app)


def test_a_database_that_cannot_be_opened_is_said(open_page, runs, monkeypatch):
    monkeypatch.setenv("WHENCE_REVIEW_DB", "mysql://nowhere/none")
    app = open_page(runs, "review")
    assert "use SQLite or PostgreSQL" in app.error[0].value


def test_hostile_text_stays_text(open_page, tmp_path):
    run = Run(write_tiny_run(tmp_path / "run", hostile_documents(), plain_queries()))
    review = open_review(run)
    review.label(ANN, [0], "Drop", PAYLOADS[1])
    review.team.save_filter(ANN, PAYLOADS[0][:80], "show=undecided")
    app = open_page(tmp_path, "review", **ALL, document=run.documents["id"][0])
    assert "[click](javascript" not in words(app) and "<script>" not in words(app)
    assert [one.proto.body for one in app.get("html") if "hacked" in one.proto.body] == []
