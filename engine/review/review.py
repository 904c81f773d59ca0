"""Reviewing the documents of a run: label, skip, comment, undo, redo, and where each document stands."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from engine.errors import WhenceError
from engine.review.book import Book, Complete
from engine.review.database import database_url
from engine.review.documents import document_keys, run_hash
from engine.review.events import Decision, DocumentKey, Event, Reviewer, new_token
from engine.review.fold import Batch, Fold
from engine.review.log import EventLog
from engine.review.standing import Standing, is_blind, standing
from engine.review.team import Team, known
from engine.run import Run


class Review:
    """A team's review of a run. Documents are the run's numbers; decisions hold in every run with the same texts.

    Every method that writes takes a ``token``: made anew for each decision (:func:`engine.review.events.new_token`)
    and given again when a write is tried again, it keeps the decision from being doubled; None makes one.

    Args:
        run: The run.
        book: The team's record; may serve several runs and threads.
    """

    def __init__(self, run: Run, book: Book) -> None:
        self.run, self.book, self.team, self.run_hash = run, book, Team(book), run_hash(run)

    @cached_property
    def keys(self) -> list[DocumentKey]:
        """Id and hash of the text of each document, in order."""
        return document_keys(self.run)

    @cached_property
    def numbers(self) -> dict[DocumentKey, int]:
        """Number of each document by its key."""
        return {key: number for number, key in enumerate(self.keys)}

    # Decisions

    def label(
        self,
        reviewer: Reviewer,
        documents: Sequence[int],
        label: str | Sequence[str],
        why: str | Sequence[str] = "",
        queue: str = "",
        token: str | None = None,
    ) -> Batch:
        """Give documents a label: one batch, which is undone as a whole. Changing one's mind is a new batch.

        Args:
            reviewer: Who decides.
            documents: Numbers of the documents, each once.
            label: Name of the label; or one for each document.
            why: The comment; or one for each document.
            queue: The queue they came from, as a query string.
            token: See above.

        Raises:
            WhenceError: If there is no such document or label, or the decision could not be kept.
        """

        def complete(fold: Fold, event: Event) -> Event:
            known(event.label, fold.labels)
            return _with_before(fold, event)

        return self._decide(reviewer, documents, Decision("label", label, why, queue), token, complete)

    def skip(self, reviewer: Reviewer, documents: Sequence[int], queue: str = "", token: str | None = None) -> Batch:
        """Pass over documents: the reviewer's undecided queue shows them no longer; an own label stays."""
        return self._decide(reviewer, documents, Decision("skip", queue=queue), token)

    def comment(
        self, reviewer: Reviewer, documents: Sequence[int], why: str, queue: str = "", token: str | None = None
    ) -> Batch:
        """Say something about documents without deciding.

        Raises:
            WhenceError: If nothing is said.
        """
        if not why.strip():
            raise WhenceError("The comment is empty -- it would say nothing -- write something.")
        return self._decide(reviewer, documents, Decision("comment", why=why, queue=queue), token)

    def undo(self, reviewer: Reviewer, target: str | None = None, token: str | None = None) -> Batch:
        """Undo a batch of one's own: the last one in this run, or the one of the token ``target``.

        Returns:
            The batch that is undone now.

        Raises:
            WhenceError: If there is nothing to undo, or the batch is somebody else's.
        """
        return self._turn("undo", reviewer, target, token)

    def redo(self, reviewer: Reviewer, target: str | None = None, token: str | None = None) -> Batch:
        """Redo the batch undone last in this run, or the one of the token ``target``; see :meth:`undo`."""
        return self._turn("redo", reviewer, target, token)

    def to_undo(self, reviewer: Reviewer) -> list[Batch]:
        """What a reviewer can undo in this run, the last first."""
        with self.book.reading() as fold:
            return [_batch(fold, token) for token in fold.to_undo((reviewer, self.run_hash))]

    def to_redo(self, reviewer: Reviewer) -> list[Batch]:
        """What a reviewer can redo in this run, the last undone first; empty after a new decision."""
        with self.book.reading() as fold:
            return [_batch(fold, token) for token in fold.to_redo((reviewer, self.run_hash))]

    # Reading

    def standing(self, document: int, viewer: Reviewer | None = None) -> Standing:
        """Where a document stands, as ``viewer`` may see it; None sees everything."""
        with self.book.reading() as fold:
            return standing(fold.opinions(self._key(document)), fold.rules, viewer)

    def standings(self, viewer: Reviewer | None = None) -> dict[int, Standing]:
        """Number -> standing of the run's documents that anybody holds an opinion of, in order."""
        with self.book.reading() as fold:
            numbers = sorted(self.numbers[key] for key in fold.documents() if key in self.numbers)
            found = {number: fold.opinions(self.keys[number]) for number in numbers}
            return {number: standing(held, fold.rules, viewer) for number, held in found.items() if held}

    def history(self, document: int, viewer: Reviewer | None = None) -> list[tuple[Event, bool]]:
        """Every decision ever made of a document that ``viewer`` may see, oldest first, and whether it is undone."""
        key = self._key(document)
        with self.book.reading() as fold:
            own = fold.opinion(key, viewer) if viewer is not None else None
            blind = is_blind(own, fold.rules, viewer)
            events = [event for event in fold.history(key) if not blind or event.reviewer == viewer]
            return [(event, fold.is_undone(event.token)) for event in events]

    def decided_on_other_texts(self) -> list[str]:
        """Ids of the run's documents that were decided under another text, which does not count for this one."""
        ids = {key.id for key in self.keys}
        with self.book.reading() as fold:
            return sorted({key.id for key in fold.documents() if key.id in ids and key not in self.numbers})

    # How

    def _key(self, document: int) -> DocumentKey:
        if not 0 <= document < len(self.keys):
            raise WhenceError(f"document {document} is not in this run -- it has {len(self.keys)} documents.")
        return self.keys[document]

    def _decide(
        self,
        reviewer: Reviewer,
        documents: Sequence[int],
        decision: Decision,
        token: str | None,
        complete: Complete | None = None,
    ) -> Batch:
        if not len(documents) or len(set(documents)) < len(documents):
            raise WhenceError(f"{len(documents)} documents, none or one twice -- choose each document once.")
        token, keys = token or new_token(), [self._key(int(number)) for number in documents]
        self.book.write(decision.events(reviewer, keys, self.run_hash, token), complete or _with_before)
        with self.book.reading() as fold:
            return _batch(fold, token)

    def _turn(self, kind: Literal["undo", "redo"], reviewer: Reviewer, target: str | None, token: str | None) -> Batch:
        def complete(fold: Fold, event: Event) -> Event:
            desk = (reviewer, self.run_hash)
            stack = fold.to_undo(desk) if kind == "undo" else fold.to_redo(desk)
            batch = fold.batch(target or next(iter(stack), ""))
            if batch is None:
                raise WhenceError(f"There is nothing to {kind} -- you have decided nothing here that could be.")
            if (owner := batch.events[0].reviewer) != reviewer:
                raise WhenceError(f"{owner} decided this -- only they can {kind} it -- give your own label instead.")
            return replace(event, target=batch.token)

        (written,) = self.book.write([Event(kind, reviewer, token or new_token(), run_hash=self.run_hash)], complete)
        with self.book.reading() as fold:
            return _batch(fold, written.target)


def _with_before(fold: Fold, event: Event) -> Event:
    assert event.document is not None
    own = fold.opinion(event.document, event.reviewer)
    return replace(event, before=own.label if own else "")


def _batch(fold: Fold, token: str) -> Batch:
    found = fold.batch(token)
    assert found is not None, "the record holds what it was just given"
    return found


def open_review(run: Run, url: str | None = None, home: Path | None = None) -> Review:
    """A review of a run.

    Args:
        run: The run.
        url: Of the team's database; None for ``WHENCE_REVIEW_DB``, or else ``review.sqlite`` in ``home``.
        home: Folder that holds the runs; None for the run's parent.

    Raises:
        WhenceError: If the database cannot be opened.
    """
    return Review(run, Book(EventLog(database_url(home or run.path.resolve().parent, url))))
