"""What the sources page is about, and its answer in a sentence."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import sources as analyses
from dashboard.components import text
from dashboard.components.query_group import QueryGroup
from dashboard.components.source_charts import times
from dashboard.components.source_tables import ENDS, between

MASSES = ("positive", "negative")
BY = {"Source": "source", "Language": "language"}


@dataclass(frozen=True)
class SourceView:
    """What the page is about.

    Attributes:
        run: The run.
        groups: One group of completions, or two side by side.
        word: ``Source`` or ``Language``.
        weight: What shares are counted in: ``documents`` or ``tokens``.
        table: Multipliers (:func:`dashboard.analyses.sources.source_multipliers`).
        k: Size of the ends that the page tells of.
        names: Name of each source, plain, the most frequent first.
        focus: The source in focus.
    """

    run: data.Run
    groups: tuple[QueryGroup, ...]
    word: str
    weight: str
    table: pd.DataFrame
    k: int
    names: dict[str, str]
    focus: str

    @property
    def asked(self) -> analyses.Groups:
        return asked(self.groups)

    @property
    def unit(self) -> str:
        return self.run.influence_unit

    @property
    def at_k(self) -> pd.DataFrame:
        return self.table[self.table["k"] == self.k]

    def readable(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table whose groups have the names that the page shows."""
        return table.assign(group=table["group"].map(text.language)) if self.word == "Language" else table

    @property
    def provenance(self) -> dict[str, str | float]:
        return {
            "run": self.run.name,
            "model": self.run.model_name,
            "measurement": text.MEASUREMENTS[self.run.measurement],
            "influence_unit": self.unit,
            "curvature": self.run.estimator,
            "damping_factor": self.run.query["settings"]["damping_factor"],
            "grouped_by": BY[self.word],
            "shares_counted_in": self.weight,
            "resamplings": analyses.source_draws(self.run, self.asked),
            "seed": analyses.SEED,
            "computed": self.run.score.get("finished", ""),
        }


def asked(groups: tuple[QueryGroup, ...]) -> analyses.Groups:
    """Groups as the analyses are asked for them."""
    return tuple((group.name, group.queries) for group in groups)


def answer(view: SourceView) -> None:
    """The page's answer in one sentence."""
    if len(view.groups) > 1:
        _answer_difference(view)
        return
    group = view.groups[0]
    row = analyses.stands_out(view.table, view.k)
    st.markdown(f"## {_among(view, group.each, 'raised')}, {_claim(view, row)}.")
    row = analyses.stands_out(view.table, view.k, "lowered")
    st.markdown(f"{_among(view, group.each, 'lowered')}, {_claim(view, row)}. {_basis(view)}")


def _among(view: SourceView, each: str, end: str) -> str:
    which = "Of the tokens of the" if view.weight == "tokens" else "Among the"
    return f"{which} {view.k:,} documents that {end} {each} most"


def _claim(view: SourceView, row: pd.Series | None) -> str:
    if row is None and view.k == view.table["k"].max():
        return "that is all, every share is that of the corpus"
    if row is None:
        return f"no {view.word.lower()} has more than its share of the corpus beyond what chance explains"
    if view.weight == "tokens":
        said = f"{times(row['multiplier'])} times its share of the corpus"
        return f"**{text.escape(view.names[row['group']])}** has {said} ({_interval(row)})"
    return (
        f"**{text.escape(view.names[row['group']])}** is {times(row['multiplier'])} times as frequent as in the corpus "
        f"({_interval(row)})"
    )


def _interval(row: pd.Series, prefix: str = "") -> str:
    return f"95% interval {between(row[f'{prefix}low'], row[f'{prefix}high'])}"


def _answer_difference(view: SourceView) -> None:
    first, second = view.groups
    said = []
    for end in ENDS:
        row = analyses.differs_most(view.table, view.k, end)
        among = _among(view, "each completion", end)
        names = f"{text.escape(first.name)} and {text.escape(second.name)}"
        if row is None:
            said.append(f"{among}, {names} differ in no {view.word.lower()} beyond what resampling explains.")
            continue
        here = row["multiplier"]
        said.append(
            f"{among}, **{text.escape(view.names[row['group']])}** has {times(here - row['difference'])} times its "
            f"share of the corpus for {text.escape(first.name)} and {times(here)} times for "
            f"{text.escape(second.name)}: a difference of {text.number(row['difference'])} "
            f"({_interval(row, 'difference_')})."
        )
    st.markdown(f"## {said[0]}")
    st.markdown(f"{said[1]} {_basis(view)}")


def _basis(view: SourceView) -> str:
    """How many completions the answer rests on."""
    sizes = [f"{text.escape(group.name)}: {group.size}" for group in view.groups]
    alone = any(len(group.queries) == 1 for group in view.groups)
    return f"({'; '.join(sizes)}.{' With one completion, intervals speak of documents only.' if alone else ''})"


def mass_sentence(view: SourceView, group: QueryGroup, table: pd.DataFrame) -> str:
    """What the source in focus holds of all influence on a group of completions, Markdown.

    Args:
        view: What the page is about.
        group: The completions.
        table: Their :func:`dashboard.analyses.sources.source_mass`.
    """
    rows = table[table["group"] == view.focus].set_index("mass")
    positive, negative = (f"**{text.share(rows.at[mass, 'share'])}**{_shares(rows.loc[mass])}" for mass in MASSES)
    return (
        f"{text.escape(view.names[view.focus])} makes up {text.share(rows.at['net', 'corpus_share'])} of the documents "
        f"and holds {positive} of all that raised {group.each} and {negative} of all that lowered it. Added with "
        f"their signs they come to **{text.number(rows.at['net', 'influence'])}** {view.unit}. "
        "All are means over completions."
    )


def _shares(row: pd.Series) -> str:
    if pd.isna(row["share_low"]):
        return ""
    return f" (95% interval {text.share(row['share_low'])} to {text.share(row['share_high'])})"
