"""The ranking of documents; a row opens its document."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components import text
from dashboard.components.document_panel import Choice
from dashboard.components.ranked_by import RankedBy
from dashboard.components.row_list import row_list

MAX_ROWS = 1_000
ROW_PX = 35
VISIBLE_ROWS = 10
RAISES, LOWERS = "#0072B2", "#D55E00"
COLUMNS = ["rank", "title", "source", "language", "normalised", "influence", "share", "left_out",
           "gradient_dot", "gradient_cosine", "bm25", "hidden_similarity"]  # fmt: skip


def document_table(
    choice: Choice, shown: pd.DataFrame, opened: pd.Series | None, way: RankedBy, on_open: Callable[[str], None]
) -> None:
    """Show documents, the strongest first.

    Args:
        choice: Run, completion and its chosen tokens.
        shown: The documents.
        opened: The document that is open below, if any.
        way: What they are ranked by.
        on_open: Called with the id of the document whose row is clicked.
    """
    table = shown.head(MAX_ROWS)
    ids = table["id"].tolist()
    row = ids.index(opened["id"]) if opened is not None and opened["id"] in ids else None
    key = f"documents_{hash((choice.completion.id, choice.tokens, tuple(ids)))}"

    def clicked() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows and rows[0] < len(ids) and rows[0] != row:  # see url.py
            on_open(ids[rows[0]])

    st.dataframe(
        _readable(table),
        key=key,
        hide_index=True,
        height=ROW_PX * (min(len(table), VISIBLE_ROWS) + 1) + 2,
        on_select=clicked,
        selection_mode="single-row",
        selection_default={"selection": {"rows": [] if row is None else [row]}},
        column_order=[name for name in COLUMNS if name in table and table[name].notna().any()],
        column_config=_columns(
            choice, way, float(table["share"].max()), RAISES if table["influence"].iloc[0] > 0 else LOWERS
        ),
        alt="Documents by influence; choosing a row opens the document below",
    )
    row_list("Document shown below", table["title"], "document_by_name", row, lambda place: on_open(ids[place]))
    if len(shown) > MAX_ROWS:
        st.caption(f"The {MAX_ROWS:,} strongest of {len(shown):,} documents; the download has them all.")


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(
        title=table["title"].map(text.plain),
        source=table["source"].map(text.plain),
        language=table["language"].map(text.language),
    )


def _columns(choice: Choice, way: RankedBy, most: float, colour: str) -> dict[str, Any]:
    number, words = st.column_config.NumberColumn, st.column_config.TextColumn
    measured = choice.run.unit
    return {
        "rank": number("Rank", help="Among all scored documents; 1 raised it most.", width=50),
        "title": words("Document", width=208),
        "source": words("Source", width=105),
        "language": words("Language", width=80),
        "normalised": number(way.column, format="%+.3g", help=f"{way.unit(choice)}; plus raises.", width=85),
        "influence": number("Influence", format="%+.3g", help=f"{choice.unit}; plus raises.", width=85),
        "share": st.column_config.ProgressColumn(
            "Share", format="percent", min_value=0.0, max_value=most or 1.0, width=100, color=colour,
            help=f"Of all that raised it, or of all that lowered it{f', counted {way.per}' if way.per else ''}.",
        ),
        "left_out": number(
            "If left out", format="%+.3g", width=85,
            help=f"Predicted change of the measurement, in {measured}, on training without the document: first order; "
            "below the table, how such predictions compared with training again.",
        ),
        "gradient_dot": number(
            "Grad. dot", format="%+.3g", width=85,
            help="Baseline for the whole completion: inner product of the two gradients, without curvature.",
        ),
        "gradient_cosine": number(
            "Grad. cosine", format="%+.3g", width=100,
            help="Baseline for the whole completion: cosine of the two gradients, from −1 to 1, no unit.",
        ),
        "bm25": number("BM25", format="%.3g", width=70, help="Baseline: words in common, Okapi BM25, no unit."),
        "hidden_similarity": number(
            "Hidden states", format="%.3g", width=105,
            help="Baseline: cosine of the mean hidden states of document and prompt with completion, no unit.",
        ),
    }  # fmt: skip
