"""What completions share with documents, beside what random documents would share."""

from itertools import combinations
from math import isnan, nan

import numpy as np
import pytest
from tiny_run import PAYLOADS, hostile_documents, plain_queries, write_tiny_run

from engine.findings.texts import holders, ngrams, pieces, strongest, texts, words
from engine.run import Run

TEXTS = ["a b c", "b c d, d", "x y", "a b", "c a b", "", "d"]


def test_words_are_in_lower_case_and_pieces_have_the_signs_too():
    assert words("The slope: (14 - 4) = 10, 서울!") == ["the", "slope", "14", "4", "10", "서울"]
    assert pieces("x_1 += f(2)") == ["x_1", "+", "=", "f", "(", "2", ")"]


def test_an_ngram_counts_once_and_a_short_text_has_none():
    assert ngrams(["a", "b", "a", "b"], 2) == [("a", "b"), ("b", "a")]
    assert ngrams(["a"], 2) == []


def test_the_strongest_leave_out_what_was_not_scored():
    assert strongest(np.array([1.0, nan, 3.0, 3.0, -1.0]), 3).tolist() == [2, 3, 0]
    assert strongest(np.array([nan, 2.0]), 5).tolist() == [1]


def test_shares_are_those_of_looking_into_each_document():
    wanted = [("a", "b"), ("c",), ("q", "r"), ("x", "y")]
    found = holders(TEXTS, wanted)
    assert found.share(wanted, np.array([0, 2])) == 0.75
    assert found.share(wanted, np.array([5, 6])) == 0
    assert found.documents == len(TEXTS)


def test_the_share_by_chance_is_the_mean_over_all_choices_of_documents():
    wanted = [("a", "b"), ("b", "c", "d"), ("q", "r")]
    found = holders(TEXTS, wanted)
    for k in (1, 3, 7):
        every = [found.share(wanted, np.array(chosen)) for chosen in combinations(range(len(TEXTS)), k)]
        assert found.share_by_chance(wanted, k) == pytest.approx(np.mean(every), abs=1e-12)


def test_nothing_asked_for_has_no_share():
    found = holders(TEXTS, [])
    assert isnan(found.share([], np.array([0]))) and isnan(found.share_by_chance([], 2))


def test_texts_come_as_they_are_and_in_order(tmp_path):
    run = Run(write_tiny_run(tmp_path / "run", hostile_documents(), plain_queries()))
    assert [text.startswith(payload) for text, payload in zip(texts(run), PAYLOADS, strict=True)] == [True] * 4
