"""The map of documents: a point each, coloured by influence, source or language."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.components import text
from dashboard.components.figure import LOWERS, NEUTRAL, PALETTE, RAISES

FEATURES = {"Words": "words", "Hidden states": "hidden", "Gradients": "gradients"}
"""What a map is laid out by, as pages and addresses call it."""
SCALE = [[0.0, LOWERS], [0.5, "#B4B4BA"], [1.0, RAISES]]
SYMBOLS = ("circle", "diamond", "square", "cross", "triangle-up", "star", "triangle-down", "pentagon", "hexagon", "x")
MOST_LABELS = 10
"""Sources or languages with a colour of their own; the rarer ones share one."""
STRONG = 0.99
"""Quantile of the sizes at which the colour is full: else one document would pale all others."""
CORNERS = 60
"""Corners of an outline that the address has room for."""
Corners = list[tuple[float, float]]


def influence_map(table: pd.DataFrame, unit: str) -> go.Figure:
    """The map coloured by influence, the strongest drawn last.

    Args:
        table: x, y, id, title, source, language, influence (NaN where it was not scored).
        unit: Unit of the influence.
    """
    figure = go.Figure()
    missing = table["influence"].isna()
    if missing.any():
        figure.add_trace(_points(table[missing], "Not scored", {"color": NEUTRAL, "symbol": "x", "opacity": 0.4}))
    scored = table[~missing].sort_values("influence", key=abs)
    most = colour_limit(scored["influence"])
    marker = {
        "color": scored["influence"].to_numpy(), "cmin": -most, "cmax": most, "cmid": 0, "colorscale": SCALE,
        "opacity": np.where(scored["influence"].abs() > most / 10, 0.9, 0.45),
        "colorbar": {"title": {"text": unit.replace(" per ", "<br>per "), "side": "top"}, "thickness": 10,
                     "tickvals": [-most, 0, most], "ticktext": [text.number(-most), "0", text.number(most)]},
    }  # fmt: skip
    figure.add_trace(_points(scored, "Documents", marker))
    return _finished(figure, legend=bool(missing.any()))


def colour_limit(influence: pd.Series) -> float:
    """Influence at which the colour is full."""
    sizes = influence.abs()
    return float(sizes.quantile(STRONG) or sizes.max() or 1.0) if len(sizes) else 1.0


def label_map(table: pd.DataFrame, by: str) -> go.Figure:
    """The map coloured by ``source`` or ``language``, the most frequent ones by colour and shape.

    Args:
        table: x, y, id, title, source, language.
        by: Column of the labels.
    """
    figure = go.Figure()
    counts = table[by].value_counts()
    own = counts.index[: MOST_LABELS if len(counts) <= MOST_LABELS else MOST_LABELS - 1]
    others = table[~table[by].isin(own)]
    if len(others):
        name = f"{len(counts) - len(own)} others ({len(others):,})"
        figure.add_trace(_points(others, name, {"color": NEUTRAL, "opacity": 0.4}))
    for label, colour, symbol in zip(own, PALETTE, SYMBOLS, strict=False):
        some = table[table[by] == label]
        named = text.language(label) if by == "language" else label
        name = f"{text.chart_text(named, 28)} ({len(some):,})"
        figure.add_trace(_points(some, name, {"color": colour, "symbol": symbol, "opacity": 0.75}))
    return _finished(figure, legend=True)


def outline(figure: go.Figure, corners: Sequence[tuple[float, float]]) -> go.Figure:
    """The same map with the outline that was drawn around documents."""
    if corners:
        path = "M " + " L ".join(f"{x} {y}" for x, y in corners) + " Z"
        figure.add_shape(type="path", path=path, line={"color": NEUTRAL, "width": 2, "dash": "dot"})
    return figure


def drawn_corners(selection: dict) -> Corners:
    """Corners of the outline in what a chart says was selected, the lasso thinned out; empty without one."""
    for lasso in selection.get("lasso", []):
        pairs = list(zip(lasso["x"], lasso["y"], strict=True))
        return [(round(x, 2), round(y, 2)) for x, y in pairs[:: -(-len(pairs) // CORNERS)]]
    for box in selection.get("box", []):
        (x0, x1), (y0, y1) = box["x"], box["y"]
        return [(round(x, 2), round(y, 2)) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    return []


def written(corners: Corners) -> str:
    """Corners as the address holds them."""
    return ";".join(f"{x:g},{y:g}" for x, y in corners)


def read(address: str) -> Corners:
    """Corners from the address; empty unless they are numbers that make an outline."""
    try:
        found = [(float(x), float(y)) for x, y in (corner.split(",") for corner in address.split(";"))]
    except ValueError:
        return []
    fine = 3 <= len(found) <= 2 * CORNERS and all(abs(value) < 1e6 for corner in found for value in corner)
    return found if fine else []


def _points(table: pd.DataFrame, name: str, marker: dict) -> go.Scattergl:
    return go.Scattergl(
        x=table["x"].to_numpy(), y=table["y"].to_numpy(), mode="markers", name=name, marker={"size": 6} | marker,
        customdata=table["id"].tolist(), text=_hover(table), hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _hover(table: pd.DataFrame) -> list[str]:
    found = [
        f"<b>{text.chart_text(title, 60)}</b><br>{text.chart_text(source, 40)} · {text.chart_text(language, 20)}"
        for title, source, language in zip(
            table["title"], table["source"], table["language"].map(text.language), strict=True
        )
    ]
    if "influence" in table:
        ends = ("" if value != value else f"<br>{text.number(value)}" for value in table["influence"])
        found = [line + end for line, end in zip(found, ends, strict=True)]
    return found


def _finished(figure: go.Figure, legend: bool) -> go.Figure:
    bare = {"showgrid": False, "zeroline": False, "showticklabels": False}
    figure.update_xaxes(title="First direction of the map (no unit)", **bare)
    figure.update_yaxes(title="Second direction of the map (no unit)", scaleanchor="x", **bare)
    below = {"orientation": "h", "yanchor": "top", "y": -0.08, "x": 0, "title": None, "itemsizing": "constant"}
    return figure.update_layout(showlegend=legend, legend=below, uirevision="map", clickmode="event+select")
