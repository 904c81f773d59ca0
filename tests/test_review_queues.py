"""Queues: which documents come, in which order; who agrees; which are nearly the same."""

import numpy as np
import pytest
from review_desk import ANN, BEN, CLEO, INFLUENCE, WINDOWS, open_desk
from sklearn.metrics import cohen_kappa_score

from engine.analysis.leaving_out import predicted_changes
from engine.errors import RunError, WhenceError
from engine.review.agreement import ENOUGH, _agreement, agreement, kappas
from engine.review.labels import Rules
from engine.review.neighbours import Neighbours
from engine.review.queues import Queue, queue_documents
from engine.review.review import Review


@pytest.fixture
def review(tmp_path) -> Review:
    return open_desk(tmp_path)


def numbers(review: Review, viewer=None, **filters) -> list[int]:
    return queue_documents(review, Queue(**filters), viewer)["document"].tolist()


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"completion": "q0"}, [0, 2, 5, 3]),  # by influence; those that lowered it are not in it
        ({"completion": "q0", "end": "lowered"}, [4, 1]),
        ({"completion": "q1", "top": 2}, [1, 4]),
        ({"completion": "q0", "top": 2, "sources": ("Books",)}, [5, 3]),  # the top of what is left
        ({"sources": ("Books",), "languages": ("en",)}, [1, 3]),
        ({"search": "password"}, [2]),  # capitals do not matter, nor signs
        ({"search": "=sum("}, [3]),
        ({"search": "document 4"}, [4]),  # titles too
        ({"search": "%"}, []),
        ({"documents": ("d5", "=d3", "elsewhere")}, [3, 5]),
        ({"like": "d0"}, [0, 1]),
        ({"like": "d0", "completion": "q1"}, [1, 0]),
    ],
)
def test_which_documents_are_in_a_queue(filters, expected, review):
    assert numbers(review, **filters) == expected


def test_a_queue_says_why_a_document_is_in_it(review):
    table = queue_documents(review, Queue(completion="q0", like="d1"))
    assert table["influence"].tolist() == pytest.approx([5.0])
    (near,) = queue_documents(review, Queue(like="d1"))["similarity"][1:]
    assert 0.5 < near < 1 and table["similarity"][0] == near


def test_what_is_undecided_depends_on_who_asks(review):
    review.team.set_rules(ANN, Rules(2))
    review.label(ANN, [0, 1, 2], "Drop")
    review.label(BEN, [0], "Drop")  # agreed
    review.label(BEN, [1], "Keep")  # disagreed
    review.skip(ANN, [3])
    assert numbers(review, ANN, show="undecided") == [4, 5]
    assert numbers(review, BEN, show="undecided") == [2, 3, 4, 5]
    assert numbers(review, CLEO, show="undecided") == [2, 3, 4, 5]
    assert numbers(review, ANN, show="skipped") == [3] and numbers(review, BEN, show="skipped") == []
    for state, expected in (("agreed", [0]), ("disagreed", [1]), ("waiting", [2])):
        assert numbers(review, CLEO, show=state) == expected
    review.undo(ANN)
    assert numbers(review, ANN, show="undecided") == [3, 4, 5]


def test_deciding_does_not_bring_new_documents_into_the_top(review):
    filters = {"completion": "q0", "top": 2, "show": "undecided"}
    assert numbers(review, ANN, **filters) == [0, 2]
    review.label(ANN, [0], "Drop")
    assert numbers(review, ANN, **filters) == [2]


def test_a_queue_is_a_query_string_and_back():
    for queue in (
        Queue(),
        Queue(
            "q 1&x=ü", "lowered", 7, ("Web", "a,b"), ("de",), "50 % =1+1 가", ("d1", "d 2"), "d#9", 0.25, "undecided"
        ),
    ):
        assert Queue.from_query(queue.query_string()) == queue
    assert Queue().query_string() == ""
    assert Queue(search="a b", sources=("x", "y")).query_string() == "sources=x&sources=y&search=a+b"


