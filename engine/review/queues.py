"""Queues: which documents are to be looked at, in which order; a queue is a query string, so that it can be kept."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args
from urllib.parse import parse_qs, urlencode

import numpy as np
import pandas as pd

from engine.analysis.ranking import rank_documents
from engine.errors import WhenceError
from engine.review.events import Reviewer
from engine.review.labels import Rules
from engine.review.neighbours import Neighbours
from engine.review.review import Review
from engine.review.standing import Standing, standing
from engine.run import Run
from engine.tables import open_tables

Show = Literal["all", "undecided", "waiting", "disagreed", "agreed", "skipped"]
SHOWN: tuple[Show, ...] = get_args(Show)
ENDS = ("raised", "lowered")
UNSEEN = standing((), Rules())


@dataclass(frozen=True)
class Queue:
    """A filter; what it leaves open does not restrict. Everything must hold at once.

    Attributes:
        completion: Id of a completion: documents in the order of their influence on it.
        end: ``raised`` it most, or ``lowered``.
        top: So many at that end, of those that all else but ``show`` lets through.
        sources: Sources.
        languages: Languages.
        search: Words that stand in the text or title as they are, whether large or small.
        documents: Ids of documents.
        like: Id of a document: those that are nearly the same, in the order of likeness, itself first.
        alike: Least cosine that counts as like it, 0 to 1.
        show: ``undecided`` by the viewer and not settled by others, ``waiting`` for a second reviewer, ``disagreed``,
            ``agreed``, ``skipped`` by the viewer, or ``all``.

    Raises:
        WhenceError: If a value cannot be used.
    """

    completion: str = ""
    end: str = "raised"
    top: int = 100
    sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    search: str = ""
    documents: tuple[str, ...] = ()
    like: str = ""
    alike: float = 0.5
    show: Show = "all"

    def __post_init__(self) -> None:
        if self.end not in ENDS or self.show not in SHOWN:
            raise WhenceError(
                f"A queue cannot show {self.show!r} of the end {self.end!r} -- choose one of {', '.join(SHOWN)}, and "
                f"{' or '.join(ENDS)}."
            )
        if self.top < 1 or not 0 < self.alike <= 1:
            raise WhenceError(f"top is {self.top} and alike {self.alike} -- use 1 or more, and more than 0 up to 1.")

    def query_string(self) -> str:
        """The queue as ``name=value&...``, without what has its default."""
        changed = {field.name: getattr(self, field.name) for field in fields(self)}
        return urlencode(
            {name: value for name, value in changed.items() if value != getattr(DEFAULT, name)}, doseq=True
        )

    @classmethod
    def from_query(cls, text: str) -> "Queue":
        """The queue of a query string.

        Raises:
            WhenceError: If a name or value in it means nothing.
        """
        kinds = {field.name: type(getattr(DEFAULT, field.name)) for field in fields(cls)}
        given = parse_qs(text.removeprefix("?"), keep_blank_values=True)
        if strangers := sorted(given.keys() - kinds.keys()):
            raise WhenceError(f"A queue has no {strangers[0]!r} -- it has: {', '.join(kinds)}.")
        try:
            return cls(**{name: _value(kinds[name], values) for name, values in given.items()})
        except WhenceError:
            raise
        except ValueError as error:
            raise WhenceError(f"The queue {text!r} cannot be read ({error}) -- choose its filters anew.") from None


DEFAULT = Queue()


def _value(kind: type, values: list[str]) -> Any:
    return tuple(values) if kind is tuple else kind(values[-1])


def queue_documents(
    review: Review, queue: Queue, viewer: Reviewer | None = None, neighbours: Neighbours | None = None
) -> pd.DataFrame:
    """The documents of a queue, in order: by influence, else by likeness, else as in the corpus.

    Args:
        review: The review.
        queue: The queue.
        viewer: Whose ``undecided`` and ``skipped`` are meant; None for anybody's.
        neighbours: Of the run, where they were made before.

    Returns:
        document, id, title, source, language, tokens, influence (nan without a completion), similarity (nan without a
        document to be like).

    Raises:
        WhenceError: If there is no such completion or document.
    """
    run = review.run
    table = _ordered(run, queue, neighbours)
    for column, wanted in (("source", queue.sources), ("language", queue.languages), ("id", queue.documents)):
        table = table[table[column].isin(wanted)] if wanted else table
    if queue.search:
        table = table[table["document"].isin(_found(run, queue.search))]
    if queue.completion:
        sign = 1 if queue.end == "raised" else -1
        table = table[sign * table["influence"] > 0].head(queue.top)
    if queue.show != "all":
        standings = review.standings()
        shown = [is_shown(standings.get(number, UNSEEN), queue.show, viewer) for number in table["document"]]
        table = table[np.asarray(shown, dtype=bool)]
    return table.reset_index(drop=True)


def _ordered(run: Run, queue: Queue, neighbours: Neighbours | None) -> pd.DataFrame:
    """All documents that influence or likeness leaves, in order, with both columns."""
    table = run.documents[["document", "id", "title", "source", "language", "tokens"]]
    table = table.assign(influence=np.nan, similarity=np.nan)
    if queue.like:
        like = run.find_document(queue.like)
        found = (neighbours or Neighbours(run)).of(like, queue.alike).set_index("document")["similarity"]
        alike = pd.concat([pd.Series([1.0], index=[like]), found])
        table = table.set_index("document").loc[alike.index].rename_axis("document").reset_index()
        table["similarity"] = alike.to_numpy()
    if queue.completion:
        ranking = rank_documents(run, run.find_query(queue.completion)).set_index("document")["influence"]
        ranking = ranking if queue.end == "raised" else ranking[::-1]
        ranking = ranking[ranking.index.isin(table["document"])]
        table = table.set_index("document").loc[ranking.index].rename_axis("document").reset_index()
        table["influence"] = ranking.to_numpy()
    return table


def _found(run: Run, search: str) -> list[int]:
    """Numbers of the documents in whose text or title the words stand."""
    statement = """SELECT document FROM documents
        WHERE contains(lower(text), lower($search)) OR contains(lower(title), lower($search))"""
    with open_tables(documents=run.folder.documents) as tables:
        rows = tables.execute(statement, {"search": search}).fetchall()
    return [row[0] for row in rows]


def is_shown(found: Standing, show: Show, viewer: Reviewer | None) -> bool:
    """Whether a document, of which everything is known, is in the viewer's queue."""
    own = [one for one in found.opinions if viewer is None or one.reviewer == viewer]
    skipped = any(one.skipped for one in own)
    if show == "skipped":
        return skipped
    if show == "undecided":
        labelled = viewer is not None and any(one.label for one in own)
        return found.state in ("undecided", "waiting") and not labelled and not skipped
    return found.state == show
