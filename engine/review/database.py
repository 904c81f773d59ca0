"""The table of events, in SQLite or PostgreSQL: rows are added, and the database itself refuses anything else.

SQLite runs in WAL mode, so that readers never wait, with ``synchronous = FULL``: what was acknowledged survives a
power cut. Whoever may write to SQLite's file can of course delete the file, and an owner can drop PostgreSQL's table.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Column

from engine.errors import WhenceError
from engine.sqlite import open_sqlite

URL_VARIABLE = "WHENCE_REVIEW_DB"
SCHEMA_LOCK = 7_461_230
"""Any number that is always the same: PostgreSQL makes the table under this advisory lock."""

events = sa.Table(
    "review_events",
    sa.MetaData(),
    Column("number", sa.Integer, primary_key=True),
    Column("token", sa.Text, nullable=False),
    Column("place", sa.Integer, nullable=False),
    Column("at", sa.Text, nullable=False),
    Column("reviewer", sa.Text, nullable=False),
    Column("verified", sa.Boolean, nullable=False),
    Column("kind", sa.Text, nullable=False),
    Column("document_id", sa.Text),
    Column("content_hash", sa.Text),
    Column("label", sa.Text, nullable=False),
    Column("before", sa.Text, nullable=False),
    Column("why", sa.Text, nullable=False),
    Column("run_hash", sa.Text, nullable=False),
    Column("queue", sa.Text, nullable=False),
    Column("target", sa.Text, nullable=False),
    Column("body", sa.JSON, nullable=False),
    sa.UniqueConstraint("token", "place"),
    sqlite_autoincrement=True,  # a number never serves twice
)

REFUSED = "review events are only added, never changed or deleted"
SQLITE_TRIGGERS = (
    f"""CREATE TRIGGER IF NOT EXISTS review_events_no_update BEFORE UPDATE ON review_events
    BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END""",
    f"""CREATE TRIGGER IF NOT EXISTS review_events_no_delete BEFORE DELETE ON review_events
    BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END""",
    # INSERT OR REPLACE deletes the row in its way without asking the trigger above
    f"""CREATE TRIGGER IF NOT EXISTS review_events_no_replace BEFORE INSERT ON review_events
    WHEN EXISTS (SELECT 1 FROM review_events
                 WHERE number = NEW.number OR (token = NEW.token AND place = NEW.place))
    BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END""",
)
POSTGRESQL_TRIGGERS = (
    f"""CREATE OR REPLACE FUNCTION review_events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '{REFUSED}'; END $$""",
    """CREATE OR REPLACE TRIGGER review_events_no_change BEFORE UPDATE OR DELETE ON review_events
    FOR EACH ROW EXECUTE FUNCTION review_events_refuse()""",
    """CREATE OR REPLACE TRIGGER review_events_no_truncate BEFORE TRUNCATE ON review_events
    FOR EACH STATEMENT EXECUTE FUNCTION review_events_refuse()""",
)


def database_url(home: Path, given: str | None = None) -> str:
    """Where reviews are kept: what is given, else ``WHENCE_REVIEW_DB``, else ``review.sqlite`` in the runs' folder.

    Args:
        home: Folder that holds the runs.
        given: A URL, ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``; None for the default.
    """
    return given or os.environ.get(URL_VARIABLE) or f"sqlite:///{home.resolve() / 'review.sqlite'}"


def connect(url: str) -> sa.Engine:
    """Open the database, with its table and triggers; made if they are missing.

    Raises:
        WhenceError: If the URL is none, the driver is missing, or the database cannot be reached.
    """
    try:
        parsed = sa.make_url(url)
        kind = parsed.get_backend_name()
        if kind not in ("sqlite", "postgresql"):
            raise WhenceError(
                f"The review database is {kind!r} -- it could be changed there -- use SQLite or PostgreSQL."
            )
        return _sqlite(parsed) if kind == "sqlite" else _postgresql(parsed)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise WhenceError(
            f"The review database {_shown(url)} cannot be opened ({_first_line(error)}) -- decisions would be lost -- "
            f"check {URL_VARIABLE} or --database."
        ) from error


def _sqlite(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise WhenceError("The review database has no file -- decisions would be lost -- use sqlite:///FILE.")
    return open_sqlite(url, events.metadata, synchronous="FULL", triggers=SQLITE_TRIGGERS)


def _postgresql(url: sa.URL) -> sa.Engine:
    if find_spec("psycopg") is None:
        raise WhenceError(
            "The driver psycopg is not installed -- PostgreSQL cannot be reached without it -- install it with "
            "`pip install 'psycopg[binary]'`, or use SQLite."
        )
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
        if not sa.inspect(connection).has_table(events.name):
            events.metadata.create_all(connection)
            for trigger in POSTGRESQL_TRIGGERS:
                connection.exec_driver_sql(trigger)
    return engine


def _shown(url: str) -> str:
    """The URL without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return repr(url)


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
