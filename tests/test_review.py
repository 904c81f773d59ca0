"""Reviewing: what a decision does, how it is undone, and what others see of it."""

from pathlib import Path

import pytest
from review_desk import ANN, BEN, CLEO, desk_documents, open_desk
from scored_run import many_queries
from tiny_run import write_tiny_run

from engine.errors import WhenceError
from engine.review.events import LONGEST_NAME, Reviewer, new_token
from engine.review.labels import Label, Rules
from engine.review.review import Review, open_review
from engine.run import Run


@pytest.fixture
def review(tmp_path: Path) -> Review:
    return open_desk(tmp_path)


def labels(review: Review, reviewer: Reviewer | None = None) -> dict[int, str]:
    """Label of each document, as this reviewer gave it; of all who gave one where nobody is named."""
    return {
        number: "/".join(one.label for one in found.opinions if reviewer in (None, one.reviewer))
        for number, found in review.standings().items()
    }


def test_a_decision_says_who_when_what_before_why_and_in_view_of_what(review):
    review.label(ANN, [2], "Unsure")
    review.label(ANN, [2], "Drop", why="a password", queue="search=password")
    (first, _), (event, undone) = review.history(2)
    assert (event.reviewer, event.kind, event.label, event.before, event.why) == (
        ANN,
        "label",
        "Drop",
        "Unsure",
        "a password",
    )
    assert (event.queue, event.run_hash, event.document) == ("search=password", review.run_hash, review.keys[2])
    assert event.at.endswith("Z") and event.at > first.at and not undone
    assert first.before == ""


def test_changing_ones_mind_keeps_what_was_decided_before(review):
    review.label(ANN, [0], "Keep")
    review.label(ANN, [0], "Drop")
    assert labels(review) == {0: "Drop"}
    assert [event.label for event, _ in review.history(0)] == ["Keep", "Drop"]


def test_everything_decided_can_be_undone_and_redone_in_turn(review):
    review.label(ANN, [0], "Keep")
    review.label(ANN, [0], "Drop", why="no")
    review.comment(ANN, [0], "look again")
    review.skip(ANN, [1])
    seen = []
    for _ in range(4):
        seen.append(review.standings())
        review.undo(ANN)
    assert review.standings() == {} and review.to_undo(ANN) == []
    for before in reversed(seen):
        review.redo(ANN)
        assert review.standings() == before
    with pytest.raises(WhenceError, match="nothing to redo"):
        review.redo(ANN)


def test_a_bulk_decision_is_undone_as_a_whole(review):
    review.label(ANN, [1], "Keep")
    batch = review.label(ANN, [0, 1, 2, 3], "Drop")
    assert len(batch.events) == 4 and labels(review) == dict.fromkeys(range(4), "Drop")
    assert review.undo(ANN).token == batch.token
    assert labels(review) == {1: "Keep"}
    review.redo(ANN)
    assert labels(review) == dict.fromkeys(range(4), "Drop")


def test_an_earlier_decision_can_be_undone_by_its_token(review):
    first = review.label(ANN, [0], "Keep")
    review.label(ANN, [0], "Drop")
    review.undo(ANN, first.token)
    assert labels(review) == {0: "Drop"}
    review.undo(ANN, first.token)  # once it is undone, again changes nothing
    assert [undone for _, undone in review.history(0)] == [True, False]
    review.undo(ANN)
    assert labels(review) == {}


def test_after_a_new_decision_nothing_can_be_redone(review):
    review.label(ANN, [0], "Keep")
    review.undo(ANN)
    review.label(ANN, [1], "Keep")
    assert review.to_redo(ANN) == []
    with pytest.raises(WhenceError, match="nothing to redo"):
        review.redo(ANN)


def test_nobody_undoes_what_another_decided(review):
    batch = review.label(ANN, [0], "Keep")
    with pytest.raises(WhenceError, match="nothing to undo"):
        review.undo(BEN)
    with pytest.raises(WhenceError, match=r"Ann \(unverified\) decided this"):
        review.undo(BEN, batch.token)


def test_a_typed_name_never_passes_for_one_that_a_login_vouches_for(review):
    batch = review.label(Reviewer("Ann", verified=True), [0], "Keep")
    with pytest.raises(WhenceError, match="only they can undo it"):
        review.undo(ANN, batch.token)
    review.label(ANN, [0], "Drop")
    assert review.standing(0).state == "disagreed"


def test_a_write_that_is_tried_again_is_not_doubled(review):
    token = new_token()
    first, again = (review.label(ANN, [0, 1], "Drop", "why", token=token) for _ in range(2))
    assert first == again and len(review.history(0)) == 1
    undo = new_token()
    review.label(ANN, [2], "Keep")
    assert review.undo(ANN, token=undo).token == review.undo(ANN, token=undo).token
    assert labels(review) == {0: "Drop", 1: "Drop"}


def test_a_token_cannot_serve_two_decisions(review):
    token = new_token()
    review.label(ANN, [0], "Drop", token=token)
    for documents, label, reviewer in (([1], "Drop", ANN), ([0], "Keep", ANN), ([0], "Drop", BEN)):
        with pytest.raises(WhenceError, match="used for another decision"):
            review.label(reviewer, documents, label, token=token)
    assert labels(review) == {0: "Drop"}


def test_a_skipped_document_keeps_the_label_it_has(review):
    review.label(ANN, [0], "Keep")
    review.skip(ANN, [0, 1])
    assert [(one.own.label, one.own.skipped) for one in review.standings(ANN).values()] == [("Keep", False), ("", True)]


