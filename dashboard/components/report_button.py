"""A report to hand on, made when it is asked for."""

import streamlit as st

from dashboard import data
from dashboard.analyses.report import report

HELP = "One HTML file that needs no network and prints on A4: {what}, settings, checks, and what they cannot tell."


def report_button(run: data.Run, completion: data.Completion | None = None) -> None:
    """Offer the report on a completion, or on the first completion of each kind.

    Args:
        run: The run.
        completion: The completion; None for the run.
    """
    queries = [] if completion is None else [completion.query]
    what = "this completion" if queries else "the first completion of each kind"
    named = f"{run.path.resolve().name}-{completion.query}" if completion else run.path.resolve().name
    st.download_button(
        "Report",
        data=lambda: report(run, queries),
        file_name=f"whence-{named}.html",
        mime="text/html",
        icon=":material/description:",
        key="download_report",
        on_click="ignore",
        help=HELP.format(what=what),
    )
