"""Tail fits find the exponents they were given; rank correlations survive what they should survive."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import spearmanr, truncnorm

from engine.analysis.rare_tokens import frequency_correlation
from engine.analysis.tails import (
    MIN_TAIL,
    _against_lognormal,
    cluster_interval,
    fit_tail,
    permutation_p,
    rank_correlation,
)
from engine.errors import WhenceError


def pareto(exponent, count, seed):
    return np.random.default_rng(seed).pareto(exponent, count) + 1


@pytest.mark.parametrize("exponent", [1.0, 2.5])
def test_a_pareto_sample_gives_its_exponent_within_the_stated_error(exponent):
    fits = [fit_tail(pareto(exponent, 2000, seed)) for seed in range(40)]
    covered = np.mean([abs(fit.exponent - exponent) < 1.96 * fit.standard_error for fit in fits])
    assert covered >= 0.8  # 0.89 of 100 samples: less than 0.95 because x_min is chosen as well
    assert all(fit.standard_error == pytest.approx(fit.exponent / np.sqrt(fit.tail)) for fit in fits)
    assert np.mean([fit.nested_p < 0.05 for fit in fits]) <= 0.15  # and rarely a lognormal


def test_the_exponent_is_the_complementary_distribution_s():
    """A density's would be 3: for ``P(X >= x) = x^-2`` one value in a hundred is above 10."""
    sample = pareto(2.0, 20_000, seed=1)
    fit = fit_tail(sample)
    assert fit.exponent == pytest.approx(2, abs=0.1)
    assert fit.ccdf(np.array([10.0, 1e9]))[0] == pytest.approx((sample >= 10).mean(), rel=0.15)
    assert np.isnan(fit.ccdf(np.array([fit.x_min / 2, 1e9]))).all()


def test_the_fitted_range_is_the_one_nearest_to_its_fit():
    """Against every threshold in turn, with the distance written out."""
    sample = np.concatenate([np.random.default_rng(0).uniform(0, 1, 60), pareto(1.5, 39, 0), [3.0, 3.0, 3.0]])
    ordered = np.sort(sample)[::-1]
    found = []
    for threshold in np.unique(sample):
        tail = ordered[ordered >= threshold]
        if len(tail) >= MIN_TAIL and tail[0] > threshold:
            exponent = len(tail) / np.log(tail / threshold).sum()
            above = np.array([[(tail >= x).mean(), (tail > x).mean()] for x in tail])
            distance = np.abs(above - ((tail / threshold) ** -exponent)[:, None]).max()
            found.append((distance, threshold, exponent))
    fit = fit_tail(sample)
    assert (fit.distance, fit.x_min, fit.exponent) == pytest.approx(min(found))
    assert (fit.values, fit.x_max) == (len(sample), ordered[0])


def test_a_power_law_below_a_body_is_fitted_above_the_body():
    sample = np.concatenate([np.random.default_rng(0).uniform(0, 1, 5000), pareto(2.0, 2000, 1)])
    fit = fit_tail(sample)
    assert fit.x_min > 0.9
    assert abs(fit.exponent - 2) < 3 * fit.standard_error


def test_a_lognormal_sample_is_preferred_as_lognormal():
    for seed in range(5):
        fit = fit_tail(np.random.default_rng(seed).lognormal(-2, 0.5, 5000), x_min=np.exp(-2))
        assert fit.vuong_z < 0 and fit.log_ratio < 0
        assert max(fit.vuong_p, fit.nested_p) < 1e-4
        assert (fit.mu, fit.sigma) == pytest.approx((-2, 0.5), abs=0.15)


def test_the_range_nearest_to_its_fit_is_too_short_to_tell_a_lognormal():
    """Not a wish: the reason why ``x_min`` can be given, and why ``nested_p`` stands beside Vuong's."""
    fits = [fit_tail(np.random.default_rng(seed).lognormal(-2, 0.5, 5000)) for seed in range(9)]
    assert np.median([fit.tail for fit in fits]) < 1000
    assert np.median([fit.vuong_p for fit in fits]) > 0.05


