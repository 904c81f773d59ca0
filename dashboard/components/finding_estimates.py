"""What was estimated of a finding, part by part of its rule: numbers in words, and intervals beside bound and null."""

import textwrap
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.analyses import findings as analyses
from dashboard.components import text
from dashboard.components.figure import NEUTRAL, show_figure

COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8E7CC3", "#B0703A", "#7A9A01")
"""Of what was measured side by side: none that stands for raising or lowering."""
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "cross", "star")
NULL = "rgba(140,140,150,0.28)"
ROW_PX, AROUND_PX, LINE_PX = 34, 104, 17
AXIS = 44
"""Characters of a line under an axis; they fit a narrow window."""
DODGE = 0.26
ANSWERS = {
    True: ":green-badge[:material/check: as asked]",
    False: ":red-badge[:material/close: not as asked]",
    None: ":gray-badge[:material/question_mark: open]",
}

Sides = Mapping[str, analyses.Measured]
"""What was measured, by what it was measured on."""


def estimates(name: str, sides: Sides) -> dict[str, go.Figure]:
    """Show each part of a finding's rule with what was measured.

    Args:
        name: The finding.
        sides: Its results.

    Returns:
        The charts by name, to take away.
    """
    charts = {}
    for number, (key, part) in enumerate(analyses.RULES[name].parts.items(), start=1):
        rows = {label: found.estimates[found.estimates["part"] == key] for label, found in sides.items()}
        left, right = st.columns([0.4, 0.6], gap="medium", vertical_alignment="center")
        with left:
            _in_words(part, rows)
        if any(len(one) for one in rows.values()):
            charts[f"Part {number}"] = interval_chart(part, rows)
            with right:
                show_figure(
                    charts[f"Part {number}"], key=f"part_{name}_{number}", height=_height(part, rows),
                    alt=f"Estimates with 95% intervals of: {part.says} the words beside it have the numbers",
                )  # fmt: skip
    if charts:
        st.caption(
            "Filled: influence, by which the verdict goes. Hollow: other scores, and shuffled labels, as controls."
        )
    return charts


def _in_words(part: analyses.Part, rows: Mapping[str, pd.DataFrame]) -> None:
    """What is asked, and how each result answers."""
    bound = analyses.written(part, part.bound)
    null = " and beyond what shuffled labels give" if part.beyond_null else ""
    st.markdown(f"Asked: {text.escape(part.says, 600).rstrip(',')}, **{part.side} {bound}**{null}.")
    st.caption(f"Why there: {text.escape(part.why, 300)}.")
    for label, one in rows.items():
        named = f"{text.escape(label, 80)}: " if len(rows) > 1 else ""
        influence = one[one["score"] == analyses.INFLUENCE]
        if influence.empty:
            st.markdown(f"{ANSWERS[None]} {named}not measured")
            continue
        row = influence.iloc[0]
        st.markdown(f"{ANSWERS[part_answer(row)]} {named}{_estimate(part, row)}")


def part_answer(row: pd.Series) -> bool | None:
    """What a part answers; None where it is open."""
    return None if pd.isna(row["answer"]) else bool(row["answer"])


def _estimate(part: analyses.Part, row: pd.Series) -> str:
    """An estimate with its interval, what it rests on, and what chance gives."""
    value, low, high, null = (analyses.written(part, row[name]) for name in ("value", "low", "high", "null"))
    between = f"95% interval {low} to {high}, " if pd.notna(row["low"]) else "no interval, "
    few = f"; fewer than the {part.least} asked" if row["units"] < part.least else ""
    chance = f"; shuffled labels reach {null}" if pd.notna(row["null"]) else ""
    return f"**{value}** ({between}{int(row['units']):,} {part.of}{few}{chance})"


