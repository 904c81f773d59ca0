"""What trainings came to: scores by kind of completion, which method hurts a completion most, and measured against
predicted change (no torch)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from engine.analysis.resampling import interval, mean_with_interval

INFLUENCE, BM25, RANDOM = "EK-FAC", "BM25", "random"
"""What chose the things that were left out."""
DOCUMENTS, TOKENS = "documents", "tokens"
OF_BM25 = ("of_bm25", "of_bm25_low", "of_bm25_high")
Points = Sequence[dict[str, Any]]
"""Rows ``what, method, id, predicted, measured``: a removal's change of one completion's log-probability, nats."""


def compare_methods(points: Points) -> list[dict[str, Any]]:
    """Of documents and of tokens and for each method: the mean ``rise`` of the completion's loss with its 95% interval
    over completions; of EK-FAC ``of_bm25`` too, the ratio of its rise to that of BM25."""
    rows = []
    for what in (DOCUMENTS, TOKENS):
        rises = {method: _by_completion(points, what, method) for method in (INFLUENCE, BM25, RANDOM)}
        for method, rise in rises.items():
            row: dict[str, Any] = {"what": what, "method": method, **mean_with_interval("rise", rise)}
            ratio = _ratio(rise, rises[BM25]) if method == INFLUENCE else dict.fromkeys(OF_BM25)
            rows.append(row | ratio)
    return rows


def _by_completion(points: Points, what: str, method: str) -> np.ndarray:
    """Rise of each completion's loss, nats; means over draws."""
    found: dict[str, list[float]] = {}
    for point in points:
        if (point["what"], point["method"]) == (what, method):
            found.setdefault(point["id"], []).append(-point["measured"])
    return np.asarray([np.mean(found[id]) for id in sorted(found)])


def _ratio(rise: np.ndarray, against: np.ndarray) -> dict[str, float | None]:
    """Ratio of two means with its interval; the same completions are drawn for both."""
    low, high = interval(len(rise), lambda at: rise[at].mean(-1) / against[at].mean(-1))
    return dict(zip(OF_BM25, (float(rise.mean() / against.mean()), low, high), strict=True))


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
    """Pearson correlation along the last axis; zero where one of the two does not vary."""
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    size = np.asarray(np.sqrt((a * a).sum(-1) * (b * b).sum(-1)))
    return np.divide((a * b).sum(-1), size, out=np.zeros_like(size), where=size > 0)


def _at(statistic: Callable[..., np.ndarray], a: np.ndarray, b: np.ndarray, places: np.ndarray) -> np.ndarray:
    return statistic(a[places], b[places])


def by_kind(queries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean linear datamodeling score of each kind of completion, a column per estimator, the most frequent kind first.

    Args:
        queries: Rows ``estimator, id, kind, lds``.
    """
    table = pd.DataFrame(queries)
    counts = table.drop_duplicates("id")["kind"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    means = table.groupby(["kind", "estimator"])["lds"].mean().unstack()
    means = means.loc[counts.index, table["estimator"].unique()]
    return [{"kind": kind, "completions": int(counts[kind])} | row for kind, row in means.to_dict("index").items()]
