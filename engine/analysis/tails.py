"""How heavy is a tail, and which rank correlation survives matching? (statistics on arrays, no run)

Tails follow Clauset, Shalizi and Newman 2009 (arXiv 0706.1062). Exponents are those of the
complementary distribution, ``P(X >= x) ~ x^-exponent``, one less than a density's: the n-th
moment is infinite where ``exponent <= n`` (Grosse et al. 2023 quote this rule for a density's).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import erfc, inf, log, nan, sqrt

import numpy as np
import scipy  # type: ignore[import-untyped]  # its parts load when first used: half of what the command line imports

from engine.analysis.order import mean_ranks
from engine.errors import WhenceError

MIN_TAIL = 50
"""Values that a tail holds at least: below it the exponent is unreliable (Clauset et al., section 3)."""
CANDIDATES = 100
"""Thresholds tried, evenly spaced in the logarithm of the tail's size; all where there are fewer."""
STEEPEST = 300.0
"""Largest |mu - ln x_min| / sigma told apart from the limits: the power law, a single value."""


@dataclass(frozen=True)
class TailFit:
    """A power law fitted to the largest of some positive values.

    Attributes:
        values: Positive values given.
        tail: Values in the fitted range.
        x_min: Lower end of the fitted range, in the values' unit; chosen to minimise ``distance``.
        x_max: Upper end, the largest value.
        exponent: Of ``P(X >= x) ~ x^-exponent``; the density's is one more.
        standard_error: ``exponent / sqrt(tail)``, for a fixed ``x_min``: 1.96 of them cover the exponent
            in about 89% of Pareto samples, not 95%, because ``x_min`` is chosen too.
        distance: Kolmogorov-Smirnov distance in the fitted range.
        p_value: Share of samples from the fit that lie at least as far from their own fit; small
            (Clauset et al.: below 0.1) rejects the power law; nan without draws.
        mu: Mean of ln x of the lognormal truncated at ``x_min``; -inf where its limit, the power law, is best.
        sigma: Standard deviation of ln x of that lognormal before truncation; inf in that limit.
        log_ratio: Log-likelihood of the power law minus that of the lognormal, in nats. Never
            above zero, for the truncated lognormal contains the power law.
        vuong_z: ``log_ratio`` over its standard deviation (Vuong 1989).
        vuong_p: Its two-sided p-value: small prefers the lognormal; 1 in the limit.
        nested_p: p-value of the power law within the lognormals, by the likelihood ratio on the boundary
            (Malevergne et al. 2011); sharper than Vuong's, which is for models that are not nested.
    """

    values: int
    tail: int
    x_min: float
    x_max: float
    exponent: float
    standard_error: float
    distance: float
    p_value: float
    mu: float
    sigma: float
    log_ratio: float
    vuong_z: float
    vuong_p: float
    nested_p: float

    def ccdf(self, x: np.ndarray) -> np.ndarray:
        """Fitted share of all values that are ``x`` or more, nan outside the fitted range."""
        x = np.asarray(x, dtype=np.float64)
        share = self.tail / self.values * (x / self.x_min) ** -self.exponent
        return np.where((x >= self.x_min) & (x <= self.x_max), share, nan)


def fit_tail(
    values: np.ndarray, draws: int = 0, seed: int = 0, x_min: float | None = None, enough: int | None = None
) -> TailFit:
    """Fit a power law to the upper tail by maximum likelihood, and a lognormal to the same range.

    Args:
        values: ``[documents]``, in any unit; those not above zero are left out.
        draws: Samples for the goodness of fit, semi-parametric: the tail from the fit, the rest
            from the values below it. The p-value's error is about ``0.5 / sqrt(draws)``.
        seed: Of those samples.
        x_min: Fit to all values from here on; None for the range nearest to its fit. That range is often
            so short that it cannot tell a lognormal from a power law: compare them on a longer one too.
        enough: Samples farther from their fit after which no more are drawn; the p-value is then their share of those
            drawn (Besag and Clifford 1991, sequential Monte Carlo p-values). None: all are drawn.

    Raises:
        WhenceError: If a value is not finite, or fewer than :data:`MIN_TAIL` are positive, or all are equal.
    """
    values = np.asarray(values, dtype=np.float64).ravel()
    if not np.isfinite(values).all():
        raise WhenceError("an influence is not finite -- a tail cannot be fitted to it -- check the run's scores.")
    ordered = -np.sort(-values[values > 0])
    sufficient = (ordered >= (x_min or 0)).sum() >= MIN_TAIL
    size, exponent, distance = _choose(ordered, x_min) if sufficient else (0, inf, inf)
    if exponent == inf:
        raise WhenceError(
            f"{len(ordered)} influences of this sign, {len(np.unique(ordered))} different, from {x_min or 0} on -- a "
            f"tail's exponent needs at least {MIN_TAIL} that are not all equal -- look at the shares instead."
        )
    above = np.log(ordered[:size] / ordered[size - 1])
    mu, sigma, ratios = _against_lognormal(above, exponent)
    log_ratio, spread = float(ratios.sum()), float(ratios.std()) * sqrt(size)
    vuong_z = log_ratio / spread if spread > 0 else 0.0
    return TailFit(
        values=len(ordered),
        tail=size,
        x_min=float(ordered[size - 1]),
        x_max=float(ordered[0]),
        exponent=exponent,
        standard_error=exponent / sqrt(size),
        distance=distance,
        p_value=_goodness(ordered, (size, exponent, distance), x_min, draws, seed, enough),
        mu=float(mu + log(ordered[size - 1])),
        sigma=sigma,
        log_ratio=log_ratio,
        vuong_z=vuong_z,
        vuong_p=erfc(abs(vuong_z) / sqrt(2)),
        nested_p=1.0 if mu == -inf else 0.5 * erfc(sqrt(max(0.0, -log_ratio))),
    )


