"""What chance alone makes of a completion's concentration: resampled documents, and two nulls.

*Normal*: as many normal influences of the same mean and standard deviation, of which the top 1%
of the positive hold about 3.6%. *Shuffled*: the influences on each completion token dealt out
anew among the documents, then added up: as heavy as they are on each token, but no document is
strong on several tokens for a reason.

The :data:`STRONGEST` are drawn one by one; the rest, which no measure sees singly, in steps of neighbouring ranks,
about a thousand however many documents there are. Only shuffles go through every document, up to :data:`FEW_ENOUGH`.
"""

from functools import reduce

import numpy as np
import scipy  # type: ignore[import-untyped]  # its parts load when first used

from engine.analysis.amounts import Sign, Steps, amounts, descending, steps_of
from engine.analysis.resampling import FEW_ENOUGH

STRONGEST = 1000
"""Documents that are drawn one by one."""
SAMPLED = 2**19
"""Weak influences on a token from which those of a shuffle are drawn, if there are more."""
POOLED = 4
"""Shuffles that the weak influences' sums are taken from, if there are too many to shuffle for each draw."""


def resamples(influence: np.ndarray, sign: Sign, draws: int = 200, seed: int = 0) -> Steps:
    """As many documents drawn with replacement: the bootstrap.

    Args:
        influence: ``[documents]``.
        sign: What to measure.
        draws: Rows of the result.
        seed: Of what is drawn.
    """
    ordered = descending(amounts(influence, sign))
    held, documents = int((ordered > 0).sum()), len(ordered)
    ends = np.unique(np.append(_ends(np.array([held]))[0], documents))
    counts, means, squares = _averaged(ordered, ends)
    drawn = np.random.default_rng(seed).multinomial(documents, counts / documents, draws)
    return Steps(drawn, means[None], squares[None])


def normal_draws(influence: np.ndarray, sign: Sign, draws: int = 200, seed: int = 0) -> Steps:
    """The null of normal influences; arguments as of :func:`resamples`."""
    mean, deviation, documents = float(np.mean(influence)), float(np.std(influence)), len(influence)
    above = float(scipy.special.ndtr(mean / deviation)) if deviation else float(mean > 0)
    number, of_values = (np.random.default_rng([seed, stream]) for stream in range(2))
    raised = number.binomial(documents, above, draws)
    sides = []
    if sign != "negative":
        sides.append(_half_normal(raised, mean, deviation, above, of_values))
    if sign != "positive":
        sides.append(_half_normal(documents - raised, -mean, deviation, 1 - above, of_values))
    counts, means, squares = (np.concatenate(parts, 1) for parts in zip(*sides, strict=True))
    none = documents - counts.sum(1, keepdims=True)  # the documents of the other sign
    parts = np.append(counts, none, 1), np.append(means, 0 * none, 1), np.append(squares, 0 * none, 1)
    order = np.argsort(-parts[1], 1, kind="stable")
    return Steps(*(np.take_along_axis(part, order, 1) for part in parts))


def shuffled_draws(of_tokens: np.ndarray, sign: Sign, draws: int = 100, seed: int = 0) -> Steps:
    """The null of shuffled influences.

    Of one token all shuffles have the same amounts: they are given once.

    A completion's influences are concentrated beyond it where the same documents are strong on several
    of its tokens. One token alone keeps its amounts, so that for it the null says nothing.

    Args:
        of_tokens: Influence on each completion token, ``[tokens, documents]``.
        sign: What to measure.
        draws: Shuffles.
        seed: Of the shuffles.
    """
    random, (tokens, documents) = np.random.default_rng(seed), of_tokens.shape
    if tokens == 1:
        return steps_of(amounts(of_tokens, sign)[: min(draws, 1)])  # one row stands for all, which are alike
    if documents <= FEW_ENOUGH:
        sums = [random.permuted(of_tokens, axis=1).sum(0) for _ in range(draws)]
        return steps_of(amounts(np.reshape(sums, (draws, documents)), sign))
    return _shuffled_strong(of_tokens, sign, draws, random)


