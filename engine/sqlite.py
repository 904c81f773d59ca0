"""SQLite for many processes at once: WAL mode, so that readers never wait, and one writer after the other."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from engine.locks import guard

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for another one; a write takes a few milliseconds."""


def open_sqlite(
    url: str | sa.URL,
    tables: sa.MetaData,
    synchronous: Literal["NORMAL", "FULL"],
    triggers: Sequence[str] = (),
    json_serializer: Callable[[object], str] | None = None,
) -> sa.Engine:
    """Open a file of SQLite with its tables; made if they are missing. Every statement commits by itself.

    Args:
        url: ``sqlite:///FILE``.
        tables: Tables to make.
        synchronous: ``FULL`` if what was acknowledged must survive a power cut.
        triggers: Statements that make triggers and do nothing where these are there.
        json_serializer: Writes the values of JSON columns; None for SQLAlchemy's own.
    """
    engine = sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": BUSY_TIMEOUT_S},
        json_serializer=json_serializer,
    )
    sa.event.listen(engine, "connect", lambda raw, _: raw.execute(f"PRAGMA synchronous = {synchronous}"))
    assert engine.url.database
    with guard(Path(engine.url.database).resolve().parent), engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")  # this switch cannot wait its turn
        tables.create_all(connection)
        for trigger in triggers:
            connection.exec_driver_sql(trigger)
    return engine


@contextlib.contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Several statements as one; the write lock comes first, as a reader turned writer cannot wait."""
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")
