"""Measure findings from the page: how long it takes, which run to compare with, the job, the command."""

import time

import streamlit as st

from dashboard import data
from dashboard.analyses import finding_jobs as jobs
from dashboard.analyses.findings import CLAIMS
from dashboard.components import text
from dashboard.components.imported import imported_note
from dashboard.components.job_panel import job_panel

NONE = "None"
ALL = len(CLAIMS)


def measure(run: data.Run, only: str | None = None) -> None:
    """Offer to measure all findings, or one; while a job does it, show how that fares.

    Args:
        run: The run.
        only: The one finding to measure.
    """
    if imported_note(run, "Findings cannot be measured"):
        return
    job = jobs.findings_job(run)
    if job is not None and job.is_active:
        if only is None:
            job_panel(lambda: jobs.findings_job(run), key="findings_job")
        else:
            st.caption("Findings are being measured; see above.")
        return
    key = only or "all"
    others = jobs.other_runs(run)
    labels = {text.plain(name, 60): name for name in others}
    st.markdown(_time(run, only))
    other = None
    if others:
        chosen = st.selectbox(
            "Compare with the run of another model", [*labels, NONE], key=f"other_model_{key}", width=420,
            help="Some findings compare two models on the same documents and completions.",
        )  # fmt: skip
        other = others.get(labels.get(chosen, ""))
    st.button(
        "Measure all findings" if only is None else "Measure this finding", key=f"measure_{key}",
        type="primary", icon=":material/play_arrow:", on_click=jobs.submit_findings, args=(run, other, only),
    )  # fmt: skip
    st.caption("Or from a terminal, where `--truth` may name a file that says what is known of the completions:")
    st.code(jobs.command(run, other, only), language=None)


def ended_badly(run: data.Run, newest: str) -> None:
    """Say why the last job did not come to its end, unless a finding was measured after it, at ``newest`` in UTC."""
    job = jobs.findings_job(run)
    if job is None or job.state not in ("failed", "cancelled"):
        return
    if time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(job.finished)) >= newest:
        job_panel(lambda: jobs.findings_job(run), key="findings_job")


def _time(run: data.Run, only: str | None) -> str:
    taken = jobs.seconds_taken(run)
    goes_on = "It can be cancelled, and goes on later from the findings that are done."
    if only is not None:
        return "A single finding takes from seconds to minutes; word order and layers load the model."
    if taken is None:
        return (
            "Most findings need seconds, those that load the model (word order, layers) minutes; none was measured in "
            f"any run here yet, so no time can be named. {goes_on}"
        )
    name, seconds, number = taken
    some = f"all {number}" if number == ALL else f"{number} of {ALL}"
    return f"On “{text.escape(name)}” {some} took {text.duration(seconds)}. {goes_on}"
