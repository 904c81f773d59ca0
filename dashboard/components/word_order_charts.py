"""Charts of word order: one document's variants, and what variants leave over many completions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from dashboard.components import text
from dashboard.components.figure import LOWERS, NEUTRAL, PALETTE, RAISES

__all__ = ["Figure", "axis_range", "broken", "height", "spread_figure", "variants_figure"]

ROW_PX = 48
LABEL, LABEL_LINES = 15, 3
"""Letters of a label's line, and lines of a label."""
GROUPS = {False: "strongest documents", True: "unrelated documents"}
JITTER = 0.26
SYMBOLS = ("circle", "x", "triangle-up")
"""For kinds beyond the colours."""


def height(rows: int) -> int:
    """Pixels for a chart of that many variants."""
    return 170 + ROW_PX * rows


def variants_figure(rows: pd.DataFrame, draws: pd.DataFrame, noise: float, unit: str) -> Figure:
    """Influence of each variant of one document.

    Args:
        rows: label, influence, low, high; the original first.
        draws: label, influence; every draw of variants that have several.
        noise: Size that 19 of 20 unrelated documents stay below.
        unit: Unit of the measurement.
    """
    labels = [broken(label) for label in rows["label"]]
    influence = rows["influence"].to_numpy(dtype=float)
    hover = [
        f"{label}<br><b>{text.number(row.influence)}</b> {unit} per unit of weight"
        + (f"<br>draws from {text.number(row.low)} to {text.number(row.high)}" if row.low < row.high else "")
        for label, row in zip(labels, rows.itertuples(), strict=True)
    ]
    figure = Figure()
    figure.add_bar(
        x=influence, y=labels, orientation="h", width=0.62, showlegend=False, hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>", marker_color=[RAISES if v > 0 else LOWERS for v in influence],
    )  # fmt: skip
    for label, row in zip(labels, rows.itertuples(), strict=True):
        if row.low < row.high:
            figure.add_scatter(
                x=[row.low, row.high], y=[label, label], mode="lines", showlegend=False, hoverinfo="skip",
                line={"color": NEUTRAL, "width": 3},
            )  # fmt: skip
    if len(draws):
        figure.add_scatter(
            x=draws["influence"], y=[broken(label) for label in draws["label"]], mode="markers", name="one draw",
            marker={"symbol": "circle-open", "size": 9, "color": NEUTRAL, "line": {"width": 2}},
            hovertemplate="one draw: %{x:+.4g}<extra></extra>",
        )  # fmt: skip
    if np.isfinite(noise):
        figure.add_vrect(
            x0=-noise, x1=noise, fillcolor=NEUTRAL, opacity=0.25, line_width=0, layer="below",
            name="noise: 19 of 20 unrelated documents", showlegend=True,
        )  # fmt: skip
    figure.add_vline(x=float(influence[0]), line={"dash": "dot", "width": 1.5, "color": NEUTRAL})
    title = f"Influence ({unit} per unit of weight)<br>variants are hypothetical texts<br>the model never saw"
    figure.update_xaxes(title=title, zeroline=True)
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})


def spread_figure(found: pd.DataFrame, medians: pd.DataFrame, measure: str, names: Mapping[str, str]) -> Figure:
    """What each variant leaves, one point per completion, with median and interval.

    Args:
        found: Of ``engine.analysis.word_order.effects``, with ``completion``.
        medians: Of ``engine.analysis.word_order.spread``, one kind or all kinds together.
        measure: ``left`` or ``change``.
        names: Of the variants, in order.
    """
    order = [name for name in names if name in set(medians["variant"])]
    place = {name: number for number, name in enumerate(order)}
    random = np.random.default_rng(0)
    figure = Figure()
    both = found["control"].nunique() > 1 and measure == "change"
    for control, group in found.dropna(subset=[measure]).groupby("control", sort=True):
        if control and not both:
            continue
        shift = (0.2 if control else -0.2) if both else 0.0
        spread = JITTER / 2 if both else JITTER
        colours = [(GROUPS[True], NEUTRAL, "circle", group)] if control else list(_by_kind(group))
        for name, colour, symbol, part in colours:
            at = part["variant"].map(place).to_numpy(dtype=float) + shift + random.uniform(-spread, spread, len(part))
            figure.add_scatter(
                x=part[measure], y=at, mode="markers", name=text.chart_text(name, 30),
                marker={"size": 7, "color": colour, "symbol": symbol, "opacity": 0.6},
                hovertext=[text.chart_text(title, 60) for title in part["completion"]],
                hovertemplate=f"%{{hovertext}}<br>%{{x:{'.0%' if measure == 'left' else '+.2f'}}}<extra></extra>",
            )  # fmt: skip
        rows = medians[(medians["control"] == control) & medians["variant"].isin(order)]
        figure.add_scatter(
            x=rows["median"], y=rows["variant"].map(place) + shift, mode="markers",
            name=f"median, {GROUPS[bool(control)]}", hovertemplate="median %{x:.3g}<extra></extra>",
            marker={"symbol": "square" if control else "diamond", "size": 12, "color": "#B8860B" if not control else
                    "#5B4B8A", "line": {"width": 1, "color": "white"}},
            error_x={"type": "data", "symmetric": False, "array": rows["high"] - rows["median"],
                     "arrayminus": rows["median"] - rows["low"], "thickness": 3, "width": 8},
        )  # fmt: skip
    title = (
        "Share of the original's influence<br>left by hypothetical texts<br>the model never saw"
        if measure == "left"
        else "Change of influence<br>(multiples of the completion's noise level)<br>"
        "in hypothetical texts the model never saw"
    )
    figure.update_xaxes(
        title=title,
        tickformat=".0%" if measure == "left" else None,
        zeroline=True,
        range=axis_range(found, medians, measure),
    )
    figure.update_yaxes(
        tickvals=list(range(len(order))), ticktext=[broken(names[name]) for name in order], zeroline=False,
        range=[len(order) - 0.5, -0.5], automargin=True,
    )  # fmt: skip
    return figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})


def _by_kind(group: pd.DataFrame) -> list[tuple[str, str, str, pd.DataFrame]]:
    """Name, colour, symbol and rows of each kind; grey is for unrelated documents."""
    colours = [colour for colour in PALETTE if colour != NEUTRAL]
    kinds = [str(kind) for kind in dict.fromkeys(group["kind"])]
    return [
        (kind, colours[number % len(colours)], SYMBOLS[number // len(colours) % len(SYMBOLS)],
         group[group["kind"] == kind])
        for number, kind in enumerate(kinds)
    ]  # fmt: skip


def axis_range(found: pd.DataFrame, medians: pd.DataFrame, measure: str) -> tuple[float, float]:
    """Ends of the axis: all intervals and 98% of the points, so that a few far ones do not stretch it."""
    values = found[measure].dropna()
    share = 0.01 if len(values) >= 20 else 0.0
    ends = [0.0, *values.quantile([share, 1 - share]), *medians[["low", "high"]].stack().dropna()]
    margin = 0.05 * (max(ends) - min(ends) or 1.0)
    return min(ends) - margin, max(ends) + margin


def broken(label: str) -> str:
    """A label on several lines where it is long, so that a phone has room for the chart."""
    lines = [""]
    for word in text.chart_text(label, 60).split("\u00a0"):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > LABEL and len(lines) < LABEL_LINES:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(lines)
