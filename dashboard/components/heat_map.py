"""Which token of the completion each training token acts on: a heat map."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from dashboard.components import text
from dashboard.components.token_strip import START, Piece, scale_of

COLUMNS = 40
SCALE = [[0.0, "rgb(213,94,0)"], [0.5, "rgba(140,140,150,0.08)"], [1.0, "rgb(0,114,178)"]]
ROW_PX = 30


def heat_map(pieces: Sequence[Piece], values: np.ndarray, completion: Sequence[str], unit: str, key: str) -> None:
    """Draw influence by completion token (down) and training token (across).

    Args:
        pieces: Pieces of the document with values.
        values: Influence, ``[completion pieces, document pieces]``, in ``unit``.
        completion: Pieces of the completion.
        unit: Unit of the influence.
        key: Name of the chart on the page.
    """
    strongest = np.sort(np.argsort(-np.abs(values).sum(0), kind="stable")[:COLUMNS])
    shown = values[:, strongest]
    if len(pieces) > COLUMNS:
        st.caption(f"The {COLUMNS} strongest of the document's {len(pieces):,} tokens, in the order of the text.")
    chosen = [pieces[i] for i in strongest]
    places = ["start" if piece.place == START else f"token {piece.place + 1:,}" for piece in chosen]
    numbers = [[text.number(value) for value in row] for row in shown]
    figure = go.Figure(
        go.Heatmap(
            z=shown,
            x=list(range(len(chosen))),
            y=list(range(len(completion))),
            zmid=0,
            zmin=-scale_of(shown.ravel()),
            zmax=scale_of(shown.ravel()),
            colorscale=SCALE,
            xgap=1,
            ygap=1,
            customdata=np.dstack(
                [
                    np.tile([text.chart_text(piece.text, 30) for piece in chosen], (len(completion), 1)),
                    np.tile(places, (len(completion), 1)),
                    np.tile([[text.chart_text(piece, 30)] for piece in completion], (1, len(chosen))),
                    numbers,
                ]
            ),
            hovertemplate="“%{customdata[0]}” (%{customdata[1]})<br>on “%{customdata[2]}”<br><b>%{customdata[3]}</b> "
            + text.chart_text(unit, 60)
            + "<extra></extra>",
            colorbar={"title": {"text": unit.replace(" per ", "<br>per "), "side": "top"}, "thickness": 10, "len": 1.0},
        )
    )
    labels = ["start" if piece.place == START else text.chart_text(piece.text, 12) for piece in chosen]
    figure.update_xaxes(
        tickvals=list(range(len(chosen))), ticktext=labels, tickangle=-60, title="Training token", showgrid=False
    )
    figure.update_yaxes(
        tickvals=list(range(len(completion))),
        ticktext=[text.chart_text(piece, 14) for piece in completion],
        title="Completion token",
        autorange="reversed",
        showgrid=False,
        zeroline=False,
    )
    figure.update_layout(height=190 + ROW_PX * max(len(completion), 3), margin={"l": 10, "r": 10, "t": 20, "b": 10})
    st.plotly_chart(
        figure,
        key=key,
        config={"displayModeBar": False},
        alt="Influence of the strongest training tokens on each token of the completion; the table has the numbers.",
    )
