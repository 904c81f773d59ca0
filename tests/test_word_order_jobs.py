"""Word order from the command line and as the worker's jobs, on a real small model."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.ablation_file import ablation_key, read_ablation, read_top
from engine.jobs import Job, JobTable
from engine.run import Run
from engine.variants import VariantSettings
from engine.worker import serve


@pytest.fixture
def run(toy_run, tmp_path) -> Path:
    """A run that may be written to."""
    return shutil.copytree(toy_run, tmp_path / "run")


@pytest.fixture
def do(tmp_path) -> Callable[..., Job]:
    """Have the worker do jobs, and return the last."""

    def done(*jobs: tuple[str, dict]) -> Job:
        table = JobTable(tmp_path)
        ids = [table.submit(kind, arguments, kind).id for kind, arguments in jobs]
        serve(tmp_path, idle_exit_s=0.05, preload=())
        return table.get(ids[-1])

    return done


@pytest.fixture
def call(capsys) -> Callable[..., str]:
    def called(*arguments: object) -> str:
        assert main(["analyse", "word-order", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    return called


# The worker


def test_the_worker_keeps_what_a_page_asked_for(run, do):
    settings = VariantSettings(draws=1, documents=(4,), texts={"edit": "The ferry is late."})
    job = do(("ablate", {"run": str(run), "query": 0, "document": 2, "settings": asdict(settings), "key": "k"}))
    assert (job.state, job.step) == ("done", "Scoring variants")
    found = read_ablation(Run(run), 0, 2, ablation_key(settings))
    names = [one.name for one in found.variants]
    assert names[0] == "original"
    assert {"words_reversed", "edit", "other_document"} <= set(names)


def test_a_readers_text_is_scored_without_the_made_variants(run, do):
    settings = VariantSettings(only_given=True, texts={"edit": "The ferry is late."})
    do(("ablate", {"run": str(run), "query": 0, "document": 2, "settings": asdict(settings), "key": "k"}))
    found = read_ablation(Run(run), 0, 2, ablation_key(settings))
    assert [one.name for one in found.variants] == ["original", "edit"]


def test_one_load_of_the_model_serves_a_document_and_the_bulk(run, do, monkeypatch):
    loads = []
    from engine import live

    load = live.load_run
    monkeypatch.setattr(live, "load_run", lambda path: loads.append(path) or load(path))
    asked = {"run": str(run), "query": 0, "document": 2, "settings": asdict(VariantSettings(draws=1)), "key": "k"}
    job = do(("ablate", asked), ("ablate_top", {"run": str(run), "per_query": 1}))
    assert job.state == "done", job.message
    assert len(loads) == 1
    found = read_top(Run(run).folder, [0, 1])
    assert found["query"].unique().tolist() == [0, 1]
    assert found.groupby("query")["document"].nunique().tolist() == [2, 2]


def test_a_run_that_is_gone_fails_in_a_sentence(tmp_path, do):
    for kind, more in (("ablate", {"settings": {}, "query": 0, "document": 0}), ("ablate_top", {"per_query": 1})):
        job = do((kind, {"run": str(tmp_path / "away")} | more))
        assert job.state == "failed"
        assert "'away' is not there any more" in job.message


def test_a_document_the_run_lacks_fails_in_a_sentence(run, do):
    asked = {"run": str(run), "query": 0, "document": 99, "settings": asdict(VariantSettings()), "key": "k"}
    job = do(("ablate", asked))
    assert job.state == "failed"
    assert "document 99 is not in this run" in job.message


# The command line


def test_the_command_line_tells_what_is_left_of_the_strongest_document(call, run):
    told = call("--run", run, "--query", "When does the ferry leave?")
    for part in ("Original", "Words reversed", "Words shuffled within windows", "Difference", "never saw", "Noise:"):
        assert part in told
    records = json.loads(call("--run", run, "--query", "When does the ferry leave?", "--json"))
    ranking = Run(run).influence(0).sort_values("influence", ascending=False)
    assert records[0]["original"] == pytest.approx(ranking["influence"].iloc[0], rel=1e-4)
    reversed_words = next(record for record in records if record["variant"] == "words_reversed")
    assert reversed_words["difference"] == pytest.approx(reversed_words["influence"] - reversed_words["original"])
    assert len(reversed_words["text"].split()) > 3


def test_the_command_line_sums_up_the_strongest_documents(call, run):
    told = call("--run", run, "--top", 2)
    assert "unrelated" in told
    assert "95% interval" in told
    records = json.loads(call("--run", run, "--json"))  # what is kept needs no model and no --top
    assert {record["measure"] for record in records} == {"left", "change"}
    assert {record["variant"] for record in records} >= {"words_reversed", "words_shuffled"}


def test_a_second_look_computes_nothing(call, run, monkeypatch):
    first = call("--run", run, "--query", "When does the ferry leave?", "--json")
    monkeypatch.setattr("engine.live.load_run", lambda path: pytest.fail("the model was loaded"))
    assert call("--run", run, "--query", "When does the ferry leave?", "--json") == first


def test_without_a_completion_the_first_is_an_example_until_documents_were_scored(call, run):
    said = call("--run", run, "--draws", "2", "--window-words", "3")
    assert "One document is an example: add --top 3" in said
    rows = json.loads(call("--run", run, "--draws", "2", "--window-words", "3", "--json"))
    assert {row["completion"] for row in rows} == {Run(run).queries["title"].iloc[0]}
    assert max(row["draw"] for row in rows) == 1
    call("--run", run, "--top", "1")
    assert {row["measure"] for row in json.loads(call("--run", run, "--json"))} == {"left", "change"}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--draws", "0"], "draws is 0"),
        (["--document", "d1"], "without --query"),
        (["--query", "nothing like it"], "no query of this run"),
        (["--query", "q1", "--document", "nothing like it"], "no document of this run"),
        (["--top", "0"], "per_query is 0"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_line(run, flags, sentence, capsys):
    if "q1" in flags:
        flags = ["--query", str(Run(run).queries["id"][0]), *flags[2:]]
    assert main(["analyse", "word-order", "--run", str(run), *flags]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert sentence in told
