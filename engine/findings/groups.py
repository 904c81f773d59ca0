"""Two groups of completions compared, and what a rule's estimates lack."""

from collections.abc import Callable, Mapping

import numpy as np

from engine.analysis.tails import percentiles
from engine.findings.rules import RULES, Estimate
from engine.findings.study import Study


def between(
    study: Study, first: np.ndarray, second: np.ndarray, statistic: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Estimate | None:
    """A comparison of two groups, each drawn anew on its own; None where one has no value.

    Args:
        study: Says how many draws, and their seed.
        first: One value per completion of one group, ``[n]``; nan are left out.
        second: Of the other, ``[m]``.
        statistic: From values ``[..., n]`` and ``[..., m]`` to the comparison ``[...]``.
    """
    first, second = (values[~np.isnan(values)] for values in (first, second))
    if not min(len(first), len(second)):
        return None
    random = np.random.default_rng(study.seed)
    drawn = [random.choice(values, (study.draws, len(values))) for values in (first, second)]
    ends = percentiles(statistic(*drawn))
    return Estimate(float(statistic(first, second)), *ends, min(len(first), len(second)))


def shortages(name: str, found: Mapping[str, Estimate], advice: str) -> list[str]:
    """Which estimates rest on fewer things than the finding's rule asks for, a sentence each, and what to do."""
    parts = RULES[name].parts
    return list(dict.fromkeys(
        f"{one.units} {parts[key].of} are too few, the rule asks for {parts[key].least} -- {advice}."
        for key, one in found.items() if one.units < parts[key].least
    ))  # fmt: skip
