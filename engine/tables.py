"""The one way to ask duckdb about Parquet files (no torch)."""

import glob
from collections.abc import Mapping
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection as Connection

__all__ = ["Connection", "open_for_sorting", "open_tables"]

SORTING = "1GB"


def open_tables(**tables: Path | list[Path]) -> Connection:
    """A connection that knows these tables; the caller closes it. It is nobody else's, as several pages ask at once.

    It draws no progress bar: duckdb takes ``python -m engine`` for an interactive session, and would draw one into what
    ``--json`` prints.

    Args:
        tables: The Parquet file of each table, its files, or the folder of its files.
    """
    return _knowing(duckdb.cursor(), tables)


def open_for_sorting(folder: Path, **tables: Path | list[Path]) -> Connection:
    """:func:`open_tables` for joins and sorts of many rows: memory beyond :data:`SORTING` goes to disk.

    Args:
        folder: Where it goes, until the connection is closed.
        tables: As of :func:`open_tables`.
    """
    return _knowing(duckdb.connect(config={"memory_limit": SORTING, "temp_directory": str(folder)}), tables)


def _knowing(connection: Connection, tables: Mapping[str, Path | list[Path]]) -> Connection:
    connection.execute("SET enable_progress_bar = false")
    for name, path in tables.items():
        connection.execute(f"CREATE TEMP VIEW {name} AS FROM read_parquet({_patterns(path)})")
    return connection


def _patterns(path: Path | list[Path]) -> str:
    """A table's files for SQL; without any, what duckdb itself says of an empty list."""
    return "[" + ", ".join(f"'{_pattern(one)}'" for one in (path if isinstance(path, list) else [path])) + "]"


def _pattern(path: Path) -> str:
    """The path as a pattern that matches nothing else, in single quotes, whatever the folder is called."""
    escaped = glob.escape(str(path)).replace("'", "''")
    return f"{escaped}/*.parquet" if path.is_dir() else escaped
