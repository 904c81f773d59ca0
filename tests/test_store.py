"""Files of a run are whole or not there, steps are not mixed, and one process writes at a time."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import SafetensorError
from toys import QUERIES, documents, make_gpt2, write_jsonl

import engine.tensors
import engine.writing
from engine import FitSettings, QuerySettings, Run, RunError, ScoreSettings, fit, load_model, query, score
from engine.progress import SilentProgress
from engine.run import is_run
from engine.store import FORMAT, RunFolder
from engine.tensors import read_tensors, write_tensors
from engine.writing import write_json, write_table, writing

TABLE = pa.table({"a": list(range(100_000))})


class Recorder(SilentProgress):
    """Remembers which passes were started."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, step: str, total: int, unit: str = "tokens") -> None:
        self.started.append(step)


def snapshot(run: Path) -> dict[str, bytes]:
    return {str(file.relative_to(run)): file.read_bytes() for file in run.rglob("*") if file.is_file()}


@contextmanager
def unchanged(run: Path) -> Iterator[None]:
    """Nothing in the folder is lost, changed or added."""
    before = snapshot(run)
    yield
    assert snapshot(run) == before


@pytest.fixture
def run(toy_run, tmp_path) -> Path:
    """A finished run of one's own."""
    return Path(shutil.copytree(toy_run, tmp_path / "run"))


@pytest.fixture(scope="module")
def fitted(toy_folder, tmp_path_factory) -> Path:
    """A run whose fit step is finished."""
    folder = tmp_path_factory.mktemp("fitted")
    fit(folder / "run", str(toy_folder), write_jsonl(folder / "corpus.jsonl", documents(8)))
    return folder / "run"


# One writer of files


def test_a_file_takes_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "sub" / "file.txt"
    with pytest.raises(KeyError), writing(path) as part:
        part.write_text("half")
        raise KeyError
    assert not path.exists()
    with writing(path) as part:
        part.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]


