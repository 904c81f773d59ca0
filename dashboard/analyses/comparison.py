"""The pages' door to comparisons: cached results of ``engine.analysis``. No torch."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.runs import OF_RUN
from engine.analysis import comparison
from engine.analysis.comparison import Agreement, Pairs
from engine.analysis.concentration import concentration_and_curve
from engine.analysis.resampling import FEW_ENOUGH, drawn_by
from engine.analysis.sources import multipliers
from engine.run import Run

__all__ = ["FEW_ENOUGH", "Agreement", "Compared", "Pairs", "Side"]

TOP_SOURCES = 100
"""The documents of each side whose sources are compared."""
SIDE_MEASURES = {
    "top_share": "Share of the strongest 1%",
    "gini": "Gini coefficient",
    "effective_number": "Effective number of documents",
}
DRAWN_AGREEMENT = drawn_by(comparison.agreement)
"""What chance the interval of :func:`compared` rests on: its draws and their seed."""
DRAWN_CONCENTRATION = drawn_by(concentration_and_curve)
"""Likewise :func:`side_concentration`."""
DRAWN_SOURCES = drawn_by(multipliers)
"""Likewise :func:`side_sources`."""


@dataclass(frozen=True)
class Side:
    """One of two things compared: a completion of a run."""

    run: Run
    query: int


_OF_SIDE = {Side: lambda side: (str(side.run.path), side.run.score.get("finished"), side.query)}


@dataclass(frozen=True)
class Compared:
    """How two sides agree (:mod:`engine.analysis.comparison`)."""

    pairs: Pairs
    agreement: Agreement
    tops: pd.DataFrame
    curve: pd.DataFrame
    drawn: np.ndarray


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=_OF_SIDE)
def compared(left: Side, right: Side) -> Compared | None:
    """How two sides agree; None where they have no document in common. Not to be changed by who asks."""
    pairs = comparison.pair_documents(left.run, left.query, right.run, right.query)
    if pairs.table.empty:
        return None
    ranks = [pairs.table[name].to_numpy() for name in ("rank", "other_rank")]
    influences = [pairs.table[name].to_numpy() for name in ("influence", "other_influence")]
    return Compared(
        pairs,
        comparison.agreement(*influences),
        comparison.top_overlap(*ranks),
        comparison.overlap_curve(*ranks),
        comparison.to_draw(*ranks),
    )


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=OF_RUN)
def differing_settings(left: Run, right: Run) -> pd.DataFrame:
    """What was set otherwise in two runs: setting, left, right."""
    return comparison.differing_settings(left, right)


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=_OF_SIDE)
def side_concentration(side: Side) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How concentrated positive influence is, and its cumulative shares.

    Returns:
        measure (readable), value, low, high; and :func:`engine.analysis.concentration.cumulative_curve`, not shuffled.
    """
    table, curve = concentration_and_curve(side.run, side.query, shuffled=False)
    table = table.set_index("measure").loc[list(SIDE_MEASURES), ["value", "low", "high"]].reset_index()
    return table.assign(measure=table["measure"].map(SIDE_MEASURES)), curve


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=_OF_SIDE)
def side_sources(side: Side) -> pd.DataFrame:
    """Sources of the documents that raised a completion most: group, k, share, low, high, corpus_share.

    The interval is that of the multiplier, times the share of the corpus.
    """
    table = multipliers(side.run, [side.query], ks=[TOP_SOURCES])
    table = table[table["end"] == "raised"].reset_index(drop=True)
    bounds = {name: table[name] * table["corpus_share"] for name in ("low", "high")}
    return table.assign(**bounds)[["group", "k", "share", "low", "high", "corpus_share"]]
