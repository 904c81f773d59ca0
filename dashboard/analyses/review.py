"""The pages' door to reviews: the team's record, queues, and what documents and decisions mean for completions."""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import data, runs
from dashboard.runs import OF_RUN
from engine.analysis.leaving_out import predicted_changes
from engine.analysis.matrix import influence_matrix
from engine.errors import WhenceError
from engine.review import incoming
from engine.review.agreement import agreement
from engine.review.book import Book
from engine.review.database import database_url
from engine.review.events import LONGEST_NAME, Event, Reviewer, new_token
from engine.review.files import READERS, read_decisions, write_decisions
from engine.review.fold import Batch, Opinion
from engine.review.incoming import ADDING, EFFECTS
from engine.review.labels import OUTCOMES, RESERVED_KEYS, Label, Outcome, Rules
from engine.review.log import EventLog
from engine.review.neighbours import Neighbours
from engine.review.outcome import decided, leave_out_settings, outcomes
from engine.review.queues import SHOWN, UNSEEN, Queue, Show, is_shown, queue_documents
from engine.review.review import Review
from engine.review.standing import Standing
from engine.run import Run

__all__ = [
    "ADDING", "EFFECTS", "LONGEST_NAME", "OUTCOMES", "RESERVED_KEYS", "SHOWN", "Batch", "Event", "Label", "Opinion",
    "Outcome", "Queue", "Review", "Reviewer", "Rules", "Show", "Standing", "WhenceError", "agreement", "decided",
    "new_token", "outcomes",
]  # fmt: skip

FILES = tuple(suffix.removeprefix(".") for suffix in READERS)
"""Endings of files of decisions."""


# The record


def open_review(run: Run) -> Review:
    """The team's review of a run.

    Raises:
        WhenceError: If its database cannot be opened.
    """
    return _review(run, database_url(runs.runs_folder()))


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=OF_RUN)
def _review(run: Run, url: str) -> Review:
    return Review(run, _book(url))


@st.cache_resource(max_entries=4, show_spinner=False)
def _book(url: str) -> Book:
    return Book(EventLog(url))


# Queues


def documents_of(run: Run, queue: Queue) -> pd.DataFrame:
    """The documents of a queue whatever was decided of them, in order (:func:`queue_documents`).

    Raises:
        WhenceError: If there is no such completion or document.
    """
    return _documents(run, replace(queue, show="all").query_string(), database_url(runs.runs_folder()))


@st.cache_data(max_entries=16, show_spinner="Putting the queue together …", hash_funcs=OF_RUN)
def _documents(run: Run, asked: str, url: str) -> pd.DataFrame:
    queue = Queue.from_query(asked)
    return queue_documents(_review(run, url), queue, neighbours=_neighbours(run) if queue.like else None)


def to_show(review: Review, documents: list[int], show: Show, viewer: Reviewer | None) -> list[int]:
    """Those of some documents that a queue with ``show`` holds for a viewer, in order."""
    standings = review.standings()
    return [number for number in documents if show == "all" or is_shown(standings.get(number, UNSEEN), show, viewer)]


def near_duplicates(run: Run, document: int) -> pd.DataFrame:
    """Documents that are nearly the same, the most alike first: document, similarity."""
    return _neighbours(run).of(document)


@st.cache_resource(max_entries=2, show_spinner="Comparing the documents' words, once …", hash_funcs=OF_RUN)
def _neighbours(run: Run) -> Neighbours:
    return Neighbours(run)


# What a document did


def influenced_most(run: Run, document: int, count: int = 5) -> pd.DataFrame:
    """Completions of whose influence a document has the largest share: id, label, influence, share, rank.

    ``share`` is its part of all that raised the completion if it raised it, of all that lowered it if it lowered it;
    completions have scales of their own, shares compare. ``rank`` is its place among documents of the same sign. Empty
    where the document was not scored.
    """
    matrix, raised, lowered = _influence(run)
    own = matrix[:, document].astype(float)
    if not np.isfinite(own).all():
        return pd.DataFrame()
    share = np.abs(own) / np.maximum(np.where(own > 0, raised, lowered), np.finfo(float).tiny)
    most = np.argsort(-share, kind="stable")[:count]
    completions = [data.completions(run)[place] for place in most]
    return pd.DataFrame(
        {
            "id": [one.id for one in completions],
            "label": [one.label for one in completions],
            "influence": own[most],
            "share": share[most],
            "rank": [1 + int((matrix[place] * np.sign(own[place]) > abs(own[place])).sum()) for place in most],
        }
    )


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=OF_RUN)
def _influence(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Influence ``[queries, documents]``; of each query all that raised it and, without sign, all that lowered it."""
    matrix = influence_matrix(run, [one.query for one in data.completions(run)])
    return matrix, np.nansum(np.maximum(matrix, 0), 1), -np.nansum(np.minimum(matrix, 0), 1)


# Out and in


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=OF_RUN)
def predicted(run: Run, documents: tuple[int, ...]) -> pd.DataFrame:
    """The change of each completion if documents had been left out (:func:`predicted_changes`), the largest first."""
    return predicted_changes(run, documents).sort_values(
        "predicted", key=lambda values: values.astype(float).abs(), ascending=False, ignore_index=True
    )


def leave_out_asked(run: Run, query: int, documents: list[int]) -> dict[str, Any]:
    """Settings of the check that trains on without these documents."""
    return asdict(leave_out_settings(run, query, documents))


def decisions_file(review: Review, outcome: Outcome | None, query: int | None, ending: str) -> bytes:
    """The documents to keep, to drop, or both, as a file.

    Args:
        review: The review.
        outcome: ``keep`` or ``drop``; None for both.
        query: Completion whose influence is told; None for the one that each document raised most.
        ending: One of :data:`FILES`.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"decisions.{ending}"
        write_decisions(review, file, outcome, query)
        return file.read_bytes()


def read_file(name: str, content: bytes) -> pd.DataFrame:
    """The decisions of an uploaded file.

    Raises:
        WhenceError: If it cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"decisions{Path(name).suffix.lower()}"
        file.write_bytes(content)
        try:
            return read_decisions(file)
        except WhenceError as error:
            raise WhenceError(str(error).replace(str(file), name)) from None


def conflicts(review: Review, table: pd.DataFrame, reviewer: Reviewer) -> pd.DataFrame:
    """What taking decisions over would do (:func:`incoming.preview`); writes nothing."""
    return incoming.preview(review, table, reviewer)


def take_over(
    review: Review, previewed: pd.DataFrame, reviewer: Reviewer, effects: list[incoming.Effect], source: str, token: str
) -> Batch | None:
    """Take decisions over as the reviewer's own, in one batch (:func:`incoming.apply`)."""
    return incoming.apply(review, previewed, reviewer, effects, source, token)
