"""Variants of a document: read if they are there, else asked for once."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard import data, jobs
from dashboard.analyses import word_order as analyses
from dashboard.components import text
from dashboard.components.job_panel import job_panel


@dataclass(frozen=True)
class Wanted:
    """Variants.

    Attributes:
        settings: Which.
        what: What they are called while they are computed, before the document's title.
    """

    settings: analyses.VariantSettings = analyses.DEFAULT_VARIANTS
    what: str = "Variants of"


USUAL = Wanted()


def ask_for_variants(
    run: data.Run, completion: data.Completion, document: pd.Series, wanted: Wanted = USUAL
) -> analyses.Ablation | None:
    """Variants if they are there; else ask for them, once a session.

    Args:
        run: The run.
        completion: The completion under study.
        document: The document's row of the ranking.
        wanted: Which variants.
    """
    asked, key = (run, completion.query, int(document["document"])), analyses.key_of(wanted.settings)
    job = analyses.ablation_job(*asked, key)
    found = analyses.ablation(*asked, key)  # after the job, which may have ended just now
    once = f"_asked_{asked[1:]}_{key}_{run.path}"
    gone = job is not None and job.state == "done" and once not in st.session_state
    if found is None and (job is None or gone):
        st.session_state[once] = True
        analyses.submit_ablation(*asked, wanted.settings, f"{wanted.what} {text.plain(document['title'], 80)}")
    return found


def variants_or_job(
    run: data.Run, completion: data.Completion, document: pd.Series, panel: str, wanted: Wanted = USUAL
) -> analyses.Ablation | None:
    """Likewise, and show how that fares in a panel of this name."""
    found = ask_for_variants(run, completion, document, wanted)
    if found is not None:
        return found
    asked = (run, completion.query, int(document["document"]), analyses.key_of(wanted.settings))
    job = analyses.ablation_job(*asked)
    if job is not None and job.state == "done":
        st.error("The variants were computed but are not there any more.", icon=":material/error:")
        st.button("Compute them again", on_click=jobs.submit_again, args=(job,))
    job_panel(lambda: analyses.ablation_job(*asked), key=panel)
    return None
