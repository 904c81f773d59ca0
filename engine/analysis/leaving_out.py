"""What would leaving some documents out do to every completion? Predicted by influence, to first order."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.analysis.matrix import influence_matrix
from engine.run import Run


def predicted_changes(run: Run, documents: Sequence[int]) -> pd.DataFrame:
    """The change of each completion's measurement if documents had been left out: minus their influence over the
    number of training windows.

    Args:
        run: The run.
        documents: Numbers of the documents.

    Returns:
        One row per completion: query, id, title, kind, predicted (in the unit of the measurement; None where the size
        of the training set is unknown, or one of the documents was not scored).
    """
    table = run.queries[["query", "id", "title", "kind"]].copy()
    if not run.training_windows:
        return table.assign(predicted=pd.Series([None] * len(table), dtype=object))
    influence = influence_matrix(run, table["query"].tolist())[:, list(documents)].astype(np.float64)
    change = -influence.sum(1) / run.training_windows
    predicted = [None if np.isnan(value) else float(value) for value in change]
    return table.assign(predicted=pd.Series(predicted, index=table.index, dtype=object))
