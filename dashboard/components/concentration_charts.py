"""Charts of concentration: cumulative share, Lorenz curve, tail, tokens by frequency, and inside documents."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.analyses.concentration import TailFit
from dashboard.components import text
from dashboard.components.figure import LOWERS, NEUTRAL, PALETTE, RAISES

COLOURS = {"positive": RAISES, "negative": LOWERS, "both": PALETTE[2]}
VERBS = {"positive": "raised", "negative": "lowered", "both": "raised or lowered"}
SHUFFLED = PALETTE[4]
BAND, FAINT_BAND = 0.35, 0.2
NEVER = 0.5
"""Where tokens stand that the corpus lacks: a logarithm has no zero."""
LEFT_OUT = 0.1
"""Share of documents, the weakest, that the tail's chart leaves out."""
GROUPS = 8
"""Equally large groups of tokens that the median is drawn for."""
MANY_POWERS = 2
"""An axis over more powers of ten than this has ticks at those only."""
SVG_POINTS = 4000
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


def cumulative_chart(curve: pd.DataFrame, measures: pd.DataFrame, sign: str, shuffled: bool) -> go.Figure:
    """Cumulative share against rank, with its interval, both nulls and a mark at the top 1%.

    Args:
        curve: Of :class:`dashboard.analyses.concentration.Concentration`.
        measures: Likewise.
        sign: What is measured.
        shuffled: Whether the shuffled null says anything.
    """
    figure = go.Figure()
    _band(figure, curve, "null_", NEUTRAL, "Normal influences (95%)")
    if shuffled:
        _band(figure, curve, "shuffled_", SHUFFLED, "Shuffled influences (95%)")
    _band(figure, curve, "", COLOURS[sign], "Interval over documents (95%)", FAINT_BAND)
    figure.add_scatter(
        x=curve["rank"], y=curve["share"], mode="lines", name="This completion",
        line={"color": COLOURS[sign], "width": 2.5},
        hovertemplate="The %{x:,} strongest: <b>%{y:.1%}</b><extra></extra>",
    )  # fmt: skip
    top, share = max(1, int(np.ceil(measures.at["documents", "value"] / 100 - 1e-9))), measures.at["top_share", "value"]
    figure.add_scatter(
        x=[top, top, top], y=[0, share, 1], mode="lines+text", showlegend=False, hoverinfo="skip",
        line={"color": NEUTRAL, "width": 1, "dash": "dot"},
        text=["", "", f" top 1% ({top:,}): {text.share(share)}"], textposition="bottom right",
    )  # fmt: skip
    figure.update_xaxes(title="Documents, the strongest first (rank, log scale)", type="log", **_ticks(curve["rank"]))
    figure.update_yaxes(title=f"Share of all that {VERBS[sign]} it", tickformat=".0%", range=[0, 1.03])
    return figure.update_layout(legend=LEGEND)


