"""Charts of two sides: influence against influence, what the ends share, and both concentrations and sources."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.components import text
from dashboard.components.figure import LOWERS, NEUTRAL, PALETTE, RAISES
from dashboard.components.word_order_charts import broken

SIDES = (PALETTE[2], PALETTE[3])
"""Left and right; blue and vermillion keep their meaning."""
BAND = "rgba(140,140,140,0.22)"
MOST_SOURCES = 12
NAME = 44
"""Characters of a side's name on an axis."""
GROUPS = (
    ("Both raise", RAISES, "circle"),
    ("Both lower", LOWERS, "diamond"),
    ("One raises, the other lowers", NEUTRAL, "x"),
)

ENDS = (("raised", "Raised most", RAISES, "solid", "circle"), ("lowered", "Lowered most", LOWERS, "dash", "diamond"))
LEGEND = {
    "orientation": "h",
    "yanchor": "bottom",
    "y": 1.02,
    "xanchor": "left",
    "x": 0,
    "title": None,
    "traceorder": "normal",
}


def scatter(table: pd.DataFrame, names: Sequence[str], units: Sequence[str], by_rank: bool) -> go.Figure:
    """Each document's place on the left against its place on the right.

    Args:
        table: Documents to draw, rows of :class:`engine.analysis.comparison.Pairs`.
        names: Names of the two sides.
        units: Units of their influences.
        by_rank: Ranks on the axes, the first at the top right; else influences.
    """
    raises, other_raises = table["influence"] > 0, table["other_influence"] > 0
    lowers, other_lowers = table["influence"] < 0, table["other_influence"] < 0
    both, neither = raises & other_raises, lowers & other_lowers
    columns = ("rank", "other_rank") if by_rank else ("influence", "other_influence")
    figure = go.Figure()
    for (name, colour, symbol), chosen in zip(GROUPS, (both, neither, ~both & ~neither), strict=True):
        some = table[chosen]
        figure.add_trace(
            go.Scattergl(
                x=some[columns[0]].to_numpy(), y=some[columns[1]].to_numpy(), mode="markers",
                name=name, customdata=some["id"].tolist(), text=_hover(some), hovertemplate="%{text}<extra></extra>",
                marker={"color": colour, "symbol": symbol, "size": 6, "opacity": 0.6},
            )
        )  # fmt: skip
    what = ["Rank"] * 2 if by_rank else [f"Influence ({unit})" for unit in units]
    shown = [f"{text.chart_text(name, NAME)}<br>{axis}" for name, axis in zip(names, what, strict=True)]
    direction = "reversed" if by_rank else True
    figure.update_xaxes(title=f"Left: {shown[0]}", autorange=direction, zeroline=not by_rank)
    figure.update_yaxes(title=f"Right: {shown[1]}", autorange=direction, zeroline=not by_rank)
    return figure.update_layout(legend=LEGEND, dragmode="zoom", clickmode="event+select")


def _hover(table: pd.DataFrame) -> list[str]:
    return [
        f"<b>{text.chart_text(row.title, 60)}</b><br>left rank {row.rank:,}, {text.number(row.influence)}"
        f"<br>right rank {row.other_rank:,}, {text.number(row.other_influence)}"
        for row in table.itertuples()
    ]


