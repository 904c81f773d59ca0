"""Plain charts of a finding's rows: a mark for each, or an interval where the rows have one."""

import pandas as pd
import plotly.graph_objects as go

from dashboard.analyses import findings as analyses
from dashboard.components import text
from dashboard.components.figure import NEUTRAL

COLOURS = {
    analyses.INFLUENCE: "#009E73", "gradient dot": "#E69F00", "BM25": "#56B4E9", "hidden states": "#CC79A7",
}  # fmt: skip
NO_VALUE = {"low", "high", "null", "null_low", "null_high", "bound", "units", "rank", "number", "tokens", "documents",
            "parameters"}  # fmt: skip
"""Numbers that stand beside the one that is drawn."""
SHARES = {"left", "overlap", "matched", "found"}
"""Numbers that are shares of 1 though their name does not say so."""
MOST_GROUPS, NAME, LONG = 12, 26, 60
LEGEND = {"orientation": "h", "y": 1.0, "yref": "container", "yanchor": "top", "x": 0, "font": {"size": 11}}

Picture = tuple[go.Figure | None, str]
"""A chart, and in a sentence what it shows."""


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
    for place, score in enumerate(scores):
        some = rows[rows["score"] == score] if "score" in rows else rows
        figure.add_box(
            x=some[value], y=[groups.index(str(one)) for one in some[group]] if group else [0] * len(some),
            orientation="h",
            name=text.chart_text(score, NAME), boxpoints="all", jitter=0.5, pointpos=0, offsetgroup=str(place),
            marker={"color": COLOURS.get(score, NEUTRAL), "size": 5, "opacity": 0.6}, line={"width": 1.2},
            text=[_hover(row, value) for _, row in some.iterrows()], hovertemplate="%{text}<extra></extra>",
            hoveron="points", fillcolor="rgba(0,0,0,0)", showlegend=len(scores) > 1,
        )  # fmt: skip
    figure.update_xaxes(title=text.heading(value), tickformat=".0%" if _is_share(value) else None)
    figure.update_yaxes(
        title=text.heading(group) if group else None, tickvals=list(range(len(groups))), autorange="reversed",
        ticktext=[text.chart_text(_readable(group, one), NAME) for one in groups],
    )  # fmt: skip
    height = 130 + max(len(groups), 1) * (16 + 22 * len(scores))
    figure.update_layout(boxmode="group", height=height, legend=LEGEND)
    each = "completion" if "completion" in table else "row"
    by = f", by {text.heading(group).lower()}" if group else ""
    return figure, f"A point is a {each}; the boxes hold the middle half of each group{by}."


def intervals(table: pd.DataFrame) -> Picture:
    """Every row as an estimate with its interval, scores apart by colour."""
    numbers = [name for name in table.select_dtypes("number") if name not in NO_VALUE and not analyses.is_id(name)]
    value = numbers[0]
    texts = [name for name in table if name not in table.select_dtypes("number") and name != "score"]
    told = [name for name in texts if not analyses.is_id(name) and table[name].nunique() > 1]
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
    figure.update_xaxes(
        title=f"{text.heading(value)}, with its 95% interval", tickformat=".0%" if _is_share(value) else None
    )
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
    texts = [name for name in table.columns if name not in table.select_dtypes("number") and name != "score"]
    few = [name for name in texts if name not in analyses.TITLES and not analyses.is_id(name)]
    return next((name for name in few if 1 < table[name].nunique() <= MOST_GROUPS), None)


def _is_share(name: str) -> bool:
    return "share" in name or name in SHARES


def _readable(group: str | None, value: str) -> str:
    return text.language(value) if group == "language" else value


def _hover(row: pd.Series, value: str) -> str:
    titles = [text.chart_text(str(row[name]), LONG) for name in row.index if name in analyses.TITLES and row[name]]
    score = [text.chart_text(str(row["score"]), NAME)] if "score" in row.index else []
    return "<br>".join([*titles, *score, f"<b>{text.number(row[value])}</b>"])
