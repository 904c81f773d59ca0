"""Bands of chance: draws in steps of neighbouring ranks against draws of every document."""

import numpy as np
import pytest

from engine.analysis import chance
from engine.analysis.amounts import MEASURES, Steps, amounts, cumulative_shares, effective_number, measures, steps_of
from engine.analysis.chance import normal_draws, resamples, shuffled_draws

HEAVY = np.random.default_rng(0).standard_t(3, 5000) + 0.1
OF_TOKENS = np.random.default_rng(1).standard_t(3, (4, 5000))
SIGNS = ("positive", "negative", "both")
DRAWS = 800


def every(steps: Steps) -> np.ndarray:
    """The documents' amounts, ``[rows, documents]``."""
    counts, values = np.broadcast_arrays(steps.counts, steps.amounts)
    return np.array([np.repeat(*row) for row in zip(values, counts, strict=True)])


def bands(found: np.ndarray) -> np.ndarray:
    """Ends of the middle 95% of each column."""
    return np.quantile(found, [0.025, 0.975], 0)


def alike(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How far the bands' ends lie apart, in widths of the expected ones."""
    low, high = bands(expected)
    return np.abs(bands(found) - [low, high]) / np.maximum(high - low, 1e-12)


def test_steps_of_one_document_each_have_the_measures_of_the_documents():
    steps = steps_of(amounts(HEAVY[None, :50]))
    assert steps.measures()[0].tolist() == pytest.approx(measures(HEAVY[None, :50]).iloc[0].tolist())
    assert steps.shares(np.arange(1, 51))[0] == pytest.approx(cumulative_shares(amounts(HEAVY[:50])))


def test_a_step_of_equal_documents_is_those_documents():
    values = np.array([5.0, 2, 2, 2, 1, 1, 0, 0])
    one, many = (
        Steps(np.array([[1, 3, 2, 2]]), np.array([[5.0, 2, 1, 0]]), np.array([[25.0, 4, 1, 0]])),
        steps_of(values[None]),
    )
    assert one.measures() == pytest.approx(many.measures())
    assert one.shares(np.arange(1, 9)) == pytest.approx(many.shares(np.arange(1, 9)))


@pytest.mark.parametrize("sign", SIGNS)
def test_resampled_steps_are_resampled_documents(sign, monkeypatch):
    random = np.random.default_rng(1)
    slow = measures(random.choice(HEAVY, (DRAWS, len(HEAVY))), sign).to_numpy()
    for strongest in (10_000, 100):  # every document by itself; a hundred, and steps
        monkeypatch.setattr(chance, "STRONGEST", strongest)
        drawn = resamples(HEAVY, sign, DRAWS)
        assert (drawn.counts.sum(1) == len(HEAVY)).all()
        assert alike(drawn.measures(), slow).max() < 0.15


@pytest.mark.parametrize("sign", SIGNS)
def test_normal_steps_are_normal_documents(sign, monkeypatch):
    random = np.random.default_rng(1)
    draws = random.normal(HEAVY.mean(), HEAVY.std(), (DRAWS, len(HEAVY)))
    slow, ranks = measures(draws, sign).to_numpy(), np.array([1, 10, 100, 1000])
    curve = cumulative_shares(amounts(draws, sign))[:, ranks - 1]
    monkeypatch.setattr(chance, "STRONGEST", 200)
    drawn = normal_draws(HEAVY, sign, DRAWS)
    assert (drawn.counts.sum(1) == len(HEAVY)).all()
    assert alike(drawn.measures(), slow).max() < 0.15
    assert alike(drawn.shares(ranks), curve).max() < 0.15


@pytest.mark.parametrize("influence", [np.ones(30), -np.ones(30), np.zeros(30)])
def test_influences_without_spread_have_a_null_without_spread(influence):
    for sign in SIGNS:
        assert every(normal_draws(influence, sign, 3)).tolist() == [amounts(influence, sign).tolist()] * 3


def test_shuffling_moves_the_influences_of_a_token_and_keeps_them():
    of_tokens = np.array([[9.0, 0, 0, -1], [90, 0, 0, -10]])
    draws = every(shuffled_draws(of_tokens, "both", draws=200))
    assert draws.shape == (200, 4) and (np.diff(draws) <= 0).all()
    # 9 and 90 fall on one document in a quarter of the shuffles, as they do in fact; else they stay apart
    assert np.mean(draws[:, 0] == 99) == pytest.approx(0.25, abs=0.09)
    assert set(draws[draws[:, 0] < 99, 0]) == {89.0, 90.0}


def test_of_one_token_shuffling_changes_nothing_and_takes_one_row_however_many_draws():
    (row,) = every(shuffled_draws(HEAVY[None, :50], "positive", draws=5))
    assert row.tolist() == sorted(amounts(HEAVY[:50]).tolist(), reverse=True)
    assert len(shuffled_draws(HEAVY[None, :50], "positive", draws=0).measures()) == 0


@pytest.mark.parametrize("sampled", [OF_TOKENS.shape[1], OF_TOKENS.shape[1] // 2])
@pytest.mark.parametrize("sign", SIGNS)
def test_shuffled_steps_are_shuffled_documents_but_for_a_wider_sum(sign, sampled, monkeypatch):
    slow = shuffled_draws(OF_TOKENS, sign, DRAWS)
    monkeypatch.setattr(chance, "FEW_ENOUGH", 0)
    monkeypatch.setattr(chance, "SAMPLED", sampled)
    monkeypatch.setattr(chance, "STRONGEST", 300)
    fast = shuffled_draws(OF_TOKENS, sign, DRAWS)
    assert (fast.counts.sum(1) == OF_TOKENS.shape[1]).all()
    of_shares = [
        MEASURES.index(name) for name in ("top_10", "top_share", "top_share_of_all", "gini", "effective_number")
    ]
    apart = alike(fast.measures(), slow.measures())
    assert apart[:, of_shares].max() < 0.4
    narrower = np.diff(bands(fast.measures()), axis=0) / np.maximum(np.diff(bands(slow.measures()), axis=0), 1e-12)
    assert narrower[0, of_shares].min() > 0.85


def test_documents_strong_on_every_token_stand_out_of_the_shuffled_band_and_others_do_not(monkeypatch):
    heavy = np.random.default_rng(1).standard_t(3, (6, 3000))
    effective = MEASURES.index("effective_number")
    for few_enough in (chance.FEW_ENOUGH, 0):
        monkeypatch.setattr(chance, "FEW_ENOUGH", few_enough)
        for of_tokens, expected in ((heavy, False), (np.repeat(heavy[:1], 6, axis=0), True)):
            observed = effective_number(amounts(of_tokens.sum(0)))
            shuffled = shuffled_draws(of_tokens, "positive", draws=60).measures()[:, effective]
            assert (observed < shuffled.min()) == expected


@pytest.mark.parametrize("draw", [resamples, normal_draws])
def test_draws_repeat_with_the_seed(draw):
    first, again, other = (draw(HEAVY, "both", 5, seed).measures() for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_very_many_documents_take_no_more_steps():
    many = np.random.default_rng(0).standard_t(3, 300_000)
    for drawn in (resamples(many, "both", 2), normal_draws(many, "positive", 2)):
        assert drawn.counts.shape[1] <= 2 * chance.STRONGEST + 1 and (drawn.counts.sum(1) == len(many)).all()
