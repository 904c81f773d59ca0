"""Charts of where influence comes from: multipliers over the size of the end, and the signed mass of each source."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.components import text
from dashboard.components.figure import LOWERS, NEUTRAL, RAISES

COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8E7CC3", "#B0703A", "#7A9A01")
"""Of sources: none that stands for raising or lowering."""
DASHES = ("solid", "dash", "dot")
FLOOR = 0.1
"""Multipliers below it are drawn on it: 0 has no place on a log axis."""
CEILING = 2.2
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
BAND_ALPHA = 0.22
PLOT_PX, LEGEND_ROW_PX = 250, 19
BAR_PX = 34


def times(value: float) -> str:
    """A multiplier as pages show it."""
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def highest(table: pd.DataFrame, focus: str) -> float:
    """Where the axis of multipliers ends: above every line, and the band of the source in focus."""
    most = max(table["multiplier"].max(), table.loc[table["group"] == focus, ["high", "null_high"]].max(axis=None))
    return max(float(most) * 1.15, CEILING)


def multiplier_chart(
    table: pd.DataFrame, names: Mapping[str, str], focus: str, k: int, top: float, title: str
) -> go.Figure:
    """Multiplier of each source by the size of the end.

    Args:
        table: Rows of one end and one group of completions (:func:`dashboard.analyses.sources.source_multipliers`).
        names: Name of each source, as pages show it; the order gives each its look.
        focus: The source whose intervals are drawn.
        k: Size of the end that the page tells of.
        top: Upper end of the axis, the same for charts that stand side by side.
        title: What the chart shows.
    """
    figure = go.Figure()
    focused = table[table["group"] == focus].sort_values("k")
    if len(focused) > 1 and focused["multiplier"].notna().all():
        _band(figure, focused, ("null_low", "null_high"), NEUTRAL, "By chance")
        _band(figure, focused, ("low", "high"), _look(names, focus)[0], "95% interval")
    for group in sorted(names, key=lambda name: name == focus):  # the one in focus over the others
        _line(figure, table[table["group"] == group].sort_values("k"), names, group, group == focus)
    figure.add_hline(y=1, line={"color": NEUTRAL, "width": 1.5, "dash": "dot"})
    figure.add_vline(x=k, line={"color": NEUTRAL, "width": 1})
    sizes = sorted(table["k"].unique())
    shown = [size for size in sizes if str(size)[0] == "1" or size == sizes[-1]]
    shown = [size for size in shown if size == sizes[-1] or size * 1.7 < sizes[-1]]
    figure.update_xaxes(
        title="k: documents at this end of each ranking", type="log", tickvals=shown, showgrid=False,
        ticktext=[f"{size:,}" for size in shown],
    )  # fmt: skip
    ticks = [tick for tick in TICKS if tick <= top]
    labels = [f"{FLOOR:g} or less", *(f"{tick:,g}" for tick in ticks[1:])]
    figure.update_yaxes(
        title="Times its share of the corpus", type="log", range=_logs(FLOOR * 0.9, top), tickvals=ticks,
        ticktext=labels,
    )  # fmt: skip
    return figure.update_layout(
        title={"text": title, "font": {"size": 14}},
        legend=_legend(PLOT_PX),
        hovermode="closest",
    )


def multiplier_height(sources: int) -> int:
    """Pixels of a :func:`multiplier_chart`: its legend may have two entries in a row only."""
    rows = math.ceil((min(sources, len(COLOURS) * len(DASHES)) + 2) / 2)
    return PLOT_PX + 90 + LEGEND_ROW_PX * rows


def _legend(plot_px: int) -> dict[str, object]:
    """Below the axis and its title, however high the plot is."""
    return {"orientation": "h", "y": -58 / plot_px, "yanchor": "top", "x": 0, "font": {"size": 11}}


def _line(figure: go.Figure, rows: pd.DataFrame, names: Mapping[str, str], group: str, focused: bool) -> None:
    colour, dash = _look(names, group)
    hover = [
        f"<b>{times(row.multiplier)}</b> times its share of the corpus<br>95% interval {times(row.low)} to "
        f"{times(row.high)}<br>by chance {times(row.null_low)} to {times(row.null_high)}<br>{row.share:.1%} of the "
        f"{row.k:,}, {row.corpus_share:.1%} of the corpus"
        for row in rows.itertuples()
    ]
    figure.add_scatter(
        x=rows["k"], y=rows["multiplier"].clip(lower=FLOOR), name=text.chart_text(names[group], 24), text=hover,
        mode="lines+markers" if focused or len(rows) == 1 else "lines", marker={"size": 6},
        line={"color": colour, "dash": dash, "width": 3.5 if focused else 1.2}, opacity=1.0 if focused else 0.85,
        hovertemplate="%{fullData.name}<br>%{text}<extra></extra>",
        showlegend=colour != NEUTRAL,
    )  # fmt: skip


def _band(figure: go.Figure, rows: pd.DataFrame, ends: tuple[str, str], colour: str, name: str) -> None:
    low, high = (rows[end].clip(lower=FLOOR * 0.9) for end in ends)
    figure.add_scatter(
        x=[*rows["k"], *rows["k"][::-1]], y=[*low, *high[::-1]], fill="toself", mode="lines", line={"width": 0},
        fillcolor=f"rgba{(*(int(colour[at : at + 2], 16) for at in (1, 3, 5)), BAND_ALPHA)}", hoverinfo="skip",
        name=name,
    )  # fmt: skip


def _look(names: Mapping[str, str], group: str) -> tuple[str, str]:
    """Colour and dash of a source; beyond those there are, all look alike."""
    place = list(names).index(group)
    if place >= len(COLOURS) * len(DASHES):
        return NEUTRAL, DASHES[0]
    return COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS)]


def _logs(low: float, high: float) -> list[float]:
    return [math.log10(low), math.log10(high)]


def widest(tables: Sequence[pd.DataFrame]) -> float:
    """Where the axis of shares ends, on both sides: beyond every bar, interval and share of the corpus."""
    columns = ["share", "share_low", "share_high", "corpus_share"]
    return 1.08 * max(float(table[columns].abs().max(axis=None)) for table in tables)


def mass_chart(table: pd.DataFrame, names: Mapping[str, str], most: float, unit: str, title: str) -> go.Figure:
    """What raises and what lowers, by source, beside each one's share of the corpus.

    Args:
        table: :func:`dashboard.analyses.sources.source_mass`.
        names: Name of each source, from top to bottom.
        most: End of the axis on both sides, the same for charts that stand side by side.
        unit: Unit of the influence.
        title: What the chart shows.
    """
    figure, order = go.Figure(), list(names)
    for mass, sign, colour, name in (
        ("positive", 1, RAISES, "Raises: share of all positive influence"),
        ("negative", -1, LOWERS, "Lowers: share of all negative influence"),
    ):
        rows = table[table["mass"] == mass].set_index("group").loc[order]
        figure.add_bar(
            x=sign * rows["share"], y=list(range(len(order))), orientation="h", name=name, marker_color=colour,
            text=_mass_hover(rows, names, unit), hovertemplate="%{text}<extra></extra>", textposition="none",
            error_x=_errors(rows, sign),
        )  # fmt: skip
    net = table[table["mass"] == "net"].set_index("group").loc[order]
    figure.add_scatter(
        x=net["share"], y=list(range(len(order))), mode="markers", name="Net, over the sum of all magnitudes",
        marker={"symbol": "diamond", "size": 9, "color": "#FFFFFF", "line": {"color": "#333333", "width": 1.5}},
        text=_mass_hover(net, names, unit), hovertemplate="Net<br>%{text}<extra></extra>", error_x=_errors(net, 1),
    )  # fmt: skip
    corpus = net["corpus_share"]
    figure.add_scatter(
        x=[*corpus, *-corpus], y=2 * list(range(len(order))), mode="markers", name="Share of the corpus",
        marker={"symbol": "line-ns", "size": 20, "line": {"color": NEUTRAL, "width": 3}},
        text=[f"{text.chart_text(names[group], 24)}: {corpus[group]:.1%} of the corpus" for group in order * 2],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(
        title="Share; what lowers is drawn to the left", range=[-most, most], tickformat=".0%", zeroline=True
    )
    figure.update_yaxes(
        tickvals=list(range(len(order))), ticktext=[text.chart_text(names[group], 16) for group in order],
        autorange="reversed", showgrid=False, zeroline=False,
    )  # fmt: skip
    return figure.update_layout(
        title={"text": title, "font": {"size": 14}}, barmode="overlay", bargap=0.35,
        legend=_legend(BAR_PX * max(len(order), 3)),
    )  # fmt: skip


def mass_height(sources: int) -> int:
    """Pixels of a :func:`mass_chart`."""
    return 190 + BAR_PX * max(sources, 3)


def _errors(rows: pd.DataFrame, sign: int) -> dict[str, object]:
    ends = (rows["share_high"] - rows["share"], rows["share"] - rows["share_low"])
    up, down = ends if sign > 0 else ends[::-1]
    return {"type": "data", "array": up, "arrayminus": down, "color": NEUTRAL, "thickness": 1.5, "width": 4}


def _mass_hover(rows: pd.DataFrame, names: Mapping[str, str], unit: str) -> list[str]:
    return [
        f"{text.chart_text(names[group], 24)}<br><b>{row['share']:.1%}</b>{_between(row)}"
        f"<br>{text.number(row['influence'])} {unit}"
        for group, row in rows.iterrows()
    ]


def _between(row: pd.Series) -> str:
    return f" (95% interval {row['share_low']:.1%} to {row['share_high']:.1%})" if pd.notna(row["share_low"]) else ""