def lorenz_chart(curve: pd.DataFrame, gini: float, sign: str) -> go.Figure:
    """Lorenz curve beside the diagonal of equal documents."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="All documents equal", hoverinfo="skip",
        line={"color": NEUTRAL, "width": 1.5, "dash": "dash"},
    )  # fmt: skip
    figure.add_scatter(
        x=curve["documents"], y=curve["share"], mode="lines", name=f"This completion (Gini {gini:.2f})",
        line={"color": COLOURS[sign], "width": 2.5}, fill="tonexty", fillcolor=_clear(COLOURS[sign], 0.12),
        hovertemplate="The weakest %{x:.1%} hold <b>%{y:.1%}</b><extra></extra>",
    )  # fmt: skip
    whole = {"range": [-0.02, 1.02], "tickformat": ".0%", "dtick": 0.2}
    figure.update_xaxes(title=f"Share of documents that {VERBS[sign]} it, weakest first", **whole)
    figure.update_yaxes(title=f"Share of all that {VERBS[sign]} it", **whole)
    return figure.update_layout(legend=LEGEND)


def tail_chart(curve: pd.DataFrame, fit: TailFit | None, sign: str, unit: str) -> go.Figure:
    """Share of documents with at least so much influence, both axes logarithmic, and the power law of the tail.

    The weakest documents, :data:`LEFT_OUT`, would stretch the axis over many empty powers of ten.
    """
    figure, curve = go.Figure(), curve[curve["share"] <= 1 - LEFT_OUT]
    figure.add_scatter(
        x=curve["amount"], y=curve["share"], mode="markers", name="Documents",
        marker={"color": COLOURS[sign], "size": 5},
        hovertemplate="%{x:.3g} or more: <b>%{y:.2%}</b> of documents<extra></extra>",
    )  # fmt: skip
    if fit is not None:
        places = np.geomspace(fit.x_min, fit.x_max, 50)
        figure.add_scatter(
            x=places, y=fit.ccdf(places), mode="lines", hoverinfo="skip", line={"color": SHUFFLED, "width": 2.5},
            name=f"Power law, exponent {fit.exponent:.2f} ± {fit.standard_error:.2f}",
        )  # fmt: skip
    figure.update_xaxes(title=f"Size of influence<br>({unit}, log scale)", type="log", **_ticks(curve["amount"]))
    figure.update_yaxes(
        title="Share of documents with that much or more", type="log", **_ticks(curve["share"], percent=True)
    )
    return figure.update_layout(legend=LEGEND)


def frequency_chart(tokens: pd.DataFrame, measure: str, title: str, own: int, names: Mapping[int, str]) -> go.Figure:
    """Concentration of every completion token against its frequency in the corpus; points carry ``query:token``.

    Args:
        tokens: Of :func:`dashboard.analyses.concentration.every_token`.
        measure: Column on the vertical axis.
        title: What the axis calls it.
        own: Number of the completion under study, whose tokens stand out.
        names: Title of each completion.
    """
    figure, share = go.Figure(), measure == "top_share"
    kind = go.Scatter if len(tokens) <= SVG_POINTS else go.Scattergl
    for of_own, name, marker in (
        (False, "Tokens of other completions", {"color": NEUTRAL, "size": 6, "opacity": 0.45}),
        (True, "Tokens of this completion", {"color": PALETTE[0], "size": 10, "line": {"color": "white", "width": 1}}),
    ):
        rows = tokens[(tokens["query"] == own) == of_own]
        about = [
            f"“{text.chart_text(row.text, 30)}” in “{text.chart_text(names[row.query], 60)}”<br>{row.occurrences:,} "
            f"times in the corpus, loss {row.loss:.2f} nats"
            for row in rows.itertuples()
        ]
        figure.add_trace(
            kind(
                x=rows["occurrences"].clip(lower=NEVER), y=rows[measure], mode="markers", name=name, marker=marker,
                text=about, customdata=[f"{row.query}:{row.token}" for row in rows.itertuples()],
                hovertemplate=f"%{{text}}<br><b>%{{y:{'.1%' if share else ',.0f'}}}</b> {title.lower()}<extra></extra>",
            )
        )  # fmt: skip
    middle = _medians(tokens["occurrences"].clip(lower=NEVER), tokens[measure])
    figure.add_scatter(
        x=middle["x"], y=middle["y"], mode="lines+markers", name="Median and middle half", hoverinfo="skip",
        line={"color": PALETTE[1], "width": 2}, marker={"size": 6},
        error_y={"array": middle["above"], "arrayminus": middle["below"], "thickness": 1.2, "width": 4},
    )  # fmt: skip
    ticks = _ticks(tokens["occurrences"].clip(lower=1))
    if not tokens["occurrences"].all():
        ticks = {"tickvals": [NEVER, *ticks["tickvals"]], "ticktext": ["0", *ticks["ticktext"]]}
    figure.update_xaxes(title="Occurrences of the token in the corpus (log scale)", type="log", **ticks)
    log = {"title": f"{title} (log scale)", "type": "log", **_ticks(tokens[measure])}
    figure.update_yaxes(**({"title": title, "tickformat": ".0%"} if share else log))
    return figure.update_layout(legend=LEGEND, clickmode="event+select")


def multiplier_chart(pooled: pd.DataFrame, by: str, sign: str) -> go.Figure:
    """Influence per token, as a multiple of the mean, by place in the document or by frequency in the corpus."""
    rows = pooled[pooled["by"] == by]
    labels = [_span(row.first, row.last, by) for row in rows.itertuples()]
    about = [f"{row.of_influence:.1%} of influence, {row.of_tokens:.1%} of tokens" for row in rows.itertuples()]
    figure = go.Figure(
        go.Bar(
            x=labels, y=rows["multiplier"], marker={"color": COLOURS[sign], "opacity": 0.75}, text=about,
            textposition="none", hovertemplate="%{x}<br><b>%{y:.2f}</b> × the mean<br>%{text}<extra></extra>",
            error_y={"array": rows["high"] - rows["multiplier"], "arrayminus": rows["multiplier"] - rows["low"],
                     "color": NEUTRAL, "thickness": 1.5, "width": 4},
        )
    )  # fmt: skip
    figure.add_hline(y=1, line={"color": NEUTRAL, "width": 1.5, "dash": "dash"})
    place = "Place in the document (tenths, from its beginning)"
    figure.update_xaxes(title=place if by == "place" else "Occurrences of the token in the corpus", type="category")
    return figure.update_yaxes(title="Influence per token (multiple of mean)", rangemode="tozero")


def _span(first: float, last: float, by: str) -> str:
    if by == "place":
        return f"{first:.0%}–{last:.0%}".replace("%–", "–")
    return f"{first:,.0f}–{last:,.0f}" if np.isfinite(last) else f"{first:,.0f} or more"


def _band(figure: go.Figure, curve: pd.DataFrame, prefix: str, colour: str, name: str, opacity: float = BAND) -> None:
    """An area between ``low`` and ``high``."""
    rank = curve["rank"]
    figure.add_scatter(
        x=[*rank, *rank[::-1]], y=[*curve[f"{prefix}high"], *curve[f"{prefix}low"][::-1]], fill="toself", name=name,
        fillcolor=_clear(colour, opacity), line={"width": 0}, mode="lines", hoverinfo="skip", legendrank=1100,
    )  # fmt: skip


def _medians(x: pd.Series, y: pd.Series, groups: int = GROUPS) -> pd.DataFrame:
    """Median and quartiles of ``y`` in equally large groups of ``x``; a value of ``x`` is in one group only."""
    edges = np.unique(np.quantile(x, np.arange(1, groups) / groups))
    group = np.searchsorted(edges, x, side="right")
    by_group = pd.DataFrame({"x": x, "y": y}).groupby(group)
    found = by_group.median()
    upper, lower = by_group["y"].quantile(0.75), by_group["y"].quantile(0.25)
    return found.assign(above=upper - found["y"], below=found["y"] - lower)


def _clear(colour: str, opacity: float) -> str:
    """A colour that lets what is behind it show."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _ticks(values: pd.Series, percent: bool = False) -> dict[str, list[float] | list[str]]:
    """Ticks of a logarithmic axis, spelled out: powers of ten, and 2 and 5 between them where there are few."""
    known = values[values > 0]
    low, high = (np.log10(known.min()), np.log10(known.max())) if len(known) else (0.0, 1.0)
    steps = (1,) if high - low > MANY_POWERS else (1, 2, 5)
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    ticks = [tick for tick in ticks if low - 0.3 <= np.log10(tick) <= high + 0.3]
    labels = [f"{100 * tick:g}%" if percent else f"{tick:,.10g}" for tick in ticks]
    return {"tickvals": ticks, "ticktext": labels}