def _shuffled_strong(of_tokens: np.ndarray, sign: Sign, draws: int, random: np.random.Generator) -> Steps:
    """Each token's strongest influences fall on documents one by one; the sums of all others are drawn in steps.

    Of those, a shuffle keeps the net sum, drawing does not: bands of ``documents`` and ``total`` come out up to twice
    as wide, those of shares hardly wider.
    """
    tokens, documents = of_tokens.shape
    first = np.argpartition(-np.abs(of_tokens), STRONGEST, axis=1)[:, :STRONGEST]
    strong = np.take_along_axis(of_tokens, first, 1)
    # In random order once, a row is in another wherever it begins, and any stretch of it is drawn at random.
    weak = np.stack([_weak(row, places, random) for row, places in zip(of_tokens, first, strict=True)])
    begins = random.integers(weak.shape[1], size=(POOLED, tokens))
    sums = [reduce(np.add, map(np.roll, weak, one)) for one in begins]
    pool = descending(amounts(np.concatenate(sums), sign))
    held = int((pool > 0).sum())
    sizes, means, squares = _averaged(pool, np.unique(np.append(_ends(np.array([held]))[0], len(pool))))
    rows, each = [], tokens * STRONGEST
    for _ in range(draws):
        places = _different(documents, tokens, random)
        met, of = np.unique(places, return_inverse=True)
        stretch = random.integers(weak.shape[1], size=(tokens, 1)) + np.arange(len(met))
        others = np.take_along_axis(weak, stretch % weak.shape[1], 1)
        np.put_along_axis(others, of.reshape(places.shape), strong, 1)
        singles = np.zeros(each)
        singles[: len(met)] = amounts(others.sum(0), sign)
        ones = np.arange(each) < len(met)
        counts = np.append(ones, random.multinomial(documents - len(met), sizes / len(pool)))
        drawn = np.append(singles, means)
        place = np.argsort(-drawn)
        rows.append((counts[place], drawn[place], np.append(singles**2, squares)[place]))
    parts = (np.stack(part) for part in zip(*rows, strict=True)) if rows else np.zeros((3, 0, each + len(means)))
    return Steps(*parts)


def _weak(row: np.ndarray, strong: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A token's influences but those of its strongest documents, in random order; of very many :data:`SAMPLED`."""
    if len(row) - STRONGEST <= SAMPLED:
        return random.permutation(np.delete(row, strong))
    is_strong = np.zeros(len(row), dtype=bool)
    is_strong[strong] = True
    places = random.integers(len(row), size=SAMPLED + SAMPLED // 8)  # so few are strong that enough are left
    return row[places[~is_strong[places]][:SAMPLED]]


def _different(documents: int, tokens: int, random: np.random.Generator) -> np.ndarray:
    """Documents drawn without replacement, in random order, for each token by itself: ``[tokens, STRONGEST]``.

    Of those that are the same the later ones are drawn again, until none is left.
    """
    found, order = random.integers(documents, size=(tokens, STRONGEST)), np.arange(STRONGEST)
    while True:
        keys = np.sort(found * STRONGEST + order, 1)
        token, place = np.nonzero(np.diff(keys // STRONGEST) == 0)
        if not len(token):
            return found
        found[token, keys[token, place + 1] % STRONGEST] = random.integers(documents, size=len(token))


def _ends(counts: np.ndarray) -> np.ndarray:
    """Ranks that the steps of some documents end at, ``[rows, 2 * STRONGEST]``: 1, 2, ..., then ever farther apart.

    Args:
        counts: Documents, ``[rows]``; where they are few, the last ends are alike.
    """
    singles = np.minimum(np.arange(1, STRONGEST + 1), counts[:, None])
    growth = np.maximum(counts, STRONGEST)[:, None] / STRONGEST
    rest = np.round(STRONGEST * growth ** (np.arange(1, STRONGEST + 1) / STRONGEST)).astype(np.int64)
    return np.concatenate([singles, np.minimum(rest, counts[:, None])], 1)


def _averaged(ordered: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps of sorted amounts that end at these different ranks: counts, mean amounts and mean squares, ``[steps]``."""
    ends = ends[ends > 0]
    starts = np.append(0, ends[:-1])
    counts = ends - starts
    return counts, np.add.reduceat(ordered, starts) / counts, np.add.reduceat(ordered**2, starts) / counts


def _half_normal(
    counts: np.ndarray, mean: float, deviation: float, above: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ``counts`` positive ones, ``[draws]``, among draws of a normal: counts, means, mean squares of their steps.

    The ranks that steps end at are drawn exactly, as those of uniform numbers: the r-th smallest of n is
    ``G_r / G_(n + 1)``, sums of so many exponential numbers (Renyi 1953), and a sum of k is a gamma number.
    Within a step amounts are taken to lie evenly.

    Args:
        counts: ``[draws]``.
        mean: Of the normal.
        deviation: Its standard deviation.
        above: Its probability of a positive number.
        random: Source of chance.
    """
    sizes = np.diff(_ends(counts), axis=1, prepend=0)
    sums = np.cumsum(random.standard_gamma(sizes), 1)
    uniform = sums / (sums[:, -1:] + random.standard_exponential((len(counts), 1)))
    low = np.maximum(mean - deviation * scipy.special.ndtri(np.clip(above * uniform, 1e-300, 1 - 1e-16)), 0)
    high = np.where(sizes == 1, low, np.append(low[:, :1], low[:, :-1], 1))
    held = sizes > 0
    return sizes, np.where(held, (low + high) / 2, 0), np.where(held, (low**2 + low * high + high**2) / 3, 0)
