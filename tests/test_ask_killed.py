"""A question whose process is killed, at whatever stage, leaves the run as it was, and is answered the same afterwards.

``python tests/test_ask_killed.py SPEC`` is the driver: it loads the run once and asks in forked children, which kill
themselves at a chosen event: a call of progress, or the moment before or after a finished file takes its name.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from interruption import Interrupter, driven

import engine.live
from engine.ask.ask import ask
from engine.ask.kept import answers_file, read_answers
from engine.ask.settings import AskSettings
from engine.index.build import build_index
from engine.index.settings import IndexSettings
from engine.jobs import JobTable
from engine.live import LoadedRun, load_run
from engine.worker import HANDLERS, serve

ASKED = AskSettings("The ferry leaves", length=2, top=2, exact=4)
STAGES = [
    *("Continuing the prompt", "Measuring the completion", "Counting shared tokens", "Searching the index"),
    *("Preconditioning", "Exact influence of 2 documents", "Other damping and layers"),
]
KEEPING = "Keeping the answer"


class Staged(Interrupter):
    """Notes the stage of each event."""

    def __init__(self, at: int) -> None:
        super().__init__(at, "kill")
        self.stage, self.stages = "", []

    def start(self, step: str, total: int, unit: str = "tokens") -> None:
        self.stage = step
        super().start(step, total, unit)

    def rename(self, part: Path, target: Path) -> None:
        self.stage = KEEPING
        super().rename(part, target)

    def _event(self, last_act: Any = lambda: None) -> None:
        self.stages.append(self.stage)
        super()._event(last_act)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def directly(loaded: LoadedRun, home: Path, progress: Staged) -> Any:
    """Ask as the command line does; the answer."""
    return [answer.record(loaded.run, ASKED.top) for answer in ask(loaded, ASKED, progress)]


def by_worker(loaded: LoadedRun, home: Path, progress: Staged) -> Any:
    """Do the job that a killed worker left, or a new one, as a worker does; the answer that is kept."""
    Path.replace = lambda part, target: progress.rename(part, target)  # type: ignore[method-assign, assignment]
    engine.live.load_run = lambda path: loaded  # one loading is enough
    table = JobTable(home)
    if not table.recent():
        table.submit("ask", {"run": str(loaded.run.path), "settings": vars(ASKED)}, "Ferry")
    serve(home, {"ask": lambda *given: HANDLERS["ask"](*given[:2], progress)}, idle_exit_s=0.01, preload=())
    assert [job.state for job in table.recent()] == ["done"]
    return answers_file(loaded.run, ASKED).read_text(encoding="utf-8")


WAYS: dict[str, Callable[[LoadedRun, Path, Staged], Any]] = {"directly": directly, "by worker": by_worker}


def moments(way: str, stages: list[str]) -> list[int]:
    """Events to be killed at: the last of each stage; of a worker, which asks likewise, while and after it keeps."""
    if way == "by worker":
        keeping = [at for at, stage in enumerate(stages, start=1) if stage == KEEPING]
        return [*keeping[::2], keeping[-1]]
    return list({stage: at for at, stage in enumerate(stages, start=1)}.values())


def in_child(way: str, loaded: LoadedRun, home: Path, at: int = 0) -> dict[str, Any] | None:
    """Ask in a child: its answer, and the stage of each event; None if it was killed."""
    out, into = os.pipe()
    if (child := os.fork()) == 0:
        try:
            progress = Staged(at)
            answer = WAYS[way](loaded, home, progress)
            with os.fdopen(into, "w") as pipe:
                json.dump({"answer": answer, "stages": progress.stages}, pipe)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)  # without the parent's clean-up
    os.close(into)
    with os.fdopen(out) as pipe:
        told = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return json.loads(told) if status == 0 else None


def drive(spec: dict[str, Any]) -> dict[str, Any]:
    """Ask undisturbed, then killed at each moment and once more."""
    torch.set_num_threads(1)  # a forked child has no other threads
    loaded = load_run(spec["run"])
    build_index(loaded, IndexSettings(document_bytes=512))
    kept, before = answers_file(loaded.run, ASKED), contents(loaded.run.path)  # before anybody asks
    ask(loaded, ASKED)  # what the first question loads, each child need not
    report: dict[str, Any] = {}
    for way in WAYS:
        whole = in_child(way, loaded, Path(spec["home"]) / way)
        assert whole is not None
        kept.unlink(missing_ok=True)
        report[way] = []
        for at in moments(way, whole["stages"]):
            home = Path(spec["home"]) / f"{way} {at}"
            killed, left = in_child(way, loaded, home, at) is None, contents(loaded.run.path)
            known = read_answers(loaded.run, ASKED)  # what a page would show
            again, after = in_child(way, loaded, home), contents(loaded.run.path)
            report[way].append({
                "stage": whole["stages"][at - 1],
                "killed": killed,
                "finished": known and known["finished"],
                "same answer": again is not None and again["answer"] == whole["answer"],
                "changed": [name for name in before if not before[name] == left.get(name) == after.get(name)],
                "left": sorted(left.keys() - before.keys()),
                "new": sorted(after.keys() - before.keys()),
            })  # fmt: skip
            kept.unlink(missing_ok=True)
    return report | {"kept": str(kept.relative_to(loaded.run.path))}


@pytest.fixture(scope="module")
def report(toy_run, tmp_path_factory) -> dict[str, Any]:
    """What the driver saw."""
    folder = tmp_path_factory.mktemp("killed")
    copytree(toy_run, folder / "run")
    return driven(__file__, {"run": str(folder / "run"), "home": str(folder / "home")})


def test_it_is_killed_at_every_stage_and_whenever_an_answer_is_kept(report):
    assert [moment["stage"] for moment in report["directly"]] == STAGES
    assert {moment["stage"] for moment in report["by worker"]} == {KEEPING}
    assert all(moment["killed"] for way in WAYS for moment in report[way])


@pytest.mark.parametrize("way", WAYS)
def test_every_file_of_the_run_keeps_its_bytes(report, way):
    assert {moment["stage"]: moment["changed"] for moment in report[way] if moment["changed"]} == {}


@pytest.mark.parametrize("way", WAYS)
def test_asked_afterwards_it_gets_the_same_answer(report, way):
    assert [moment["stage"] for moment in report[way] if not moment["same answer"]] == []


def test_asked_directly_it_leaves_no_file(report):
    assert [moment["left"] + moment["new"] for moment in report["directly"]] == [[]] * len(STAGES)


def test_a_killed_worker_leaves_what_was_known_or_half_of_it_which_the_next_one_replaces(report):
    """Ranked, the first exact, all exact, finished: killed while each is written, and after the last."""
    kept, half = report["kept"], f"{report['kept']}.part"
    left = [(moment["left"], moment["finished"]) for moment in report["by worker"]]
    assert left == [([half], None), *[([kept, half], False)] * 3, ([kept], True)]
    assert all(moment["new"] == [kept] for moment in report["by worker"])


if __name__ == "__main__":
    json.dump(drive(json.loads(sys.argv[1])), sys.stdout)
