"""The record with its state, kept up to date: what a process holds of a team's review."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from engine.errors import WhenceError
from engine.review.events import Event
from engine.review.fold import Fold
from engine.review.log import EventLog

Complete = Callable[[Fold, Event], Event]
"""Fills in what only the present state tells, such as the label before; or refuses."""


class Book:
    """A team's record; threads may share it.

    Args:
        log: The record.
    """

    def __init__(self, log: EventLog) -> None:
        self._log, self._fold, self._lock = log, Fold(), threading.RLock()

    @contextmanager
    def reading(self) -> Iterator[Fold]:
        """The state with everything that anybody has written by now; it stays as it is within the block."""
        with self._lock:
            self._fold.add(self._log.since(self._fold.last))
            yield self._fold

    def write(self, batch: Sequence[Event], complete: Complete = lambda fold, event: event) -> list[Event]:
        """Write a batch, all of it or nothing; what was written with the same token before is not doubled.

        Args:
            batch: Events of one token, in order.
            complete: Called for each with the state just before, while nobody else can write.

        Returns:
            The events as they stand in the record.

        Raises:
            WhenceError: If ``complete`` refuses, the token served for something else, or the database fails.
        """
        with self._lock:
            with self._log.writing() as turn:
                written = turn.batch(batch[0].token)
                if not written:
                    self._fold.add(turn.since(self._fold.last))
                    written = turn.add([complete(self._fold, event) for event in batch])
                elif [event.request for event in written] != [event.request for event in batch]:
                    raise WhenceError(
                        f"The token {batch[0].token!r} was used for another decision -- one of the two would be "
                        "lost -- use a new token for each."
                    )
            return written