def _choose(ordered: np.ndarray, x_min: float | None = None) -> tuple[int, float, float]:
    """Size of the tail from ``x_min`` on, or else of the one nearest to its fit; its exponent and distance.

    Args:
        ordered: Positive values, largest first, at least :data:`MIN_TAIL`.
        x_min: As in :func:`fit_tail`.
    """
    return min(_fits(ordered, x_min), key=lambda fit: fit[2], default=(len(ordered), inf, inf))


def _is_farther(ordered: np.ndarray, x_min: float | None, distance: float, first: int, of: int | None = None) -> bool:
    """Whether even the nearest fit of :func:`_choose` is at least so far off; the first one nearer ends the search.

    Args:
        ordered: As of :func:`_choose`.
        x_min: As of :func:`_choose`.
        distance: To be as far as.
        first: Size of the tail that is likely nearest: the search begins there.
        of: As of :func:`_fits`.
    """
    return all(fit[2] >= distance for fit in _fits(ordered, x_min, first, of))


def _fits(
    ordered: np.ndarray, x_min: float | None, first: int = 0, of: int | None = None
) -> Iterator[tuple[int, float, float]]:
    """Each candidate for the tail: its size, exponent and distance; sizes nearest to ``first`` come first.

    Where ``ordered`` are the largest only ``of`` so many values, no candidate reaches farther.
    """
    count, logs = len(ordered), np.log(ordered)
    sizes = np.unique(np.geomspace(MIN_TAIL, of or count, CANDIDATES).round().astype(np.int64))
    sizes = sizes[sizes <= count] if x_min is None else np.array([max(1, (ordered >= x_min).sum())])
    # Values equal to the threshold belong to the tail, all of them.
    sizes = np.unique(count - np.searchsorted(ordered[::-1], ordered[sizes - 1], side="left"))
    sums = np.cumsum(logs)[sizes - 1] - sizes * logs[sizes - 1]
    candidates = zip(sizes.tolist(), sums.tolist(), strict=True)
    for size, total in sorted(candidates, key=lambda one: abs(log(one[0] / first))) if first else candidates:
        if ordered[0] > ordered[size - 1] and total > 0:
            exponent, places = size / total, np.arange(size + 1) / size
            fitted = np.exp(-exponent * (logs[:size] - logs[size - 1]))
            distance = max(np.abs(places[1:] - fitted).max(), np.abs(places[:-1] - fitted).max())
            yield size, exponent, float(distance)


def _against_lognormal(above: np.ndarray, exponent: float) -> tuple[float, float, np.ndarray]:
    """Lognormal on the same range, and each value's log-likelihood ratio, power law minus lognormal.

    Seen from ``x_min``, ``y = ln(x / x_min)`` is exponential under the power law and a normal cut
    off at 0 under the lognormal. Both are of the form ``exp(-a y - b y^2)``, so the likelihood is
    concave and equals the sample's first two moments. Their ratio ``E[y^2] / E[y]^2`` falls from 2
    (b = 0, the power law) to 1; where the sample's is 2 or more, no lognormal does better.

    Args:
        above: ``y``, ``[tail]``.
        exponent: The power law's.

    Returns:
        mu - ln x_min, sigma, ratios ``[tail]`` in nats.
    """
    mean, ratio = above.mean(), np.square(above).mean() / above.mean() ** 2

    def moments(place: float) -> tuple[float, float]:
        """First two moments of a normal of mean ``place`` and variance 1 cut off at 0."""
        first = place + float(np.exp(-place * place / 2 - scipy.special.log_ndtr(place))) / sqrt(2 * np.pi)
        return first, 1 + place * first

    def gap(place: float) -> float:
        first, second = moments(place)
        return second / first**2 - ratio

    if gap(-STEEPEST) <= 0:
        return -inf, inf, np.zeros_like(above)
    place = STEEPEST if gap(STEEPEST) >= 0 else float(scipy.optimize.brentq(gap, -STEEPEST, STEEPEST))
    sigma = mean / moments(place)[0]
    lognormal = -0.5 * (above / sigma - place) ** 2 - log(sigma * sqrt(2 * np.pi)) - scipy.special.log_ndtr(place)
    return float(place * sigma), float(sigma), log(exponent) - exponent * above - lognormal


