"""What removals came to: which method hurts a completion most, and measured against predicted change (no torch)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from engine.analysis.tails import percentiles

INFLUENCE, BM25, RANDOM = "EK-FAC", "BM25", "random"
"""What chose the things that were left out."""
DOCUMENTS, TOKENS = "documents", "tokens"
DRAWS = 2_000
Points = Sequence[dict[str, Any]]
"""Rows ``what, method, id, predicted, measured``: a removal's change of one completion's log-probability, nats."""


def compare_methods(points: Points) -> list[dict[str, Any]]:
    """Of documents and of tokens and for each method: the mean ``rise`` of the completion's loss with its 95% interval
    over completions; of EK-FAC ``of_bm25`` too, the ratio of its rise to that of BM25."""
    rows = []
    for what in (DOCUMENTS, TOKENS):
        rises = {method: _by_completion(points, what, method) for method in (INFLUENCE, BM25, RANDOM)}
        for method, rise in rises.items():
            row: dict[str, Any] = {"what": what, "method": method, **_with_interval("rise", rise)}
            against = rises[BM25] if method == INFLUENCE else None
            rows.append(row | _with_interval("of_bm25", rise, against, known=against is not None))
    return rows


def _by_completion(points: Points, what: str, method: str) -> np.ndarray:
    """Rise of each completion's loss, nats; means over draws."""
    found: dict[str, list[float]] = {}
    for point in points:
        if (point["what"], point["method"]) == (what, method):
            found.setdefault(point["id"], []).append(-point["measured"])
    return np.asarray([np.mean(found[id]) for id in sorted(found)])


def _with_interval(
    name: str, rise: np.ndarray, against: np.ndarray | None = None, known: bool = True
) -> dict[str, float | None]:
    """The mean, or its ratio to another's, and the interval over completions drawn anew."""
    if not known:
        return {name: None, f"{name}_low": None, f"{name}_high": None}

    def statistic(at: np.ndarray) -> np.ndarray:
        mean = rise[at].mean(-1)
        return mean if against is None else mean / against[at].mean(-1)

    low, high = interval(len(rise), statistic)
    return {name: float(statistic(np.arange(len(rise)))), f"{name}_low": low, f"{name}_high": high}


def calibrate(points: Points) -> list[dict[str, Any]]:
    """Of documents and of tokens: ``slope``, measured change per predicted one, and ``correlation``, with intervals.

    Random removals are left out: they have a prediction of nearly nothing.
    """
    rows = []
    for what in (DOCUMENTS, TOKENS):
        chosen = [point for point in points if point["what"] == what and point["method"] != RANDOM]
        predicted, measured = (np.asarray([point[name] for point in chosen]) for name in ("predicted", "measured"))
        row: dict[str, Any] = {"what": what, "points": len(chosen)}
        for name, statistic in (("slope", slope), ("correlation", correlation)):
            of = partial(_at, statistic, predicted, measured)
            row[name] = float(statistic(predicted, measured))
            row[f"{name}_low"], row[f"{name}_high"] = interval(len(chosen), of)
        rows.append(row)
    return rows


def slope(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Least squares through the origin along the last axis: measured change per predicted one."""
    return (predicted * measured).sum(-1) / (predicted * predicted).sum(-1)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation along the last axis."""
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


def _at(statistic: Callable[..., np.ndarray], a: np.ndarray, b: np.ndarray, places: np.ndarray) -> np.ndarray:
    return statistic(a[places], b[places])


def interval(count: int, statistic: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """Central 95% of a statistic of what is drawn anew; ``statistic`` takes places ``[draws, count]``."""
    low, high = percentiles(statistic(np.random.default_rng(0).choice(count, (DRAWS, count))))
    return float(low), float(high)