WRITERS: dict[str, Callable[[Path], None]] = {
    "table": lambda path: write_table(TABLE, path),
    "tensors": lambda path: write_tensors({"a": torch.zeros(100_000)}, path),
    "json": lambda path: write_json(["text" * 10_000], path),
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_named_and_the_old_file_stays(kind, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / "file.part").symlink_to("/dev/full")  # takes nothing: "no space left on device"
    if kind == "tensors":  # written beside the target and renamed, so the link would not be followed

        def refuse(*_: Any) -> None:
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

        monkeypatch.setattr(engine.tensors, "save_file", refuse)
    with pytest.raises(RunError, match=r"file could not be written: the disk is full .* stays .* make room"):
        WRITERS[kind](path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("below", "reason"),
    [("note.txt/file", "a part of the path is a file"), ("note.txt/a/file", "a part of the path is a file"),
     ("folder", "there is a folder of that name")],
)  # fmt: skip
@pytest.mark.parametrize("kind", WRITERS)
def test_a_path_that_cannot_be_written_is_named(kind, below, reason, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    with unchanged(tmp_path), pytest.raises(RunError, match=f"{below} could not be written: {reason}"):
        WRITERS[kind](tmp_path / below)


def test_tensors_come_back_as_they_were_even_when_they_share_memory(tmp_path):
    shared = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    write_tensors({"x.a": shared, "x.b": shared.T, "y": shared[:, 1]}, tmp_path / "file")
    found = read_tensors(tmp_path / "file", "x.")
    assert found.keys() == {"a", "b"}
    assert torch.equal(found["a"], shared)
    assert torch.equal(found["b"], shared.T)


# The manifest

CORRUPT = {
    "cut short": (b'{"format": 1, "st', "cannot be read .*Unterminated string.* restore it"),
    "empty": (b"", "cannot be read .* restore it"),
    "not UTF-8": (b"\xff\xfe{", "cannot be read .*utf-8.* restore it"),
    "a list": (b"[]", "is not the manifest of a run"),
    "null": (b"null", "is not the manifest of a run"),
    "steps of another kind": (b'{"format": 1, "steps": []}', "is not the manifest of a run"),
    "newer": (b'{"format": 2, "steps": {}}', f"has run format 2, this version reads {FORMAT} .* compute the run again"),
    "no format": (b'{"steps": {}}', "has run format None"),
}


@pytest.mark.parametrize("what", CORRUPT)
def test_a_manifest_that_cannot_be_trusted_stops_every_use_of_the_run(what, run, toy_folder, inputs):
    content, message = CORRUPT[what]
    (run / "manifest.json").write_bytes(content)
    (run / ".lock").touch()
    with unchanged(run):
        for use in (
            lambda: Run(run),
            lambda: fit(run, str(toy_folder), inputs[0]),
            lambda: query(run, inputs[1]),
            lambda: score(run),
        ):
            with pytest.raises(RunError, match=message):
                use()
        assert not is_run(run)


def test_files_without_a_manifest_are_never_taken_for_results(run, toy_folder, inputs):
    """Else factors of another model or corpus would count as this fit's."""
    (run / "manifest.json").unlink()
    with pytest.raises(RunError, match="does not say what it was made from .* use another --run folder"):
        fit(run, str(toy_folder), inputs[0])
    assert not (run / "manifest.json").exists()


@pytest.mark.parametrize("step", ["fit", "query", "score"])
def test_a_run_with_an_unfinished_step_is_not_opened(step, run):
    manifest = RunFolder(run).manifest()
    manifest["steps"][step]["state"] = "started"
    write_json(manifest, run / "manifest.json")
    with pytest.raises(RunError, match=f"the {step} step was started but not finished .* `python -m engine {step} "):
        Run(run)
    assert not is_run(run)
    del manifest["steps"][step]
    write_json(manifest, run / "manifest.json")
    with pytest.raises(RunError, match=f"the {step} step has not been started"):
        Run(run)


def test_a_folder_that_is_no_run_is_not_opened_and_not_created(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunError, match="is not a run .* compute one with"):
            Run(folder)
        with pytest.raises(RunError, match="the fit step has not been started"):
            score(folder)
        assert not is_run(folder)
    assert not (tmp_path / "nowhere").exists()


# The same again, and something else


def test_the_same_step_again_returns_without_computing_or_writing(run, toy_folder, tmp_path):
    progress, settings = Recorder(), ScoreSettings(keep_tokens=5, keep_prediction=2)
    corpus = write_jsonl(tmp_path / "c.jsonl", documents(20))
    queries = write_jsonl(tmp_path / "q.jsonl", QUERIES)
    (run / ".lock").touch()
    with unchanged(run):
        fit(run, str(toy_folder), corpus, progress=progress)
        query(run, queries, progress=progress)
        score(run, settings, progress=progress)
    assert progress.started == []


def test_a_step_again_with_something_else_is_refused_and_says_what_differs(run, toy_folder, inputs, tmp_path):
    corpus, queries = inputs
    other_corpus = write_jsonl(tmp_path / "c.jsonl", documents(19))
    other_queries = write_jsonl(tmp_path / "q.jsonl", QUERIES[:1])
    (run / ".lock").touch()
    with unchanged(run):
        for use, difference in (
            (lambda: fit(run, str(toy_folder), corpus, FitSettings(seed=7)), "seed: 0 before, 7 now"),
            (lambda: fit(run, str(toy_folder), corpus, FitSettings(layers="all")), "layers: 'mlp' before, 'all' now"),
            (lambda: fit(run, str(toy_folder), other_corpus), "corpus_hash: .* before, .* now"),
            (lambda: query(run, queries, QuerySettings(damping_factor=0.5)), "damping_factor: 0.1 before, 0.5 now"),
            (
                lambda: query(run, queries, QuerySettings(measurement="logit")),
                "measurement: 'log_prob' before, 'logit'",
            ),
            (lambda: query(run, other_queries), "queries_hash: .* before, .* now"),
            (lambda: score(run, ScoreSettings(keep_tokens=6, keep_prediction=2)), "keep_tokens: 5 before, 6 now"),
        ):
            with pytest.raises(
                RunError, match=f"finished with other settings or inputs .*{difference}.* another --run"
            ):
                use()


def test_settings_of_speed_alone_may_change_when_a_step_goes_on(run, toy_folder, inputs):
    """A step that ran out of memory is worth going on with smaller batches."""
    (run / ".lock").touch()
    with unchanged(run):
        fit(run, str(toy_folder), inputs[0], FitSettings(batch_tokens=77))
        score(run, ScoreSettings(keep_tokens=5, keep_prediction=2, batch_tokens=77, memory_gb=0.1))


def test_a_loaded_model_s_own_dtype_is_recorded_so_that_later_steps_load_it_alike(toy_folder, inputs, tmp_path):
    fit(tmp_path / "run", load_model(str(toy_folder), dtype="float64"), inputs[0])
    assert RunFolder(tmp_path / "run").step("fit")["settings"]["dtype"] == "float64"
    query(tmp_path / "run", inputs[1])


def test_a_model_that_was_moved_is_the_same_model_and_found_at_its_new_place(toy_folder, inputs, tmp_path):
    old, new, run = tmp_path / "old", tmp_path / "new", tmp_path / "run"
    shutil.copytree(toy_folder, old)
    fit(run, str(old), inputs[0])
    old.rename(new)
    fit(run, str(new), inputs[0])
    query(run, inputs[1])
    assert RunFolder(run).step("fit")["model"] == str(new)


def test_a_model_changed_in_place_is_refused(toy_folder, fitted, inputs, tmp_path):
    """The folder's name is the same, the weights are not."""
    model = shutil.copytree(toy_folder, tmp_path / "model")
    run = tmp_path / "run"
    fit(run, str(model), inputs[0])
    network = make_gpt2()
    with torch.no_grad():
        network.transformer.h[0].mlp.c_fc.weight[0, 0] += 0.01
    network.save_pretrained(model)
    (run / ".lock").touch()
    with unchanged(run):
        with pytest.raises(RunError, match=r"is not the model that .* was fitted with .*put the old model back"):
            query(run, inputs[1])
        with pytest.raises(RunError, match="model_hash: .* before, .* now"):
            fit(run, str(model), inputs[0])


def test_an_earlier_step_is_not_added_behind_a_later_one(run, inputs):
    manifest = RunFolder(run).manifest()
    del manifest["steps"]["query"]
    write_json(manifest, run / "manifest.json")
    with pytest.raises(RunError, match="already holds the score step"):
        query(run, inputs[1])


def test_a_mistake_in_a_query_file_does_not_cost_the_fit(fitted, tmp_path):
    """The corrected file goes into the same run."""
    run = Path(shutil.copytree(fitted, tmp_path / "run"))
    long = {"id": "long", "prompt": "word " * 50, "completion": " x"}
    with pytest.raises(ValueError, match="more than the context of 32 .* shorten the prompt"):
        query(run, write_jsonl(tmp_path / "wrong.jsonl", [*QUERIES, long]))
    query(run, write_jsonl(tmp_path / "right.jsonl", QUERIES))
    score(run)
    assert Run(run).queries["id"].tolist() == ["q0", "q1"]


def test_leftovers_of_a_killed_process_are_removed_and_files_of_others_are_not(toy_folder, inputs, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "mine.part").write_text("not the engine's")
    fit(run, str(toy_folder), inputs[0])
    with pytest.raises(ValueError, match="no `contrast`"):
        query(run, write_jsonl(tmp_path / "q.jsonl", [QUERIES[1] | {"contrast": ""}]), QuerySettings("contrast"))
    for name in ("query/tokens.parquet.part", "query/gradients/.tmpAbC123"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("half")
    query(run, inputs[1])
    assert sorted(file.name for file in (run / "query").rglob("*") if file.is_file()) == [
        "00000.safetensors", "00001.safetensors", "queries.parquet", "tokens.parquet",
    ]  # fmt: skip
    assert (run / "mine.part").read_text() == "not the engine's"


# Trouble with the folder


@pytest.mark.parametrize("below", ["note.txt", "note.txt/run"])
def test_a_run_folder_below_a_file_is_refused(below, toy_folder, inputs, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with (
        unchanged(tmp_path),
        pytest.raises(RunError, match="cannot be used: a part of the path is a file .* another --run"),
    ):
        fit(tmp_path / below, str(toy_folder), inputs[0])


FAILING = {
    "table": (engine.writing.pq, "write_table", 1),
    "later table": (engine.writing.pq, "write_table", 3),
    "tensors": (engine.tensors, "save_file", 1),
    "later tensors": (engine.tensors, "save_file", 3),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_disk_that_fills_up_stops_the_run_and_it_goes_on_when_there_is_room(
    what, toy_folder, inputs, tmp_path, monkeypatch
):
    module, name, at = FAILING[what]
    real, calls = getattr(module, name), 0

    def write(content: Any, path: Path, *rest: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        real(content, path, *rest, **options)
        if calls >= at:
            os.truncate(path, os.path.getsize(path) // 2)
            raise OSError(errno.ENOSPC, "No space left on device")

    def steps(run: Path) -> None:
        fit(run, str(toy_folder), inputs[0])
        query(run, inputs[1])
        score(run)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, write)
        with pytest.raises(RunError, match="could not be written: the disk is full"):
            steps(tmp_path / "run")
    assert calls == at
    assert not list((tmp_path / "run").rglob("*.part"))
    steps(tmp_path / "run")
    steps(tmp_path / "whole")
    mine, whole = snapshot(tmp_path / "run"), snapshot(tmp_path / "whole")
    del mine["manifest.json"], whole["manifest.json"]
    assert mine == whole


def test_a_step_that_does_not_fit_on_the_disk_is_refused_before_it_begins(toy_folder, inputs, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.estimate.free_disk", lambda path: 1000)
    progress = Recorder()
    with pytest.raises(RunError, match=r"has 1\.0 KB free, the fit step writes about .* make room"):
        fit(tmp_path / "run", str(toy_folder), inputs[0], progress=progress)
    assert progress.started == ["Reading the corpus"]


# One writer at a time

HOLDER = """
import sys
from pathlib import Path
from engine.store import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_of_two_processes_on_one_run_the_second_is_refused_and_free_when_the_first_is_killed(
    toy_folder, inputs, tmp_path
):
    run = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with unchanged(run), pytest.raises(RunError, match="another process is working on .* wait for it or cancel it"):
            fit(run, str(toy_folder), inputs[0])
        holder.kill()
    fit(run, str(toy_folder), inputs[0])
    assert json.loads((run / "manifest.json").read_text())["steps"]["fit"]["state"] == "finished"


def test_the_manifest_replays_the_run(toy_run):
    """Settings, hashes, versions, time and memory of each step."""
    steps = RunFolder(toy_run).manifest()["steps"]
    assert list(steps) == ["fit", "query", "score"]
    for step in steps.values():
        assert step["seconds"] > 0
        assert step["peak_memory_bytes"] > 1_000_000
        assert {"python", "torch", "transformers"} <= step["versions"].keys()
    assert FitSettings(**steps["fit"]["settings"]) == FitSettings()
    assert ScoreSettings(**steps["score"]["settings"]) == ScoreSettings(keep_tokens=5, keep_prediction=2)
    assert steps["fit"]["corpus"]["documents"] == pq.read_metadata(RunFolder(toy_run).documents).num_rows == 20
    assert steps["score"]["inputs"] == {"fit": steps["fit"]["inputs"], "query": steps["query"]["inputs"]}
