"""How a statistic draws by chance, and its interval over what is drawn anew."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.analysis.tails import percentiles

FEW_ENOUGH = 20_000
"""Documents that every draw goes through; of more, only those that matter one by one."""


def drawn_by(function: Callable[..., Any]) -> dict[str, int]:
    """The draws and the seed that a function takes where it is given none: ``draws``, ``seed``."""
    taken = inspect.signature(function).parameters
    return {name: taken[name].default for name in ("draws", "seed") if name in taken}


def interval(
    count: int, statistic: Callable[[np.ndarray], np.ndarray], draws: int = 2_000, seed: int = 0
) -> tuple[float, float]:
    """Central 95% of a statistic of ``count`` things when they are drawn anew, with replacement.

    Args:
        count: How many there are.
        statistic: From their places, int ``[draws, count]``, to its values ``[draws]``.
        draws: Draws.
        seed: Of the draws.
    """
    return percentiles(statistic(np.random.default_rng(seed).choice(count, (draws, count))))


def mean_with_interval(name: str, values: np.ndarray) -> dict[str, float]:
    """The mean as ``name``, its 95% interval as ``<name>_low`` and ``<name>_high``."""
    low, high = interval(len(values), lambda at: values[at].mean(-1))
    return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
