"""The picture of a finding: one drawn for it where there is one, else a plain chart of its rows."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.analyses import findings as analyses
from dashboard.components import text
from dashboard.components.figure import NEUTRAL, show_figure
from dashboard.components.heat_map import SCALE

COLOURS = {
    analyses.INFLUENCE: "#009E73", "gradient dot": "#E69F00", "BM25": "#56B4E9", "hidden states": "#CC79A7",
}  # fmt: skip
DASHES = {analyses.INFLUENCE: "solid", "gradient dot": "dash", "BM25": "dot", "hidden states": "dashdot"}
NO_VALUE = {"low", "high", "null", "null_low", "null_high", "bound", "units", "rank", "number", "tokens", "documents"}
"""Numbers that stand beside the one that is drawn."""
SHARES = {"left", "overlap", "matched", "found"}
"""Numbers that are shares of 1 though their name does not say so."""
GROUP_OF = {"word_order": "variant", "languages": "language"}
"""The column whose values stand down the chart, by finding."""
MOST_GROUPS, NAME, LONG = 12, 26, 60
LEGEND = {"orientation": "h", "y": 1.0, "yref": "container", "yanchor": "top", "x": 0, "font": {"size": 11}}


def show_picture(name: str, found: analyses.Measured, key: str) -> dict[str, go.Figure]:
    """Show a finding's picture.

    Args:
        name: The finding.
        found: What was measured.
        key: Name of the chart on the page.

    Returns:
        The chart by its name, to take away; empty where there is nothing to draw.
    """
    table = found.tables.get("picture", pd.DataFrame())
    if table.empty:
        return {}
    drawn, about = picture(name, table)
    if drawn is None:
        return {}
    show_figure(drawn, key=key, height=int(drawn.layout.height or 380), alt=f"{about} The table below has the numbers.")
    st.caption(about)
    return {"Picture": drawn}


Picture = tuple[go.Figure | None, str]
"""A chart, and in a sentence what it shows."""


def picture(name: str, table: pd.DataFrame) -> Picture:
    """The chart of a finding's picture.

    Args:
        name: The finding.
        table: Its rows, one a mark.
    """
    draw, needed = _SPECIAL.get(name, (None, set()))
    if draw is not None and needed <= set(table):
        return draw(table)
    return intervals(table) if {"low", "high"} <= set(table) else plain(table, GROUP_OF.get(name, ""))


def plain(table: pd.DataFrame, group: str = "") -> Picture:
    """Every row as a mark: a number across, groups down, scores apart by colour.

    Args:
        table: The rows.
        group: The column whose values stand down the chart; empty for the first that has a few.
    """
    numbers = [name for name in table.select_dtypes("number") if name not in NO_VALUE and not analyses.is_id(name)]
    if not numbers:
        return None, ""
    value, group = numbers[0], group if group in table else _group(table)
    rows = table.dropna(subset=[value])
    groups = list(dict.fromkeys(rows[group].astype(str))) if group else [""]
    scores = scores_of(rows)
    figure = go.Figure()
    for score in scores:
        some = rows[rows["score"] == score] if "score" in rows else rows
        figure.add_box(
            x=some[value], y=some[group].astype(str) if group else [""] * len(some), orientation="h",
            name=text.chart_text(score, NAME), boxpoints="all", jitter=0.5, pointpos=0, offsetgroup=score,
            marker={"color": COLOURS.get(score, NEUTRAL), "size": 5, "opacity": 0.6}, line={"width": 1.2},
            text=[_hover(row, value) for _, row in some.iterrows()], hovertemplate="%{text}<extra></extra>",
            hoveron="points", fillcolor="rgba(0,0,0,0)", showlegend=len(scores) > 1,
        )  # fmt: skip
    figure.update_xaxes(title=_words(value), tickformat=".0%" if _is_share(value) else None)
    figure.update_yaxes(
        title=_words(group) if group else None, tickvals=groups, autorange="reversed",
        ticktext=[text.chart_text(_readable(group, one), NAME) for one in groups],
    )  # fmt: skip
    height = 130 + max(len(groups), 1) * (16 + 22 * len(scores))
    figure.update_layout(boxmode="group", height=height, legend=LEGEND)
    each = "completion" if "completion" in table else "row"
    by = f", by {_words(group).lower()}" if group else ""
    return figure, f"A point is a {each}; the boxes hold the middle half of each group{by}."


def tails(table: pd.DataFrame) -> Picture:
    """How many completions have how much of their influence in the top 1%."""
    figure = go.Figure()
    for score in scores_of(table):
        some = table[table["score"] == score].dropna(subset=["top_share"]).sort_values("top_share")
        figure.add_scatter(
            x=some["top_share"], y=1 - np.arange(len(some)) / max(1, len(some)), mode="lines",
            name=text.chart_text(score, NAME), line={"shape": "vh", "width": 3 if score == analyses.INFLUENCE else 1.8,
            "color": COLOURS.get(score, NEUTRAL), "dash": DASHES.get(score, "dash")},
            text=[text.chart_text(title, LONG) for title in some["completion"]],
            hovertemplate="%{text}<br>top 1%: %{x:.1%}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    bound = analyses.RULES["tails"].parts["top_share"].bound
    figure.add_vline(x=bound, line={"color": NEUTRAL, "width": 2, "dash": "dash"})
    figure.add_annotation(
        x=bound, y=0.02, yref="paper", xanchor="left", yanchor="bottom", showarrow=False, text="exponential",
    )  # fmt: skip
    figure.update_xaxes(title="Share held by the top 1% of documents", tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(title="Completions with this share or more", tickformat=".0%", range=[0, 1.02])
    figure.update_layout(legend=LEGEND, height=400)
    return figure, "A curve far to the right: most completions owe much of their influence to few documents."


def procedures(table: pd.DataFrame) -> Picture:
    """How alike documents influence two completions, for every pair, tasks together."""
    rows = table[table["score"] == analyses.INFLUENCE]
    names = list(dict.fromkeys(rows["completion"]))
    tasks = rows.drop_duplicates("completion").set_index("completion")["task"].loc[names]
    cells = rows.pivot_table(index="completion", columns="other", values="correlation").loc[names, names]
    values = cells.to_numpy(copy=True)
    np.fill_diagonal(values, np.nan)  # a completion with itself
    hover = [
        [f"{text.chart_text(one, LONG)}<br>{text.chart_text(two, LONG)}<br>{text.correlation(cells.at[one, two])}"
         for two in names] for one in names
    ]  # fmt: skip
    scale = {"title": {"text": "Correlation", "side": "right"}, "thickness": 10}
    figure = go.Figure(
        go.Heatmap(z=values, zmin=-1, zmid=0, zmax=1, colorscale=SCALE, colorbar=scale, xgap=1, ygap=1, text=hover,
                   hovertemplate="%{text}<extra></extra>")
    )  # fmt: skip
    blocks = [(task, np.flatnonzero(tasks.to_numpy() == task)) for task in dict.fromkeys(tasks)]
    ticks = [float(places.mean()) for _, places in blocks]
    labels = [text.chart_text(task, NAME) for task, _ in blocks]
    for _, places in blocks[1:]:
        for draw in (figure.add_hline, figure.add_vline):
            draw(float(places.min()) - 0.5, line={"color": NEUTRAL, "width": 1.5})
    figure.update_xaxes(tickvals=ticks, ticktext=labels, tickangle=-40, showgrid=False, zeroline=False)
    figure.update_yaxes(tickvals=ticks, ticktext=labels, autorange="reversed", showgrid=False, zeroline=False)
    figure.update_layout(height=230 + 16 * len(names))
    return figure, (
        "Each cell is a pair of completions: the correlation, over documents, of their influence, the documents' "
        "gradient norms regressed out. Blue squares along the diagonal: a task draws on the same documents."
    )


def intervals(table: pd.DataFrame) -> Picture:
    """Every row as an estimate with its interval, scores apart by colour."""
    numbers = [name for name in table.select_dtypes("number") if name not in NO_VALUE and not analyses.is_id(name)]
    value = numbers[0]
    words = [name for name in table if name not in table.select_dtypes("number") and name != "score"]
    told = [name for name in words if not analyses.is_id(name) and table[name].nunique() > 1]
    labels = table[told].astype(str).agg(" · ".join, axis=1) if told else pd.Series("", table.index)
    groups, scores = list(dict.fromkeys(labels)), scores_of(table)
    figure = go.Figure()
    for place, score in enumerate(scores):
        chosen = table["score"] == score if "score" in table else slice(None)
        rows, shift = table[chosen], 0.6 * ((place + 0.5) / len(scores) - 0.5)
        figure.add_scatter(
            x=rows[value], y=[groups.index(label) + shift for label in labels[chosen]], mode="markers",
            name=text.chart_text(score, NAME), marker={"color": COLOURS.get(score, NEUTRAL), "size": 8},
            error_x={"array": rows["high"] - rows[value], "arrayminus": rows[value] - rows["low"], "thickness": 1.6},
            text=[text.chart_text(label, LONG) for label in labels[chosen]], showlegend=len(scores) > 1,
            hovertemplate="%{text}<br><b>%{x:.3g}</b><extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_xaxes(title=f"{_words(value)}, with its 95% interval", tickformat=".0%" if _is_share(value) else None)
    figure.update_yaxes(
        tickvals=list(range(len(groups))), ticktext=[text.chart_text(one, LONG // 2) for one in groups],
        range=[len(groups) - 0.4, -0.6], zeroline=False,
    )  # fmt: skip
    figure.update_layout(height=130 + len(groups) * (14 + 14 * len(scores)), legend=LEGEND)
    return figure, "Each mark is an estimate with its 95% interval."


def scores_of(table: pd.DataFrame) -> list[str]:
    """Scores of a picture, influence first."""
    found = list(dict.fromkeys(table["score"])) if "score" in table else [analyses.INFLUENCE]
    return sorted(found, key=lambda score: score != analyses.INFLUENCE)


def _group(table: pd.DataFrame) -> str | None:
    """The column whose values stand down the chart: the first that has a few."""
    words = [name for name in table.columns if name not in table.select_dtypes("number") and name != "score"]
    few = [name for name in words if name not in analyses.TITLES and not analyses.is_id(name)]
    return next((name for name in few if 1 < table[name].nunique() <= MOST_GROUPS), None)


def _is_share(name: str) -> bool:
    return "share" in name or name in SHARES


def _words(name: str | None) -> str:
    said = (name or "").replace("_", " ")
    return said[:1].upper() + said[1:]


def _readable(group: str | None, value: str) -> str:
    return text.language(value) if group == "language" else value


def _hover(row: pd.Series, value: str) -> str:
    titles = [text.chart_text(str(row[name]), LONG) for name in row.index if name in analyses.TITLES and row[name]]
    score = [text.chart_text(str(row["score"]), NAME)] if "score" in row.index else []
    return "<br>".join([*titles, *score, f"<b>{text.number(row[value])}</b>"])


_SPECIAL: Mapping[str, tuple[Callable[[pd.DataFrame], Picture], set[str]]] = {
    "tails": (tails, {"score", "completion", "top_share"}),
    "procedures": (procedures, {"score", "completion", "other", "task", "correlation"}),
}
"""Pictures drawn for a finding, and the columns they need."""
