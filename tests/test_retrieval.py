"""Retrieval: how well rankings find the documents that tell a fact."""

import math

import numpy as np
import pandas as pd
import pytest

from engine.run import Run
from sample_data.retrieval import GOAL, METHODS, as_table, interval, recall_at, recalls, summary

RANKING = pd.Series({"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.0})


def test_recall_counts_the_wanted_among_the_first():
    assert recall_at(RANKING, {"a", "c"}, 2) == 0.5
    assert recall_at(RANKING, {"a", "b"}, 2) == 1.0
    assert recall_at(RANKING, {"d"}, 1) == 0.0


def test_tied_documents_count_with_the_share_of_them_that_fits():
    assert recall_at(pd.Series(0.0, index=list("abcd")), {"a", "b"}, 2) == 0.5
    tied_at_the_edge = pd.Series({"a": 2.0, "b": 1.0, "c": 1.0, "d": 0.0})
    assert recall_at(tied_at_the_edge, {"a", "b"}, 2) == 0.75


def test_the_mean_over_orders_of_ties_is_what_recall_gives():
    ranking = pd.Series(np.repeat([2.0, 1.0, 0.0], [2, 5, 3]), index=[f"d{number}" for number in range(10)])
    wanted, random = {"d0", "d3", "d6", "d9"}, np.random.default_rng(0)
    orders = [
        ranking.sample(frac=1, random_state=random).sort_values(ascending=False, kind="stable") for _ in range(3000)
    ]
    mean = np.mean([len(wanted & set(order.index[:4])) / 4 for order in orders])
    assert recall_at(ranking, wanted, 4) == pytest.approx(mean, abs=0.01)  # standard error 0.003


def test_the_interval_is_that_of_the_mean_and_one_fact_has_none():
    low, high = interval(np.repeat([0.0, 1.0], 50))
    assert (low, high) == pytest.approx((0.4, 0.6), abs=0.02)  # 1.96 * 0.5 / sqrt(100)
    assert all(math.isnan(bound) for bound in interval(np.array([0.3])))


@pytest.fixture(scope="module")
def found(sample_run):
    return summary(recalls(Run(sample_run)))


def test_the_table_holds_every_group_and_method(found):
    shown = as_table(found)
    assert all(name in shown for name in METHODS.values())
    assert len({row["group"] for row in found}) == 9
    assert all(0 <= row["recall"] <= 1 for row in found)
    print(shown)


def test_a_random_order_finds_as_few_as_chance(found):
    chance = next(row for row in found if row["group"] == GOAL and row["method"] == "random")
    assert chance["recall"] < 0.01


def test_influence_finds_documents_that_chance_does_not(found):
    of = {row["method"]: row for row in found if row["group"] == GOAL}
    assert of["influence"]["low"] > 20 * of["random"]["recall"]
