"""Processes that share the work come to the bytes of one process, killed or not.

``python tests/test_group.py SPEC`` is the driver: it loads the model once and plays torchrun. It starts the processes
of a group as forked children, each with the environment that torchrun would give it, and starts a group again when one
of its processes has killed itself at an event drawn at random: a call of progress, or the moment before or after a file
or a slip takes its name.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interruption import ENVIRONMENT, Interrupter, contents, differences, driven, forked
from torch.autograd import forward_ad
from toys import QUERIES, documents, write_jsonl

import engine.directions
import engine.group
import engine.sums
import engine.windows
from engine import FitSettings, QuerySettings, ScoreSettings, fit, load_model, query, score
from engine.__main__ import main
from engine.errors import RunError, WhenceError
from engine.group import this_group
from engine.slips import Slips
from engine.store import RunFolder
from engine.sums import UnitSums, cut_into_units

CORPUS = 6
SHARD = 2
KILLS = 20
PATIENCE_S = 1_200.0  # bound for a minute's work of processes that wait for each other: tenfold on a full machine
LAST_EVENT = 60
"""Of a process in a whole run, about; so most of those chosen are hit, and at any moment."""
FIT = FitSettings(batch_tokens=100)
ESTIMATORS = ("kfac", "bif")
"""Others that share their work in another way: no second pass, and chains for units."""
CHAINS = {"chains": 3, "draws": 8, "burn_in": 1, "every": 1, "batch": 4}
SCORE = ScoreSettings(keep_tokens=3, keep_prediction=1, batch_tokens=100)
Work = Callable[[int, Interrupter], None]
pytestmark = pytest.mark.late  # three processes that wait for each other take ten times as long beside the sample's


class Telling(Interrupter):
    """An interrupter that remembers what it was told."""

    def __init__(self, at: int = 0) -> None:
        super().__init__(at, "kill")
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@cache
def kept_store() -> int:
    """The port through which processes find each other; torchrun's too is the same for all groups that it starts again.

    A process of its own keeps it, as the store has threads.
    """
    told, tell = os.pipe()
    if forked() == 0:
        store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        os.write(tell, str(store.port).encode())
        driver = os.getppid()
        while os.getppid() == driver:
            time.sleep(1.0)
        os._exit(0)
    return int(os.read(told, 10))


def torchrun(size: int, work: Work, victim: int = -1, at: int = 0, end: bool = True) -> list[str]:
    """What became of each process of a group; with ``end`` the others are killed as soon as one has died."""
    port = kept_store()
    pipes = [os.pipe() for _ in range(size)]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": size}
    told["TORCHELASTIC_USE_AGENT_STORE"] = True  # that is, the one above
    children = []
    for rank in range(size):
        if (child := forked()) == 0:
            os.environ.update({name: str(value) for name, value in (told | {"RANK": rank}).items()})
            _in_child(work, rank, Telling(at if rank == victim else 0), pipes[rank][1])
        children.append(child)
    words = {}
    while len(words) < size:
        ended, status = os.wait()
        rank = children.index(ended)
        os.close(pipes[rank][1])
        with os.fdopen(pipes[rank][0]) as pipe:
            words[rank] = "killed" if os.WIFSIGNALED(status) else pipe.read()
        if words[rank] == "killed" and end:
            for other in range(size):
                if other not in words:
                    os.kill(children[other], signal.SIGKILL)
    return [words[rank] for rank in range(size)]


def _in_child(work: Work, rank: int, interrupter: Telling, into: int) -> None:
    word = "failed"
    engine.group.SilentProgress = lambda: interrupter  # type: ignore[assignment, misc]
    Path.replace = lambda part, target: interrupter.rename(part, target)  # type: ignore[method-assign, assignment]
    Path.rename = lambda slip, target: interrupter.rename(slip, target)  # type: ignore[method-assign, assignment]
    try:
        work(rank, interrupter)
        word = " ".join(["finished", *interrupter.notes])
    except WhenceError as error:
        word = str(error)
    except BaseException:
        traceback.print_exc()
    finally:
        os.write(into, word.encode())
        os._exit(0)


def drive(spec: dict[str, Any]) -> dict[str, Any]:
    """One run by one process, then by groups, then by groups whose processes are killed."""
    torch.set_num_threads(1)  # a forked child has no other threads
    with forward_ad.dual_level():  # what this loads takes a child as long as half its run
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
    os.fsync = lambda file: None  # a killed process loses nothing that the system has taken
    engine.directions.CHEAPER = 1.0
    engine.group.POLL_SECONDS = 0.002
    engine.windows.DOCUMENTS_PER_SHARD = SHARD
    model, home = load_model(spec["model"]), Path(spec["runs"])

    def compute(run: Path, interrupter: Interrupter, settings: FitSettings = FIT) -> None:
        fit(run, model, spec["corpus"], settings, interrupter)
        query(run, spec["queries"], QuerySettings(measurement="contrast"), interrupter, model)
        sampler = CHAINS if settings.estimator == "bif" else {}
        score(run, replace(SCORE, prefilter=settings.estimator == "kfac", **sampler), interrupter, model)

    one = home / "one"
    report: dict[str, Any] = {"one": torchrun(1, lambda rank, interrupter: compute(one, interrupter))}
    whole = contents(one)
    report["files"] = sorted(whole)
    for size in (2, 3):
        run = home / f"by-{size}"
        words = torchrun(size, lambda rank, interrupter: compute(run, interrupter))  # noqa: B023 - called at once
        report[f"by {size}"] = {"words": words, "differences": differences(run, whole)}
    for estimator in ESTIMATORS:
        runs, settings = [home / f"{estimator}-{size}" for size in (1, 2)], replace(FIT, estimator=estimator)
        for size, run in enumerate(runs, 1):
            torchrun(size, lambda rank, interrupter: compute(run, interrupter, settings))  # noqa: B023 - called at once
        report[estimator] = differences(runs[1], contents(runs[0]))
    report["again"] = torchrun(2, lambda rank, interrupter: compute(home / "by-2", interrupter))
    report["others"] = torchrun(
        2, lambda rank, interrupter: compute(home / "others", interrupter, replace(FIT, seed=rank))
    )
    with RunFolder(one).locked():
        report["held"] = torchrun(2, lambda rank, interrupter: compute(one, interrupter))
    report["stranger"] = torchrun(2, lambda rank, interrupter: _intrude(home / "stranger", rank))
    report["killed"] = _killed(compute, home, whole)
    return report


def _intrude(run: Path, rank: int) -> None:
    """The second process of a group tries to hold the run for itself."""
    with this_group().step(RunFolder(run), "fit", {}, {}):
        if rank == 1:
            with RunFolder(run).locked():
                pass


def _killed(compute: Callable[[Path, Interrupter], None], home: Path, whole: dict) -> list[dict]:
    """Runs whose groups are killed at random moments, until so many are."""
    draw, runs, kills = np.random.default_rng(0), [], 0
    while kills < KILLS:
        run, attempts, word = home / f"killed-{len(runs)}", [], ""
        while not word.startswith("finished"):
            size, at = int(draw.integers(2, 4)), int(draw.integers(1, LAST_EVENT)) * (kills < KILLS)
            victim, end = int(draw.integers(size)), bool(draw.integers(2))
            engine.sums.CHECKPOINT_SECONDS = float(draw.choice([0.0, 20.0]))
            words = torchrun(size, lambda rank, interrupter: compute(run, interrupter), victim, at, end)  # noqa: B023
            word, kills = words[victim], kills + (words[victim] == "killed")
            attempts.append({"victim": victim, "at": at, "end": end, "words": words})
        runs.append({"attempts": attempts, "differences": differences(run, whole)})
    return runs


@pytest.fixture(scope="module")
def report(toy_folder, tmp_path_factory) -> dict[str, Any]:
    """What the driver saw."""
    folder = tmp_path_factory.mktemp("groups")
    spec = {
        "model": str(toy_folder),
        "corpus": str(write_jsonl(folder / "corpus.jsonl", documents(CORPUS))),
        "queries": str(write_jsonl(folder / "queries.jsonl", QUERIES)),
        "runs": str(folder / "runs"),
    }
    return driven(__file__, spec, PATIENCE_S)


def test_the_run_that_groups_share_has_several_units_in_each_pass(report):
    """Without these the tests below would show less than they say."""
    assert {f"score/{table}/00002.parquet" for table in ("documents", "tokens", "prediction")} <= set(report["files"])
    assert report["one"][0].startswith("finished Tracking")


@pytest.mark.parametrize("size", [2, 3])
def test_a_group_comes_to_the_bytes_of_one_process(report, size):
    found = report[f"by {size}"]
    assert all(word.startswith("finished") for word in found["words"])
    assert f"for each of {size} processes" in found["words"][0]
    assert found["differences"] == []


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_so_does_a_group_with_other_estimators_and_the_prefilter(report, estimator):
    assert report[estimator] == []


def test_workers_killed_at_random_moments_lose_nothing_and_double_nothing(report):
    attempts = [attempt for run in report["killed"] for attempt in run["attempts"]]
    assert sum(attempt["words"][attempt["victim"]] == "killed" for attempt in attempts) == KILLS
    assert {attempt["victim"] for attempt in attempts} == {0, 1, 2}
    for run in report["killed"]:
        assert all(word.startswith("finished") for word in run["attempts"][-1]["words"]), run["attempts"]
        assert run["differences"] == [], run["attempts"]


def test_those_that_are_left_say_that_the_group_has_lost_a_process(report):
    attempts = [attempt for run in report["killed"] for attempt in run["attempts"][:-1] if not attempt["end"]]
    left = [word for attempt in attempts for word in attempt["words"] if word != "killed"]
    assert len(left) > 5
    assert all(re.match(r"the group has lost a process .* -- start the same command again", w) for w in left), left


def test_a_group_on_a_finished_run_does_nothing_and_says_so(report):
    for step in ("fit", "query", "score"):
        assert f"the {step} step is finished; there is nothing to do" in report["again"][0]


def test_processes_with_different_settings_are_refused(report):
    assert len(report["others"]) == 2
    for word in report["others"]:
        assert word.startswith("process 1 of the group has seed 1, process 0 has 0 -- results must not be mixed")


def test_a_group_is_refused_where_another_process_works_and_admits_none_while_it_does(report):
    assert all("another process is working on" in word for word in report["held"])
    assert "another process is working on" in report["stranger"][1]


def make_sums(unit: int) -> dict[str, torch.Tensor]:
    values = np.random.default_rng(unit).normal(size=50) * 10.0**unit
    return {"layer.q_a": torch.from_numpy(values), "count": torch.tensor(unit)}


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]])
def test_sums_do_not_depend_on_who_comes_first(tmp_path, order):
    """In another order they would differ in the last bits."""
    leader, other = UnitSums(tmp_path, 5, leads=True), UnitSums(tmp_path, 5, leads=False)
    for unit in order:
        (leader if unit % 2 else other).add(unit, make_sums(unit))
    values = [make_sums(unit)["layer.q_a"] for unit in range(5)]
    assert torch.equal(leader.whole()["layer.q_a"], sum(values[1:], values[0]))
    assert not torch.equal(leader.whole()["layer.q_a"], sum(values[-2::-1], values[-1]))


def test_a_unit_that_is_in_the_sum_is_not_added_again(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.sums.CHECKPOINT_SECONDS", 0.0)
    late = UnitSums(tmp_path, 3, leads=False)
    UnitSums(tmp_path, 3, leads=True).add(0, make_sums(0))
    late.add(0, make_sums(0))  # a process that was thought dead
    late.add(2, make_sums(2))
    leader = UnitSums(tmp_path, 3, leads=True)
    assert leader.unfinished() == [1]
    leader.add(1, make_sums(1))
    assert int(leader.whole()["count"]) == 3


@pytest.mark.parametrize("shards", [1, 128, 129, 1000])
def test_units_are_few_and_hold_each_shard_once(shards):
    units = cut_into_units(range(shards))
    assert [shard for unit in units for shard in unit] == list(range(shards))
    assert len(units) <= engine.sums.MOST_UNITS


def test_a_process_that_does_not_see_the_folder_is_told_to_share_it(tmp_path):
    with pytest.raises(RunError, match="process 1 does not see .* file system that all machines share"):
        Slips(tmp_path / "slips", print).check(rank=1)


def test_a_group_is_not_joined_without_knowing_where_it_is(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(WhenceError, match="WORLD_SIZE is 2, but RANK .* start them by torchrun"):
        this_group.__wrapped__()


def test_a_verb_for_one_process_is_refused_in_a_group(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["top", "--run", "none"]) == 2
    assert "top is for one process" in capsys.readouterr().err


def test_torchrun_itself_starts_a_group_that_comes_to_the_same(toy_folder, tmp_path):
    """The real one, on the command line; so is the one process, as tests before may have set threads (UMAP does)."""
    corpus = write_jsonl(tmp_path / "corpus.jsonl", [replace(one, text=one.text[:60]) for one in documents(300)])
    queries = write_jsonl(tmp_path / "queries.jsonl", QUERIES)
    pair = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    for name, launcher in ("one", []), ("two", pair):
        places = [("run", tmp_path / name), ("model", toy_folder), ("corpus", corpus), ("queries", queries)]
        config = tmp_path / f"{name}.toml"
        lines = [f'{key} = "{place}"' for key, place in places]
        config.write_text("\n".join([*lines, "[score]", "keep_tokens = 3", "keep_prediction = 1"]))
        command = [sys.executable, "-m", *launcher, "engine", "run", str(config)]
        group = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300)
        assert group.returncode == 0, group.stderr
    assert differences(tmp_path / "two", contents(tmp_path / "one")) == []
    assert group.stderr.count("Fitting covariances: done") == group.stdout.count("Raised it most") == 1


if __name__ == "__main__":
    json.dump(drive(json.loads(sys.argv[1])), sys.stdout)
