"""Which token of the completion each training token acts on: a heat map."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from dashboard.components import text

COLUMNS = 40
SCALE = [[0.0, "rgb(213,94,0)"], [0.5, "rgba(140,140,150,0.08)"], [1.0, "rgb(0,114,178)"]]
ROW_PX = 30


def heat_map(
    training: Sequence[tuple[str, int]], completion: Sequence[str], values: np.ndarray, unit: str, key: str
) -> None:
    """Draw influence by completion token (down) and training token (across).

    Args:
        training: Name and place of each training token; place 0 is the start token.
        completion: Names of the completion's tokens.
        values: Influence, ``[completion tokens, training tokens]``, in ``unit``.
        unit: Unit of the influence.
        key: Name of the chart on the page.
    """
    strongest = np.sort(np.argsort(-np.abs(values).sum(0), kind="stable")[:COLUMNS])
    some = f"The {COLUMNS} strongest of the document's {len(training):,} tokens, in the order of the text. "
    st.caption(
        f"{some if len(training) > COLUMNS else ''}Colours grow with the square root of the influence, so that weak "
        "cells show beside strong ones."
    )
    figure = _figure([training[i] for i in strongest], completion, values[:, strongest], unit)
    st.plotly_chart(
        figure,
        key=key,
        config={"displayModeBar": False},
        alt="Influence of the strongest training tokens on each token of the completion; the download has the numbers.",
    )


def _figure(training: list[tuple[str, int]], completion: Sequence[str], shown: np.ndarray, unit: str) -> go.Figure:
    most = float(np.abs(shown).max()) or 1.0
    hover = [
        [
            f"“{text.chart_text(name, 30)}” (token {place:,})<br>on “{text.chart_text(on, 30)}”"
            f"<br><b>{text.number(value)}</b> {unit}"
            for (name, place), value in zip(training, row, strict=True)
        ]
        for on, row in zip(completion, shown, strict=True)
    ]
    ticks = most * np.array([-1, -0.25, 0, 0.25, 1])
    scale = {
        "title": {"text": unit.replace(" per ", "<br>per "), "side": "top"},
        "thickness": 10,
        "tickvals": _root(ticks),
        "ticktext": [text.number(tick) for tick in ticks],
    }
    figure = go.Figure(
        go.Heatmap(
            z=_root(shown), zmid=0, zmin=-_root(most), zmax=_root(most), colorscale=SCALE, colorbar=scale,
            xgap=1, ygap=1, text=hover, hovertemplate="%{text}<extra></extra>",
        )
    )  # fmt: skip
    names = [text.chart_text(name, 12) for name, _ in training]
    figure.update_xaxes(
        title="Training token", tickvals=list(range(len(names))), ticktext=names, tickangle=-60, showgrid=False
    )
    figure.update_yaxes(
        title="Completion token", tickvals=list(range(len(completion))), autorange="reversed", showgrid=False,
        ticktext=[text.chart_text(name, 14) for name in completion], zeroline=False,
    )  # fmt: skip
    return figure.update_layout(
        height=190 + ROW_PX * max(len(completion), 3), margin={"l": 10, "r": 10, "t": 20, "b": 10}
    )


def _root(values: np.ndarray | float) -> np.ndarray:
    """Square root that keeps the sign."""
    return np.sign(values) * np.sqrt(np.abs(values))
