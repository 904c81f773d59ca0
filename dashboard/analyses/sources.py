"""The pages' door to sources: cached results of ``engine.analysis``. No torch."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.runs import OF_RUN
from engine.analysis.resampling import FEW_ENOUGH, drawn_by
from engine.analysis.sources import (
    By,
    Weight,
    differs_most,
    multipliers_of_groups,
    rank_by_mean,
    signed_mass,
    stands_out,
)
from engine.errors import WhenceError
from engine.run import Run

__all__ = ["FEW_ENOUGH", "WhenceError", "differs_most", "stands_out"]


DRAWS, FEW_DRAWS = 200, 50
SEED = drawn_by(multipliers_of_groups)["seed"]
MASS_DRAWS = drawn_by(signed_mass)["draws"]
MANY = 1_000_000
"""Documents times completions from which fewer resamplings must do: 200 of them take five seconds for each million."""

Groups = tuple[tuple[str, tuple[int, ...]], ...]
"""Groups of completions: name and numbers of each."""


def source_draws(run: Run, groups: Groups) -> int:
    """Resamplings behind each interval of :func:`source_multipliers`."""
    return FEW_DRAWS if run.corpus_documents * sum(len(queries) for _, queries in groups) > MANY else DRAWS


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=OF_RUN)
def source_multipliers(run: Run, groups: Groups, by: By, weight: Weight) -> pd.DataFrame:
    """Share of each source at the ends of the rankings over its share of the corpus, for one group or more.

    See :func:`engine.analysis.sources.multipliers_of_groups`.
    """
    return multipliers_of_groups(run, dict(groups), by, weight, draws=source_draws(run, groups))


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=OF_RUN)
def source_mass(run: Run, queries: Sequence[int], by: By) -> pd.DataFrame:
    """What raises, what lowers and both together, by source (:func:`engine.analysis.sources.signed_mass`)."""
    return signed_mass(run, queries, by)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=OF_RUN)
def source_documents(run: Run, queries: Sequence[int], by: By, group: str) -> pd.DataFrame:
    """Documents of a source by mean influence on some completions (:func:`engine.analysis.sources.rank_by_mean`).

    Not to be changed by who asks: copies of 100,000 rows would cost each page a tenth of a second.
    """
    return rank_by_mean(run, queries, by, group)
