"""Can a completion's strongest documents be relied on? A rule that was fixed before any run was looked at.

Pure functions of numbers; the same numbers decide and are written into the rule's sentences. The bounds are ours.
That rankings overlap is no evidence in itself, as those of meaningless directions do too, so a completion's documents
have to stand out from what such directions find.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from engine.analysis.amounts import FEW, measures

Verdict = Literal["steady", "shaky", "noise"]
TOP = FEW
"""Strongest documents that are looked at."""
KEPT = 7
"""How many of them have to stay."""
QUANTILE = 0.95
"""Of what random directions give."""
FEW_TOKENS = 2 / 3
"""L2 over L1 of a document's token influences above which few tokens carry it (Grosse et al. 2023: noise)."""
CHANGES = {
    "damping": "a tenth and ten times of the damping factor",
    "halves": "factors fitted on either half of the documents they were fitted on",
    "seeds": "factors fitted with other sampled labels",
}
"""Kinds of change by name, and what they are."""


def top_share(influence: np.ndarray) -> np.ndarray:
    """Share of all positive influence that the strongest documents hold, ``[rows]`` from ``[rows, documents]``; nan
    where nothing is positive."""
    return measures(influence)["top_10"].to_numpy()


def kept(influence: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """How many of each row's strongest documents stay among the strongest, int ``[rows]``; of equals the first.

    Args:
        influence: ``[rows, documents]``.
        changed: The same after a change.
    """
    before, after = (np.argsort(-values, axis=1, kind="stable")[:, :TOP] for values in (influence, changed))
    return (before[:, :, None] == after[:, None, :]).any(2).sum(1)


def null_quantile(values: np.ndarray) -> float:
    """What random directions stay below: the :data:`QUANTILE` of a figure of theirs; zero where it is not defined."""
    return float(np.quantile(np.nan_to_num(values), QUANTILE))


def verdict(share: float, null_share: float, stay: Mapping[str, float]) -> Verdict:
    """The rule.

    Args:
        share: :func:`top_share` of the completion; nan is noise.
        null_share: :func:`null_quantile` of that of random directions.
        stay: By kind of change how many of the strongest documents are :func:`kept`, mean over its variants.
    """
    if not share > null_share:
        return "noise"
    return "shaky" if any(count < KEPT for count in stay.values()) else "steady"


def in_few_tokens(l2_l1: float) -> bool:
    """Whether a document's influence sits in a few of its tokens."""
    return bool(l2_l1 > FEW_TOKENS)


def rule_text(directions: int) -> str:
    """The rule in plain sentences.

    Args:
        directions: Random directions that were drawn.
    """
    changes = "; ".join(f"{name} ({what})" for name, what in CHANGES.items())
    return (
        f"Noise: the {TOP} strongest documents hold no larger a share of all positive influence than they do for "
        f"{QUANTILE:.0%} of {directions} random directions, which are gradients of the completions with the signs of "
        "their entries in the eigenbasis drawn at random. "
        f"Shaky: not noise, but under one kind of change fewer than {KEPT} of the {TOP} stay among the {TOP} strongest "
        f"(mean over its variants). Steady: otherwise. Kinds of change: {changes}. "
        "The verdict is about how robust the ranking is, not about whether it is true: check lds and check removal are "
        "about that."
    )