@pytest.mark.parametrize(
    ("needed", "given", "state"),
    [(1, [], "undecided"), (1, ["Drop"], "agreed"), (2, ["Drop"], "waiting"), (2, ["Drop", "Drop"], "agreed"),
     (1, ["Drop", "Keep"], "disagreed"), (2, ["Drop", "Keep"], "disagreed"),
     (2, ["Drop", "Drop", "Keep"], "disagreed")],
)  # fmt: skip
def test_where_a_document_stands(needed, given, state, review):
    review.team.set_rules(ANN, Rules(needed))
    for reviewer, label in zip((ANN, BEN, CLEO), given, strict=False):
        review.label(reviewer, [0], label)
    found = review.standing(0)
    assert (found.state, found.label) == (state, "Drop" if state == "agreed" else "")


def test_blind_reviewers_see_others_only_after_their_own_label(review):
    review.team.set_rules(ANN, Rules(2, blind=True))
    review.label(ANN, [0], "Drop", "a secret")
    review.comment(ANN, [0], "more")
    seen = review.standing(0, BEN)
    assert (seen.state, seen.label, seen.opinions, seen.hidden) == ("undecided", "", (), 1)
    assert review.history(0, BEN) == [] and review.standings(BEN)[0] == seen
    review.comment(BEN, [0], "a comment is no label")
    assert [event.reviewer for event, _ in review.history(0, BEN)] == [BEN]
    review.label(BEN, [0], "Keep")
    seen = review.standing(0, BEN)
    assert (seen.state, seen.hidden, len(review.history(0, BEN))) == ("disagreed", 0, 4)
    review.undo(BEN)
    assert review.standing(0, BEN).hidden == 1
    assert len(review.history(0)) == 4  # whoever reads the record itself sees it whole


def test_what_others_write_is_seen_at_once(tmp_path):
    one, other = open_desk(tmp_path), open_desk(tmp_path)
    one.label(ANN, [0], "Drop")
    assert other.standing(0).label == "Drop"
    other.label(ANN, [0], "Keep")
    assert one.history(0)[-1][0].before == "Drop"


def test_a_team_defines_its_labels(review):
    leak = Label("Leak", "#112233", "l", "drop")
    review.team.define_label(ANN, leak)
    assert list(review.team.labels) == ["Keep", "Drop", "Unsure", "Leak"]
    review.label(ANN, [0], "Leak")
    review.team.retire_label(BEN, "Leak")
    assert "Leak" not in review.team.labels and review.team.every_label["Leak"] == leak
    assert labels(review) == {0: "Leak"}
    with pytest.raises(WhenceError, match="no label 'Leak' -- choose one of Keep, Drop, Unsure"):
        review.label(ANN, [1], "Leak")
    review.team.define_label(ANN, Label("Drop", "#000000", "d", "drop"))
    assert review.team.labels["Drop"].colour == "#000000"


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", " x"), ("name", ""), ("colour", "red"), ("key", "z"), ("key", "D"), ("outcome", "burn")],
)
def test_a_label_that_could_not_be_shown_or_given_is_refused(field, value):
    with pytest.raises(WhenceError):
        Label(**{"name": "Leak", "colour": "#112233", "key": "l", "outcome": "drop"} | {field: value})


def test_two_labels_never_share_a_key(review):
    with pytest.raises(WhenceError, match="already gives Drop"):
        review.team.define_label(ANN, Label("Delete", "#112233", "d"))
    assert "Delete" not in review.team.labels


def test_filters_are_the_teams(tmp_path):
    one, other = open_desk(tmp_path), open_desk(tmp_path)
    one.team.save_filter(ANN, "Secrets", "search=password")
    assert other.team.filters == {"Secrets": "search=password"}
    other.team.save_filter(BEN, "Secrets", "search=secret")
    assert one.team.filters == {"Secrets": "search=secret"}
    one.team.forget_filter(ANN, "Secrets")
    assert other.team.filters == {}


def test_a_decision_holds_for_the_same_text_in_another_run_and_for_no_other(review, tmp_path):
    changed = [one | ({"text": "Another text."} if one["id"] == "d1" else {}) for one in desk_documents()]
    write_tiny_run(tmp_path / "second", changed[::-1], many_queries(["Fact"]))
    second = open_review(Run(tmp_path / "second"))
    review.label(ANN, [0, 1], "Drop")
    assert list(second.standings()) == [5] and second.keys[5] == review.keys[0]
    assert second.decided_on_other_texts() == ["d1"] and review.decided_on_other_texts() == []


@pytest.mark.parametrize("name", ["", " ", "\u200b", "x" * (LONGEST_NAME + 1)])
def test_nobody_decides_without_a_name(name):
    with pytest.raises(WhenceError, match="a decision must say whose it is"):
        Reviewer(name)


@pytest.mark.parametrize("documents", [[], [0, 0], [6], [-1]])
def test_documents_that_are_none_are_refused(documents, review):
    with pytest.raises(WhenceError):
        review.label(ANN, documents, "Drop")
    assert review.standings() == {}


def test_odd_text_is_kept_as_far_as_a_database_can(review):
    review.label(Reviewer("<b>Zoë\u202e</b>"), [0], "Drop", "null \0, half a pair \ud800, =1+1, 가")
    (event, _), *_ = review.history(0)
    assert event.reviewer.name == "<b>Zoë\u202e</b>" and event.why == "null \\x00, half a pair \\ud800, =1+1, 가"
