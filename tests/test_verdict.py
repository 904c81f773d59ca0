"""The verdict is the one that the rule's sentences give, also at the edges, and the sentences name its numbers."""

import math

import numpy as np
import pytest

from engine.check.verdict import (
    CHANGES,
    FEW_TOKENS,
    KEPT,
    QUANTILE,
    TOP,
    in_few_tokens,
    kept,
    null_quantile,
    rule_text,
    top_share,
    verdict,
)

ALL = dict.fromkeys(CHANGES, float(TOP))
DRAW = np.random.default_rng(0)
DOCUMENTS = 500


def judged(influence: np.ndarray, changes: dict[str, list[np.ndarray]], null: np.ndarray) -> str:
    """The verdict on one completion's influences ``[documents]`` and what they are after changes."""
    stay = {
        name: float(np.mean([kept(influence[None], one[None])[0] for one in variants]))
        for name, variants in changes.items()
    }
    return verdict(top_share(influence[None])[0], null_quantile(top_share(null)), stay)


def noisy(size: float, *shape: int) -> np.ndarray:
    return size * DRAW.standard_normal(shape)


NULL = noisy(1.0, 300, DOCUMENTS)
STRONG = np.r_[np.full(TOP, 30.0) + np.arange(TOP), np.zeros(DOCUMENTS - TOP)]


def test_documents_that_stand_out_and_stay_are_steady():
    found = STRONG + noisy(1.0, DOCUMENTS)
    changes = {name: [found + noisy(0.5, DOCUMENTS) for _ in range(2)] for name in CHANGES}
    assert judged(found, changes, NULL) == "steady"


@pytest.mark.parametrize("name", CHANGES)
def test_documents_that_stand_out_but_change_places_are_shaky_whatever_changes_them(name):
    found = STRONG + noisy(1.0, DOCUMENTS)
    changes = {one: [found, found] for one in CHANGES}
    changes[name] = [found, np.roll(found, TOP)]  # ten stay, then none: a mean of five
    assert judged(found, changes, NULL) == "shaky"


def test_documents_that_do_not_stand_out_are_noise_however_well_they_stay():
    found = np.linspace(-1, 1, DOCUMENTS)  # the ten strongest of an even spread hold less than those of a normal one
    assert judged(found, {name: [found] for name in CHANGES}, NULL) == "noise"


def test_nothing_positive_is_noise():
    found = -np.arange(1.0, DOCUMENTS)
    assert math.isnan(top_share(found[None])[0])
    assert judged(found, {name: [found] for name in CHANGES}, NULL) == "noise"


def test_a_share_at_the_quantile_does_not_stand_out():
    assert verdict(0.2, 0.2, ALL) == "noise"
    assert verdict(math.nextafter(0.2, 1), 0.2, ALL) == "steady"


@pytest.mark.parametrize("name", CHANGES)
def test_seven_that_stay_are_enough_and_less_is_not(name):
    assert verdict(0.3, 0.2, ALL | {name: float(KEPT)}) == "steady"
    assert verdict(0.3, 0.2, ALL | {name: math.nextafter(KEPT, 0)}) == "shaky"


def test_noise_outweighs_shaky():
    assert verdict(0.1, 0.2, dict.fromkeys(CHANGES, 0.0)) == "noise"


def test_what_is_kept_is_the_size_of_the_common_part():
    before = noisy(1.0, 20, 60)
    after = before + noisy(0.7, 20, 60)
    expected = [
        len({*sorted(range(60), key=lambda d: -a[d])[:TOP]} & {*sorted(range(60), key=lambda d: -b[d])[:TOP]})
        for a, b in zip(before, after, strict=True)
    ]
    assert kept(before, after).tolist() == expected
    assert 0 < min(expected) < max(expected) < TOP
    assert kept(before, 5 * before + 3).tolist() == [TOP] * 20
    assert kept(before, -before).tolist() == [0] * 20


def test_the_share_is_that_of_the_ten_strongest_in_all_that_is_positive():
    values = np.array([[*range(1, 21), *[-100] * 5]], dtype=float)
    assert top_share(values)[0] == pytest.approx(sum(range(11, 21)) / sum(range(1, 21)))


def test_the_quantile_counts_directions_without_positive_influence_as_zero():
    assert null_quantile(np.array([np.nan] * 10 + [0.5] * 10)) == 0.5
    assert null_quantile(np.linspace(0, 1, 101)) == pytest.approx(QUANTILE)


def test_few_tokens_begin_above_the_bound():
    assert not in_few_tokens(FEW_TOKENS)
    assert in_few_tokens(math.nextafter(FEW_TOKENS, 1))
    assert not in_few_tokens(math.nan)


def test_the_sentences_name_the_numbers_that_decide_and_what_the_verdict_is_not():
    text = rule_text(321)
    for part in (f"{TOP} strongest", f"{QUANTILE:.0%} of 321", f"fewer than {KEPT} of the {TOP}", *CHANGES.values()):
        assert part in text
    assert "not about whether it is true: check lds and check removal" in text
