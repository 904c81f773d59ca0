"""Checks as the worker's jobs, on a real small model: kept where pages look, one file for each choice, gone on with."""

import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from toys import QUERIES

from engine.__main__ import parser
from engine.check.result import read_result
from engine.check.settings import ExactSettings, LeaveOutSettings, RemovalSettings
from engine.checks import CHECKS, choice_key, command, kept_at, result_file, run_check, settings_of
from engine.errors import Cancelled, WhenceError
from engine.jobs import Job, JobTable
from engine.progress import SilentProgress
from engine.worker import serve

QUICK = {"query": QUERIES[0]["id"], "documents": ["d1", "d2"], "beside": 8, "epochs": 1, "seeds": 1}


@pytest.fixture
def run(toy_run, tmp_path) -> Path:
    """A run that may be written to."""
    return shutil.copytree(toy_run, tmp_path / "run")


@pytest.fixture
def do(tmp_path) -> Callable[..., Job]:
    """Have the worker carry out a check."""

    def done(check: str, settings: dict, out: Path) -> Job:
        table = JobTable(tmp_path)
        job = table.submit("check", {"check": check, "settings": settings, "out": str(out)}, check)
        serve(tmp_path, idle_exit_s=0.05, preload=())
        return table.get(job.id)

    return done


class StoppedAfter(SilentProgress):
    """Cancels at the beginning of the step after these."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def start(self, step: str, total: int, unit: str = "tokens") -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def test_a_job_keeps_the_result_that_was_asked_for(run, do):
    settings = LeaveOutSettings(str(run), **QUICK)
    out = kept_at("leave-out", settings)
    job = do("leave-out", asdict(settings), out)
    assert (job.state, job.result) == ("done", {})
    assert job.step == "Training on 8 documents, seed 1 of 1"
    assert job.done == job.total > 0
    found = read_result(out)
    assert found.settings == asdict(settings)
    assert [row["id"] for row in found.tables["documents"]] == QUICK["documents"]


def test_a_stopped_check_goes_on_as_a_job_and_comes_to_the_same(run, do, tmp_path):
    settings = LeaveOutSettings(str(run), **QUICK)
    out = kept_at("leave-out", settings)
    with pytest.raises(Cancelled):
        run_check("leave-out", settings, out, StoppedAfter(2))
    assert not out.is_file()
    trained = {file: file.stat().st_mtime_ns for file in out.with_suffix("").glob("*.json")}
    assert len(trained) == 2
    do("leave-out", asdict(settings), out)
    after = {file: file.stat().st_mtime_ns for file in out.with_suffix("").glob("*.json")}
    assert len(after) == 3 and trained.items() <= after.items()
    whole = run_check("leave-out", settings, tmp_path / "whole.json", SilentProgress())
    assert read_result(out).tables == whole.tables


def test_what_cannot_be_carried_out_is_said_in_a_sentence(do, tmp_path):
    out = tmp_path / "out.json"
    assert do("horoscope", {}, out).message.startswith("There is no check 'horoscope' -- this version has: exact, ")
    assert "no settings ['stars']" in do("exact", {"stars": 3}, out).message
    assert "is not a run" in do("leave-out", {"run": str(tmp_path / "gone"), "query": "q"}, out).message
    assert not out.exists()


def test_every_choice_has_a_file_of_its_own_in_the_run():
    asked = {"run": "runs/mine", "query": "q", "documents": ["a", "b"]}
    base = kept_at("leave-out", LeaveOutSettings(**asked))
    assert base.parent == Path("runs/mine/checks") and base.name.startswith("leave-out-")
    others = ({"documents": ["a"]}, {"query": "p"}, {"seeds": 3}, {"documents": None})
    files = {kept_at("leave-out", LeaveOutSettings(**asked | other)) for other in others}
    assert len(files | {base}) == 5
    assert kept_at("leave-out", LeaveOutSettings(**asked)) == base
    moved = LeaveOutSettings(**asked | {"run": "elsewhere"})
    assert choice_key(moved) == choice_key(LeaveOutSettings(**asked))


def test_a_check_of_no_run_has_one_file(tmp_path):
    assert kept_at("exact", ExactSettings(seed=3), tmp_path) == tmp_path / "exact.json"
    assert result_file("exact", None) == Path("runs/checks/exact.json")


def test_the_command_of_a_check_asks_for_its_very_settings():
    for name, settings in (
        ("removal", RemovalSettings(removed_for=4, own_weights=True, model="a folder/model", corpus="c; rm -r")),
        ("leave-out", LeaveOutSettings("runs/mine", "What's that?", documents=["a b", "c"], rate=1e-4)),
        ("exact", ExactSettings()),
    ):
        words = shlex.split(command(name, asdict(settings)))
        assert words[:3] == ["python", "-m", "engine"]
        given = vars(parser().parse_args(words[3:]))
        asked = settings_of(name, {key: given[key] for key in asdict(settings)})
        assert asdict(asked) == asdict(settings)
    assert command("exact", asdict(ExactSettings())) == "python -m engine check exact"


def test_settings_have_to_be_known():
    with pytest.raises(WhenceError, match="no settings"):
        settings_of("lds", {"mask": 3})
    assert set(CHECKS) >= {"exact", "lds", "removal", "leave-out"}
