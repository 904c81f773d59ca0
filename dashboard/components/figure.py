"""Charts: one look on the page, and the same chart as PNG, SVG or a page of its own to take away."""

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from choreographer.browsers.chromium import Chromium

from dashboard.components import text

RAISES, LOWERS, NEUTRAL = "#0072B2", "#D55E00", "#8C8C8C"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#5B4B8A", "#A0522D", "#117733")
"""Told apart under every common colour blindness as far as the seventh."""
PICTURE_PX = (1100, 560)
AXIS_PX, LINE_PX = 100, 17
"""Room under a picture's chart: for its axis, and for each line of where it comes from."""
TEXTS = ("completion_under_study", "prompt", "completion")
"""What provenance says in words of the corpus: these can be long."""
VALUE, LINE = 80, 165
"""Characters of a value, and of a line."""
MIMES = {"png": "image/png", "svg": "image/svg+xml", "html": "text/html"}


def show_figure(
    figure: go.Figure, *, key: str, alt: str, height: int = 380, on_select: Callable[[], None] | None = None
) -> None:
    """Draw a chart in the page's theme.

    Args:
        figure: The chart; axes with titles and units.
        key: Name of the chart on the page; ``st.session_state[key]["selection"]`` has what was selected.
        alt: What it shows, in a sentence, for readers who cannot see it.
        height: Pixels.
        on_select: Called when points are selected.
    """
    figure.update_layout(height=height, margin={"l": 10, "r": 10, "t": 30, "b": 10}, hoverlabel={"namelength": -1})
    selecting: dict[str, Any] = (
        {"on_select": on_select, "selection_mode": ("points", "box", "lasso")} if on_select else {}
    )
    st.plotly_chart(figure, key=key, config={"displayModeBar": False}, alt=alt, **selecting)


def can_draw() -> bool:
    """Whether a Chromium-based browser is there, which PNG and SVG are drawn with."""
    return Chromium.find_browser(skip_local=False) is not None


def picture(figure: go.Figure, provenance: dict[str, str | float], ending: str) -> bytes:
    """The chart as a file, on white, with where it comes from written under it.

    Args:
        figure: The chart.
        provenance: Where the numbers come from.
        ending: ``png``, ``svg`` or ``html``.
    """
    width, height = PICTURE_PX
    lines = _lines(provenance)
    height += LINE_PX * len(lines)
    drawn = go.Figure(figure).update_layout(template="plotly_white", width=None, height=height, autosize=True)
    drawn.update_layout(margin={"l": 70, "r": 30, "t": 50, "b": AXIS_PX + LINE_PX * len(lines)})
    drawn.add_annotation(
        text="<br>".join(text.chart_text(line, VALUE + LINE) for line in lines), showarrow=False, align="left",
        xref="paper", yref="paper", x=0, y=0, xanchor="left", yanchor="top", yshift=-AXIS_PX, font={"size": 11},
    )  # fmt: skip
    if ending == "html":
        return drawn.to_html(include_plotlyjs=True, config={"displaylogo": False}).encode("utf-8")
    return drawn.to_image(format=ending, width=width, height=height, scale=2)


def _lines(provenance: dict[str, str | float]) -> list[str]:
    """Where a chart comes from, in lines that fit under it: each value cut short, words of the corpus last."""
    said = [
        f"{name.replace('_', ' ')}: {text.plain(str(provenance[name]), VALUE)}"
        for name in sorted(provenance, key=lambda name: name.endswith(TEXTS))
        if provenance[name] != ""
    ]
    lines = [""]
    for word in " · ".join(said).split(" "):
        if len(lines[-1]) + len(word) > LINE:
            lines.append("")
        lines[-1] += word + " "
    return lines
