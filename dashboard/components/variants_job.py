"""Variants of a document: read if they are there, else asked for once."""

import pandas as pd
import streamlit as st

from dashboard import data, jobs
from dashboard.analyses import word_order as analyses
from dashboard.components import text
from dashboard.components.job_panel import job_panel

KEY = analyses.key_of(analyses.DEFAULT_VARIANTS)


def ask_for_variants(run: data.Run, completion: data.Completion, document: pd.Series) -> analyses.Ablation | None:
    """The usual variants if they are there; else ask for them, once a session.

    Args:
        run: The run.
        completion: The completion under study.
        document: The document's row of the ranking.
    """
    asked = (run, completion.query, int(document["document"]))
    job = analyses.ablation_job(*asked, KEY)
    found = analyses.ablation(*asked, KEY)  # after the job, which may have ended just now
    once = f"_asked_{asked[1:]}_{run.path}"
    gone = job is not None and job.state == "done" and once not in st.session_state
    if found is None and (job is None or gone):
        st.session_state[once] = True
        analyses.submit_ablation(*asked, analyses.DEFAULT_VARIANTS, f"Variants of {text.plain(document['title'], 80)}")
    return found


def variants_or_job(
    run: data.Run, completion: data.Completion, document: pd.Series, panel: str
) -> analyses.Ablation | None:
    """Likewise, and show how that fares in a panel of this name."""
    found = ask_for_variants(run, completion, document)
    if found is not None:
        return found
    asked = (run, completion.query, int(document["document"]), KEY)
    job = analyses.ablation_job(*asked)
    if job is not None and job.state == "done":
        st.error("The variants were computed but are not there any more.", icon=":material/error:")
        st.button("Compute them again", on_click=jobs.submit_again, args=(job,))
    job_panel(lambda: analyses.ablation_job(*asked), key=panel)
    return None
