"""Order very many numbers quickly: NumPy sorts numbers in a sixth of the time that it takes to sort their places."""

import numpy as np


def by_size(values: np.ndarray) -> np.ndarray:
    """Places of the values, the largest first, equal ones in the order given, ``[n]``: a stable sort's answer."""
    return _ascending(-values)


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, the smallest first, of equal values the mean of theirs, ``[n]``; nan for all where one is nan."""
    values = np.asarray(values)
    if np.isnan(values).any():
        return np.full(len(values), np.nan)
    order = _ascending(values)
    found = values[order]
    starts = np.flatnonzero(np.append(True, found[1:] != found[:-1]))
    ends = np.append(starts[1:], len(found))
    ranks = np.empty(len(found))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks


def _ascending(values: np.ndarray) -> np.ndarray:
    """Places of the values, the smallest first, equal ones in the order given, ``[n]``."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32) + np.float32(0)  # without a negative zero, which is equal to zero
    if len(values) >= 1 << 32 or not np.array_equal(single, values):
        return np.argsort(values, kind="stable")
    # Influence is stored in float32: its bits and its place make one whole number, in the same order.
    bits = single.view(np.uint32)
    bits = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    keys = bits.astype(np.uint64) << np.uint64(32) | np.arange(len(bits), dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64((1 << 32) - 1)).astype(np.int64)
