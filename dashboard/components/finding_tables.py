"""The completions and documents behind a finding; a row leads to them on the Influence page."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data, runs
from dashboard.analyses import findings as analyses
from dashboard.components import text
from dashboard.components.row_list import row_list

MAX_ROWS, VISIBLE_ROWS, ROW_PX = 500, 8, 35
TITLE_PX, WORD_PX, NUMBER_PX, LETTER_PX = 280, 120, 90, 9


def behind(run: data.Run | None, tables: Mapping[str, pd.DataFrame], key: str) -> None:
    """Show the tables of a finding other than its picture.

    Args:
        run: The run they speak of, whose completions and documents can be opened; None for results from elsewhere.
        tables: By name.
        key: Name of the tables on the page.
    """
    for number, (name, table) in enumerate(tables.items()):
        if name == "picture" or table.empty:
            continue
        st.markdown(f"**{text.escape(text.heading(name))}**")
        places = analyses.places_of(run, table) if run is not None else pd.DataFrame(index=table.index)
        _table(table, places, f"{key}_{number}", text.heading(name))


def _table(table: pd.DataFrame, places: pd.DataFrame, key: str, name: str) -> None:
    shown = table.head(MAX_ROWS).drop(columns=[one for one in table if analyses.is_id(one)])
    opens = len(places.columns) > 0
    event = st.dataframe(
        _readable(shown), key=key, hide_index=True,
        height=ROW_PX * (min(len(shown), VISIBLE_ROWS) + 1) + 2,
        on_select="rerun" if opens else "ignore", selection_mode="single-row",
        column_config={one: _column(shown, one) for one in shown},
        alt=f"{name}{'; choosing a row opens it on the Influence page' if opens else ''}",
    )  # fmt: skip
    more = f"The first {MAX_ROWS} of {len(table):,} rows; the download has them all. " if len(table) > MAX_ROWS else ""
    if more or opens:
        st.caption(f"{more}{'Choose a row to open it on the Influence page.' if opens else ''}")
    if not opens:
        return
    names = _readable(shown).iloc[:, 0].astype(str)
    by_name = row_list(f"{name}: row to open", names, f"{key}_by_name")
    rows = event["selection"]["rows"] or [row for row in (by_name,) if row is not None]
    if rows and rows[0] < len(shown):
        place = places.iloc[rows[0]].dropna().to_dict()
        st.switch_page("views/influence.py", query_params=runs.run_address() | place)


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    words = {name: table[name].map(_cell) for name in table if not pd.api.types.is_numeric_dtype(table[name])}
    if "language" in table:
        words["language"] = table["language"].map(text.language)
    return table.assign(**words)


def _cell(value: Any) -> str:
    """A cell as plain text; lists in one line."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text.plain(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _column(table: pd.DataFrame, name: str) -> Any:
    if pd.api.types.is_bool_dtype(table[name]):
        return st.column_config.CheckboxColumn(text.heading(name), width=WORD_PX)
    if pd.api.types.is_numeric_dtype(table[name]):
        form = "localized" if pd.api.types.is_integer_dtype(table[name]) else "%.3g"
        wide = max(NUMBER_PX, LETTER_PX * len(name))
        return st.column_config.NumberColumn(text.heading(name), width=wide, format=form)
    return st.column_config.TextColumn(text.heading(name), width=TITLE_PX if name in analyses.TITLES else WORD_PX)
