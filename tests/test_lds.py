"""The linear datamodeling score is right where the answer is known."""

import numpy as np
import pytest

from engine.check.effects import by_kind
from engine.check.lds import ceiling, draw_masks, lds

MASKS = draw_masks(40, 100, 0)
INFLUENCE = np.random.default_rng(1).standard_normal((6, 40))
SAMPLING = 0.05
"""Rank correlations of 6 completions over 100 masks vary by 0.1 / sqrt(6); those below average 0.04."""


def test_masks_are_halves_that_differ_and_follow_the_seed():
    assert (MASKS.sum(1) == 20).all()
    assert len({mask.tobytes() for mask in MASKS}) == len(MASKS)
    assert np.array_equal(MASKS, draw_masks(40, 100, 0))
    assert not np.array_equal(MASKS, draw_masks(40, 100, 1))
    assert abs(MASKS.mean(0) - 0.5).max() < 0.2


def test_an_odd_number_of_documents_is_halved_downwards():
    assert (draw_masks(7, 5, 0).sum(1) == 3).all()


def test_a_linear_world_is_predicted_perfectly_whatever_the_scale():
    measured = MASKS @ INFLUENCE.T
    assert lds(INFLUENCE, MASKS, 5 * measured - 3) == pytest.approx(np.ones(6))
    assert lds(-INFLUENCE, MASKS, measured) == pytest.approx(-np.ones(6))


def test_ranks_count_and_not_sizes():
    assert lds(INFLUENCE, MASKS, np.exp(MASKS @ INFLUENCE.T)) == pytest.approx(np.ones(6))


def test_random_influence_predicts_nothing():
    noise = np.random.default_rng(2).standard_normal((200, 40))
    assert abs(lds(noise, MASKS, (MASKS @ np.resize(INFLUENCE, (200, 40)).T)).mean()) < SAMPLING


def test_what_does_not_vary_has_a_score_of_zero():
    assert lds(np.zeros((6, 40)), MASKS, MASKS @ INFLUENCE.T).tolist() == [0.0] * 6
    assert lds(INFLUENCE, MASKS, np.zeros((100, 6))).tolist() == [0.0] * 6


@pytest.mark.parametrize("seeds", [2, 4])
@pytest.mark.parametrize("noise", [0.3, 1.0, 2.0])
def test_the_ceiling_is_what_the_true_influences_reach(seeds, noise):
    draw = np.random.default_rng(3)
    influence = draw.standard_normal((60, 40))
    truth = MASKS @ influence.T
    found = truth[:, None] + noise * truth.std() * draw.standard_normal((100, seeds, 60))
    reached = lds(influence, MASKS, found.mean(1)).mean()
    assert ceiling(found).mean() == pytest.approx(reached, abs=SAMPLING)


def test_seeds_that_agree_leave_the_ceiling_at_one_and_pure_noise_near_zero():
    truth = (MASKS @ INFLUENCE.T)[:, None]
    assert ceiling(np.repeat(truth, 2, axis=1)) == pytest.approx(np.ones(6))
    noise = np.random.default_rng(4).standard_normal((100, 2, 50))
    assert ceiling(noise).mean() < 0.3  # the square root of a correlation of 0.1, half of them below zero


def test_the_score_of_a_kind_is_the_mean_of_its_completions():
    scores = {"a": ("Code", 0.1), "b": ("Fact", 0.5), "c": ("Fact", 0.7)}
    queries = [{"estimator": "EK-FAC", "id": name, "kind": kind, "lds": lds} for name, (kind, lds) in scores.items()]
    queries += [row | {"estimator": "BM25", "lds": -1.0} for row in queries]
    fact, code = by_kind(queries)
    assert list(fact) == ["kind", "completions", "EK-FAC", "BM25"]
    assert (fact["kind"], fact["completions"], code["completions"]) == ("Fact", 2, 1)
    assert (fact["EK-FAC"], code["EK-FAC"], fact["BM25"]) == pytest.approx((0.6, 0.1, -1.0))
