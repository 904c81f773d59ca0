"""The record of events: read from any place on, added to in one transaction."""

import contextlib
import weakref
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from engine.errors import WhenceError
from engine.review.database import connect, events
from engine.review.events import KINDS, DocumentKey, Event, Reviewer, now
from engine.sqlite import transaction

SINCE = sa.select(events).where(events.c.number > sa.bindparam("number")).order_by(events.c.number)
BATCH = sa.select(events).where(events.c.token == sa.bindparam("token")).order_by(events.c.place)


class EventLog:
    """The events of one team's database; any number of processes and threads may use it at once.

    Args:
        url: Of the database (:func:`engine.review.database.database_url`).

    Raises:
        WhenceError: If it cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self._engine = connect(url)
        weakref.finalize(self, self._engine.dispose)

    def since(self, number: int) -> list[Event]:
        """Events after a place in the record, in the order in which they were written."""
        with self._engine.connect() as connection:
            return _since(connection, number)

    @contextlib.contextmanager
    def writing(self) -> Iterator["Writing"]:
        """One writer's turn; what it adds is there for good when the block ends without error, else not at all.

        Raises:
            WhenceError: If the database does not take it; trying again with the same token doubles nothing.
        """
        try:
            with self._turn() as connection:
                yield Writing(connection)
        except sa.exc.DBAPIError as error:
            raise WhenceError(
                f"The decision could not be kept ({str(error.orig).strip()}) -- it does not count -- try again."
            ) from error

    @contextlib.contextmanager
    def _turn(self) -> Iterator[sa.Connection]:
        """A transaction that begins by waiting for all other writers: numbers are given in the order of commits."""
        if self._engine.dialect.name == "postgresql":
            with self._engine.begin() as connection:
                connection.exec_driver_sql("LOCK TABLE review_events IN EXCLUSIVE MODE")  # readers do not wait
                yield connection
            return
        with transaction(self._engine) as connection:
            yield connection


class Writing:
    """What may be done in a writer's turn."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def since(self, number: int) -> list[Event]:
        """As :meth:`EventLog.since`; nobody adds anything meanwhile."""
        return _since(self._connection, number)

    def batch(self, token: str) -> list[Event]:
        """The events of a batch; empty if it was never written."""
        return [_event(row) for row in self._connection.execute(BATCH, {"token": token})]

    def add(self, batch: Sequence[Event]) -> list[Event]:
        """Add events; returns them with their time and number."""
        at = now()
        self._connection.execute(sa.insert(events), [_row(event, at) for event in batch])
        return self.batch(batch[0].token)


def _since(connection: sa.Connection, number: int) -> list[Event]:
    return [_event(row) for row in connection.execute(SINCE, {"number": number})]


def _row(event: Event, at: str) -> dict[str, object]:
    texts = {name: getattr(event, name) for name in ("token", "label", "before", "why", "queue", "target")}
    id, content_hash = event.document or (None, None)
    about = {"document_id": id, "content_hash": content_hash, "run_hash": event.run_hash, "body": event.body}
    who = {"reviewer": event.reviewer.name, "verified": event.reviewer.verified}
    return texts | about | who | {"place": event.place, "kind": event.kind, "at": at}


def _event(row: sa.Row) -> Event:
    fields = row._asdict()
    if fields["kind"] not in KINDS:
        raise WhenceError(
            f"The record holds an event {fields['kind']!r}, which this version does not know -- what stands would be "
            "wrong without it -- use the version that wrote it."
        )
    id, content_hash = fields.pop("document_id"), fields.pop("content_hash")
    reviewer = Reviewer(fields.pop("reviewer"), fields.pop("verified"))
    return Event(reviewer=reviewer, document=None if id is None else DocumentKey(id, content_hash), **fields)
