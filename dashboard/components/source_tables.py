"""Tables of where influence comes from: multipliers at one size of the end, signed mass, and documents of a source."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components import text
from dashboard.components.row_list import row_list
from dashboard.components.source_charts import times

ROW_PX, VISIBLE_ROWS = 35, 12
ENDS = {"raised": "Raised most", "lowered": "Lowered most"}
DOCUMENT_ROWS = 500
CHANCE_HELP = "95% of the multipliers that shuffled labels give: what chance alone can do."
INTERVAL_HELP = "95% interval over resampled documents and completions."
_number, _words = st.column_config.NumberColumn, st.column_config.TextColumn


def multiplier_table(
    rows: pd.DataFrame, names: Mapping[str, str], focus: str, word: str, key: str, on_choose: Callable[[str], None]
) -> None:
    """Multipliers of each source at one k, with intervals; a row puts its source into focus.

    Args:
        rows: Rows of one k: both ends of one group of completions, or one end of two groups.
        names: Name of each source, in order.
        focus: The source in focus.
        word: What a source is called on the page: ``Source`` or ``Language``.
        key: Name of the table on the page.
        on_choose: Called with the source of the row that is clicked.
    """
    first = rows.drop_duplicates("group").set_index("group").loc[list(names)]
    shown = {"name": list(names.values()), "documents": first["documents"], "corpus_share": first["corpus_share"]}
    columns: dict[str, Any] = {
        "name": _words(word, width=130),
        "documents": _number("Documents", format="localized", width=85, help="Of those that were scored."),
        "corpus_share": _number("Of the corpus", format="percent", width=95, help="Its share of the corpus."),
    }
    groups = list(rows["queries"].unique())
    for place, (group, end) in enumerate((group, end) for group in groups for end in rows["end"].unique()):
        part = rows[(rows["queries"] == group) & (rows["end"] == end)].set_index("group").loc[list(names)]
        label = ENDS[end] if len(groups) == 1 else text.escape(group, 24)
        shown[f"multiplier_{place}"] = part["multiplier"]
        columns[f"multiplier_{place}"] = _number(
            label, format="%.2f ×", width=105, help="Share of it among these documents over its share of the corpus."
        )
        _interval(shown, columns, f"interval_{place}", part, ("low", "high"), "95% interval", INTERVAL_HELP)
        if len(groups) == 1:
            _interval(shown, columns, f"chance_{place}", part, ("null_low", "null_high"), "By chance", CHANCE_HELP)
    if len(groups) > 1:
        shown["difference"] = part["difference"]
        columns["difference"] = _number("Difference", format="%+.2f", width=95, help="The second minus the first.")
        bounds = ("difference_low", "difference_high")
        _interval(shown, columns, "difference_interval", part, bounds, "95% interval", INTERVAL_HELP)
    order, ends = list(names), " and ".join(ENDS[end].lower() for end in rows["end"].unique())

    def clicked() -> None:
        chosen = st.session_state[key]["selection"]["rows"]
        if chosen and chosen[0] < len(order) and order[chosen[0]] != focus:  # see url.py
            on_choose(order[chosen[0]])

    st.dataframe(
        pd.DataFrame(shown, index=order),
        key=key,
        hide_index=True,
        height=ROW_PX * (min(len(order), VISIBLE_ROWS) + 1) + 2,
        on_select=clicked,
        selection_mode="single-row",
        selection_default={"selection": {"rows": [order.index(focus)]}},
        column_config=columns,
        alt=f"Multipliers by {word.lower()}, {ends}; choosing a row lists its documents below",
    )


def _interval(
    shown: dict[str, Any], columns: dict[str, Any], name: str, part: pd.DataFrame, ends: tuple[str, str], label: str,
    about: str,
) -> None:  # fmt: skip
    shown[name] = [between(low, high) for low, high in zip(part[ends[0]], part[ends[1]], strict=True)]
    columns[name] = _words(label, width=105, help=about)


def between(low: float, high: float) -> str:
    """An interval of multipliers, or of their differences."""
    if pd.isna(low):
        return "unknown"
    low_text, high_text = (f"−{times(-end)}" if end < 0 else times(end) for end in (low, high))
    return f"{low_text} to {high_text}"


def mass_table(table: pd.DataFrame, names: Mapping[str, str], word: str, unit: str, completions: str, key: str) -> None:
    """Signed mass of each source: influence and share of it, with intervals.

    Args:
        table: :func:`dashboard.analyses.sources.source_mass`.
        names: Name of each source, in order.
        word: What a source is called on the page.
        unit: Unit of the influence.
        completions: What the group of completions is called.
        key: Name of the table on the page.
    """
    shown: dict[str, Any] = {"name": list(names.values())}
    columns: dict[str, Any] = {"name": _words(word, width=130)}
    for mass, label, of in (
        ("positive", "Raises", "all positive influence"),
        ("negative", "Lowers", "all negative influence"),
        ("net", "Net", "the sum of all magnitudes"),
    ):
        part = table[table["mass"] == mass].set_index("group").loc[list(names)]
        shown |= {f"{mass}_influence": part["influence"], f"{mass}_share": part["share"]}
        columns[f"{mass}_influence"] = _number(label, format="%+.3g", width=85, help=f"Mean sum, {unit}.")
        columns[f"{mass}_share"] = _number("Share", format="percent", width=75, help=f"Of {of}; mean of the shares.")
        shown[f"{mass}_interval"] = [
            "one completion" if pd.isna(low) else f"{low:.1%} to {high:.1%}"
            for low, high in zip(part["share_low"], part["share_high"], strict=True)
        ]
        columns[f"{mass}_interval"] = _words(
            "95% interval", width=115, help="Of the share, over resampled completions; one alone has none."
        )
    st.dataframe(
        pd.DataFrame(shown, index=list(names)),
        key=key,
        hide_index=True,
        height=ROW_PX * (min(len(names), VISIBLE_ROWS) + 1) + 2,
        column_config=columns,
        alt=f"Signed influence by {word.lower()}: {completions}",
    )


def documents_table(
    table: pd.DataFrame, completions: Sequence[data.Completion], end: str, unit: str, key: str
) -> tuple[str, str] | None:
    """Documents of a source, the strongest first; a row leads to the document.

    Args:
        table: Rows of :func:`dashboard.analyses.sources.source_documents`.
        completions: Those of the group.
        end: ``raised`` or ``lowered``.
        unit: Unit of the influence.
        key: Name of the table on the page.

    Returns:
        Ids of the completion and the document of the row that was clicked; None before.
    """
    by_number = {one.query: one for one in completions}
    shown = table.head(DOCUMENT_ROWS)
    strongest = [by_number[number] for number in shown[f"{end}_most"]]
    verb = ENDS[end].split()[0]
    event = st.dataframe(
        pd.DataFrame(
            {
                "rank": shown["rank"],
                "title": shown["title"].map(text.plain),
                "source": shown["source"].map(text.plain),
                "language": shown["language"].map(text.language),
                "influence": shown["influence"],
                "count": [f"{count:,} of {len(by_number):,}" for count in shown[end]],
                "strongest": [text.plain(one.label) for one in strongest],
            }
        ),
        key=key,
        hide_index=True,
        height=ROW_PX * (min(len(shown), VISIBLE_ROWS) + 1) + 2,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "rank": _number("Rank", width=60, help="Among all scored documents; 1 raised the completions most."),
            "title": _words("Document", width=300),
            "source": _words("Source", width=110),
            "language": _words("Language", width=90),
            "influence": _number("Mean influence", format="%+.3g", width=120, help=f"Over the completions, {unit}."),
            "count": _words(verb, width=90, help=f"How many of the completions it {end}."),
            "strongest": _words(f"{verb} most", width=260, help=f"The completion it {end} most; a click opens it."),
        },
        alt="Documents; choosing a row opens the document and the completion it is strongest on",
    )
    if len(table) > DOCUMENT_ROWS:
        st.caption(f"The {DOCUMENT_ROWS} strongest of {len(table):,} documents; the download has them all.")
    by_name = row_list("Document to open", shown["title"], f"{key}_by_name")
    rows = event["selection"]["rows"] or [row for row in (by_name,) if row is not None]
    return (strongest[rows[0]].id, str(shown["id"].iloc[rows[0]])) if rows and rows[0] < len(shown) else None
