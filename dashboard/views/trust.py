"""How far can these influences be trusted?"""

import pandas as pd
import streamlit as st

from dashboard import data, runs
from dashboard.analyses import trust as analyses
from dashboard.components import text
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure
from dashboard.components.imported import imported_note
from dashboard.components.report_button import report_button
from dashboard.components.run_choice import need_scores, unreadable
from dashboard.components.trust_answer import answer
from dashboard.components.trust_charts import change_scatter
from dashboard.components.trust_section import trust_section

CHART_PX = 380
HOW_TO_READ = """
**What is checked.** Whether the approximation of the curvature is close to the exact one; whether influences foretell
what training on fewer documents does; and, for the run in use, whether its rankings are robust.

**What carries over.** The first three checks train models of their own, many times, which only small models allow. For
another model or corpus they say what to expect, not what holds. The checks of this run are about this run.

**Slope and correlation.** A correlation near 1 means that predicted changes are in the right order and proportion; the
slope says what share of a predicted change was measured. A slope below 1 means that influence promises too much.
"""
NOT_CHECKED = (
    "This run's influence was sampled. The other checks of a run change damping or curvature, or hold it against "
    "sampling; they are for runs that solve for influence. How well its chains have mixed stands on the Influence page."
)


def main() -> None:
    """Draw the page."""
    st.title("How far can these influences be trusted?", anchor=False)
    sentence, numbers = answer()
    st.markdown(f"## {sentence}")
    st.markdown(numbers)
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(HOW_TO_READ)
    names = analyses.names()
    for name in names:
        if not analyses.is_of_run(name):
            trust_section(analyses.found(name))
    run = _run()
    if imported_note(run, "Nothing can be checked"):
        st.stop()
    if run.is_sampled:
        st.info(NOT_CHECKED, icon=":material/info:")
    for name in () if run.is_sampled else names:
        if analyses.is_of_run(name) and name != analyses.LEAVE_OUT:
            trust_section(analyses.found(name, run), run)
    _leave_outs(run)


def _run() -> data.Run:
    """The run in use; without one that can be checked the page says so and ends."""
    st.markdown("---")
    run = runs.run_in_use()
    if (broken := runs.unreadable_in_use()) is not None:
        unreadable(broken)
        if runs.finished_runs():
            st.caption("Other runs can be chosen at the top right.")
        st.stop()
    if run is None:
        st.info("There is no finished run to look at yet. Start one from Home.", icon=":material/info:")
        st.page_link("views/home.py", label="Go to Home", icon=":material/home:")
        st.stop()
    need_scores(run, "there is no ranking to check")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"From here on: the run in use, “{text.escape(run.name)}”.", width="content")
        report_button(run)
    return run


def _leave_outs(run: data.Run) -> None:
    """What was left out so far, for one completion each."""
    check = analyses.found(analyses.LEAVE_OUT, run).check
    st.markdown(f"## {text.escape(check.title)}")
    st.markdown(f"*{text.escape(check.question, 400)}*")
    every = analyses.leave_outs(run)
    for one in every:
        if one.trouble:
            st.error(text.escape(one.trouble, 600), icon=":material/error:")
    results = [one.result for one in every if one.result is not None]
    if not results:
        st.markdown("No document of this run has been left out yet. The Influence page does it with one click.")
    else:
        _made(results)
    st.page_link(
        "views/influence.py", label="Choose documents to leave out", icon=":material/alt_route:",
        query_params=runs.run_address(),
    )  # fmt: skip


def _made(results: list[analyses.Result]) -> None:
    table = pd.DataFrame([_row(result) for result in results])
    beyond = int((table["measured"].abs() > table["size_of_chance"]).sum())
    st.markdown(f"In **{beyond:,} of {len(table):,}** the completion asked about changed by more than chance.")
    foretold = table[table["predicted"].notna()]
    unit = results[0].tables["chance"][0]["unit"]
    figures = {}
    if len(foretold) > 1:
        hover = [text.chart_text(title, 40) for title in foretold["completion"]]
        named = foretold.assign(beyond=["Beyond chance" if one else "Within chance" for one in _beyond(foretold)])
        figures["Changes"] = change_scatter(named, "beyond", hover, None, unit, "Leaving documents out of this run")
        show_figure(figures["Changes"], key="leave_outs", height=CHART_PX, alt="Measured against predicted changes.")
    number, words = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        table.assign(completion=table["completion"].map(text.plain), documents=table["documents"].map(text.plain)),
        key="table_leave_outs",
        hide_index=True,
        column_config={
            "completion": words("Completion", width=220),
            "documents": words("Documents left out", width=280),
            "measured": number("Measured", format="%+.3g", width=85, help=unit),
            "predicted": number("Predicted", format="%+.3g", width=85, help=unit),
            "without_others": number("Without others", format="%+.3g", width=105, help=unit),
            "size_of_chance": number("Size of chance", format="%.3g", width=105, help=f"95% stay below it, {unit}."),
            "finished": words("Measured at", width=180),
        },
        alt="What was left out of this run so far",
    )  # fmt: skip
    download(table, {"check": analyses.LEAVE_OUT}, "leave_outs", "download_leave_outs", figures)


def _beyond(table: pd.DataFrame) -> pd.Series:
    return table["measured"].abs() > table["size_of_chance"]


def _row(result: analyses.Result) -> dict[str, object]:
    first, (chance,) = result.tables["completions"][0], result.tables["chance"]
    return {
        "completion": first["completion"],
        "documents": ", ".join(row["document"] for row in result.tables["documents"]),
        "measured": first["measured"],
        "predicted": first["predicted"],
        "without_others": first["chance"],
        "size_of_chance": chance["size"],
        "finished": text.date(result.finished),
    }


main()
