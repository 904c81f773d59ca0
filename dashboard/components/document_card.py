"""Documents to pick from, and the one that was picked: what it is, how it begins, and where to read it whole."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components import text, url
from dashboard.components.row_list import row_list

BEGINNING = 360
"""Characters of the text that are shown."""
MAX_ROWS, VISIBLE_ROWS, ROW_PX = 1_000, 10, 35


def pick_table(shown: pd.DataFrame, numbers: Mapping[str, Any], name: str) -> None:
    """Show documents as rows; a click on one puts its id into the address as ``document``.

    Args:
        shown: The documents: id, title, source, language and the columns of ``numbers``.
        numbers: How further columns are shown, in order.
        name: What the table is of: another name forgets which row was chosen.
    """
    rows = shown.head(MAX_ROWS)
    ids, picked = rows["id"].tolist(), url.get("document")
    key, row = f"documents_{hash((name, tuple(ids)))}", ids.index(picked) if picked in ids else None

    def clicked() -> None:
        chosen = st.session_state[key]["selection"]["rows"]
        if chosen and chosen[0] < len(ids) and ids[chosen[0]] != picked:  # see url.py
            url.put("document", ids[chosen[0]])

    words = st.column_config.TextColumn
    st.dataframe(
        rows.assign(
            title=rows["title"].map(text.plain),
            source=rows["source"].map(text.plain),
            language=rows["language"].map(text.language),
        ),
        key=key,
        hide_index=True,
        height=ROW_PX * (min(len(rows), VISIBLE_ROWS) + 1) + 2,
        on_select=clicked,
        selection_mode="single-row",
        selection_default={"selection": {"rows": [] if row is None else [row]}},
        column_order=["title", *numbers, "source", "language"],
        column_config={
            "title": words("Document", width=240),
            "source": words("Source", width=120),
            "language": words("Language", width=80),
            **numbers,
        },
        alt="Documents; choosing a row shows the document below",
    )
    row_list("Document to read", rows["title"], "document_by_name", row, lambda place: url.put("document", ids[place]))
    if len(shown) > MAX_ROWS:
        st.caption(f"The first {MAX_ROWS:,} of {len(shown):,} documents; the download has them all.")


def document_card(
    run: data.Run, document: pd.Series, lines: list[str], links: Mapping[str, dict[str, str]], key: str
) -> None:
    """Show a document in short.

    Args:
        run: The run that holds it.
        document: Its number, title, source and language.
        lines: What the page has to say about it, as Markdown.
        links: Label of each link to the influence page -> what its address holds.
        key: Name of the card on the page.
    """
    with st.container(border=True, key=key):
        st.markdown(f"### {text.escape(document['title'])}")
        st.caption(f"{text.escape(document['source'])} · {text.escape(text.language(document['language']))}")
        for line in lines:
            st.markdown(line)
        st.caption(text.escape(run.text(int(document["document"])), BEGINNING))
        for label, address in links.items():
            st.page_link("views/influence.py", label=label, icon=":material/alt_route:", query_params=address)