def test_a_given_range_is_the_one_fitted():
    sample = pareto(2.0, 400, 0)
    fit = fit_tail(sample, draws=30, x_min=1.5)
    tail = sample[sample >= 1.5]
    assert (fit.tail, fit.x_min) == (len(tail), tail.min())
    assert fit.exponent == pytest.approx(len(tail) / np.log(tail / tail.min()).sum())
    assert fit.p_value > 0.05
    assert fit_tail(np.random.default_rng(0).uniform(1, 2, 400), draws=30, x_min=1.0).p_value == pytest.approx(1 / 31)
    with pytest.raises(WhenceError, match=r"from 50\.0 on -- a tail's exponent needs at least 50"):
        fit_tail(sample, x_min=50.0)


def test_the_truncated_lognormal_is_the_most_likely_one():
    """Slow reference: scipy's density, maximised by a general method."""
    logs = np.random.default_rng(3).normal(0.5, 1.0, 4000)
    above = logs[logs > 0]  # a normal of mean 0.5 and deviation 1 cut off at 0

    def lost(parameters):
        mean, deviation = parameters[0], np.exp(parameters[1])
        return -truncnorm.logpdf(above, -mean / deviation, np.inf, mean, deviation).sum()

    best = minimize(lost, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-6})
    exponent = 1 / above.mean()
    mean, deviation, ratios = _against_lognormal(above, exponent)
    assert (mean, deviation) == pytest.approx((best.x[0], np.exp(best.x[1])), rel=1e-3)
    assert ratios.sum() == pytest.approx((np.log(exponent) - exponent * above).sum() + best.fun, abs=1e-3)


def test_where_the_power_law_is_the_best_lognormal_nothing_speaks_against_it():
    """A mixture of exponents has logarithms more spread than an exponential's: no lognormal does better."""
    logs = np.random.default_rng(0).exponential(np.repeat([0.2, 2.0], 500))
    mean, deviation, ratios = _against_lognormal(logs, 1 / logs.mean())
    assert (mean, deviation, ratios.any()) == (-np.inf, np.inf, False)


def test_goodness_of_fit_accepts_a_power_law_and_rejects_what_is_none():
    accepted = [fit_tail(pareto(2.0, 500, seed), draws=30).p_value for seed in range(10)]
    assert np.mean(np.array(accepted) > 0.1) >= 0.6  # uniform if right: 0.9 expected
    steps = np.repeat([1.0, 2.0, 3.0], 200)
    assert fit_tail(steps, draws=30).p_value == pytest.approx(1 / 31)
    assert np.isnan(fit_tail(steps).p_value)


def test_the_same_seed_gives_the_same_p_value():
    sample = pareto(2.0, 300, 0)
    assert fit_tail(sample, draws=20, seed=1) == fit_tail(sample, draws=20, seed=1)


@pytest.mark.parametrize("values", [[], [1.0], [0.0] * 99, [-1.0] * 99, [1.0] * 99, list(range(1, MIN_TAIL))])
def test_too_little_for_a_tail_is_refused(values):
    with pytest.raises(WhenceError, match="exponent needs at least 50"):
        fit_tail(np.array(values))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_tail_of_values_that_are_not_finite_is_refused(value):
    with pytest.raises(WhenceError, match="not finite"):
        fit_tail(np.array([*range(1, 99), value]))


def test_zeros_and_negative_values_are_left_out_and_units_do_not_matter():
    sample = pareto(2.0, 300, 0)
    assert fit_tail(np.concatenate([sample, -sample, np.zeros(9)])) == fit_tail(sample)
    assert fit_tail(sample * 1e-6).exponent == pytest.approx(fit_tail(sample).exponent)


def test_plain_rank_correlation_is_spearman_s():
    random = np.random.default_rng(0)
    x, y = random.integers(0, 9, 50), random.normal(size=50)
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert rank_correlation(x, x**3) == pytest.approx(1)


def test_partial_rank_correlation_follows_the_textbook_formula():
    random = np.random.default_rng(1)
    z = random.normal(size=200)
    x, y = z + random.normal(size=200), z + random.normal(size=200)
    xy, xz, yz = (spearmanr(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
    assert rank_correlation(x, y, z) == pytest.approx((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))


def test_matching_removes_what_a_third_column_explains_even_along_a_bend():
    random = np.random.default_rng(2)
    z = random.normal(size=4000)
    x, y = np.abs(z) + 0.1 * random.normal(size=4000), np.abs(z) + 0.1 * random.normal(size=4000)
    assert rank_correlation(x, y) > 0.9
    assert rank_correlation(x, y, z) > 0.9  # a straight line in z says nothing about |z|
    assert abs(rank_correlation(x, y, z, bins=200)) < 0.1


@pytest.mark.parametrize("column", [np.ones(9), np.arange(9.0)])
def test_no_correlation_where_nothing_varies_or_nothing_is_left(column):
    other = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 5])
    assert np.isnan(rank_correlation(column, other, column))
    assert np.isnan(rank_correlation(np.ones(9), other))
    assert np.isnan(rank_correlation(np.array([]), np.array([])))


