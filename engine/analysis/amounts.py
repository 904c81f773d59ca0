"""Amounts of influence of one sign, and how concentrated they are.

Measures are taken of the *amounts* of influence of one sign: what raises (``positive``), what
lowers (``negative``), or the size of either (``both``). Arrays have documents on their last axis.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import nan
from typing import Literal

import numpy as np
import pandas as pd

from engine.errors import WhenceError

Sign = Literal["positive", "negative", "both"]
TOP = 0.01
"""Share of documents whose share of influence is reported, at least one document (Grosse et al. 2023: the top 1%)."""
FEW = 10
"""Documents that ``top_10`` is of."""
AT_ONCE = 2
"""Rows of very many documents that are measured at once."""
LONG = 1 << 17
"""Documents from which a thread is worth it."""
MEASURES = ("documents", "total", "top_10", "top_share", "top_share_of_all", "gini", "effective_number")


@dataclass(frozen=True)
class Steps:
    """Amounts, largest first, as a staircase: so many documents with about the same amount, then the next.

    Where a step is one document, nothing is lost; that is how the strongest always stand.

    Attributes:
        counts: Documents of each step, ``[rows, steps]``, or ``[1, steps]`` where all rows have the same.
        amounts: Their mean amount, ``[rows, steps]`` or ``[1, steps]``, not rising along a row.
        squares: Their mean square, as shaped as ``amounts``.
    """

    counts: np.ndarray
    amounts: np.ndarray
    squares: np.ndarray

    def measures(self) -> np.ndarray:
        """:data:`MEASURES` of each row, ``[rows, measures]``; more in :func:`measures`."""
        reached = np.cumsum(self.counts, -1)
        held, documents = (self.counts * (self.amounts > 0)).sum(-1), reached[..., -1]
        weighed = self.counts * self.amounts
        total = weighed.sum(-1)
        # Documents of a step have the ranks reached - count + 1 to reached.
        by_rank = (weighed * (reached - (self.counts - 1) / 2)).sum(-1)
        gini = np.maximum((held + 1 - 2 * over(by_rank, total)) / np.maximum(held, 1), 0)
        ranks = np.stack(np.broadcast_arrays(FEW, first(held, TOP), first(documents, TOP)), -1)
        of_few, of_held, of_all = self.shares(ranks).T
        effective = over(total**2, (self.counts * self.squares).sum(-1))
        return np.stack(np.broadcast_arrays(held, total, of_few, of_held, of_all, gini, effective), -1)

    def shares(self, ranks: np.ndarray) -> np.ndarray:
        """Share held by the first documents, ``[rows, ranks]``, nan where all amounts are zero.

        Args:
            ranks: Numbers of documents, ``[rows, ranks]``, or ``[ranks]`` for all rows alike.
        """
        reached, held = (np.cumsum(of, -1) for of in (self.counts, self.counts * self.amounts))
        ranks = np.broadcast_to(ranks, (len(held), np.shape(ranks)[-1]))
        rows = zip(ranks, np.broadcast_to(reached, held.shape), held, strict=True)
        found = [np.interp(of, np.append(0, nodes), np.append(0, sums)) for of, nodes, sums in rows]
        return over(np.array(found).reshape(ranks.shape), held[:, -1:])


def steps_of(amounts: np.ndarray) -> Steps:
    """A step for each document, and one for those that have no amount in any row.

    Args:
        amounts: ``[rows, documents]``, in any order.
    """
    ordered = descending(amounts)
    documents, held = ordered.shape[-1], int((ordered > 0).sum(-1).max(initial=0))
    counts = np.ones(min(held + 1, documents), dtype=np.int64)
    counts[held:] = documents - held
    ordered = ordered[:, : len(counts)]
    return Steps(counts[None], ordered, np.square(ordered))


def amounts(influence: np.ndarray, sign: Sign = "positive") -> np.ndarray:
    """Amounts of influence of one sign, float64 as shaped as ``influence``; zero where it has another.

    Raises:
        WhenceError: If a value is not finite, there is no document, or the sign is unknown.
    """
    sides = {"positive": (0.0, np.inf), "negative": (-np.inf, 0.0), "both": (-np.inf, np.inf)}
    if sign not in sides:
        raise WhenceError(f"sign {sign!r} is unknown -- choose one of {', '.join(sides)}.")
    return np.abs(np.clip(_checked(influence, -np.inf), *sides[sign]))


def cumulative_shares(amounts: np.ndarray) -> np.ndarray:
    """Share held by the first 1, 2, ... documents, strongest first, ``[..., documents]``; nan where all are zero."""
    return over(cumulative := np.cumsum(descending(amounts), -1), cumulative[..., -1:])


def lorenz(amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lorenz curve: share of documents, weakest first, and of influence, ``[documents + 1]`` each, from 0 to 1."""
    cumulative = np.concatenate([[0.0], np.cumsum(np.sort(_checked(amounts)))])
    return np.linspace(0, 1, len(cumulative)), over(cumulative, cumulative[-1:])


