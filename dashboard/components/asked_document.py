"""A document that a live question found: which of its tokens raised or lowered the completion, exactly."""

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses.ask import Asked
from dashboard.components import text
from dashboard.components.token_strip import Piece, token_strip

STRONGEST = 12
"""Pieces that are listed."""


def asked_document(run: data.Run, asked: Asked, document: pd.Series) -> None:
    """Show a document.

    Args:
        run: The run.
        asked: The question and its answer.
        document: The document's row among those scored exactly.
    """
    unit = f"{asked.record['unit']} per unit of weight"
    st.subheader(text.escape(document["title"]), anchor=False)
    st.markdown(
        f"{text.escape(document['source'])} · {text.escape(text.language(document['language']))} · "
        f"**{text.number(document['influence'])}** {unit}"
    )
    st.caption(
        "**By position**: what flows through each token. It lights up the token *before* the one that is predicted; "
        "all of them add up to the document's influence."
    )
    number = int(document["document"])
    body, units = data.document_units(run, number)
    summed = data.unit_influence(asked.token_influence(number), units).sum(0)
    pieces = [Piece("", float(summed[0]), data.START_PLACE)] if summed[0] else []
    pieces += [
        Piece(body[unit.start : unit.end], float(value) if unit.tokens else None, unit.tokens[0] if unit.tokens else 0)
        for unit, value in zip(units, summed[1:], strict=True)
    ]
    left, right = st.columns([0.66, 0.34], gap="medium")
    with left:
        token_strip(
            pieces, key="strip_of_asked", label="The document's text with the influence of each token", unit=unit,
            on_choose=lambda places: None,
        )  # fmt: skip
    with right:
        table = data.token_table(body, units, summed).head(STRONGEST)
        shown = table["text"].map(lambda body: text.plain(body.replace("\n", "↵")) or "␣")
        st.dataframe(
            table.assign(text=shown.where(table["place"] != data.START_PLACE, "start")),
            hide_index=True,
            column_order=["text", "influence"],
            column_config={
                "text": st.column_config.TextColumn("Token", width=110),
                "influence": st.column_config.NumberColumn("Influence", format="%+.3g", help=unit, width=90),
            },
            alt="The document's tokens by strength of influence",
        )