def _goodness(
    ordered: np.ndarray, fit: tuple[int, float, float], x_min: float | None, draws: int, seed: int, enough: int | None
) -> float:
    size, exponent, distance = fit
    count, body, farther = len(ordered), ordered[size:], 0
    random, of_body = (np.random.default_rng([seed, stream]) for stream in range(2))
    for drawn in range(1, 1 + draws):
        tail = random.binomial(count, size / count)
        top = -np.sort(-ordered[size - 1] * np.exp(random.exponential(1 / exponent, tail)))
        # Most samples have a nearer fit among their largest values, so that the others are not even drawn.
        if _is_farther(top, x_min, distance, size, count):
            rest = body[of_body.integers(len(body), size=count - tail)] if tail < count else body[:0]
            farther += _is_farther(np.append(top, -np.sort(-rest)), x_min, distance, size)
        if farther == enough:
            return farther / drawn
    return (1 + farther) / (1 + draws) if draws else nan


def rank_correlation(x: np.ndarray, y: np.ndarray, given: np.ndarray | None = None, bins: int = 0) -> float:
    """Spearman correlation of two columns, or what is left of it once a third is accounted for.

    Args:
        x: ``[items]``.
        y: ``[items]``.
        given: ``[items]``: correlate what its ranks leave of the others' ranks. None: the plain correlation.
        bins: 0 takes out a straight line in the ranks of ``given``; more, the mean of each of so many
            equally large bins of it (matching, which follows a bend as well).

    Returns:
        Between -1 and 1; nan where a column does not vary, or nothing of it is left.
    """
    columns: list[np.ndarray] = [mean_ranks(column) - (len(column) + 1) / 2 for column in (x, y)]
    if given is not None and bins > 0:
        places = ((mean_ranks(given) - 0.5) * bins / len(given)).astype(np.int64)
        sizes = np.maximum(np.bincount(places), 1)
        columns = [ranks - (np.bincount(places, ranks) / sizes)[places] for ranks in columns]
    elif given is not None:
        line = mean_ranks(given) - (len(given) + 1) / 2
        columns = [ranks - line * (ranks @ line / np.maximum(line @ line, 1.0)) for ranks in columns]
    first, second = columns
    if min(first @ first, second @ second) <= 1e-9 * len(first) ** 3:  # it is items^3 / 12: this is rounding
        return nan
    return float(np.clip(first @ second / sqrt((first @ first) * (second @ second)), -1, 1))


def cluster_interval(
    statistic: Callable[..., float], columns: Sequence[np.ndarray], clusters: np.ndarray, draws: int, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of a statistic of items that come in clusters: whole clusters are drawn again.

    Args:
        statistic: From the columns to a value.
        columns: ``[items]`` each.
        clusters: Cluster of each item, ``[items]``.
        draws: Resamples.
        seed: Of the resamples.

    Returns:
        Both ends of the middle 95%; nan for fewer than two clusters or no draws.
    """
    _, cluster = np.unique(clusters, return_inverse=True)
    members = np.split(np.argsort(cluster, kind="stable"), np.cumsum(np.bincount(cluster))[:-1])
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws if len(members) > 1 else 0):
        items = np.concatenate([members[number] for number in random.integers(len(members), size=len(members))])
        found.append(statistic(*(column[items] for column in columns)))
    return percentiles(np.array(found))


def percentiles(found: np.ndarray) -> tuple[float, float]:
    """Both ends of the middle 95% of some draws ``[draws]``; nan are left out."""
    found = found[~np.isnan(found)]
    low, high = np.quantile(found, [0.025, 0.975]) if len(found) else (nan, nan)
    return float(low), float(high)


def permuted(
    statistic: Callable[..., float], columns: Sequence[np.ndarray], types: np.ndarray, draws: int, seed: int = 0
) -> np.ndarray:
    """A statistic with the first column's values shuffled among the types, ``[draws]``.

    Items of one type keep one common value, so neither a type that is seen often nor items that
    resemble each other for another reason (tokens of one completion) pass for evidence.

    Args:
        statistic: From the columns to a correlation.
        columns: ``[items]`` each; the first is the same for all items of a type.
        types: Type of each item, ``[items]``.
        draws: Shuffles.
        seed: Of the shuffles.
    """
    x, *others = columns
    _, first, place = np.unique(types, return_index=True, return_inverse=True)
    random = np.random.default_rng(seed)
    return np.array([statistic(random.permutation(x[first])[place], *others) for _ in range(draws)])


def permutation_p(
    statistic: Callable[..., float], columns: Sequence[np.ndarray], types: np.ndarray, draws: int, seed: int = 0
) -> float:
    """Two-sided p-value of a correlation by :func:`permuted`, with its arguments; at least ``1 / (1 + draws)``."""
    observed = abs(statistic(*columns)) - 1e-12
    shuffled = permuted(statistic, columns, types, draws, seed)
    return float((1 + (np.abs(shuffled) >= observed).sum()) / (1 + draws)) if draws and observed > -1 else nan
