"""The record of decisions: nothing changes it, nothing acknowledged is lost, nothing is doubled; in both databases."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from review_database import needs_postgresql, postgresql, quick_folder
from review_desk import ANN, open_desk
from review_writers import NAMES, decision, decisions, write

from engine.errors import WhenceError
from engine.machine import repository_folder
from engine.review.database import REFUSED, URL_VARIABLE, connect, database_url
from engine.review.events import DocumentKey, Event, Reviewer, new_token
from engine.review.log import EventLog

PATIENCE_S = 600.0  # bound for what takes seconds; only a failing test, or a machine that is very full, waits so long


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server for all tests of this file."""
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgresql)])
def url(request) -> Iterator[str]:
    """An empty database of each kind; in memory where that can be, since waiting for a disk would take minutes."""
    if request.param == "sqlite":
        with tempfile.TemporaryDirectory(dir=quick_folder()) as folder:
            yield f"sqlite:///{folder}/review.sqlite"
        return
    server, name = request.getfixturevalue("server"), f"t{new_token()}"
    engine = sa.create_engine(sa.make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    engine.dispose()
    yield sa.make_url(server).set(database=name).render_as_string()


def writers(url: str, how: str) -> subprocess.Popen:
    """Start writers in processes of their own."""
    places = os.pathsep.join([str(repository_folder()), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(Path(__file__).with_name("review_writers.py")), url, how]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": places}, stdout=subprocess.PIPE, text=True)


def tampering(connection: sa.Connection) -> list[str]:
    """Statements that would change or delete what is written, in the database's own SQL."""
    columns = "number, token, place, at, reviewer, verified, kind, label, before, why, run_hash, queue, target, body"
    forged = "1, 'other', 0, '', 'Mallory', true, 'label', 'Keep', '', '', '', '', '', '{}'"
    statements = [
        "UPDATE review_events SET label = 'Keep'",
        "UPDATE review_events SET number = 99 WHERE number = 1",
        "DELETE FROM review_events",
        "DELETE FROM review_events WHERE number = 1",
    ]
    insert = f"INTO review_events ({columns}) VALUES ({forged})"
    if connection.dialect.name == "sqlite":
        replaced = f"INSERT {insert} ON CONFLICT (number) DO UPDATE SET label = 'Keep'"
        return [*statements, f"INSERT OR REPLACE {insert}", f"REPLACE {insert}", replaced]
    replaced = f"INSERT {insert} ON CONFLICT (number) DO UPDATE SET label = 'Keep'"
    return [*statements, replaced, "TRUNCATE review_events", "TRUNCATE review_events CASCADE"]


def test_the_database_itself_refuses_to_change_or_delete_an_event(url):
    log = EventLog(url)
    write(log, decision("Ann", 0))
    before = log.since(0)
    engine = connect(url)
    with engine.connect() as connection:
        statements = tampering(connection)
    for statement in statements:
        with pytest.raises(sa.exc.DBAPIError, match=REFUSED), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    engine.dispose()
    assert log.since(0) == before and len(before) == 1


def test_eight_processes_at_once_lose_nothing_and_double_nothing(url):
    with writers(url, "many") as process:
        assert process.wait(PATIENCE_S) == 0
    found = EventLog(url).since(0)
    assert sorted(event.token for event in found) == sorted(f"{n}-{i}" for n in NAMES for i in range(decisions(url)))
    assert [event.number for event in found] == sorted({event.number for event in found})
    for name in NAMES:  # each one's own decisions stand in the order in which they were made
        own = [event.document.id for event in found if event.reviewer.name == name]
        assert own == [f"d{number}" for number in range(decisions(url))]


@pytest.mark.parametrize("acknowledged", [1, 40])
def test_what_was_acknowledged_outlives_a_killed_process(acknowledged, url):
    with writers(url, "until_killed") as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(acknowledged)]
        os.kill(process.pid, signal.SIGKILL)
        told += process.stdout.readlines()
    tokens = [line.strip() for line in told if line.endswith("\n")]
    log = EventLog(url)
    kept = [event.token for event in log.since(0)]
    # at most one write was in flight: it is there whole or not at all
    assert kept[: len(tokens)] == tokens and len(kept) - len(tokens) in (0, 1)
    write(log, decision("after", 0))
    assert len(log.since(0)) == len(kept) + 1


def test_a_batch_is_written_whole_or_not_at_all(url):
    log = EventLog(url)
    events = [Event("skip", ANN, "batch", place, DocumentKey(f"d{place}", "hash")) for place in (0, 1, 1)]
    with pytest.raises(WhenceError, match="could not be kept"), log.writing() as turn:
        turn.add(events)
    assert log.since(0) == []


def test_decisions_come_back_as_they_were_written(url):
    event = Event("save_filter", Reviewer("Zoë 가", True), "t", body={"name": "null \0", "query": "é=1&x=\U0001f600"})
    log = EventLog(url)
    with log.writing() as turn:
        (written,) = turn.add([event])
    assert EventLog(url).since(0) == [written] and written.request == event.request
    assert (written.number, written.at[-1], log.since(1)) == (1, "Z", [])


def test_an_event_of_a_later_version_is_no_reason_to_guess(url):
    log = EventLog(url)
    with pytest.raises(WhenceError, match="'burn', which this version does not know"):
        write(log, replace(decision("Ann", 0), kind="burn"))


def test_reviewing_works_in_both_databases(url, tmp_path):
    review = open_desk(tmp_path, url)
    review.label(ANN, [0, 1], "Drop", "why \0")
    review.undo(ANN)
    review.redo(ANN)
    assert {number: one.label for number, one in open_desk(tmp_path, url).standings().items()} == {0: "Drop", 1: "Drop"}


def test_sqlite_waits_for_the_disk_and_never_makes_readers_wait(tmp_path):
    file = tmp_path / "review.sqlite"
    log = EventLog(f"sqlite:///{file}")
    with log._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    with log.writing() as turn:
        turn.add([decision("Ann", 0)])
        with sqlite3.connect(file, timeout=0) as reader:
            assert reader.execute("SELECT count(*) FROM review_events").fetchone() == (0,)
    assert len(log.since(0)) == 1


def test_where_reviews_are_kept(tmp_path, monkeypatch):
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    assert database_url(tmp_path) == f"sqlite:///{tmp_path}/review.sqlite"
    monkeypatch.setenv(URL_VARIABLE, "postgresql://h/d")
    assert database_url(tmp_path) == "postgresql://h/d"
    assert database_url(tmp_path, "sqlite:///x") == "sqlite:///x"


@pytest.mark.parametrize("wrong", ["nonsense", "mysql://h/d", "sqlite://", "sqlite:///:memory:"])
def test_a_database_that_cannot_keep_decisions_is_refused_in_a_sentence(wrong):
    with pytest.raises(WhenceError, match=" -- "):
        EventLog(wrong)


def test_a_missing_driver_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setattr("engine.review.database.find_spec", lambda name: None)
    with pytest.raises(WhenceError, match=r"psycopg is not installed -- .*pip install 'psycopg\[binary\]'"):
        EventLog("postgresql://localhost/reviews")


@needs_postgresql
def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path):
    with pytest.raises(WhenceError, match="cannot be opened") as error:
        EventLog(f"postgresql://ann:secret@/reviews?host={tmp_path}")
    assert "secret" not in str(error.value)
