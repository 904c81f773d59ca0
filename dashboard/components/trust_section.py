"""One check on the page: its question, what it came to, its tables, how it was measured, and how to measure it."""

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import trust as analyses
from dashboard.components import text
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure
from dashboard.components.job_panel import job_panel
from dashboard.components.text import between
from dashboard.components.trust_parts import Part, part_of

LABELS = {
    "curvature_error": "Error of the matrix", "solve_error": "Error of the solve", "correlation": "Correlation",
    "response_correlation": "With the response", "response_slope": "Response per predicted",
    "lds": "Score", "of_ceiling": "Of a perfect prediction", "rise": "Rise, nats", "of_bm25": "Times BM25's",
    "rare_groups": "Rare and frequent tokens", "rare_tokens": "Rare tokens, each beside a frequent one",
    "group": "Tokens are", "tokens": "Tokens", "lost": "Lost of what was learned", "lost_random": "Lost without others",
    "learned": "Learned, nats", "top_10": "Share of the ten", "loss": "Loss, nats",
    "what": "Left out", "method": "Chosen by", "slope": "Measured per predicted", "kept_damping": "Kept: damping",
    "kept_halves": "Kept: halves", "kept_seeds": "Kept: labels", "top_share": "Share of the ten",
    "null_share": "By chance below", "few_tokens": "In few tokens", "l2_l1": "L2 over L1",
}  # fmt: skip
PACKAGES = {"python": "Python", "torch": "torch", "transformers": "transformers"}
ROW_PX, VISIBLE_ROWS = 35, 12


def trust_section(found: analyses.Found, run: data.Run | None = None) -> None:
    """Show a check.

    Args:
        found: The check and its result, if there is one.
        run: The run that is checked; None for a check of none.
    """
    st.markdown(f"## {text.escape(found.check.title)}")
    st.markdown(f"*{text.escape(found.check.question, 400)}*")
    if found.trouble:
        st.error(text.escape(found.trouble, 600), icon=":material/error:")
    part = Part() if found.result is None else part_of(found.result)
    if found.result is not None:
        _shown(found.result, part)
        _measured(found)
    _offer(found, part, run)


def _shown(result: analyses.Result, part: Part) -> None:
    if part.sentence:
        st.markdown(part.sentence)
    _draw(result.check, part)
    tables = {name: analyses.table(result, name) for name in result.tables}
    first = tables if part.first is None else {name: tables[name] for name in part.first} | dict(part.made)
    for name, table in first.items():
        check_table(table, name, result.check, titled=len(first) > 1)
    if part.notes:
        st.caption(part.notes)
    more = {name: table for name, table in tables.items() if name not in first}
    if more:
        with st.expander("The other tables", icon=":material/table:"):
            for name, table in more.items():
                check_table(table, name, result.check, titled=True)


def _draw(check: str, part: Part) -> None:
    """The pictures, two beside each other."""
    pictures = list((part.pictures or {}).items())
    for start in range(0, len(pictures), 2):
        beside = pictures[start : start + 2]
        for column, (name, one) in zip(st.columns(len(beside)), beside, strict=True):
            with column:
                show_figure(one.figure, key=f"chart_{check}_{name}", height=one.height, alt=one.alt)


def check_table(table: pd.DataFrame, name: str, check: str, titled: bool = False) -> None:
    """One of a check's tables, whatever its columns: numbers that have an interval show it beside them."""
    shown = readable(table)
    if titled:
        st.markdown(f"**{text.escape(_label(name))}**")
    st.dataframe(
        shown,
        key=f"table_{check}_{name}",
        hide_index=True,
        height=ROW_PX * (min(len(shown), VISIBLE_ROWS) + 1) + 2,
        column_config={
            column: st.column_config.NumberColumn(column, format="%.3g")
            for column in shown.select_dtypes("float").columns
        },
        alt=f"{_label(name)} of the check {check}",
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A check's table with names for its columns, one column for a number and its interval, and no ids."""
    ends = {name for name in table if name.endswith(("_low", "_high")) and name.rsplit("_", 1)[0] in table}
    shown = {}
    for name in table:
        if name in ends or name == "id":
            continue
        if f"{name}_low" in ends:
            shown[_label(name)] = [between(row, name) for row in table.to_dict("records")]
        elif table[name].isna().any() or table[name].map(lambda value: isinstance(value, str)).any():
            shown[_label(name)] = [_cell(value) for value in table[name]]
        else:
            shown[_label(name)] = table[name].tolist()
    return pd.DataFrame(shown)


def _cell(value: object) -> str:
    """A value in a column that holds words, or lacks some."""
    if isinstance(value, str):
        return text.plain(value)
    if value is None or value != value:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _label(name: str) -> str:
    said = name.replace("_", " ")
    return LABELS.get(name, said[:1].upper() + said[1:])  # the rest as it is: EK-FAC


def _measured(found: analyses.Found) -> None:
    """When, where, for how long and with what it was measured, and the command that does it again."""
    result = found.result
    assert result is not None
    versions = ", ".join(
        f"{says} {result.versions[name]}" for name, says in PACKAGES.items() if name in result.versions
    )
    where = "came with the program" if found.shipped else "was measured here"
    st.caption(
        f"This result {where}: {text.date(result.finished)}, in {text.duration(result.seconds)}, "
        f"{text.escape(versions)}, by"
    )
    st.code(text.show_hidden(analyses.told(result)), language=None)


def _offer(found: analyses.Found, part: Part, run: data.Run | None) -> None:
    """A button that measures it, its cost said first; or how that fares."""
    settings = analyses.default_settings(found.name, run)
    job = analyses.job(found.name, settings)
    if job is not None and job.state != "done":
        job_panel(lambda: analyses.job(found.name, settings), key=f"job_{found.name}")
        if found.result is not None:
            _download(found.result, part)
        return
    again = found.result is not None
    with st.container(horizontal=True, vertical_alignment="center"):
        if found.result is not None:
            _download(found.result, part)
        st.button(
            "Measure it here" if found.shipped or not again else "Measure it again",
            key=f"measure_{found.name}",
            type="secondary" if again else "primary",
            icon=":material/science:",
            on_click=analyses.submit,
            args=(found.name, settings, _title(found, run)),
        )
        st.caption(_cost(found, run))


def _download(result: analyses.Result, part: Part) -> None:
    tables = {_label(name): analyses.table(result, name) for name in result.tables}
    figures = {name: one.figure for name, one in (part.pictures or {}).items()}
    download(tables, analyses.provenance(result), result.check, f"download_{result.check}", figures)


def _title(found: analyses.Found, run: data.Run | None) -> str:
    return found.check.title if run is None else f"{found.check.title}: {run.name}"


def _cost(found: analyses.Found, run: data.Run | None) -> str:
    may = "It can be cancelled and goes on later."
    if found.result is not None:
        where = "where that result was made" if found.shipped else "the last time"
        return f"It took {text.duration(found.result.seconds)} {where}. {may}"
    if run is not None:
        took = sum(step["seconds"] for step in (run.fit, run.query, run.score))
        return (
            f"Not measured yet for this run. It goes through steps of the run several times, which took "
            f"{text.duration(took)} once. {may}"
        )
    return f"Not measured yet. It trains models, often for an hour or more; each step says what time is left. {may}"
