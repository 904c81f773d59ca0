"""Which tokens of a training document raised a completion, and which lowered it?

Tokens are shown in units (:mod:`engine.analysis.units`); a unit's influence is the sum over
its tokens, so that units add up to the document's influence just as tokens do.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.analysis.units import Unit
from engine.run import TokenInfluence

START_PLACE = -1
"""Place of the model's start token; the document's tokens are numbered from 0."""
CLIP_FROM = 200
"""With this many values or more the scale ends at the 99th percentile: one outlier must not pale the rest."""


def unit_influence(influence: TokenInfluence, units: Sequence[Unit]) -> np.ndarray:
    """Influence summed within units, the start token first.

    Args:
        influence: A document's token influences.
        units: The document's units.

    Returns:
        float64 ``[completion tokens, 1 + units]``, in the unit of the measurement. Column 0
        is the start token, zero where the model has none; units without tokens are zero.
    """
    of_tokens = influence.of_tokens
    unit_of = np.zeros(of_tokens.shape[1], dtype=np.int64)
    for number, unit in enumerate(units):
        unit_of[list(unit.tokens)] = number
    summed = np.zeros((1 + len(units), len(of_tokens)))
    summed[0] = influence.of_start
    np.add.at(summed, 1 + unit_of, of_tokens.T)
    return summed.T


def token_table(text: str, units: Sequence[Unit], values: np.ndarray) -> pd.DataFrame:
    """Units of a document by strength, those without tokens left out.

    Args:
        text: The document's text.
        units: Its units.
        values: Influence of the start token and of each unit, ``[1 + units]``.

    Returns:
        rank, text, place, tokens, influence, share. ``place`` is the number of the unit's
        first token, :data:`START_PLACE` for the start token, which is listed if it has
        influence. ``share`` is the part of all that raises, or of all that lowers.
    """
    rows = [("", START_PLACE, 1, values[0])] if values[0] else []
    rows += [
        (text[unit.start : unit.end], unit.tokens[0], len(unit.tokens), value)
        for unit, value in zip(units, values[1:], strict=True)
        if unit.tokens
    ]
    table = pd.DataFrame(rows, columns=["text", "place", "tokens", "influence"])
    size = table["influence"].abs()
    totals = size.groupby(np.sign(table["influence"])).transform("sum")
    table["share"] = (size / totals.where(totals > 0)).fillna(0.0)
    table = table.sort_values("influence", key=abs, ascending=False, kind="stable", ignore_index=True)
    table.insert(0, "rank", range(1, len(table) + 1))
    return table


def scale_of(values: Sequence[float]) -> float:
    """Value that gets the full colour; take the same for texts that are compared."""
    sizes = np.abs(np.asarray(values, dtype=float))
    if not len(sizes) or not sizes.max():
        return 1.0
    if len(sizes) < CLIP_FROM:
        return float(sizes.max())
    return float(np.quantile(sizes, 0.99)) or float(sizes.max())
