"""The rules give the verdict that the numbers deserve, and say which numbers those are."""

import math

import pytest

from engine.findings.claims import CLAIMS
from engine.findings.rules import RULES, Estimate, Part, Rule

PARTS = [(name, key) for name, rule in RULES.items() for key in rule.parts]
FAR = 0.01
"""How far beyond a bound the made-up intervals lie; smaller than any bound's distance from another."""


def placed(part: Part, near: float, far: float, units: int | None = None) -> Estimate:
    """An interval from ``near`` to ``far`` beyond the part's bound, in the direction that the part asks for."""
    sign = 1 if part.side == "above" else -1
    low, high = sorted((part.bound + sign * near, part.bound + sign * far))
    null = part.bound - sign * FAR  # a null that asks for less than the bound
    return Estimate((low + high) / 2, low, high, part.least if units is None else units, null)


def holding(rule: Rule) -> dict[str, Estimate]:
    return {key: placed(part, FAR, 2 * FAR) for key, part in rule.parts.items()}


def test_there_is_a_rule_for_every_claim_and_numbers_count_from_one():
    assert list(RULES) == list(CLAIMS)
    assert [claim.number for claim in CLAIMS.values()] == list(range(1, 12))
    assert all(name == claim.name for name, claim in CLAIMS.items())


@pytest.mark.parametrize("name", RULES)
def test_a_finding_holds_where_every_interval_lies_beyond_its_bound(name):
    rule = RULES[name]
    assert rule.verdict(holding(rule)) == "holds"


@pytest.mark.parametrize(("name", "key"), PARTS)
def test_one_interval_on_the_other_side_is_enough_for_a_finding_not_to_hold(name, key):
    rule = RULES[name]
    assert rule.verdict(holding(rule) | {key: placed(rule.parts[key], -2 * FAR, -FAR)}) == "does not hold"


@pytest.mark.parametrize(("name", "key"), PARTS)
def test_a_wrong_part_outweighs_parts_that_are_open(name, key):
    rule = RULES[name]
    assert rule.verdict({key: placed(rule.parts[key], -2 * FAR, -FAR)}) == "does not hold"


@pytest.mark.parametrize(("name", "key"), PARTS)
@pytest.mark.parametrize("why", ["straddles", "missing", "too few", "no interval", "no value"])
def test_nothing_can_be_told_from_numbers_that_do_not_decide(name, key, why):
    rule = RULES[name]
    part, nan = rule.parts[key], math.nan
    numbers = holding(rule)
    good = numbers.pop(key)
    found = {
        "straddles": placed(part, -FAR, FAR),
        "too few": placed(part, FAR, 2 * FAR, part.least - 1),
        "no interval": Estimate(good.value, nan, nan, good.units, good.null),
        "no value": Estimate(nan, good.low, good.high, good.units, good.null),
    }
    if why != "missing":
        numbers[key] = found[why]
    assert rule.verdict(numbers) == "cannot tell"


@pytest.mark.parametrize(("name", "key"), PARTS)
def test_an_interval_that_ends_at_the_bound_is_not_beyond_it(name, key):
    part = RULES[name].parts[key]
    assert part.answer(placed(part, 0.0, FAR)) is None
    assert part.answer(placed(part, -FAR, 0.0)) is False


@pytest.mark.parametrize(("name", "key"), PARTS)
def test_the_least_number_of_units_is_enough(name, key):
    part = RULES[name].parts[key]
    assert part.answer(placed(part, FAR, 2 * FAR, part.least)) is True
    assert part.answer(placed(part, -2 * FAR, -FAR, part.least - 1)) is None


@pytest.mark.parametrize(("name", "key"), [(n, k) for n, k in PARTS if RULES[n].parts[k].beyond_null])
def test_what_shuffled_labels_give_as_well_is_no_finding(name, key):
    part = RULES[name].parts[key]
    good = placed(part, FAR, 2 * FAR)
    far_null = good.high if part.side == "above" else good.low
    assert part.answer(Estimate(good.value, good.low, good.high, good.units, far_null)) is False
    inside = Estimate(good.value, good.low, good.high, good.units, good.value)
    assert part.answer(inside) is None
    assert part.answer(Estimate(good.value, good.low, good.high, good.units)) is None, "without a null"


def test_a_null_that_asks_for_less_than_the_bound_changes_nothing():
    part = Part("x", "above", 0.1, "y", beyond_null=True)
    assert part.answer(Estimate(0.05, 0.04, 0.06, 99, null=0.01)) is False


@pytest.mark.parametrize(("name", "key"), PARTS)
def test_the_sentence_names_the_very_numbers_that_decide(name, key):
    rule, part = RULES[name], RULES[name].parts[key]
    assert f"lies {part.side} {part.form.format(part.bound)}" in rule.text
    assert f"{part.least} {part.of}" in rule.text
    assert part.says in rule.text
    moved = Part("x", part.side, part.bound / 2, "y", part.form)
    assert moved.text != Part("x", part.side, part.bound, "y", part.form).text


def test_the_bound_in_the_sentence_is_the_bound_to_the_digits_it_is_written_with():
    for name, key in PARTS:
        part = RULES[name].parts[key]
        written = part.form.format(part.bound)
        number = float(written.rstrip("%")) / (100 if written.endswith("%") else 1)
        assert number == pytest.approx(part.bound), (name, key)


def test_the_nulls_of_the_tails_are_what_the_distributions_give():
    from scipy.stats import expon, halfnorm

    from engine.findings.rules import EXPONENTIAL_SHARE, NORMAL_SHARE

    for distribution, share in ((halfnorm, NORMAL_SHARE), (expon, EXPONENTIAL_SHARE)):
        cut = distribution.ppf(0.99)
        above = distribution.expect(lambda x: x, lb=cut)
        assert above / distribution.mean() == pytest.approx(share, abs=0.0005)  # given to three digits


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_says_where_it_comes_from_and_how_good_its_evidence_is(name):
    claim = CLAIMS[name]
    assert claim.says
    assert claim.evidence
    assert claim.in_sample
    assert all(source.paper and source.place for source in claim.sources)
    assert all(len(source.arxiv) in (0, 10) for source in claim.sources)


def test_claims_that_are_in_no_paper_say_so():
    unsupported = [
        name for name, claim in CLAIMS.items() if "nsupported" in claim.evidence or "Garbled" in claim.evidence
    ]
    assert unsupported == ["rare_tokens", "languages", "exact_matches"]
