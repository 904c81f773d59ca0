"""How far chance alone moves a multiplier: resampled queries and documents, and shuffled labels (:mod:`.sources`)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import e, factorial

import numpy as np
import pandas as pd
import scipy  # type: ignore[import-untyped]  # its parts load when first used

from engine.analysis.order import by_size
from engine.analysis.resampling import FEW_ENOUGH

ENDS = ("raised", "lowered")
BLOCK = 2**18
"""Documents times draws that are cumulated at a time: small enough for the processor's cache."""
LARGE_TOP = 1_000
"""Documents in a top beyond which a shuffled share of it is normal, if the corpus has more than :data:`FEW_ENOUGH`."""
WIDER = 1.02
"""Last rank of a block of neighbouring ranks over its first: what lies within adds a hundredth to an interval."""
WEIGHTS = 2**23
"""Documents times draws whose weights are in memory at once, if the documents are very many: 64 MB."""
POISSON = np.searchsorted(np.cumsum([1 / e / factorial(k) for k in range(12)]), (np.arange(2**16) + 0.5) / 2**16)
"""How often a document is drawn, for each of 2^16 equally likely numbers: a Poisson number of mean 1."""


@dataclass(frozen=True)
class Groups:
    """The groups of the ranked documents: each one's group, and what it counts for (1, or its tokens), ``[n]``."""

    names: list[str]
    of: np.ndarray
    mass: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Share of the corpus, ``[groups]``; whole numbers add up exactly in float64."""
        return np.bincount(self.of, self.mass) / max(self.mass.sum(), 1)


def rankings(influence: np.ndarray) -> list[np.ndarray]:
    """Documents by influence, the largest first, for each query of ``[queries, n]``."""
    return [by_size(values) for values in influence]


def resampled(orders: Sequence[np.ndarray], groups: Groups, ks: np.ndarray, picks: np.ndarray, seed: int) -> np.ndarray:
    """Multipliers ``[1 + draws, ends, ks, groups]``: of the run as it is, then of resampled queries and documents.

    ``orders`` are :func:`rankings`, ``picks`` the queries' :func:`.matrix.query_draws`, ``[1 + draws, queries]``; the
    documents drawn depend on the seed only, so that groups of queries meet the same resampled corpora (but where all
    tops are small beside very many documents: the intervals of groups' differences are then too wide, not too narrow).

    Documents are resampled by weights: how often each was drawn. A query is sorted once, the
    top k of a resampled corpus reaches to where the weights add up to k. All counts are whole
    numbers, so that at k = n a multiplier is a number over itself. Very many documents are counted
    in blocks (:func:`_masses_in_blocks`).
    """
    n, random = len(groups.of), np.random.default_rng([seed, 1])
    cuts = np.concatenate([ks, n - ks, [n]])
    if n > FEW_ENOUGH:
        parts = _masses_in_blocks(orders, groups, cuts, len(picks), random)
        found = np.concatenate([_multipliers(masses, picks[rows]) for rows, masses in parts])
    else:
        # Chance puts a document into one draw 255 times about never: one in 10^500.
        drawn = [np.bincount(random.integers(n, size=n), minlength=n) for _ in picks[1:]]
        weights = np.stack([np.ones(n), *drawn]).astype(np.uint8)
        found = _multipliers((mass_within(order, groups, weights, cuts) for order in orders), picks)
    return found.reshape(len(picks), len(ENDS), len(ks), -1)


def _multipliers(masses: Iterable[np.ndarray], picks: np.ndarray) -> np.ndarray:
    """Multipliers ``[draws, ends * ks, groups]`` of each query's mass within k, n - k and n, and of weighted queries.

    Args:
        masses: Of each query ``[draws, cuts, groups]``.
        picks: How often each query is drawn, ``[draws, queries]``.
    """
    found: np.ndarray | float = 0.0
    for mass, times in zip(masses, picks.T, strict=True):
        whole, ks = mass[:, -1:], mass.shape[1] // 2
        ends = np.concatenate([mass[:, :ks], whole - mass[:, ks:-1]], 1)
        with np.errstate(invalid="ignore"):  # a group of which this draw has nothing: 0 / 0, left out as NaN
            share = ends / np.maximum(ends.sum(2, keepdims=True), 1)
            found += times[:, None, None] * (share / (whole / np.maximum(whole.sum(2, keepdims=True), 1)))
    return np.asarray(found) / picks.shape[1]


def mass_within(order: np.ndarray, groups: Groups, weights: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Mass of each group among the first ``cuts`` documents of a ranking, counting documents by weight.

    With documents sorted by group and then by rank, the first documents of each group lie side
    by side, so that one cumulative sum serves all groups however many there are.

    Args:
        order: Documents, best first, ``[n]``.
        groups: Their groups and masses.
        weights: How often each document is in the corpus, ``[draws, n]``; each row has the same sum.
        cuts: Numbers of documents, 0 to that sum, ``[cuts]``.

    Returns:
        int64 ``[draws, cuts, groups]``.
    """
    n, of_rank = len(order), groups.of[order]
    by_group = np.argsort(of_rank, kind="stable")
    keys = of_rank[by_group] * n + by_group
    grouped = order[by_group]
    firsts = np.arange(len(groups.names)) * n
    found = np.empty((len(weights), len(cuts), len(groups.names)), dtype=np.int64)
    step, whole = max(1, BLOCK // n), int(weights[:1].sum())
    for start in range(0, len(weights), step):
        block = weights[start : start + step]
        row, cut = (np.arange(len(block))[:, None] * each for each in (n, whole))
        cut = cut + cuts
        # Rows have one sum, so that over all rows one after the other is sorted and starts row r at r times it.
        reached = _cumulated(np.take(block, order, axis=1))
        place = np.maximum(np.searchsorted(reached[1:], cut) - row, 0)  # documents wholly inside
        rest = cut - reached[row + place]  # copies of the next one that are inside as well
        cumulated = _cumulated(np.take(block, grouped, axis=1) * groups.mass[grouped])
        inside = np.searchsorted(keys, firsts + place[:, :, None])
        mass = cumulated[row[:, :, None] + inside] - cumulated[row[:, :, None] + np.searchsorted(keys, firsts)]
        mass[(*np.indices(place.shape), of_rank[place])] += rest * groups.mass[order[place]]
        found[start : start + step] = mass
    return found


def _masses_in_blocks(
    orders: Sequence[np.ndarray], groups: Groups, cuts: np.ndarray, rows: int, random: np.random.Generator
) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """:func:`mass_within` of the documents as they are, then of resampled ones, for each ranking, some rows at a time.

    A draw needs to know no more of a ranking than how much it has of each block of neighbouring ranks: single
    documents at either end, then blocks :data:`WIDER` and wider, within which mass is taken to lie evenly. Each
    document is drawn a Poisson number of times, by itself, as suits very many (Hanley and MacGibbon 2006), so that
    those alike in every ranking are drawn as one; cuts are scaled to the number drawn.
    """
    n, held = len(groups.of), len(groups.names)
    reach = min(n // 2, 2 * int(np.minimum(cuts, n - cuts).max()) + 100)  # farther than any cut's place in a draw
    ranks = np.geomspace(1, n, int(np.log(n) / np.log(WIDER))).round().astype(np.int64)
    ranks = ranks[ranks <= reach]
    ends = np.unique(np.concatenate([ranks, n - ranks, cuts[cuts > 0]]))
    block = np.repeat(np.arange(len(ends)) * held, np.diff(ends, prepend=0)).astype(np.int32)
    cells = [groups.of.astype(np.int32) for _ in orders]
    for cell, order in zip(cells, orders, strict=True):
        cell[order] += block
    numbers, masses = np.ones(n), groups.mass.astype(np.float64)
    few = 8 * held * (2 * reach * len(orders) + 1) < n
    if few:
        cells, numbers, masses = _as_one(cells, masses)
    alike = np.array_equal(numbers, masses)
    # Sums of whole numbers below 2^24 are exact in float32, and take half the memory.
    dtype = np.dtype(np.float32 if alike and not few and n < 2**24 else np.float64)
    times = POISSON.astype(dtype)
    added = [each.astype(dtype) for each in ((masses,) if alike else (masses, numbers))]
    places = np.arange(len(numbers) + 1, dtype=np.int32)
    step = max(1, WEIGHTS // len(numbers))
    for start in range(0, rows, step):
        some = slice(start, min(start + step, rows))
        shape = len(numbers), some.stop - start
        if few:
            weights = random.poisson(numbers[:, None], shape) / numbers[:, None]
        else:
            weights = times[random.integers(len(times), size=shape, dtype=np.uint16)]
        if start == 0:
            weights[:, 0] = 1
        found = []
        for cell in cells:
            shape = len(ends) * held, len(cell)
            sums = [
                (scipy.sparse.csc_array((each, cell, places), shape) @ weights).reshape(len(ends), held, -1)
                for each in added
            ]
            found.append(_interpolated(sums[-1].sum(1), sums[0], cuts / n))
        yield some, found


def _as_one(cells: Sequence[np.ndarray], masses: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Documents of one cell in each ranking as one: its cells, how many documents it stands for, and their mass."""
    of = np.zeros(len(masses), dtype=np.int64)
    for cell in cells:
        of = pd.factorize(of * (int(cell.max()) + 1) + cell)[0]
    first = np.empty(of.max() + 1, dtype=np.int64)
    first[of[::-1]] = np.arange(len(of))[::-1]
    return [cell[first] for cell in cells], np.bincount(of).astype(np.float64), np.bincount(of, masses)


def _interpolated(counted: np.ndarray, mass: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Mass of each group within parts of all documents, ``[draws, parts, groups]``.

    Args:
        counted: Documents of each block, ``[blocks, draws]``.
        mass: Their mass by group, ``[blocks, groups, draws]``.
        parts: Of all documents drawn, ``[parts]``.
    """
    nodes = np.cumsum(np.pad(counted, ((1, 0), (0, 0))), 0)
    sums = np.cumsum(np.pad(mass, ((1, 0), (0, 0), (0, 0))), 0)
    return np.array(
        [
            [np.interp(parts * reached[-1], reached, of_group) for of_group in of_groups]
            for reached, of_groups in zip(nodes.T, sums.transpose(2, 1, 0), strict=True)
        ]
    ).transpose(0, 2, 1)


def shuffled_labels(orders: Sequence[np.ndarray], groups: Groups, ks: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Multipliers ``[draws, ends, ks, groups]`` with labels shuffled among documents, alike for all queries.

    A share is a sum over documents of their mean part of the top, so the rankings are gone
    through once, whatever the number of shuffles. Of very many documents only those that are in a
    small top are dealt their labels one by one; in a large one the sum is normal, of known variance.
    """
    n, random = len(groups.of), np.random.default_rng([seed, 2])
    found = np.ones((draws, len(ENDS), len(ks), len(groups.names)))  # at k = n it is 1 but for rounding
    dealt = (ks < n) & ((ks <= LARGE_TOP) | (n <= FEW_ENOUGH))
    large = (ks < n) & ~dealt
    if dealt.any():
        found[:, :, dealt] = _dealt(orders, groups, ks[dealt], draws, random)
    counts, squares = np.bincount(groups.of), np.square(mass := groups.mass / groups.mass.mean()).mean()
    within = []  # of each ranking, every document's rank, and the mass of the first 0, 1, ... n
    for order in orders if large.any() else ():
        rank = np.empty(n, dtype=np.int64)
        rank[order] = np.arange(n)
        within.append((rank, _cumulated(groups.mass[order])))
    for end, place in product(range(len(ENDS)), np.flatnonzero(large)):
        weight, k = np.zeros(n), ks[place]
        for rank, reached in within:
            inside, top = (rank < k, reached[k]) if end == 0 else (rank >= n - k, reached[n] - reached[n - k])
            weight += inside / max(top, 1)
        # Of the ratio of the part of the top to the part of the corpus, to first order; drawn without replacement.
        part = weight * groups.mass * (n / len(orders))  # both parts are 1 in the mean
        variance = max(np.dot(part, part) / n - 2 * np.dot(part, mass) / n + squares, 0)
        deviation = np.sqrt(variance * (n - counts) / counts / (n - 1))
        found[:, end, place] = 1 + deviation * random.standard_normal((draws, len(counts)))
    return found


def _end(order: np.ndarray, k: int, end: int) -> np.ndarray:
    """The first or the last k of a ranking."""
    return order[:k] if end == 0 else order[len(order) - k :]


def _dealt(
    orders: Sequence[np.ndarray], groups: Groups, ks: np.ndarray, draws: int, random: np.random.Generator
) -> np.ndarray:
    """Multipliers ``[draws, ends, ks, groups]`` where each document in a top is dealt a label.

    The labels left over go to all the others, whose mass is near enough their number times its mean.
    """
    n, counts = len(groups.of), np.bincount(groups.of)
    everyone = n <= FEW_ENOUGH
    met = [_end(order, ks.max(), end) for order in orders for end in range(len(ENDS))]
    shown = np.arange(n) if everyone else np.unique(np.concatenate(met))
    parts, mass = np.zeros((len(shown), len(ENDS), len(ks))), groups.mass[shown]
    for order, end, place in product(orders, range(len(ENDS)), range(len(ks))):
        top = _end(order, ks[place], end)
        parts[np.searchsorted(shown, top), end, place] += groups.mass[top] / max(groups.mass[top].sum(), 1)
    left_mass = (groups.mass.sum() - mass.sum()) / max(n - len(shown), 1)
    found = np.empty((draws, len(ENDS), len(ks), len(counts)))
    for draw in found:
        held = counts if everyone else random.multivariate_hypergeometric(counts, len(shown), method="marginals")
        shuffled, ends = random.permutation(len(shown)), np.cumsum(held)
        share = np.diff(np.cumsum(parts[shuffled], 0)[ends - 1] * (ends > 0)[:, None, None], axis=0, prepend=0)
        corpus = np.diff(np.cumsum(mass[shuffled])[ends - 1] * (ends > 0), prepend=0) + (counts - held) * left_mass
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = share / len(orders) / (corpus / max(groups.mass.sum(), 1))[:, None, None]
        draw[:] = np.moveaxis(ratio, 0, -1)
    return found


def _cumulated(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... values, row after row."""
    sums = np.zeros(values.size + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
