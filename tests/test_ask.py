"""Live questions: exact where they say so, in the order they were asked, and without a trace when stopped."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference import difference
from toys import QUERIES, Stopping

from engine import Run, WhenceError
from engine.__main__ import main
from engine.ask.answer import Answer, Way
from engine.ask.ask import ask
from engine.ask.kept import read_answers
from engine.ask.settings import AskSettings
from engine.corpus import Window
from engine.directions import full_directions
from engine.errors import Cancelled
from engine.factors import run_cutting
from engine.index.build import build_index
from engine.index.settings import IndexSettings
from engine.jobs import JobTable
from engine.live import LoadedRun, load_run
from engine.progress import SilentProgress
from engine.queries import QueryGradient, measure
from engine.token_pass import Scorer
from engine.windows import document_windows
from engine.worker import HANDLERS, serve

SAME = 1e-5
"""Bound on the difference of two float32 passes, relative to the sum of magnitudes that cancel in it. Observed: 3e-8;
with the damping factor 1% off: 4e-4 and more."""
FERRY = AskSettings(QUERIES[0]["prompt"], [QUERIES[0]["completion"]], exact=20)


@pytest.fixture(scope="module")
def loaded(toy_run, tmp_path_factory) -> LoadedRun:
    """A copy of the toy run with its model and without an index; tests only read it."""
    folder = tmp_path_factory.mktemp("asked") / "run"
    shutil.copytree(toy_run, folder)
    return load_run(folder)


def apart(left: np.ndarray, right: np.ndarray) -> float:
    """Largest difference relative to the sum of magnitudes."""
    return float(np.abs(left - right).max() / np.abs(right).sum())


def exact_windows(loaded: LoadedRun, documents: Iterable[int]) -> list[Window]:
    cutting = run_cutting(loaded.run.folder)
    return [window for one in documents for window in document_windows(loaded.run.folder, one, cutting)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# Exact


def test_exact_influence_is_that_of_query_and_score(loaded):
    """All 20 documents, token by token where the run kept them."""
    (answer,) = ask(loaded, FERRY)
    stored = loaded.run.influence(0).set_index("document")["influence"]
    found = np.array([answer.influence[document].influence.sum() for document in stored.index])
    assert apart(found, stored.to_numpy()) < SAME
    with_tokens = loaded.run.documents_with_tokens(0)
    assert with_tokens
    for document in with_tokens:
        kept = loaded.run.token_influence(0, document)
        assert kept is not None
        assert apart(answer.influence[document].influence, kept.influence) < SAME
    assert difference(answer.ranking.value, float(loaded.run.queries["value"][0])) < SAME
    expected = stored.sort_values(ascending=False, kind="stable").index[:20].tolist()
    assert answer.table(loaded.run, 20)["document"].tolist() == expected


def test_several_completions_get_the_answers_that_each_gets_alone(loaded):
    prompt, completions = "The ferry", [" leaves the grey harbour", " does not leave", " in a storm"]
    together = ask(loaded, AskSettings(prompt, completions, exact=20))
    assert [one.ranking.question.completion for one in together] == completions
    for answer, completion in zip(together, completions, strict=True):
        (alone,) = ask(loaded, AskSettings(prompt, [completion], exact=20))
        for document, found in alone.influence.items():
            assert apart(answer.influence[document].influence, found.influence) < SAME


def test_rather_than_is_the_difference_of_two_answers(loaded):
    """Influence is linear in what is measured, and so the two sides add up."""
    prompt, completion, other = "The ferry leaves", " the grey harbour", " a storm"
    (contrast,) = ask(loaded, AskSettings(prompt, [completion], other, exact=20))
    sides = ask(loaded, AskSettings(prompt, [completion, other], exact=20))
    assert contrast.ranking.measurement == "contrast"
    values = [one.ranking.value for one in sides]
    assert contrast.ranking.value == pytest.approx(values[0] - values[1], rel=1e-5)
    for document, found in contrast.influence.items():
        left, right = (one.influence[document].influence.sum() for one in sides)
        assert abs(found.influence.sum() - (left - right)) < SAME * np.abs(found.influence).sum()


def test_the_models_own_continuation_is_its_likeliest_one(loaded):
    (answer,) = ask(loaded, AskSettings("The ferry leaves", length=3, exact=20))
    said = answer.ranking.question.completion
    assert said
    again = ask(loaded, AskSettings("The ferry leaves", [said], exact=20))[0]
    assert again.ranking.tokens == answer.ranking.tokens


def test_influence_at_other_damping_is_that_of_directions_damped_so(loaded):
    (answer,) = ask(loaded, FERRY)
    damped = answer.damped
    assert damped is not None and sorted(damped.of) == sorted(answer.table(loaded.run, FERRY.top)["document"])
    result = measure(loaded.model, loaded.layers, answer.ranking.question, "log_prob")
    windows = exact_windows(loaded, damped.of)
    for factor in damped.factors:
        directions = full_directions([QueryGradient(result.sides, result.hidden)], loaded.factors, factor)
        scorer = Scorer(loaded.model, loaded.layers, directions, {0: 0}, 512)
        found = scorer.layers_of_documents({one: [0] for one in damped.of}, windows, SilentProgress())
        at = damped.factors.index(factor)
        for document, values in damped.of.items():
            expected = np.array([found[0, document][layer][0] for layer in damped.layers])
            assert apart(values[at], expected) < SAME
    own = damped.influence(damped.own)
    for document, influence in own.items():
        exact = answer.influence[document].influence
        assert abs(influence - exact.sum()) < SAME * np.abs(exact).sum()


def test_blocks_add_up_and_the_runs_own_damping_agrees_with_itself(loaded):
    (answer,) = ask(loaded, FERRY)
    damped = answer.damped
    assert damped is not None and len(damped.blocks) > 1
    whole, parts = damped.influence(1.0), [damped.influence(1.0, [block]) for block in damped.blocks]
    for document, value in whole.items():
        assert value == pytest.approx(sum(part[document] for part in parts))
    assert damped.agreement(damped.own) == pytest.approx(1.0)
    assert damped.agreement(100.0) < 1.0


# In stages


def test_the_first_ranking_comes_first_then_the_top_then_the_rest(loaded):
    stages: list[list[Answer]] = []
    last = ask(loaded, AskSettings("The ferry", [" leaves"], top=3, exact=7), told=stages.append)
    assert [len(one.influence) for (one,) in stages] == [0, 3, 7]
    assert [one.damped for (one,) in stages] == [None] * 3 and len(last[0].damped.of) == 3
    assert len(last[0].influence) == 7
    assert list(last[0].influence) == stages[0][0].ranking.first(7).tolist()


def test_a_run_with_an_index_ranks_by_it(loaded, tmp_path):
    shutil.copytree(loaded.run.path, tmp_path / "run")
    indexed = load_run(tmp_path / "run")
    build_index(indexed, IndexSettings(document_bytes=2048, damping_factor=0.1))
    (by_index,), (by_words,) = ask(indexed, FERRY), ask(loaded, FERRY)
    assert (by_index.ranking.by, by_words.ranking.by) == (Way.INDEX, Way.WORDS)
    best = set(by_index.table(loaded.run, 5)["document"])
    found = len(best & set(by_index.ranking.first(8).tolist()))
    assert found >= 4  # by chance 2
    for document, influence in by_words.influence.items():
        assert apart(by_index.influence[document].influence, influence.influence) < SAME


# Stopped


def test_a_question_stopped_at_any_stage_leaves_the_run_as_it_was(loaded):
    before, counted = contents(loaded.run.path), Stopping(0)
    settings = AskSettings("The ferry leaves", length=2, top=2, exact=4)
    ask(loaded, settings, counted)
    assert counted.events > 15
    for at in range(1, counted.events + 1):
        with pytest.raises(Cancelled):
            ask(loaded, settings, Stopping(at))
    assert contents(loaded.run.path) == before


# By the worker


def test_ten_questions_at_once_are_answered_in_turn(loaded, tmp_path):
    """One worker, one loading of the model; each answer is that of the question alone."""
    shutil.copytree(loaded.run.path, tmp_path / "run")
    run, table = Run(tmp_path / "run"), JobTable(tmp_path / "home")
    asked = [AskSettings("The ferry leaves", [f" at {hour}"], top=2, exact=3) for hour in range(10)]
    jobs = [table.submit("ask", {"run": str(run.path), "settings": vars(one)}, one.prompt) for one in asked]
    serve(table.home, HANDLERS, idle_exit_s=0.01, preload=())
    done = [table.get(job.id) for job in jobs]
    assert [job.state for job in done] == ["done"] * 10
    assert [job.finished for job in done] == sorted(job.finished for job in done)
    for settings in asked:
        kept = read_answers(run, settings)
        assert kept is not None
        assert kept["finished"]
        (record,) = kept["answers"]
        assert [record["completion"]] == settings.completion
        assert len(record["documents"]) == 2
    (alone,) = ask(loaded, asked[3])
    (third,) = read_answers(run, asked[3])["answers"]  # type: ignore[index]
    assert [row["document"] for row in third["documents"]] == alone.table(run, 2)["document"].tolist()


def test_a_cancelled_question_keeps_what_was_known(loaded, tmp_path):
    shutil.copytree(loaded.run.path, tmp_path / "run")
    run, home = Run(tmp_path / "run"), tmp_path / "home"
    table = JobTable(home)
    job = table.submit("ask", {"run": str(run.path), "settings": vars(FERRY)}, "Ferry")

    def cancelled_later(context: Any, arguments: dict[str, Any], progress: Any) -> dict[str, Any]:
        return HANDLERS["ask"](context, arguments, Stopping(12))

    serve(home, {"ask": cancelled_later}, idle_exit_s=0.01, preload=())
    assert table.get(job.id).state == "cancelled"
    kept = read_answers(run, FERRY)
    assert kept is not None
    assert not kept["finished"]
    assert kept["answers"][0]["ranked"]
    assert not kept["answers"][0]["documents"]


# On the command line


def test_the_command_prints_the_first_ranking_then_the_exact_one(loaded, capsys):
    arguments = ["ask", "--run", str(loaded.run.path), "--prompt", "The ferry", "--completion", " leaves", "--top", "2"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert shown.index("quick order") < shown.index("scored exactly")
    assert "no index" in shown
    assert main([*arguments, "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["completion"] == " leaves"
    assert len(record["documents"]) == 2
    for document in record["documents"]:
        assert np.sum([token["influence"] for token in document["tokens"]]) == pytest.approx(
            document["influence"], abs=1e-3 * np.abs([token["influence"] for token in document["tokens"]]).sum()
        )


@pytest.mark.parametrize(
    "given", [{"top": 0}, {"length": 0}, {"completion": [""]}, {"rather_than": ""}, {"top": 5, "exact": 4}]
)
def test_questions_that_cannot_be_are_refused(given):
    with pytest.raises(WhenceError, match="--"):
        AskSettings("The ferry", **given)


def test_a_prompt_longer_than_the_context_is_refused(loaded):
    with pytest.raises(WhenceError, match="context"):
        ask(loaded, AskSettings("harbour " * 50))
