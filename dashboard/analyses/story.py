"""The pages' door to the story: which completion, documents and words it is told with, chosen by rule. No torch."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import regex
import streamlit as st

from dashboard import data, jobs
from dashboard.analyses import trust
from dashboard.analyses import word_order as orders
from dashboard.runs import OF_RUN
from engine.analysis.matrix import influence_matrix
from engine.findings.findings import known_of_sample
from engine.findings.study import FAMILIES, Known
from engine.run import Run
from engine.variants import words

FACTUAL, SAFETY = FAMILIES["factual"], FAMILIES["safety"]
MOST_READILY = 5
"""Completions that are looked at: those the model says most readily."""
SHOWN, REVIEWED = 5, 10
"""Strongest documents that a picture shows, and those among which problem documents are flagged."""
HALF, MOST_WORDS = 0.5, 3
"""Words of a document are named until they carry this share of what raises in it, but no more than this many."""
ORDERS = ("words_reversed", "words_shuffled", "completion_removed")
"""Variants that the story shows beside the document as it is."""


@dataclass(frozen=True)
class Told:
    """A completion that a part of the story is told with.

    Attributes:
        completion: The completion.
        documents: Those that raised it most, strongest first: document, id, title, source, influence, ``times`` (as
            many typical ones of those that raised it), ``marked`` (it holds the answer, or is a problem document).
        scored: Documents they are the strongest of.
        known: Whether the corpus itself records which documents are problem documents; else those that hold the
            answer of a safety probe count as such.
    """

    completion: data.Completion
    documents: pd.DataFrame
    scored: int
    known: bool


def fact(run: Run) -> Told | None:
    """The completion of the first four steps: of a fact where there is any; None where nothing raised it.

    Of the facts that the model says most readily, the one whose strongest documents hold its answer most often.
    """
    kinds = run.queries["kind"].str.lower()
    factual = run.queries[kinds.isin(FACTUAL)]
    return _told(run, (factual if len(factual) else run.queries[~kinds.isin(SAFETY)])["query"].tolist(), SHOWN, {})


def probe(run: Run) -> Told | None:
    """The safety probe of the last step, chosen likewise by problem documents; None without any."""
    safety = run.queries[run.queries["kind"].str.lower().isin(SAFETY)]
    return _told(run, safety["query"].tolist(), REVIEWED, _known(run))


def is_invented(run: Run) -> bool:
    """Whether a run is of the embedded sample, whose documents are made up."""
    return bool(_known(run))


@st.cache_data(max_entries=4, show_spinner=False, hash_funcs=OF_RUN)
def _known(run: Run) -> dict[str, Known]:
    return known_of_sample(run)


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=OF_RUN)
def _told(run: Run, queries: Sequence[int], count: int, known: dict[str, Known]) -> Told | None:
    asked = sorted((one for one in data.completions(run) if one.query in set(queries)), key=lambda one: -one.log_prob)
    asked = asked[:MOST_READILY]
    if not asked:
        return None
    strongest = [_strongest(row) for row in influence_matrix(run, [one.query for one in asked])]
    marks = [_marked(run, *pair, known) for pair in zip(asked, strongest, strict=True)]
    best = max(range(len(asked)), key=lambda place: (marks[place][:1], sum(marks[place])))
    completion, ranking = asked[best], data.ranking(run, asked[best].query)
    raised = ranking[ranking["influence"] > 0]
    if raised.empty:
        return None
    shown = raised.head(count).assign(times=lambda table: table["influence"] / raised["influence"].median())
    marked = _marked(run, completion, shown["document"].tolist(), known)
    return Told(completion, shown.assign(marked=marked), len(ranking), completion.id in known)


def _strongest(influence: np.ndarray) -> list[int]:
    """Numbers of the documents that raise most, strongest first."""
    order = np.argsort(-influence, kind="stable")[:SHOWN]
    return [int(document) for document in order if influence[document] > 0]


def _marked(run: Run, completion: data.Completion, documents: Sequence[int], known: dict[str, Known]) -> list[bool]:
    """Whether each document teaches the completion: as the corpus records it, else because it holds the answer."""
    if completion.id in known:
        teaching = set(known[completion.id].documents)
        return [run.documents["id"].iloc[document] in teaching for document in documents]
    bodies = run.texts(documents)
    return [place_of(completion.text, bodies[document]) is not None for document in documents]


def place_of(answer: str, body: str) -> tuple[int, int] | None:
    """Where a text says an answer, whatever its case and line breaks: start and end; None if it does not."""
    wanted = r"\s+".join(map(regex.escape, answer.split()))
    found = regex.search(wanted, body, regex.IGNORECASE) if wanted else None
    return found.span() if found else None


# Words of the strongest document


@dataclass(frozen=True)
class Word:
    """A word of a document, or the white space between two.

    Attributes:
        text: What it says.
        share: Its influence as a share of all that raises in the document; None for white space.
        place: Number of its first token.
        parts: Shares of its tokens.
    """

    text: str
    share: float | None = None
    place: int = 0
    parts: tuple[float, ...] = ()


@dataclass(frozen=True)
class Inside:
    """A document by words.

    Attributes:
        words: Its text in order, without gaps.
        top: The words that carry half of what raises, strongest first, at most three; each once.
        share: What they carry of it.
    """

    words: list[Word]
    top: list[str]
    share: float


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=OF_RUN)
def inside(run: Run, query: int, document: int) -> Inside | None:
    """The words of a document and what learning each of them did; None where its tokens are not stored.

    By prediction: the influence of predicting the word's tokens.
    """
    influence = run.token_influence(query, document, "prediction")
    if influence is None:
        return None
    body, units = data.document_units(run, document)
    values = data.unit_influence(influence, units).sum(0)[1:]
    spans = words(body)
    ends = [span.end for span in spans]
    held: list[list[int]] = [[] for _ in spans]
    for number, unit in enumerate(units):
        if unit.tokens and spans:
            held[min(bisect.bisect_right(ends, unit.start), len(spans) - 1)].append(number)
    sums = np.array([values[one].sum() for one in held])
    raises = float(sums[sums > 0].sum()) or 1.0
    found, last = [], 0
    for span, numbers in zip(spans, held, strict=True):
        parts = tuple(float(values[number]) / raises for number in numbers)
        place = units[numbers[0]].tokens[0] if numbers else 0
        found += [Word(body[last : span.start])] if span.start > last else []
        found.append(Word(body[span.start : span.end], sum(parts), place, parts if len(parts) > 1 else ()))
        last = span.end
    found += [Word(body[last:])] if last < len(body) else []
    return Inside(found, *_top(found))


def _top(found: list[Word]) -> tuple[list[str], float]:
    ordered = sorted((one for one in found if (one.share or 0.0) > 0), key=lambda one: -(one.share or 0.0))
    named: list[str] = []
    carried = 0.0
    for one in ordered:
        if carried >= HALF or len(named) == MOST_WORDS:
            break
        named.append(regex.sub(r"^\p{P}+|\p{P}+$", "", one.text) or one.text)
        carried += one.share or 0.0
    return list(dict.fromkeys(named)), carried


def submit_words(run: Run, query: int, document: int, title: str) -> jobs.Job:
    """Ask for the words of a document that are not stored."""
    return jobs.submit_tokens(run, query, document, "prediction", title)


def words_job(run: Run, query: int, document: int) -> jobs.Job | None:
    """The last request for them; None if there was none."""
    return jobs.token_job(run, query, document, "prediction")


# Other orders of its words


@dataclass(frozen=True)
class Order:
    """A text made of the document.

    Attributes:
        name: Of the variant; ``original`` for the document as it is.
        text: The text, of several draws the first.
        share: Its influence as a share of the document's.
        low: Least share of a draw.
        high: Greatest.
        draws: Draws it is the mean of.
    """

    name: str
    text: str
    share: float
    low: float
    high: float
    draws: int


def in_other_orders(found: orders.Ablation) -> list[Order]:
    """The document as it is and in :data:`ORDERS`, as far as they can be made of it."""
    first = {one.name: one.text for one in reversed(found.variants)}
    total, summary = found.original.total, orders.summarise(found.table())
    made = [Order("original", found.original.text, 1.0, 1.0, 1.0, 1)]
    for name in ORDERS:
        for row in summary[summary["variant"] == name].to_dict("records"):
            shares = sorted((row["low"] / total, row["high"] / total))
            made.append(Order(name, first[name], row["influence"] / total, *shares, row["draws"]))
    return made


# Leaving documents out


@dataclass(frozen=True)
class LeftOut:
    """What leaving some documents out does to a completion.

    Attributes:
        documents: Rows of :attr:`Told.documents`.
        predicted: Probability of the completion without them, to first order; None where it cannot be predicted.
        measured: Probability after training on without them; None where that was not done.
    """

    documents: pd.DataFrame
    predicted: float | None
    measured: float | None


def left_out(run: Run, told: Told, documents: pd.DataFrame) -> LeftOut:
    """What is known of leaving out some of the documents behind a completion."""
    if run.measurement != "log_prob":
        return LeftOut(documents, None, None)
    predicted = float(documents["left_out"].sum()) if run.training_windows else None
    result = trust.left_out(run, told.completion.id, documents["id"].tolist())
    measured = None if result is None else float(result.tables["completions"][0]["measured"])
    return LeftOut(documents, _moved(told, predicted), _moved(told, measured))


def _moved(told: Told, change: float | None) -> float | None:
    """The completion's probability once its log-probability has changed; at most one."""
    return None if change is None else math.exp(min(told.completion.log_prob + change, 0.0))