def test_copies_of_a_cluster_do_not_narrow_the_interval():
    """Ten copies of each item, drawn as one, leave the interval as wide as the items alone."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 40))
    single = cluster_interval(rank_correlation, [x, y], np.arange(40), draws=400)
    copies = cluster_interval(
        rank_correlation, [np.repeat(x, 10), np.repeat(y, 10)], np.repeat(np.arange(40), 10), draws=400
    )
    loose = cluster_interval(rank_correlation, [np.repeat(x, 10), np.repeat(y, 10)], np.arange(400), draws=400)
    assert np.ptp(copies) == pytest.approx(np.ptp(single), rel=0.2)
    assert np.ptp(loose) < 0.5 * np.ptp(single)


def test_no_interval_from_one_cluster():
    assert np.isnan(cluster_interval(np.mean, [np.arange(5)], np.zeros(5), draws=10)).all()


def test_shuffling_types_is_not_fooled_by_types_seen_often():
    """30 types of 20 tokens each, y alike within a type: shuffling tokens alone finds a link in most samples."""
    by_type, by_token = [], []
    types = np.repeat(np.arange(30), 20)
    for seed in range(40):
        x, y = np.random.default_rng(seed).normal(size=(2, 30))[:, types]
        by_type.append(permutation_p(rank_correlation, [x, y], types, draws=60))
        by_token.append(permutation_p(rank_correlation, [x, y], np.arange(600), draws=60))
    assert np.mean(np.array(by_type) < 0.05) <= 0.15
    assert np.mean(np.array(by_token) < 0.05) >= 0.4


def test_a_link_is_found_by_shuffling_types():
    types = np.repeat(np.arange(30), 3)
    x = types.astype(float)
    y = x + np.random.default_rng(0).normal(size=90)
    assert permutation_p(rank_correlation, [x, y], types, draws=99) == 0.01
    assert np.isnan(permutation_p(partial(rank_correlation, bins=0), [x, np.ones(90)], types, draws=9))


def frequency_table(link, through_loss, seed=0, count=600):
    """Tokens of 60 completions and 300 types, whose concentration goes with frequency or only with loss."""
    random = np.random.default_rng(seed)
    types = random.integers(0, 300, count)
    occurrences = (random.pareto(1.0, 300) * 10).astype(int)[types]
    loss = -np.log1p(occurrences) + random.normal(size=count)
    effective = np.exp(link * np.log1p(occurrences) - through_loss * loss + random.normal(size=count))
    columns = {"query": np.repeat(np.arange(60), count // 60), "token_id": types, "loss": loss}
    return pd.DataFrame(columns | {"occurrences": occurrences, "effective_number": effective})


def test_frequency_goes_with_concentration_where_it_does():
    found = frequency_correlation(frequency_table(1.0, 0.0), draws=99).set_index("version")
    assert found.index.tolist() == ["plain", "given loss", "matched for loss"]
    assert (found["low"] > 0.3).all() and (found["p_value"] == 0.01).all()
    assert found.loc["plain", ["tokens", "completions"]].tolist() == [600, 60]


def test_a_link_through_the_loss_alone_is_gone_once_the_loss_is_accounted_for():
    found = frequency_correlation(frequency_table(0.0, 1.0), draws=99).set_index("version")
    assert found.loc["plain", "low"] > 0.3
    assert (found.loc[["given loss", "matched for loss"], "correlation"].abs() < 0.12).all()


def test_shuffled_frequencies_show_no_correlation():
    table = frequency_table(1.0, 0.0)
    table["token_id"] = np.arange(len(table))
    table["occurrences"] = np.random.default_rng(5).permutation(table["occurrences"])
    found = frequency_correlation(table, draws=199)
    assert ((found["low"] < 0) & (found["high"] > 0) & (found["p_value"] > 0.05)).all()
    assert (found["correlation"].abs() < 0.1).all()


def test_tokens_without_a_measure_are_left_out():
    table = frequency_table(1.0, 0.0)
    table.loc[:9, "effective_number"] = np.nan
    assert frequency_correlation(table, draws=3)["tokens"].tolist() == [590] * 3