@pytest.mark.parametrize("text", ["colour=red", "show=mine", "end=top", "top=many", "top=0", "alike=2", "alike=nan"])
def test_a_query_string_that_means_nothing_is_refused(text):
    with pytest.raises(WhenceError, match=" -- "):
        Queue.from_query(text)


def test_a_completion_or_document_that_is_not_there_is_told(review):
    with pytest.raises(RunError, match="no query"):
        numbers(review, completion="q9")
    with pytest.raises(RunError, match="no document"):
        numbers(review, like="d9")


def test_documents_of_the_same_words_are_the_nearest(review):
    neighbours = Neighbours(review.run)
    first = neighbours.of(0, 0.01)
    assert first["document"][0] == 1 and 0 not in first["document"].tolist()
    assert first["similarity"].is_monotonic_decreasing
    assert len(neighbours.of(0, 0.99)) == 0


def test_the_predicted_change_is_minus_the_influence_over_the_training_windows(review):
    found = predicted_changes(review.run, [0, 2])
    assert found["id"].tolist() == ["q0", "q1"]
    assert found["predicted"].tolist() == pytest.approx((-INFLUENCE[:, [0, 2]].sum(1) / WINDOWS).tolist(), rel=1e-6)
    assert predicted_changes(review.run, [])["predicted"].tolist() == [0, 0]


def test_kappa_of_many_draws_is_that_of_each():
    random = np.random.default_rng(0)
    first, second = random.integers(0, 3, (2, 50, 30))
    expected = [cohen_kappa_score(a, b) for a, b in zip(first, second, strict=True)]
    assert kappas(first, second) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(kappas(np.zeros((1, 4), int), np.zeros((1, 4), int)))[0]


def test_agreement_counts_the_documents_that_both_labelled(review):
    review.label(ANN, [0, 1, 2, 3], ["Drop", "Drop", "Keep", "Keep"])
    review.label(BEN, [0, 1, 2, 5], ["Drop", "Keep", "Keep", "Drop"])
    review.skip(BEN, [3])
    (row,) = agreement(review).to_dict("records")
    assert (row["first"], row["second"], row["documents"], row["same"]) == (ANN, BEN, 3, pytest.approx(2 / 3))
    assert row["kappa"] == pytest.approx(cohen_kappa_score([1, 1, 0], [1, 0, 0]))
    assert (row["low"], row["high"]) == (None, None)  # three documents tell nothing of others


def test_kappa_is_none_where_chance_explains_everything(review):
    for reviewer in (ANN, BEN):
        review.label(reviewer, [0, 1], "Keep")
    (row,) = agreement(review).to_dict("records")
    assert (row["same"], row["kappa"], row["low"]) == (1.0, None, None)


def test_an_interval_comes_with_enough_documents():
    labels = np.array(["Keep", "Drop", "Unsure"])
    random = np.random.default_rng(1)
    first = labels[random.integers(0, 3, 4 * ENOUGH)]
    second = np.where(random.random(len(first)) < 0.7, first, labels[random.integers(0, 3, len(first))])
    row = _agreement(first, second)
    assert row["low"] < row["kappa"] < row["high"] and 0 < row["high"] - row["low"] < 0.6
    few = _agreement(first[: ENOUGH - 1], second[: ENOUGH - 1])
    assert few["low"] is None and few["kappa"] is not None


def test_no_pair_no_row(review):
    review.label(ANN, [0], "Keep")
    assert agreement(review).empty and list(agreement(review).columns)[:3] == ["first", "second", "documents"]


def test_show_and_end_are_independent(review):
    review.label(ANN, [0, 4], "Drop")
    found = {end: numbers(review, ANN, completion="q0", end=end, show="agreed") for end in ("raised", "lowered")}
    assert found == {"raised": [0], "lowered": [4]}
