"""A check's result tells how long it took, stopped calls included."""

import pytest

from engine.check import result as results
from engine.check.result import kept, read_result
from engine.check.settings import ExactSettings


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(results.time, "monotonic", lambda: now[0])
    return now


def test_the_time_of_stopped_calls_counts_and_that_of_other_settings_does_not(tmp_path, clock):
    path, work = tmp_path / "exact.json", tmp_path / "exact"
    work.mkdir()
    with pytest.raises(KeyboardInterrupt), kept("exact", ExactSettings(), path, work):
        clock[0] += 40
        raise KeyboardInterrupt
    assert not path.exists()
    with kept("exact", ExactSettings(seed=1), path, work):
        clock[0] += 5
    assert read_result(path).seconds == 5
    with kept("exact", ExactSettings(), path, work):
        clock[0] += 2
    assert read_result(path).seconds == 42


def test_where_no_work_is_kept_only_the_call_counts(tmp_path, clock):
    for _ in range(2):
        with kept("exact", ExactSettings(), tmp_path / "exact.json"):
            clock[0] += 3
    assert read_result(tmp_path / "exact.json").seconds == 3
    assert [file.name for file in tmp_path.iterdir()] == ["exact.json"]
