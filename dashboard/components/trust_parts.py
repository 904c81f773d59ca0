"""What each check came to: the sentence, the pictures, and which of its tables stand on the page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.analyses import trust as analyses
from dashboard.components import text
from dashboard.components.text import between
from dashboard.components.trust_charts import (
    ceiling_line,
    change_scatter,
    interval_chart,
    interval_height,
    verdict_chart,
)

STUDIED = (analyses.INFLUENCE,)
SCATTER_PX = 400


@dataclass(frozen=True)
class Picture:
    """A chart, its height in pixels, and what it shows in a sentence."""

    figure: go.Figure
    height: int
    alt: str


@dataclass(frozen=True)
class Part:
    """How a result is shown.

    Attributes:
        sentence: What it came to, Markdown.
        pictures: Charts by name.
        first: Tables on the page; the others are folded away. None for all.
        made: Tables made from these, by name.
        notes: What the numbers are, Markdown.
    """

    sentence: str = ""
    pictures: Mapping[str, Picture] | None = None
    first: tuple[str, ...] | None = None
    made: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    notes: str = ""


def exact_part(result: analyses.Result) -> Part:
    """Estimators against the dense solve and the response of training."""
    rows = analyses.table(result, "estimators")
    of = _row(rows, "estimator", analyses.INFLUENCE)
    sentence = (
        f"Influences by {analyses.INFLUENCE} correlate with the exact ones at **{between(of, 'correlation')}**, and "
        f"with what training would answer at **{between(of, 'response_correlation')}**; that answer is "
        f"**{between(of, 'response_slope')}** times the predicted change."
    )
    named = {"correlation": "Correlation with exact influence", "response_correlation": "Correlation with the response"}
    pictures = {says: _bars(rows, name, "estimator", says) for name, says in named.items()}
    settings = result.settings
    notes = (
        f"A model trained on the beginnings of {settings['documents']:,} documents, small enough to hold its curvature "
        f"whole; {settings['queries']} completions. Response: what minimising the proximal Bregman objective with a "
        "document counted once more gives. Intervals: 95%, over completions."
    )
    return Part(sentence, pictures, ("estimators",), notes=notes)


def lds_part(result: analyses.Result) -> Part:
    """Estimators and baselines against training on random halves."""
    rows = analyses.table(result, "estimators").sort_values("lds", ascending=False)
    (most,), (bench,) = result.tables["ceiling"], result.tables["bench"]
    of = _row(rows, "estimator", analyses.INFLUENCE)
    baselines = rows[~rows["estimator"].isin(analyses.ESTIMATED)]
    beside = (
        f" The best baseline, {text.escape(baselines.iloc[0]['estimator'])}, comes to "
        f"**{between(baselines.iloc[0], 'lds')}**."
        if len(baselines)
        else ""
    )
    sentence = (
        f"Summed over the half that was read, influences by {analyses.INFLUENCE} rank the outcomes at "
        f"**{between(of, 'lds')}**, where a perfect prediction would come to **{text.correlation(most['ceiling'])}**."
        f"{beside}"
    )
    picture = _bars(rows, "lds", "estimator", "Linear datamodeling score")
    ceiling_line(picture.figure, most, "ceiling", "Perfect prediction")
    settings = result.settings
    notes = (
        f"{settings['masks']} random halves of {bench['documents']:,} documents, {settings['seeds']} trainings each, "
        f"{bench['completions']} completions. A perfect prediction falls short of 1 as trainings of one half differ "
        "too. Intervals: 95%, over completions."
    )
    kinds = {"By kind of completion": analyses.lds_by_kind(result)}
    return Part(sentence, {"Linear datamodeling score": picture}, ("estimators",), kinds, notes)


def removal_part(result: analyses.Result) -> Part:
    """Training without what influenced a completion most."""
    methods, points = analyses.table(result, "methods"), analyses.table(result, "points")
    calibration = analyses.table(result, "calibration").set_index("what")
    rises = methods[methods["what"] == analyses.DOCUMENTS].set_index("method")
    best, settings = rises.loc[analyses.INFLUENCE], result.settings
    terms = methods[methods["what"] == analyses.TOKENS].set_index("method").loc[analyses.INFLUENCE]
    fit = calibration.loc[analyses.DOCUMENTS]
    sentence = (
        f"Without the {settings['top']} documents that {analyses.INFLUENCE} puts first, the completion's loss rose by "
        f"**{between(best, 'rise')}** nats, **{between(best, 'of_bm25')}** times as much as without those that "
        f"{analyses.BM25} puts first; without as many random ones by {between(rises.loc[analyses.RANDOM], 'rise')}. "
        f"Without the {settings['share']:.0%} of all training tokens that {analyses.INFLUENCE} puts first it rose by "
        f"**{between(terms, 'rise')}** nats, **{between(terms, 'of_bm25')}** times as much as "
        f"without {analyses.BM25}'s. "
        f"Measured changes were **{between(fit, 'slope')}** times the predicted ones, and correlate with them at "
        f"**{between(fit, 'correlation')}**."
    )
    pictures = {}
    for what in (analyses.DOCUMENTS, analyses.TOKENS):
        of = methods[methods["what"] == what]
        pictures[f"Without {what}: rise of the loss"] = _bars(of, "rise", "method", f"Without {what}: rise, nats")
    for what in (analyses.DOCUMENTS, analyses.TOKENS):
        of = points[(points["what"] == what) & points["predicted"].notna()]
        if len(of):
            pictures[f"Without {what}: predicted and measured"] = _scatter(of, what, float(calibration["slope"][what]))
    rare = analyses.table(result, "rare_groups")
    pictures["Rare and frequent tokens"] = _bars(
        rare, "lost", "group", "Loss without its ten documents, times what had been learned"
    )
    notes = (
        f"For {settings['removed_for']} completions {settings['top']} of {settings['documents']:,} documents were left "
        f"out, and apart from that the strongest {settings['share']:.0%} of all tokens; the model was trained anew, "
        f"in {settings['seeds']} order{'s' * (settings['seeds'] > 1)} of batches each. "
        "Intervals: 95%, over completions, of slope and correlation "
        f"over points. Rare tokens: {rare['tokens'].min():,}, each beside a frequent one of like loss; the "
        f"{settings['top']} documents strongest on the token are left out. Intervals there: over tokens. More than all "
        "that was learned is lost where the other documents teach something else."
    )
    return Part(sentence, pictures, ("methods", "calibration", "rare_groups"), notes=notes)


def stability_part(result: analyses.Result) -> Part:
    """Verdicts on the completions of a run."""
    rows = analyses.table(result, "completions")
    counts = rows["verdict"].value_counts()
    named = ", ".join(f"**{counts.get(one, 0):,}** {one}" for one in analyses.VERDICTS)
    few = int(rows["few_tokens"].fillna(False).astype(bool).sum()) if "few_tokens" in rows else 0
    more = f" In {few:,} one of the strongest documents has its influence in few tokens." if few else ""
    kinds = rows["kind"].map(text.plain)
    chart = Picture(
        verdict_chart(rows.assign(kind=kinds), analyses.VERDICTS), interval_height(kinds.nunique()) + 30,
        "Completions by kind and verdict; the table has each of them.",
    )  # fmt: skip
    rule = " ".join(text.escape(row["text"], 2_000) for row in result.tables["rule"])
    sentence = f"Of this run's {len(rows):,} completions the rankings are: {named}.{more}"
    return Part(sentence, {"Verdicts": chart}, ("completions",), notes=rule)


PARTS: Mapping[str, Callable[[analyses.Result], Part]] = {
    "exact": exact_part,
    "lds": lds_part,
    "removal": removal_part,
    analyses.STABILITY: stability_part,
}
"""How the results of each check are shown; of any other its tables are."""


def part_of(result: analyses.Result) -> Part:
    """How a result is shown."""
    return PARTS[result.check](result) if result.check in PARTS else Part()


def _row(rows: pd.DataFrame, column: str, value: str) -> Any:
    return rows[rows[column] == value].iloc[0]


def _bars(rows: pd.DataFrame, name: str, label: str, title: str) -> Picture:
    figure = interval_chart(rows, name, label, title, STUDIED, sorted(analyses.ESTIMATED))
    return Picture(figure, interval_height(len(rows)), f"{title}, with intervals; the table has the numbers.")


def _scatter(points: pd.DataFrame, what: str, slope: float) -> Picture:
    hover = [text.chart_text(title, 40) for title in points["completion"]]
    figure = change_scatter(points, "method", hover, slope, "nats", f"Without {what}: predicted and measured")
    return Picture(figure, SCATTER_PX, f"Measured against predicted change on leaving {what} out, in nats.")
