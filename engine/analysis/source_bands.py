"""How far chance alone moves a multiplier: resampled queries and documents, and shuffled labels (:mod:`.sources`)."""

from dataclasses import dataclass
from itertools import product

import numpy as np

ENDS = ("raised", "lowered")
BLOCK = 2**18
"""Documents times draws that are cumulated at a time: small enough for the processor's cache."""


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
    numbers, so that at k = n a multiplier is a number over itself.
    """
    n, random = len(groups.of), np.random.default_rng([seed, 1])
    # Chance puts a document into one draw 255 times about never: one in 10^500.
    drawn = [np.bincount(random.integers(n, size=n), minlength=n).astype(np.uint8) for _ in picks[1:]]
    weights = np.stack([np.ones(n, dtype=np.uint8), *drawn])
    cuts = np.concatenate([ks, n - ks, [n]])
    found = np.zeros((len(picks), 2 * len(ks), len(groups.names)))
    for values, times in zip(influence, picks.T, strict=True):
        mass = mass_within(np.argsort(-values, kind="stable"), groups, weights, cuts)
        whole = mass[:, -1:]
        ends = np.concatenate([mass[:, : len(ks)], whole - mass[:, len(ks) : -1]], 1)
        with np.errstate(invalid="ignore"):  # a group of which this draw has nothing: 0 / 0, left out as NaN
            share = ends / np.maximum(ends.sum(2, keepdims=True), 1)
            found += times[:, None, None] * (share / (whole / np.maximum(whole.sum(2, keepdims=True), 1)))
    return (found / len(influence)).reshape(len(picks), len(ENDS), len(ks), -1)


def mass_within(order: np.ndarray, groups: Groups, weights: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Mass of each group among the first ``cuts`` documents of a ranking, counting documents by weight.

    With documents sorted by group and then by rank, the first documents of each group lie side
    by side, so that one cumulative sum serves all groups however many there are.

    Args:
        order: Documents, best first, ``[n]``.
        groups: Their groups and masses.
        weights: How often each document is in the corpus, ``[draws, n]``; each row sums to n.
        cuts: Numbers of documents, 0 to n, ``[cuts]``.

    Returns:
        int64 ``[draws, cuts, groups]``.
    """
    n, of_rank = len(order), groups.of[order]
    by_group = np.argsort(of_rank, kind="stable")
    keys = of_rank[by_group] * n + by_group
    grouped = order[by_group]
    firsts = np.arange(len(groups.names)) * n
    found = np.empty((len(weights), len(cuts), len(groups.names)), dtype=np.int64)
    step = max(1, BLOCK // n)
    for start in range(0, len(weights), step):
        block = weights[start : start + step]
        row = np.arange(len(block))[:, None] * n
        # Rows sum to n, so the sum over all rows one after the other is sorted and starts row r at r * n.
        reached = _cumulated(np.take(block, order, axis=1))
        place = np.maximum(np.searchsorted(reached[1:], row + cuts) - row, 0)  # documents wholly inside
        rest = row + cuts - reached[row + place]  # copies of the next one that are inside as well
        cumulated = _cumulated(np.take(block, grouped, axis=1) * groups.mass[grouped])
        inside = np.searchsorted(keys, firsts + place[:, :, None])
        mass = cumulated[row[:, :, None] + inside] - cumulated[row[:, :, None] + np.searchsorted(keys, firsts)]
        mass[(*np.indices(place.shape), of_rank[place])] += rest * groups.mass[order[place]]
        found[start : start + step] = mass
    return found


def shuffled_labels(influence: np.ndarray, groups: Groups, ks: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Multipliers ``[draws, ends, ks, groups]`` with labels shuffled among documents, alike for all queries.

    A share is a sum over documents of their mean part of the top, so the rankings are gone
    through once, whatever the number of shuffles.
    """
    n, random = len(groups.of), np.random.default_rng([seed, 2])
    parts = np.zeros((n, len(ENDS), len(ks)))
    for values in influence:
        order = np.argsort(-values, kind="stable")
        for end, place in product(range(len(ENDS)), range(len(ks))):
            top = order[: ks[place]] if end == 0 else order[n - ks[place] :]
            parts[top, end, place] += groups.mass[top] / max(groups.mass[top].sum(), 1)
    firsts = np.searchsorted(np.sort(groups.of), np.arange(len(groups.names)))
    found = np.empty((draws, len(ENDS), len(ks), len(groups.names)))
    for draw in found:
        shuffled = random.permutation(n)
        share = np.add.reduceat(parts[shuffled], firsts) / len(influence)
        corpus_share = np.add.reduceat(groups.mass[shuffled], firsts) / max(groups.mass.sum(), 1)
        with np.errstate(invalid="ignore"):
            draw[:] = np.moveaxis(share / corpus_share[:, None, None], 0, -1)
    found[:, :, ks == n] = 1  # but for rounding it is
    return found


def _cumulated(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... values, row after row."""
    sums = np.zeros(values.size + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
