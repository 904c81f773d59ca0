"""What each reader of score files hands over: some documents' influences on all completions, checked (no torch)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.errors import CorpusError

PART_NUMBERS = 1 << 23
"""Scores in memory at once."""
MOST_DOCUMENTS = 1 << 16


@dataclass(frozen=True)
class Part:
    """Influences of some documents, d of them, in order.

    Attributes:
        documents: Their numbers, ``[d]``.
        influence: On each completion, ``[q, d]``, in whatever unit the file has.
        tokens: Of each document the influence of its tokens, ``[q, t]``; None where the file has none.
    """

    documents: np.ndarray
    influence: np.ndarray
    tokens: list[np.ndarray] | None = None


class ScoreFile(Protocol):
    """A file of scores; opening it checks its shape against the number of queries and documents.

    Attributes:
        has_tokens: Whether it has influence of tokens.
        longest: Positions at which longer documents were cut before they were scored; 0 where none was.
    """

    has_tokens: bool
    longest: int

    def parts(self, documents: Path) -> Iterator[Part]:
        """All scores, in the documents' order, each document once.

        Args:
            documents: The run's table of documents, for their ids.
        """


def check_shape(file: Path, shape: tuple[int, int], queries: int, documents: int) -> None:
    """Refuse scores of another number of completions or documents.

    Args:
        file: The file of scores.
        shape: Its queries and documents.
        queries: Of the query file.
        documents: Of the corpus.

    Raises:
        CorpusError: That says which.
    """
    for what, found, wanted, where in (
        ("queries", shape[0], queries, "query file"), ("documents", shape[1], documents, "corpus"),
    ):  # fmt: skip
        if found != wanted:
            raise CorpusError(
                f"{file} has scores of {found:,} {what}, the {where} has {wanted:,} -- scores and texts would not "
                f"belong together -- give the {where} that they were computed for, in the same order."
            )


def check_finite(file: Path, part: Part) -> None:
    """Refuse scores that are no numbers.

    Raises:
        CorpusError: That says of which document, and for which query.
    """
    query, document = np.nonzero(~np.isfinite(part.influence))
    if len(query):
        number, value = int(part.documents[document[0]]), part.influence[query[0], document[0]]
        raise CorpusError(
            f"{file}: the score of document {number} for query {query[0]} (counted from 0) is {value} -- it has no "
            "rank -- compute the scores again, in float32, or leave the document out."
        )


def spans(documents: int, numbers: int) -> Iterator[tuple[int, int]]:
    """First and last document of each part, so that a part's scores fit into memory.

    Args:
        documents: All of them.
        numbers: Scores of a document.
    """
    step = max(1, min(MOST_DOCUMENTS, PART_NUMBERS // max(numbers, 1)))
    for low in range(0, documents, step):
        yield low, min(low + step, documents)
