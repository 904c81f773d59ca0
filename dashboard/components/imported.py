"""What pages say and leave out where a run's influence was computed by another program and imported."""

import streamlit as st

from dashboard import data

WITHOUT_MODEL = (
    "{what} in this run: its influence was computed by {tool} and imported, without the model and its curvature. "
    "Compute a run of the same corpus with `fit`, `query` and `score` for this."
)


def imported_note(run: data.Run, what: str) -> bool:
    """Whether a run was imported; then the page says so, and what it therefore lacks.

    Args:
        run: The run.
        what: What cannot be done: ``Variants of documents cannot be scored``.
    """
    if run.imported:
        st.info(WITHOUT_MODEL.format(what=what, tool=run.imported), icon=":material/move_to_inbox:")
    return bool(run.imported)
