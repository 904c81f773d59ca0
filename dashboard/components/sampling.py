"""What pages say and leave out where a run's influence was sampled (Bayesian influence function)."""

import streamlit as st

from dashboard import data
from dashboard.components.imported import imported_note

NO_VARIANTS = (
    "influence was sampled: it is known of the documents of the corpus, by predicted token, but not of texts that the "
    "model never saw, nor by position. Fit another run of the same corpus with `--estimator ekfac` for this."
)


def sampling_note(run: data.Run, completion: data.Completion) -> None:
    """How well the chains have mixed for a completion; nothing where influence was not sampled."""
    found = data.mixing(run, completion.query)
    if found is None:
        return
    st.caption(found.sentence)
    if found.warning:
        st.warning(found.warning, icon=":material/warning:")


def need_variants(run: data.Run) -> None:
    """Go on only if texts can be scored that are not in the corpus; else say why not, and what to do."""
    if imported_note(run, "Variants of documents cannot be scored"):
        st.stop()
    if run.is_sampled:
        st.info(f"Variants of documents cannot be scored in this run: its {NO_VARIANTS}", icon=":material/info:")
        st.stop()