def interval_chart(part: analyses.Part, rows: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Influence beside its controls: estimates with intervals, the bound as a line, the null shaded.

    Args:
        part: The part of the rule.
        rows: Its estimates (score, value, low, high, units, null) by what they were measured on.
    """
    scores = scores_of(rows)
    figure = go.Figure()
    ends = _ends(part, rows)
    for place, (label, one) in enumerate(rows.items()):
        shift = 0.0 if len(rows) == 1 else DODGE * (2 * place / (len(rows) - 1) - 1)
        heights = [scores.index(score) + shift for score in one["score"]]
        _nulls(figure, part, one, heights, ends, 0.32 if len(rows) == 1 else DODGE / len(rows))
        colour, symbol = COLOURS[place % len(COLOURS)], SYMBOLS[place % len(SYMBOLS)]
        symbols = [symbol if score == analyses.INFLUENCE else f"{symbol}-open" for score in one["score"]]
        figure.add_scatter(
            x=one["value"], y=heights, mode="markers", name=text.chart_text(label, 40), showlegend=len(rows) > 1,
            marker={"color": colour, "symbol": symbols, "size": 10,
                    "line": {"width": 2, "color": colour}},
            error_x={"array": one["high"] - one["value"], "arrayminus": one["value"] - one["low"], "thickness": 2,
                     "color": colour, "width": 5},
            text=[_hover(part, row) for _, row in one.iterrows()], hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    if any(one["null"].notna().any() for one in rows.values()):
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name="Within reach of shuffled labels",
            marker={"symbol": "square", "size": 12, "color": NULL},
        )  # fmt: skip
    figure.add_vline(x=part.bound, line={"color": NEUTRAL, "width": 2, "dash": "dash"})
    figure.add_annotation(
        x=part.bound, y=0, yref="paper", yanchor="bottom", showarrow=False, font={"size": 12}, text=_asked(part),
        xanchor="left" if 2 * part.bound < sum(ends) else "right",
    )  # fmt: skip
    title = "<br>".join(text.chart_text(line, AXIS) for line in _axis(part))
    figure.update_xaxes(title={"text": title, "font": {"size": 12}}, range=ends, zeroline=False,
                        tickformat=".0%" if "%" in part.form else None)  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(scores))), ticktext=[text.chart_text(text.heading(score), 20) for score in scores],
        range=[len(scores), -0.6], showgrid=False, zeroline=False,
    )  # fmt: skip
    legend = {"orientation": "h", "y": 1.0, "yref": "container", "yanchor": "top", "x": 0, "xref": "container"}
    return figure.update_layout(legend=legend | {"font": {"size": 11}})


def scores_of(rows: Mapping[str, pd.DataFrame]) -> list[str]:
    """Scores that were measured anywhere, influence first."""
    found = list(dict.fromkeys(score for one in rows.values() for score in one["score"]))
    return sorted(found, key=lambda score: score != analyses.INFLUENCE)


def _asked(part: analyses.Part) -> str:
    bound = analyses.written(part, part.bound)
    return f"asked: above {bound} →" if part.side == "above" else f"← asked: below {bound}"


def _axis(part: analyses.Part) -> list[str]:
    said = part.says.rstrip(",")
    return textwrap.wrap(text.heading(said), AXIS)


def _ends(part: analyses.Part, rows: Mapping[str, pd.DataFrame]) -> list[float]:
    """Ends of the axis: around every interval, null and bound."""
    table = pd.concat(list(rows.values()))
    found = pd.concat([table[name] for name in ("value", "low", "high", "null")]).dropna()
    low, high = min(found.min(), part.bound), max(found.max(), part.bound)
    room = 0.08 * (high - low or abs(high) or 1.0)
    return [float(low - room), float(high + room)]


def _nulls(
    figure: go.Figure, part: analyses.Part, rows: pd.DataFrame, heights: list[float], ends: list[float], half: float
) -> None:
    """Shade, at each estimate, what shuffled labels reach."""
    start = ends[0] if part.side == "above" else ends[1]
    for null, height in zip(rows["null"], heights, strict=True):
        if pd.notna(null):
            figure.add_shape(
                type="rect", x0=start, x1=null, y0=height - half, y1=height + half, fillcolor=NULL, layer="below",
                line={"width": 0},
            )  # fmt: skip


def _hover(part: analyses.Part, row: pd.Series) -> str:
    value, low, high, null = (analyses.written(part, row[name]) for name in ("value", "low", "high", "null"))
    chance = f"<br>shuffled labels reach {null}" if pd.notna(row["null"]) else ""
    return (
        f"{text.chart_text(text.heading(row['score']), 30)}: <b>{value}</b><br>95% interval {low} to {high}"
        f"<br>{int(row['units']):,} {part.of}{chance}"
    )


def _height(part: analyses.Part, rows: Mapping[str, pd.DataFrame]) -> int:
    lanes = max(1, len(rows) * 0.6)
    return int(AROUND_PX + LINE_PX * len(_axis(part)) + ROW_PX * lanes * len(scores_of(rows)))
