"""Order very many numbers quickly: NumPy's plain sort is vectorised, its stable one takes three times as long."""

import numpy as np


def by_size(values: np.ndarray) -> np.ndarray:
    """Places of the values, the largest first, equal ones in the order given, ``[n]``: a stable sort's answer."""
    order = np.argsort(-values)
    found = values[order]
    after = np.append(False, found[1:] == found[:-1])  # equal to the one before
    tied = np.flatnonzero(after | np.append(after[1:], False))
    if len(tied):
        run, places = np.cumsum(~after)[tied], order[tied]
        order[tied] = places[np.lexsort((places, run))]
    return order


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, the smallest first, of equal values the mean of theirs, ``[n]``; nan for all where one is nan."""
    values = np.asarray(values)
    if np.isnan(values).any():
        return np.full(len(values), np.nan)
    order = np.argsort(values)
    found = values[order]
    starts = np.flatnonzero(np.append(True, found[1:] != found[:-1]))
    ends = np.append(starts[1:], len(found))
    ranks = np.empty(len(found))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks
