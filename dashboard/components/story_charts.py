"""Pictures of the story: a hundred dots for a chance, and bars with labels above them, as a phone needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from dashboard.components import text
from dashboard.components.figure import LOWERS, NEUTRAL, RAISES

__all__ = ["LOWERS", "NEUTRAL", "RAISES", "Bar", "bars", "bars_height", "hundred"]

DOTS = 100
LABEL_PX, NOTE_PX, NUMBER_PX = 16, 14, 17
ROW_PX, BAR, LABEL_AT = 76, 0.28, 0.15
LABEL, NOTE = 36, 46
"""Letters of a label and of a note, as many as a phone has room for."""
ROOM = 1.22
"""Of the longest bar, so that its number fits beside it."""


@dataclass(frozen=True)
class Bar:
    """A bar.

    Attributes:
        label: Its name, any text.
        note: A few words after the name, any text.
        value: Its length.
        said: The value in words.
        colour: Its colour.
        open: Whether it is drawn hollow: an expectation, not something measured.
        low: Least value it stands for, if several.
        high: Greatest likewise.
    """

    label: str
    note: str
    value: float
    said: str
    colour: str = RAISES
    open: bool = False
    low: float | None = None
    high: float | None = None


def hundred(filled: int, alt: str) -> str:
    """A hundred dots as HTML, of which ``filled`` are, from the top left on; a chart would take the browser a second.

    Args:
        filled: How many.
        alt: What they say, for whom they are not seen.
    """
    dots = '<i class="filled"></i>' * filled + "<i></i>" * (DOTS - filled)
    colours = f"--filled: {RAISES}; --line: {NEUTRAL}"
    return f'<div class="hundred" role="img" aria-label="{alt}" style="{colours}">{dots}</div>'


def bars_height(rows: int) -> int:
    """Pixels for so many bars."""
    return ROW_PX * rows + 20


def bars(rows: Sequence[Bar]) -> go.Figure:
    """Bars from the top down; a bar's label above it, its value in words at its end."""
    figure = go.Figure()
    for place, row in enumerate(rows):
        figure.add_bar(
            x=[row.value], y=[place], orientation="h", width=BAR, showlegend=False, hoverinfo="skip",
            marker={
                "color": "rgba(0,0,0,0)" if row.open else row.colour, "cornerradius": 4,
                "line": {"width": 2.5 if row.open else 0, "color": row.colour},
                "pattern": {"shape": "/" if row.open else "", "fgcolor": row.colour, "size": 7, "solidity": 0.25},
            },
        )  # fmt: skip
        note = f"<br><span style='font-size:{NOTE_PX}px'>{text.chart_text(row.note, NOTE)}</span>" if row.note else ""
        _write(figure, 0, place - LABEL_AT, f"<b>{text.chart_text(row.label, LABEL)}</b>{note}", LABEL_PX, "bottom")
        if row.low is not None and row.high is not None and row.low < row.high:
            figure.add_scatter(
                x=[row.low, row.high], y=[place, place], mode="lines", showlegend=False, hoverinfo="skip",
                line={"color": NEUTRAL, "width": 4},
            )  # fmt: skip
        ends = [0.0, row.value, row.high if row.high is not None else 0.0]
        _write(figure, max(ends), place, f" <b>{text.chart_text(row.said, LABEL)}</b>", NUMBER_PX, "middle")
    ends = [0.0, *(end for row in rows for end in (row.value, row.low, row.high) if end is not None)]
    figure.update_xaxes(visible=False, range=[min(ends), max(ends) * ROOM or 1.0], fixedrange=True)
    figure.update_yaxes(visible=False, range=[len(rows) - 0.8, -0.75], fixedrange=True)
    return figure.add_vline(x=0, line={"width": 1.5, "color": NEUTRAL})


def _write(figure: go.Figure, x: float, y: float, said: str, size: int, anchor: str) -> None:
    figure.add_annotation(
        x=x,
        y=y,
        text=said,
        showarrow=False,
        xanchor="left",
        yanchor=anchor,
        align="left",
        font={"size": size, "color": _ink()},
    )


def _ink() -> str:
    """The page's own colour of text: a chart's is paler, too pale for a projector."""
    return str(st.get_option(f"theme.{st.context.theme.type or 'light'}.textColor"))
