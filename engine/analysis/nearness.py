"""Do documents that lie near each other on the map belong together? (coordinates in, numbers out)

A map always shows clusters, also of noise. So what it shows is counted: how often a document's
nearest neighbours share its source, and how well their influence foretells its own, each beside
the same number with labels or influences shuffled among the documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from engine.analysis.tails import percentiles, rank_correlation

NEIGHBOURS = 10


@dataclass(frozen=True)
class Nearness:
    """How far the map goes with a property of the documents.

    Attributes:
        value: What was found on the map.
        low: Lower end of the 95% bootstrap interval over documents.
        high: Upper end.
        null_low: Lower end of what shuffled documents give, 95%.
        null_high: Upper end.
    """

    value: float
    low: float
    high: float
    null_low: float
    null_high: float


def neighbours(places: np.ndarray, count: int = NEIGHBOURS) -> np.ndarray:
    """The nearest other documents of each, int ``[n, min(count, n - 1)]``.

    Args:
        places: Coordinates, ``[n, 2]``.
        count: How many.
    """
    count = min(count, len(places) - 1)
    if count < 1:
        return np.zeros((len(places), 0), dtype=np.int64)
    found = cKDTree(places).query(places, k=count + 1)[1]
    # A document is its own nearest, but where several share one place it may stand elsewhere in the row, or nowhere.
    own = found == np.arange(len(places))[:, None]
    own[~own.any(1), -1] = True
    return found[~own].reshape(len(places), count)


def same_label(labels: Sequence[str], near: np.ndarray, draws: int = 100, seed: int = 0) -> Nearness:
    """Mean share of a document's neighbours that have its label.

    Args:
        labels: Source or language of each document, ``[n]``.
        near: From :func:`neighbours`.
        draws: Resamples, and shuffles.
        seed: Of both.
    """
    codes, random = np.unique(np.asarray(labels, dtype=str), return_inverse=True)[1], np.random.default_rng(seed)
    if near.shape[1] == 0:
        return Nearness(nan, nan, nan, nan, nan)
    shares = (codes[near] == codes[:, None]).mean(1)
    drawn = [shares[random.integers(len(shares), size=len(shares))].mean() for _ in range(draws)]
    null = []
    for _ in range(draws):
        shuffled = random.permutation(codes)
        null.append((shuffled[near] == shuffled[:, None]).mean())
    return Nearness(float(shares.mean()), *percentiles(np.array(drawn)), *percentiles(np.array(null)))


def foretold(values: np.ndarray, near: np.ndarray, draws: int = 100, seed: int = 0) -> Nearness:
    """Spearman correlation of each document's value with the mean of its neighbours'.

    Args:
        values: Influence of each document, ``[n]``.
        near: From :func:`neighbours`.
        draws: Resamples, and shuffles.
        seed: Of both.
    """
    if near.shape[1] == 0:
        return Nearness(nan, nan, nan, nan, nan)
    random, around = np.random.default_rng(seed), values[near].mean(1)
    drawn, null = [], []
    for _ in range(draws):
        some = random.integers(len(values), size=len(values))
        drawn.append(rank_correlation(values[some], around[some]))
        shuffled = random.permutation(values)
        null.append(rank_correlation(shuffled, shuffled[near].mean(1)))
    middle = rank_correlation(values, around)
    return Nearness(middle, *percentiles(np.array(drawn)), *percentiles(np.array(null)))


def inside(places: np.ndarray, corners: Sequence[tuple[float, float]]) -> np.ndarray:
    """Which places lie inside a polygon, bool ``[n]``: those from which a ray crosses an odd number of sides.

    Args:
        places: Coordinates, ``[n, 2]``.
        corners: The polygon's corners in order; the last is joined to the first.
    """
    found = np.zeros(len(places), dtype=bool)
    x, y = places[:, 0], places[:, 1]
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]] if len(corners) else [], strict=True):
        if y0 != y1:
            found ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return found
