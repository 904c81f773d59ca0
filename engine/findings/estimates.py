"""Estimates over completions: a statistic of some values and its interval when completions are drawn anew."""

from collections.abc import Callable

import numpy as np

from engine.analysis.resampling import interval
from engine.findings.rules import Estimate
from engine.findings.study import Study


def over_completions(
    study: Study, values: np.ndarray, statistic: Callable[..., np.ndarray] = np.mean, null: float = float("nan")
) -> Estimate | None:
    """A statistic of one value per completion; None where there is no value.

    Args:
        study: Says how many draws, and their seed.
        values: ``[completions]``; nan are left out.
        statistic: Like ``numpy.mean``, over the axis it is given.
        null: As in :class:`.rules.Estimate`.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = interval(len(values), lambda at: statistic(values[at], axis=-1), study.draws, study.seed)
    return Estimate(float(statistic(values, axis=-1)), low, high, len(values), null)


def present(estimates: dict[str, Estimate | None]) -> dict[str, Estimate]:
    """Those that could be made."""
    return {name: estimate for name, estimate in estimates.items() if estimate is not None}
