"""The pages' door to concentration: cached results of ``engine.analysis``. No torch."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.runs import OF_RUN
from engine.analysis.amounts import Sign
from engine.analysis.concentration import (
    concentration_and_curve,
    lorenz_curve,
    tail_curve,
    tail_of,
)
from engine.analysis.inside import inside_documents, pooled_inside
from engine.analysis.rare_tokens import frequency_correlation, token_concentration
from engine.analysis.resampling import FEW_ENOUGH, drawn_by
from engine.analysis.tails import TailFit, cluster_interval
from engine.errors import WhenceError
from engine.run import Run

__all__ = ["FEW_ENOUGH", "Sign", "TailFit"]

TAIL_DRAWS, FREQUENCY_DRAWS = 100, 400
DRAWN = drawn_by(concentration_and_curve) | {"draws_of_tail_fit": TAIL_DRAWS}
"""What chance :func:`concentration` rests on: draws behind each interval, and their seed."""
DRAWN_FREQUENCY = {"draws": FREQUENCY_DRAWS, "seed": drawn_by(cluster_interval)["seed"]}
"""Likewise :func:`frequency_link`."""
DRAWN_INSIDE = drawn_by(pooled_inside)
"""Likewise :func:`inside`."""


@dataclass(frozen=True)
class Concentration:
    """How concentrated the influence on a completion is.

    Attributes:
        measures: A row each, by name (:data:`engine.analysis.amounts.MEASURES`): value, low, high, null_low,
            null_high, shuffled_low, shuffled_high.
        curve: Cumulative share by rank (:func:`engine.analysis.concentration.cumulative_curve`).
        lorenz: Lorenz curve (:func:`engine.analysis.concentration.lorenz_curve`).
        tail: Complementary distribution (:func:`engine.analysis.concentration.tail_curve`).
        fit: Power law of the tail; None where there is too little for one.
        upper_half: Power law of the larger half of the documents of the sign; None likewise.
    """

    measures: pd.DataFrame
    curve: pd.DataFrame
    lorenz: pd.DataFrame
    tail: pd.DataFrame
    fit: TailFit | None
    upper_half: TailFit | None


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=OF_RUN)
def concentration(run: Run, query: int, tokens: tuple[int, ...], sign: Sign) -> Concentration:
    """How concentrated the influence of one sign on a completion is, or on its tokens ``tokens``."""
    chosen = tokens or None
    tail = tail_curve(run, query, chosen, sign)
    half = float(tail.loc[tail["share"] <= 0.5, "amount"].min()) if len(tail) else None
    measures, curve = concentration_and_curve(run, query, chosen, sign)
    return Concentration(
        measures.set_index("measure").drop(columns="sign"),
        curve,
        lorenz_curve(run, query, chosen, sign),
        tail,
        _fit(run, query, chosen, sign, draws=TAIL_DRAWS),
        _fit(run, query, chosen, sign, draws=0, x_min=half),
    )


def _fit(run: Run, query: int, tokens: tuple[int, ...] | None, sign: Sign, **fit: float | None) -> TailFit | None:
    try:
        return tail_of(run, query, tokens, sign, **fit)
    except WhenceError:  # too few documents, or all alike
        return None


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=OF_RUN)
def every_token(run: Run, sign: Sign) -> pd.DataFrame:
    """Concentration, frequency and loss of every completion token of a run (:func:`token_concentration`)."""
    return token_concentration(run, sign=sign)


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=OF_RUN)
def frequency_link(run: Run, sign: Sign, measure: str) -> pd.DataFrame:
    """Whether a measure of concentration goes with a token's frequency (:func:`frequency_correlation`)."""
    return frequency_correlation(every_token(run, sign), measure, draws=FREQUENCY_DRAWS)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=OF_RUN)
def inside(run: Run, query: int, kind: str, tokens: tuple[int, ...], sign: Sign) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How few tokens carry each document's influence, and which tokens do in all of them together."""
    chosen = (run, query, kind, tokens or None, sign)
    return inside_documents(*chosen), pooled_inside(*chosen)
