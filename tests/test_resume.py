"""An interrupted run goes on where it stopped, and its files end up the same to the last byte.

``python tests/test_resume.py SPEC`` is the driver: it loads the model once and computes each
run in a forked child, which kills itself (or is cancelled) at a chosen event: a call of
progress, or the moment before or after a finished file takes its name.
"""

import json
import os
import signal
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from interruption import Interrupter, contents, differences, driven, forked
from torch.autograd import forward_ad
from toys import QUERIES, documents, write_jsonl

import engine.directions
import engine.sums
import engine.windows
from engine import FitSettings, QuerySettings, ScoreSettings, fit, load_model, query, score
from engine.errors import Cancelled

CORPUS = 6
SHARD = 2
FIT = FitSettings(batch_tokens=100)
SCORE = ScoreSettings(keep_tokens=3, keep_prediction=1, batch_tokens=100)
RANKS = {"thin": 0.0, "multiplied out": 4.0}
"""Memory for directions: without it they stay thin; both ways must survive."""
EVERY = {"kill": 17, "cancel": 29}
"""Events between the moments tried; coprime to the events of a file and of a shard."""
UNIT = 50
"""Events that finish at least one unit of work: the predictions of a shard take most."""


def compute(spec: dict[str, Any], model: Any, run: Path, interrupter: Interrupter) -> None:
    engine.directions.CHEAPER = 1.0  # else the toy's layers are too small for thin rows
    engine.sums.CHECKPOINT_SECONDS = 0.0 if interrupter.at else 20.0  # one that is not interrupted saves none
    os.fsync = lambda file: None  # a killed process loses nothing that the system has taken
    Path.replace = lambda part, target: interrupter.rename(part, target)  # type: ignore[method-assign, assignment]
    fit(run, model, spec["corpus"], FitSettings(**spec["fit"]), interrupter)
    query(run, spec["queries"], QuerySettings(measurement="contrast"), interrupter, model)
    score(run, ScoreSettings(**spec["score"]), interrupter, model)


def in_child(spec: dict[str, Any], model: Any, run: Path, at: int = 0, way: str = "kill") -> str:
    """Compute in a child; "finished <events>", "cancelled" or "killed"."""
    out, into = os.pipe()
    if (child := forked()) == 0:
        interrupter, word = Interrupter(at, way), "failed"
        try:
            compute(spec, model, run, interrupter)
            word = f"finished {interrupter.events}"
        except Cancelled:
            word = "cancelled"
        except BaseException:
            traceback.print_exc()
        finally:
            os.write(into, word.encode())
            os._exit(0 if word != "failed" else 1)  # without the parent's clean-up
    os.close(into)
    _, status = os.waitpid(child, 0)
    with os.fdopen(out) as pipe:
        word = pipe.read()
    return "killed" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else word


def drive(spec: dict[str, Any]) -> dict[str, Any]:
    """Compute one run without interruption, then the same interrupted at many moments."""
    torch.set_num_threads(1)  # a forked child has no other threads
    with forward_ad.dual_level():  # what this loads takes a child as long as half its run
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
    engine.windows.DOCUMENTS_PER_SHARD = SHARD
    model, folder = load_model(spec["model"]), Path(spec["runs"])
    report: dict[str, Any] = {"kill": {}, "cancel": {}, "repeatedly": {}}
    events = {
        way: int(in_child(spec, model, folder / way, way=way).removeprefix("finished ")) for way in ("kill", "cancel")
    }
    whole = contents(folder / "kill")
    report["events"], report["files"] = events, sorted(whole)
    report["directions"] = whole["manifest.json"]["steps"]["score"]["results"]["directions"]
    for way, last in events.items():
        for at in range(spec["first"], last + 1, EVERY[way]):
            run = folder / f"{way}-{at}"
            words = [in_child(spec, model, run, at, way), in_child(spec, model, run)]
            report[way][at] = {"words": words, "differences": differences(run, whole)}
    run, words = folder / "repeatedly", []
    while len(words) < 10 and words[-1:] != ["finished"]:
        words.append(in_child(spec, model, run, at=UNIT).split()[0])
    report["repeatedly"] = {"words": words, "differences": differences(run, whole)}
    return report


@pytest.fixture(scope="module", params=RANKS)
def report(request, toy_folder, tmp_path_factory) -> dict[str, Any]:
    """What the driver saw."""
    folder = tmp_path_factory.mktemp("interrupted")
    spec = {
        "model": str(toy_folder),
        "corpus": str(write_jsonl(folder / "corpus.jsonl", documents(CORPUS))),
        "queries": str(write_jsonl(folder / "queries.jsonl", QUERIES)),
        "runs": str(folder / "runs"),
        "fit": asdict(FIT),
        "score": asdict(SCORE) | {"memory_gb": RANKS[request.param], "rank_error": 0.3},
        "first": 1 + 9 * list(RANKS).index(request.param),
    }
    return driven(__file__, spec)


def test_the_interrupted_run_has_several_shards_and_thin_directions(report):
    """Without these the tests below would show less than they say."""
    assert {"score/documents/00002.parquet", "score/tokens/00002.parquet", "score/low_rank.safetensors"} <= set(
        report["files"]
    )
    assert any("rank" in way for way in report["directions"].values())
    assert len(report["kill"]) >= 6
    assert len(report["cancel"]) >= 2


def test_a_run_killed_at_any_moment_and_resumed_is_the_same_to_the_last_byte(report):
    for at, found in report["kill"].items():
        assert found["words"][0] == "killed", f"event {at}"
        assert found["words"][1].startswith("finished"), f"event {at}"
        assert found["differences"] == [], f"event {at}"


def test_a_run_killed_again_and_again_is_the_same_to_the_last_byte(report):
    assert report["repeatedly"]["words"][:2] == ["killed", "killed"]
    assert report["repeatedly"]["words"][-1] == "finished"
    assert report["repeatedly"]["differences"] == []


def test_a_cancelled_run_goes_on_and_is_the_same_to_the_last_byte(report):
    for at, found in report["cancel"].items():
        assert found["words"][0] == "cancelled", f"event {at}"
        assert found["words"][1].startswith("finished"), f"event {at}"
        assert found["differences"] == [], f"event {at}"


if __name__ == "__main__":
    json.dump(drive(json.loads(sys.argv[1])), sys.stdout)
