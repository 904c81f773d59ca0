"""How far chance alone moves a multiplier: resampled queries and documents, and shuffled labels (:mod:`.sources`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from engine.analysis.resampling import FEW_ENOUGH

ENDS = ("raised", "lowered")
BLOCK = 2**18
"""Documents times draws that are cumulated at a time: small enough for the processor's cache."""
LARGE_TOP = 1_000
"""Documents in a top beyond which a shuffled share of it is normal, if the corpus has more than :data:`FEW_ENOUGH`."""


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


def resampled(influence: np.ndarray, groups: Groups, ks: np.ndarray, picks: np.ndarray, seed: int) -> np.ndarray:
    """Multipliers ``[1 + draws, ends, ks, groups]``: of the run as it is, then of resampled queries and documents.

    ``picks`` are the queries' :func:`.matrix.query_draws`, ``[1 + draws, queries]``; the documents drawn depend
    on the seed only, so that groups of queries meet the same resampled corpora.

    Documents are resampled by weights: how often each was drawn. A query is sorted once, the
    top k of a resampled corpus reaches to where the weights add up to k. All counts are whole
    numbers, so that at k = n a multiplier is a number over itself. Where all tops are small beside the
    corpus, the documents that no resampling brings into one are drawn by number, group by group.
    """
    n, random = len(groups.of), np.random.default_rng([seed, 1])
    orders = [np.argsort(-values, kind="stable") for values in influence]
    cuts = np.concatenate([ks, n - ks, [n]])
    found = _multipliers(orders, groups, np.ones((1, n), dtype=np.uint8), cuts, picks[:1])
    reach = 2 * int(ks.max()) + 100  # so many documents, drawn anew, are never fewer than k
    if n > FEW_ENOUGH and 2 * reach * len(orders) < n:
        orders, groups, sizes = _collapsed(orders, groups, reach)
        weights = random.multinomial(n, sizes / n, len(picks) - 1)
    else:
        # Chance puts a document into one draw 255 times about never: one in 10^500.
        drawn = [np.bincount(random.integers(n, size=n), minlength=n).astype(np.uint8) for _ in picks[1:]]
        weights = np.stack(drawn) if drawn else np.zeros((0, n), dtype=np.uint8)
    found = np.concatenate([found, _multipliers(orders, groups, weights, cuts, picks[1:])])
    return found.reshape(len(picks), len(ENDS), len(ks), -1)


def _multipliers(
    orders: Sequence[np.ndarray], groups: Groups, weights: np.ndarray, cuts: np.ndarray, picks: np.ndarray
) -> np.ndarray:
    """Multipliers ``[draws, ends * ks, groups]`` of weighted documents and queries; ``cuts`` are k, n - k and n."""
    ks, found = len(cuts) // 2, np.zeros((len(picks), len(cuts) - 1, len(groups.names)))
    for order, times in zip(orders, picks.T, strict=True):
        mass = mass_within(order, groups, weights, cuts)
        whole = mass[:, -1:]
        ends = np.concatenate([mass[:, :ks], whole - mass[:, ks:-1]], 1)
        with np.errstate(invalid="ignore"):  # a group of which this draw has nothing: 0 / 0, left out as NaN
            share = ends / np.maximum(ends.sum(2, keepdims=True), 1)
            found += times[:, None, None] * (share / (whole / np.maximum(whole.sum(2, keepdims=True), 1)))
    return found / len(orders)


def _collapsed(orders: Sequence[np.ndarray], groups: Groups, reach: int) -> tuple[list[np.ndarray], Groups, np.ndarray]:
    """The documents near an end of some ranking, and one of each group's mean mass for all the others.

    Returns:
        The rankings of those, their groups, and how many documents each stands for.
    """
    n = len(groups.of)
    kept = np.unique(np.concatenate([_end(order, reach, end) for order in orders for end in range(len(ENDS))]))
    left = np.delete(np.arange(n), kept)
    numbers = np.bincount(groups.of[left], minlength=len(groups.names))
    masses = np.bincount(groups.of[left], groups.mass[left], len(groups.names)) / np.maximum(numbers, 1)
    place = np.full(n, -1)
    place[kept] = np.arange(len(kept))
    others = len(kept) + np.arange(len(groups.names))
    found = []
    for order in orders:
        ranked = place[order]
        ranked = ranked[ranked >= 0]
        found.append(np.concatenate([ranked[:reach], others, ranked[reach:]]))
    of = np.concatenate([groups.of[kept], np.arange(len(groups.names))])
    mass = np.concatenate([groups.mass[kept], np.round(masses).astype(np.int64)])
    return found, Groups(groups.names, of, mass), np.append(np.ones(len(kept), dtype=np.int64), numbers)


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


def shuffled_labels(influence: np.ndarray, groups: Groups, ks: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Multipliers ``[draws, ends, ks, groups]`` with labels shuffled among documents, alike for all queries.

    A share is a sum over documents of their mean part of the top, so the rankings are gone
    through once, whatever the number of shuffles. Of very many documents only those that are in a
    small top are dealt their labels one by one; in a large one the sum is normal, of known variance.
    """
    n, random = len(groups.of), np.random.default_rng([seed, 2])
    found = np.ones((draws, len(ENDS), len(ks), len(groups.names)))  # at k = n it is 1 but for rounding
    dealt = (ks < n) & ((ks <= LARGE_TOP) | (n <= FEW_ENOUGH))
    large = (ks < n) & ~dealt
    orders = [np.argsort(-values, kind="stable") for values in influence]
    if dealt.any():
        found[:, :, dealt] = _dealt(orders, groups, ks[dealt], draws, random)
    counts = np.bincount(groups.of)
    for end, place in product(range(len(ENDS)), np.flatnonzero(large)):
        part = np.zeros(n)
        for order in orders:
            top = _end(order, ks[place], end)
            part[top] += groups.mass[top] / max(groups.mass[top].sum(), 1)
        # Of the ratio of the part of the top to the part of the corpus, to first order; drawn without replacement.
        spread = np.std(part / part.mean() - groups.mass / groups.mass.mean())
        deviation = spread * np.sqrt((n - counts) / counts / (n - 1))
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
