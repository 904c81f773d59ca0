"""The picture of a finding: one drawn for it where there is one, else a plain chart of its rows."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.analyses import findings as analyses
from dashboard.components import text
from dashboard.components.figure import NEUTRAL, PALETTE, show_figure
from dashboard.components.finding_marks import (
    COLOURS,
    LEGEND,
    LONG,
    NAME,
    Picture,
    intervals,
    plain,
    scores_of,
)  # fmt: skip
from dashboard.components.heat_map import SCALE

DASHES = {analyses.INFLUENCE: "solid", "gradient dot": "dash", "BM25": "dot", "hidden states": "dashdot"}
GROUP_OF = {
    "word_order": "variant", "scale": "model", "languages": "language", "problems": "language",
    "exact_matches": "group",
}  # fmt: skip
"""The column whose values stand down the chart, by finding."""


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


def reasoning(table: pd.DataFrame) -> Picture:
    """Influence per nat of longer and longer parts of the ranking, a curve for each family."""
    figure = go.Figure()
    looks = zip(dict.fromkeys(table["family"]), PALETTE[2:], ("solid", "dash"), strict=False)
    for family, colour, dash in looks:
        rows = table[table["family"] == family]
        figure.add_scatter(
            x=rows["strongest"], y=rows["influence_per_nat"], mode="lines+markers", marker={"size": 7},
            name=text.heading(text.chart_text(family, NAME)), line={"color": colour, "dash": dash, "width": 2.5},
            error_y={"array": rows["high"] - rows["influence_per_nat"], "thickness": 1.6,
                     "arrayminus": rows["influence_per_nat"] - rows["low"]},
            hovertemplate="%{x}: %{y:,.3g}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_xaxes(title="Strongest documents")
    figure.update_yaxes(title="Influence per nat of completion", rangemode="tozero")
    figure.update_layout(legend=LEGEND, height=380)
    return figure, "Medians over completions with 95% intervals, of the documents that raise each most."


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


def rare_tokens(table: pd.DataFrame) -> Picture:
    """Each completion token: how often it stands in the corpus, and how many documents it draws on."""
    rows = table[(table["occurrences"] > 0) & table["effective_number"].notna()]
    hover = [
        f"“{text.chart_text(row.token, NAME)}”<br>{text.chart_text(row.completion, LONG)}"
        f"<br>{row.occurrences:,.0f} times in the corpus<br><b>{row.effective_number:,.1f}</b> documents"
        for row in rows.itertuples()
    ]
    figure = go.Figure(
        go.Scatter(x=rows["occurrences"], y=rows["effective_number"], mode="markers", text=hover, showlegend=False,
                   hovertemplate="%{text}<extra></extra>",
                   marker={"color": COLOURS[analyses.INFLUENCE], "size": 6, "opacity": 0.6})
    )  # fmt: skip
    figure.update_xaxes(title="Times the token stands in the corpus (log)", type="log", dtick=1)
    figure.update_yaxes(title="Effective number of documents (log)", type="log", dtick=1)
    figure.update_layout(height=400)
    return figure, "A point is a token of a completion. Were rare ones owed to fewer documents, points would rise."


def sources(table: pd.DataFrame) -> Picture:
    """How many times its share of the corpus each source has at the ends of the rankings, by influence."""
    rows = table[table["score"] == analyses.INFLUENCE]
    names, groups = list(dict.fromkeys(rows["source"])), list(rows.groupby(["kind", "end"], sort=False))
    figure = go.Figure()
    for place, ((kind, end), some) in enumerate(groups):
        shift, colour = 0.7 * ((place + 0.5) / len(groups) - 0.5), PALETTE[2 + place % 5]
        figure.add_scatter(
            x=some["multiplier"], y=[names.index(one) + shift for one in some["source"]], mode="markers",
            name=f"{text.heading(text.chart_text(kind, NAME))}, {end} most",
            marker={"color": colour, "size": 8, "symbol": ("circle", "diamond")[end != "raised"]},
            error_x={"array": some["high"] - some["multiplier"], "arrayminus": some["multiplier"] - some["low"],
                     "thickness": 1.6, "color": colour},
            hovertemplate="%{x:.2f} times<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.add_vline(x=1, line={"color": NEUTRAL, "width": 1.5, "dash": "dash"})
    figure.update_xaxes(title="Times its share of the corpus", rangemode="tozero")
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[text.chart_text(one, NAME) for one in names], zeroline=False,
        range=[len(names) - 0.4, -0.6],
    )  # fmt: skip
    figure.update_layout(height=150 + 44 * len(names), legend=LEGEND | {"orientation": "v", "y": -60 / 300})
    return figure, "95% intervals over completions. At the dashed line a source is as frequent as in the corpus."


def layers(table: pd.DataFrame) -> Picture:
    """The share of influence that each third of the network carries, by family of completions."""
    rows = table[table["score"] == analyses.INFLUENCE]
    figure = go.Figure()
    for place, (family, some) in enumerate(rows.groupby("family", sort=False)):
        means = some.groupby("third", sort=False)["share"].mean()
        figure.add_bar(
            x=[text.heading(third) for third in means.index], y=means, marker_color=PALETTE[2 + place % 5],
            name=text.heading(text.chart_text(family or "other", NAME)),
            hovertemplate="%{y:.1%}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_xaxes(title="Third of the network")
    figure.update_yaxes(title="Share of the influence", tickformat=".0%")
    figure.update_layout(barmode="group", height=380, legend=LEGEND)
    return figure, "Means over completions, of the influence of each one's strongest documents."


_SPECIAL: Mapping[str, tuple[Callable[[pd.DataFrame], Picture], set[str]]] = {
    "tails": (tails, {"score", "completion", "top_share"}),
    "reasoning": (reasoning, {"family", "strongest", "influence_per_nat", "low", "high"}),
    "rare_tokens": (rare_tokens, {"completion", "token", "occurrences", "effective_number"}),
    "sources": (sources, {"score", "source", "kind", "end", "multiplier", "low", "high"}),
    "layers": (layers, {"score", "family", "third", "share"}),
    "procedures": (procedures, {"score", "completion", "other", "task", "correlation"}),
}
"""Pictures drawn for a finding, and the columns they need."""
