"""One function opens duckdb's connections: no progress bar, any folder, nothing shared."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.tables import open_tables

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path):
    """Two files of a table, in a folder whose name duckdb could take for a pattern or for the end of a text."""
    made = tmp_path / "what's [here]*"
    made.mkdir()
    for number in range(2):
        pq.write_table(pa.table({"document": [2 * number, 2 * number + 1]}), made / f"{number:05}.parquet")
    return made


def test_a_folder_is_one_table_and_a_file_another(folder):
    with open_tables(whole=folder, first=folder / "00000.parquet") as tables:
        assert tables.execute("SELECT document FROM whole ORDER BY document").fetchall() == [(0,), (1,), (2,), (3,)]
        assert tables.execute("SELECT count(*) FROM first").fetchone() == (2,)


def test_no_connection_sees_the_tables_of_another(folder):
    with open_tables(documents=folder), open_tables() as other, pytest.raises(duckdb.CatalogException):
        other.execute("SELECT * FROM documents")


def test_in_an_interactive_session_only_connections_of_ours_draw_no_progress_bar():
    """``python -c`` is what duckdb takes for one, as it does ``python -m engine``."""
    asked = "SELECT current_setting('enable_progress_bar')"
    code = f'''
import duckdb
from engine.tables import open_tables
print([connection.execute("{asked}").fetchone()[0] for connection in (duckdb.connect(), open_tables())])
'''
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[True, False]"


def test_no_other_module_knows_duckdb():
    files = [file for part in ("engine", "dashboard", "sample_data") for file in (ROOT / part).rglob("*.py")]
    assert [file.name for file in files if "import duckdb" in file.read_text(encoding="utf-8")] == ["tables.py"]
