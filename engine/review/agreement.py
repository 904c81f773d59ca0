"""Do reviewers agree beyond chance? Cohen's kappa of each two, with its interval over documents.

``kappa = (observed - expected) / (1 - expected)``: the share of documents with the same label, against what two
reviewers with these habits would share by chance (Cohen 1960, Educational and Psychological Measurement 20).
"""

from itertools import combinations

import numpy as np
import pandas as pd

from engine.analysis.resampling import interval
from engine.review.events import Reviewer
from engine.review.review import Review

ENOUGH = 20
"""Documents labelled by both from which an interval is drawn; with fewer it would promise more than it holds."""
COLUMNS = ["first", "second", "documents", "same", "kappa", "low", "high"]


def agreement(review: Review) -> pd.DataFrame:
    """How far each two reviewers agree on the documents that both gave a label.

    Returns:
        first, second (reviewers), documents, same (share with the same label), kappa (None where both gave one and the
        same label throughout, as chance would then explain everything), low and high (central 95% over documents drawn
        anew; None with fewer than :data:`ENOUGH`).
    """
    labels: dict[Reviewer, dict[int, str]] = {}
    for number, found in review.standings().items():
        for one in found.opinions:
            if one.label:
                labels.setdefault(one.reviewer, {})[number] = one.label
    rows = []
    for first, second in combinations(sorted(labels), 2):
        both = sorted(labels[first].keys() & labels[second].keys())
        if both:
            names = ([labels[who][number] for number in both] for who in (first, second))
            rows.append({"first": first, "second": second} | _agreement(*map(np.asarray, names)))
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[-3:], object))


def _agreement(first: np.ndarray, second: np.ndarray) -> dict[str, float | int | None]:
    from sklearn.metrics import cohen_kappa_score

    codes = np.unique([first, second], return_inverse=True)[1].reshape(2, -1)
    row: dict[str, float | int | None] = {"documents": len(first), "same": float((first == second).mean())}
    row |= dict.fromkeys(COLUMNS[-3:])
    if codes.max() == 0:
        return row
    row["kappa"] = float(cohen_kappa_score(first, second))
    if len(first) >= ENOUGH:
        row["low"], row["high"] = interval(len(first), lambda at: kappas(codes[0][at], codes[1][at]))
    return row


def kappas(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cohen's kappa along the last axis, for many draws at once; nan where all labels are one and the same.

    Args:
        first: Labels as numbers from 0, ``[draws, n]``.
        second: The other reviewer's.
    """
    values = range(int(max(first.max(), second.max())) + 1)
    expected = np.sum([(first == one).mean(-1) * (second == one).mean(-1) for one in values], axis=0)
    observed, room = (first == second).mean(-1), 1 - expected
    kappa = np.full(room.shape, np.nan)
    np.divide(observed - expected, room, out=kappa, where=room > 1e-12)
    return kappa
