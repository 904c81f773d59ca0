"""A report to hand on, made when it is asked for."""

import streamlit as st

from dashboard import data
from dashboard.analyses.report import report

HELP = "One HTML file that needs no network and prints on A4: {what}, settings, checks, and what they cannot tell."


def report_button(run: data.Run, *completions: data.Completion, label: str = "Report") -> None:
    """Offer the report on some completions, or on the first completion of each kind.

    Args:
        run: The run.
        completions: The completions; none for the run.
        label: What the button says; a page with two of them gives each its own.
    """
    if run.imported:  # a report states curvature, checks and baselines, which an import does not know
        return
    queries = [one.query for one in completions]
    what = ("the first completion of each kind", "this completion", "both completions")[len(queries)]
    named = "-".join([run.path.resolve().name, *map(str, queries)])
    st.download_button(
        label,
        data=lambda: report(run, queries),
        file_name=f"whence-{named}.html",
        mime="text/html",
        icon=":material/description:",
        key=f"download_{label}",
        on_click="ignore",
        help=HELP.format(what=what),
    )
