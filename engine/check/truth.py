"""Exact answers, and how close an estimator comes to them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from torch import Tensor

from engine.analysis.resampling import mean_with_interval
from engine.settings import ESTIMATORS

DOT = "gradient dot"
"""No curvature at all; in no unit of change, so without errors and slopes."""


@dataclass(frozen=True)
class Truth:
    """What the estimators are held against.

    Attributes:
        curvature: The Gauss-Newton matrix, ``[p, p]``.
        solved: Preconditioned gradients by a dense solve, ``[q, p]``.
        of_documents: Gradients of the documents' log-likelihoods, ``[n, p]``.
        windows: Windows of the corpus.
        chosen: Documents whose response is known.
        responses: Change of each query's measurement when one of them counts once more, ``[q, chosen]``.
    """

    curvature: Tensor
    solved: Tensor
    of_documents: Tensor
    windows: int
    chosen: np.ndarray
    responses: np.ndarray

    def row(self, name: str, solution: Tensor, curvature: Tensor | None) -> dict[str, Any]:
        """An estimator's row, from its preconditioned gradients and its curvature, if it has one."""
        errors = [_relative(found, right) for found, right in zip(solution, self.solved, strict=True)]
        row: dict[str, Any] = {
            "estimator": ESTIMATORS.get(name, name),
            "curvature_error": None if curvature is None else _relative(curvature, self.curvature),
            "solve_error": float(np.median(errors)) if name != DOT else None,
        }
        for column, values in self._agreement(name, solution @ self.of_documents.T).items():
            unknown = dict.fromkeys((column, f"{column}_low", f"{column}_high"))
            row |= unknown if values is None else mean_with_interval(column, np.asarray(values))
        return row

    def _agreement(self, name: str, influence: Tensor) -> dict[str, Any]:
        """How influence, ``[q, n]``, agrees with the exact one and with the responses, for each query."""
        exact, some = self.solved @ self.of_documents.T, influence[:, self.chosen].numpy()
        slopes = (some * self.responses).sum(1) / (some * some).sum(1) * self.windows
        return {
            "correlation": [np.corrcoef(a, b)[0, 1] for a, b in zip(influence.numpy(), exact.numpy(), strict=True)],
            "rank_correlation": [spearmanr(a, b).statistic for a, b in zip(influence, exact, strict=True)],
            "response_correlation": [np.corrcoef(a, b)[0, 1] for a, b in zip(some, self.responses, strict=True)],
            "response_slope": slopes if name != DOT else None,
        }


def _relative(found: Tensor, right: Tensor) -> float:
    return float((found - right).norm() / right.norm())
