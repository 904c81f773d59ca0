"""Charts of what checks measured: numbers with intervals by name, and predicted against measured change."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.components import text
from dashboard.components.figure import LOWERS, NEUTRAL, PALETTE, RAISES

ROW_PX, FRAME_PX = 30, 110
BAND_ALPHA = 0.22
LIGHT, FAINT = "#56B4E9", "rgba(140, 140, 140, 0.4)"
"""Of estimators beside the one that is studied, and of all others; whiskers can be seen on both."""
VERDICT_COLOURS = {"steady": "#009E73", "shaky": "#E69F00"}


def interval_chart(
    rows: pd.DataFrame, name: str, label: str, title: str, studied: Sequence[str], alike: Sequence[str] = ()
) -> go.Figure:
    """Bars with their intervals, from top to bottom as the rows come.

    Args:
        rows: ``name``, ``<name>_low`` and ``<name>_high`` for each label; those without a number are left out.
        name: The column drawn.
        label: The column that names a bar.
        title: Of the axis, with its unit.
        studied: Labels in full blue.
        alike: Labels in light blue; all others are pale grey.
    """
    rows = rows[rows[name].notna()]
    colours = [RAISES if one in studied else LIGHT if one in alike else FAINT for one in rows[label]]
    places = list(range(len(rows)))
    figure = go.Figure()
    figure.add_bar(
        x=rows[name], y=places, orientation="h", marker_color=colours, textposition="none",
        text=[_hover(row[label], row, name) for _, row in rows.iterrows()], hovertemplate="%{text}<extra></extra>",
        error_x={
            "type": "data", "array": rows[f"{name}_high"] - rows[name], "arrayminus": rows[name] - rows[f"{name}_low"],
            "color": NEUTRAL, "thickness": 1.5, "width": 4,
        },
    )  # fmt: skip
    figure.update_xaxes(title=title, zeroline=True, zerolinecolor=NEUTRAL)
    figure.update_yaxes(
        tickvals=places, ticktext=[text.chart_text(one, 28) for one in rows[label]], autorange="reversed",
        showgrid=False, zeroline=False,
    )  # fmt: skip
    return figure.update_layout(showlegend=False, bargap=0.35)


def interval_height(rows: int) -> int:
    """Pixels of an :func:`interval_chart`."""
    return FRAME_PX + ROW_PX * max(rows, 3)


def ceiling_line(figure: go.Figure, row: Mapping[str, float], name: str, says: str) -> None:
    """Mark what could be reached at most, with its interval."""
    figure.add_vrect(x0=row[f"{name}_low"], x1=row[f"{name}_high"], fillcolor=NEUTRAL, opacity=BAND_ALPHA, line_width=0)
    figure.add_vline(
        x=row[name], line={"color": NEUTRAL, "width": 2, "dash": "dash"}, annotation_text=says,
        annotation_position="top left",
    )  # fmt: skip


def change_scatter(
    points: pd.DataFrame, by: str, hover: Sequence[str], slope: float | None, unit: str, title: str
) -> go.Figure:
    """Measured against predicted change, with the line on which they are equal and the one that fits.

    Args:
        points: ``predicted``, ``measured`` and ``by``.
        by: The column that gives a point its colour.
        hover: What to call each point, ready for a chart.
        slope: Of the fitted line through the origin; None for no line.
        unit: Unit of both changes.
        title: What the chart shows.
    """
    figure = go.Figure()
    shown = points.assign(hover=list(hover))
    for number, (name, rows) in enumerate(shown.groupby(by, sort=False)):
        figure.add_scatter(
            x=rows["predicted"], y=rows["measured"], mode="markers", name=text.chart_text(str(name), 24),
            marker={"size": 9, "color": PALETTE[number % len(PALETTE)], "opacity": 0.8}, text=rows["hover"],
            hovertemplate="%{text}<br>predicted %{x:+.3g}, measured %{y:+.3g}<extra></extra>",
        )  # fmt: skip
    low, high = min(float(shown["predicted"].min()), 0.0), max(float(shown["predicted"].max()), 0.0)
    for value, dash, name in ((1.0, "dot", "As predicted"), (slope, "solid", "Fitted")):
        if value is not None:
            figure.add_scatter(
                x=[low, high], y=[value * low, value * high], mode="lines", name=name, hoverinfo="skip",
                line={"color": NEUTRAL, "dash": dash, "width": 2},
            )  # fmt: skip
    figure.update_xaxes(title=f"Predicted change, {unit}", zeroline=True, zerolinecolor=NEUTRAL)
    figure.update_yaxes(title=f"Measured change, {unit}", zeroline=True, zerolinecolor=NEUTRAL)
    return figure.update_layout(
        title={"text": title, "font": {"size": 14}}, hovermode="closest",
        legend={"orientation": "h", "y": -0.25, "yanchor": "top", "x": 0, "font": {"size": 11}},
    )  # fmt: skip


def change_chart(row: pd.Series, size: float, unit: str) -> go.Figure:
    """Change of one completion, predicted and measured, and that of leaving out others.

    Args:
        row: ``predicted``, ``measured`` and ``chance``; what is not known is not drawn.
        size: What 95% of the changes by leaving out others stay below.
        unit: Unit of the changes.
    """
    names = {"predicted": "Predicted", "measured": "Measured", "chance": "Without others"}
    known = {says: float(row[name]) for name, says in names.items() if pd.notna(row[name])}
    colours = [NEUTRAL if says == names["chance"] else RAISES if value > 0 else LOWERS for says, value in known.items()]
    figure = go.Figure()
    figure.add_vrect(x0=-size, x1=size, fillcolor=NEUTRAL, opacity=BAND_ALPHA, line_width=0)
    figure.add_bar(
        x=list(known.values()), y=list(known), orientation="h", marker_color=colours,
        marker_pattern_shape=["/" if says == names["predicted"] else "" for says in known],
        hovertemplate="%{y}: %{x:+.3g} " + unit + "<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title=f"Change of this completion, {unit}", zeroline=True, zerolinecolor=NEUTRAL)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_layout(showlegend=False, bargap=0.3)


def verdict_chart(rows: pd.DataFrame, verdicts: Sequence[str]) -> go.Figure:
    """How many completions of each kind have which verdict.

    Args:
        rows: ``kind`` and ``verdict`` of each completion.
        verdicts: In order, the best first.
    """
    counts = pd.crosstab(rows["kind"], rows["verdict"]).reindex(columns=list(verdicts), fill_value=0)
    places = list(range(len(counts)))
    figure = go.Figure()
    for verdict in verdicts:
        figure.add_bar(
            x=counts[verdict], y=places, orientation="h", name=verdict.capitalize(),
            marker_color=VERDICT_COLOURS.get(verdict, NEUTRAL), hovertemplate="%{x} " + verdict + "<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="Completions", rangemode="tozero")
    figure.update_yaxes(
        tickvals=places, ticktext=[text.chart_text(kind, 24) for kind in counts.index], autorange="reversed",
        showgrid=False,
    )  # fmt: skip
    return figure.update_layout(
        barmode="stack",
        bargap=0.35,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
    )


def _hover(name: str, row: pd.Series, column: str) -> str:
    low, high = (text.correlation(row[f"{column}_{end}"]) for end in ("low", "high"))
    value = text.correlation(row[column])
    return f"{text.chart_text(str(name), 40)}<br><b>{value}</b> (95% interval {low} to {high})"
