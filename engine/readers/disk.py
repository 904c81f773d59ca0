"""A table on disk for what a reader must look up again, so that memory does not grow with the corpus."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import CorpusError

CACHE_KIB = 16 * 1024
"""Memory of the table; beyond it, SQLite writes to a file without a name that is gone once it is closed."""


@contextmanager
def temporary_table(definition: str) -> Iterator[sqlite3.Connection]:
    """A database with one table, ``kept``, defined as SQL does: its columns in parentheses.

    Raises:
        CorpusError: If the temporary folder is full.
    """
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
            database.execute(f"PRAGMA {pragma}")
        database.execute(f"CREATE TABLE kept {definition}")
        database.execute("BEGIN")  # one for all: at the end of each, SQLite goes through everything it has in memory
        yield database
    except sqlite3.OperationalError as error:
        raise CorpusError(
            f"the temporary folder cannot hold what is looked up while the corpus is read ({error}) -- double ids and "
            "answers would not be found -- make room, or name another folder by TMPDIR."
        ) from None
    finally:
        database.close()