def overlap(curve: pd.DataFrame, tops: pd.DataFrame) -> go.Figure:
    """Share of the k strongest documents that both rankings have, at either end, beside chance.

    Args:
        curve: From :func:`engine.analysis.comparison.overlap_curve`.
        tops: From :func:`engine.analysis.comparison.top_overlap`: marked.
    """
    k = curve["k"].to_numpy()
    figure = go.Figure()
    for bound, fill in (("chance_high", None), ("chance_low", "tonexty")):
        figure.add_trace(
            go.Scatter(
                x=k, y=curve[bound].to_numpy(), mode="lines", line={"width": 0}, fill=fill, fillcolor=BAND,
                name="Chance, 95%", showlegend=fill is not None, hoverinfo="skip",
            )
        )  # fmt: skip
    ends = (
        ("raised", "Raised most", RAISES, "solid", "circle"),
        ("lowered", "Lowered most", LOWERS, "dash", "diamond"),
    )
    for end, name, colour, dash, symbol in ends:
        figure.add_trace(
            go.Scatter(
                x=k, y=curve[end].to_numpy(), mode="lines", name=name, line={"color": colour, "dash": dash},
                hovertemplate="%{y:.1%} of the %{x:,} strongest are shared<extra></extra>",
            )
        )  # fmt: skip
        marked = tops[tops["end"] == end]
        figure.add_trace(
            go.Scatter(
                x=marked["k"].to_numpy(), y=(marked["shared"] / marked["k"]).to_numpy(), mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 9}, showlegend=False,
                text=[f"{row.shared:,} of {row.k:,} shared; chance {row.chance:.2g}" for row in marked.itertuples()],
                hovertemplate="%{text}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(title="Strongest documents (number, log)", type="log", dtick=1)
    figure.update_yaxes(title="Shared by both sides", tickformat=".0%", range=[0, 1.03])
    return figure.update_layout(legend=LEGEND)


def concentrations(curves: Sequence[pd.DataFrame], names: Sequence[str]) -> go.Figure:
    """Cumulative share of positive influence of both sides on one scale, with their null bands.

    Args:
        curves: From :func:`engine.analysis.concentration.cumulative_curve`.
        names: Names of the two sides.
    """
    figure = go.Figure()
    for curve, name, colour, dash, side in zip(curves, names, SIDES, ("solid", "dash"), ("Left", "Right"), strict=True):
        rank = curve["rank"].to_numpy()
        for bound, fill in (("null_high", None), ("null_low", "tonexty")):
            figure.add_trace(
                go.Scatter(
                    x=rank, y=curve[bound].to_numpy(), mode="lines", line={"width": 0}, fill=fill, fillcolor=BAND,
                    name="Normal influences, 95%", showlegend=fill is not None and side == "Left", hoverinfo="skip",
                )
            )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=rank, y=curve["share"].to_numpy(), mode="lines", line={"color": colour, "dash": dash, "width": 2.5},
                name=f"{side}: {text.chart_text(name, NAME)}",
                hovertemplate=f"{side}: the %{{x:,}} strongest hold %{{y:.1%}}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(title="Documents, strongest first (number, log)", type="log", dtick=1)
    figure.update_yaxes(title="Share of all positive influence", tickformat=".0%", range=[0, 1.03])
    return figure.update_layout(legend=LEGEND | {"orientation": "v"})


def source_bars(tables: Sequence[pd.DataFrame], names: Sequence[str]) -> tuple[go.Figure, int]:
    """Share of each source among the documents that raised each side most, with its share of the corpus.

    Args:
        tables: group, share, low, high, corpus_share of each side.
        names: Names of the two sides.

    Returns:
        The chart; how many sources it has no room for.
    """
    both = pd.concat([table.set_index("group")["share"] for table in tables], axis=1).fillna(0).max(axis=1)
    shown = both.sort_values(ascending=False).index[:MOST_SOURCES][::-1]
    labels = [text.chart_text(name, 28) for name in shown]
    figure = go.Figure()
    for place, (table, name, colour) in enumerate(zip(tables, names, SIDES, strict=True)):
        side, rows = ("Left", "Right")[place], table.set_index("group").reindex(shown)
        share = rows["share"].fillna(0)
        figure.add_trace(
            go.Bar(
                y=labels, x=share.to_numpy(), orientation="h", offsetgroup=str(1 - place),
                name=f"{side}: {text.chart_text(name, NAME)}",
                marker={"color": colour, "pattern": {"shape": ("", "/")[place]}},
                error_x={"array": (rows["high"] - share).clip(lower=0).fillna(0).to_numpy(), "symmetric": False,
                         "arrayminus": (share - rows["low"]).clip(lower=0).fillna(0).to_numpy(), "thickness": 1.2},
                hovertemplate=f"{side}: %{{x:.1%}}<extra>%{{y}}</extra>",
            )
        )  # fmt: skip
    corpus = tables[0].set_index("group")["corpus_share"].reindex(shown).fillna(0)
    figure.add_trace(
        go.Scatter(
            y=labels, x=corpus.to_numpy(), mode="markers", name="Share of the corpus",
            marker={"symbol": "line-ns-open", "size": 18, "line": {"width": 2.5}, "color": NEUTRAL},
            hovertemplate="Corpus: %{x:.1%}<extra>%{y}</extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title="Share of the strongest documents", tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(title=None, automargin=True)
    figure.update_layout(legend=LEGEND | {"orientation": "v"}, barmode="group", bargap=0.3)
    return figure, len(both) - len(shown)


def word_orders(tables: Sequence[pd.DataFrame], names: Sequence[str]) -> go.Figure:
    """Share of the influence that each variant leaves, both sides on one axis.

    Args:
        tables: variant, left (NaN within the noise), low, high of each side.
        names: Names of the two sides.
    """
    kept = list(dict.fromkeys(label for table in tables for label in table["variant"]))[::-1]
    labels = [broken(label) for label in kept]
    figure = go.Figure()
    for place, (table, name, colour) in enumerate(zip(tables, names, SIDES, strict=True)):
        side, rows = ("Left", "Right")[place], table.set_index("variant").reindex(kept)
        figure.add_trace(
            go.Bar(
                y=labels, x=rows["left"].to_numpy(), orientation="h", offsetgroup=str(1 - place),
                name=f"{side}: {text.chart_text(name, NAME)}",
                marker={"color": colour, "pattern": {"shape": ("", "/")[place]}},
                error_x={"array": (rows["high"] - rows["left"]).to_numpy(), "symmetric": False,
                         "arrayminus": (rows["left"] - rows["low"]).to_numpy(), "thickness": 1.2},
                hovertemplate=f"{side}: %{{x:.0%}}<extra>%{{y}}</extra>",
            )
        )  # fmt: skip
    title = "Share of the original's influence<br>left by hypothetical texts<br>the model never saw"
    figure.update_xaxes(title=title, tickformat=".0%", zeroline=True)
    figure.update_yaxes(title=None, automargin=True)
    return figure.update_layout(legend=LEGEND | {"orientation": "v"}, barmode="group", bargap=0.3)
