"""What is left over many completions: values by hand, and intervals that hold what they promise."""

import math

import numpy as np
import pandas as pd
import pytest

from engine.analysis.word_order import ALL_KINDS, effects, median_interval, spread

KINDS = pd.Series({0: "Fact", 1: "Fact", 2: "Sum", 3: "Sum"})


def rows(query: int, document: int, control: bool, original: float, noise: float, **variants: list[float]):
    return [
        {"query": query, "document": document, "control": control, "variant": name, "draw": draw,
         "original": original, "influence": influence, "noise": noise}
        for name, draws in variants.items() for draw, influence in enumerate(draws)
    ]  # fmt: skip


TABLE = pd.DataFrame(
    [
        *rows(0, 7, False, 10.0, 2.0, words_reversed=[1.0], words_shuffled=[2.0, 4.0]),
        *rows(0, 8, False, 30.0, 2.0, words_reversed=[5.0]),
        *rows(0, 9, False, 1.0, 2.0, words_reversed=[9.0]),  # within the noise: counts for the change only
        *rows(0, 5, True, -0.5, 2.0, words_reversed=[0.5]),
        *rows(1, 7, False, 1.0, 2.0, words_reversed=[3.0]),
    ]
)


def test_a_share_is_a_ratio_of_sums_over_documents_above_the_noise():
    found = effects(TABLE, KINDS).set_index(["query", "variant", "control"])
    first = found.loc[(0, "words_reversed", False)]
    assert first["left"] == pytest.approx((1 + 5) / (10 + 30))
    assert first["documents"] == 3
    assert first["change"] == pytest.approx((-9 / 2 - 25 / 2 + 8 / 2) / 3)
    assert found.at[(0, "words_shuffled", False), "left"] == pytest.approx(3 / 10)  # the mean of its draws
    assert found["kind"].unique().tolist() == ["Fact"]


def test_unrelated_documents_and_those_within_the_noise_have_no_share():
    found = effects(TABLE, KINDS).set_index(["query", "variant", "control"])
    assert math.isnan(found.at[(0, "words_reversed", True), "left"])
    assert found.at[(0, "words_reversed", True), "change"] == pytest.approx(0.5)
    assert math.isnan(found.at[(1, "words_reversed", False), "left"])


def test_the_median_is_over_completions_of_each_kind_and_of_all():
    found = pd.DataFrame(
        {"query": [0, 1, 2, 3], "kind": ["Fact", "Fact", "Sum", "Sum"], "variant": "words_reversed", "control": False,
         "left": [0.1, 0.2, 0.6, math.nan]}
    )  # fmt: skip
    table = spread(found, "left").set_index("kind")
    assert table.index.tolist() == [ALL_KINDS, "Fact", "Sum"]
    assert table["completions"].tolist() == [3, 2, 1]
    assert table["median"].tolist() == pytest.approx([0.2, 0.15, 0.6])
    assert table.at[ALL_KINDS, "low"] == pytest.approx(0.1)
    assert table.at[ALL_KINDS, "high"] == pytest.approx(0.6)
    assert math.isnan(table.at["Fact", "low"])
    assert table.at[ALL_KINDS, "quarter"] == pytest.approx(0.15)


def test_one_kind_is_not_told_twice():
    found = effects(TABLE, KINDS)
    assert spread(found, "change")["kind"].unique().tolist() == [ALL_KINDS]


def test_intervals_hold_the_true_median_about_as_often_as_they_say():
    random = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        low, high = median_interval(random.exponential(size=60))
        held += low <= math.log(2) <= high
    assert 0.9 <= held / 200 <= 0.99  # 95%; an interval of half the width holds it in three of four cases


def test_the_same_table_gives_the_same_interval():
    values = np.random.default_rng(1).normal(size=20)
    assert median_interval(values) == median_interval(values)
    assert median_interval(values) != median_interval(values, seed=1)


def test_nothing_scored_gives_empty_tables():
    found = effects(TABLE.head(0), KINDS)
    assert found.empty
    assert spread(found, "left").empty
