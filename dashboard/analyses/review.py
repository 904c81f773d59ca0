"""The pages' door to reviews: the team's record, queues, and what a document and a decision mean for completions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import data
from engine.analysis.leaving_out import predicted_changes
from engine.analysis.matrix import influence_matrix
from engine.errors import WhenceError
from engine.review.agreement import agreement
from engine.review.book import Book
from engine.review.database import database_url
from engine.review.events import LONGEST_NAME, Event, Reviewer, new_token
from engine.review.fold import Batch, Opinion
from engine.review.labels import OUTCOMES, RESERVED_KEYS, Label, Rules
from engine.review.log import EventLog
from engine.review.neighbours import Neighbours
from engine.review.queues import Queue, queue_documents
from engine.review.review import Review
from engine.review.standing import Standing
from engine.run import Run

__all__ = [
    "LONGEST_NAME", "OUTCOMES", "RESERVED_KEYS", "Batch", "Event", "Label", "Opinion", "Queue", "Review", "Reviewer",
    "Rules", "Standing", "WhenceError", "agreement", "new_token",
]  # fmt: skip

_OF_RUN = {Run: lambda run: (str(run.path), run.score.get("finished"))}


def open_review(run: Run) -> Review:
    """The team's review of a run.

    Raises:
        WhenceError: If its database cannot be opened.
    """
    return _review(run, database_url(data.runs_folder()))


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=_OF_RUN)
def _review(run: Run, url: str) -> Review:
    return Review(run, _book(url))


@st.cache_resource(max_entries=4, show_spinner=False)
def _book(url: str) -> Book:
    return Book(EventLog(url))