def gini(amounts: np.ndarray) -> np.ndarray:
    """Gini coefficient over all documents ``[...]``: 0 for equal ones, ``1 - 1/documents`` for a single one."""
    ordered = descending(amounts)
    count = ordered.shape[-1]
    by_rank = ordered @ np.arange(1, count + 1)
    return np.maximum((count + 1 - 2 * over(by_rank, ordered.sum(-1))) / count, 0)


def top_share(amounts: np.ndarray, share: float = TOP) -> np.ndarray:
    """Share of influence ``[...]`` held by this share of all documents, rounded up to whole documents."""
    ordered = descending(amounts)
    return over(ordered[..., : first(ordered.shape[-1], share)].sum(-1), ordered.sum(-1))


def effective_number(amounts: np.ndarray) -> np.ndarray:
    """``(sum I)^2 / sum I^2``, ``[...]``: as many equal documents would be as concentrated (inverse Simpson index)."""
    amounts = _checked(amounts)
    return over(amounts.sum(-1) ** 2, np.square(amounts).sum(-1))


def measures(influence: np.ndarray, sign: Sign = "positive") -> pd.DataFrame:
    """Every measure of some completions or completion tokens.

    Args:
        influence: ``[rows, documents]``, in the unit of the measurement.
        sign: What to measure.

    Returns:
        A row each: documents (with that sign), total (their amount), top_10 (share of the ten strongest), top_share
        (of the top 1% of those documents), top_share_of_all (of as many as 1% of all), gini (among those),
        effective_number. nan where there are none.
    """

    def of_row(row: np.ndarray) -> np.ndarray:
        return steps_of(amounts(row[None], sign)).measures()[0]

    with ThreadPoolExecutor(AT_ONCE) as pool:  # a row at a time each, for the memory
        rows = list((pool.map if influence.shape[-1] >= LONG else map)(of_row, influence))
    table = pd.DataFrame(np.reshape(rows, (len(rows), len(MEASURES))), columns=list(MEASURES))
    return table.astype({"documents": np.int64})


def descending(amounts: np.ndarray) -> np.ndarray:
    """Sorted along the last axis, largest first; refuses what is no amount."""
    return -np.sort(-_checked(amounts), axis=-1)


def over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, nan where the whole is zero."""
    return np.divide(part, whole, out=np.full(np.shape(part), nan), where=np.asarray(whole) > 0)[()]


def first(count: np.ndarray | int, share: float) -> np.ndarray:
    """This share of some documents, rounded up; a rounding error above a whole number does not add one."""
    return np.maximum(np.ceil(np.asarray(count) * share - 1e-9), 1).astype(np.int64)


def _checked(values: np.ndarray, lowest: float = 0.0) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise WhenceError("no influences -- nothing can be concentrated -- give one for each document.")
    if not (np.isfinite(values) & (values >= lowest)).all():
        what = "not finite" if np.isneginf(lowest) else "not finite, or below zero"
        raise WhenceError(f"influences are {what} -- their shares have no meaning -- check the run's scores.")
    return values
