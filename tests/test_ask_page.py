"""The Ask page: a question becomes a job, and what is known so far is shown as it grows."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_words import words
from tiny_run import PAYLOADS, plain_documents, plain_queries, write_tiny_run

from engine.ask.answer import Answer, Damped, Ranking, Way
from engine.ask.kept import keep_answers
from engine.ask.settings import AskSettings
from engine.corpus import Query
from engine.jobs import JobTable
from engine.run import Run, TokenInfluence

SAID = {"prompt": "Once there", "completion": " was a cat"}
QUESTION = AskSettings("Once there", [" was a cat"])


OF_FACTORS = [10.0, 1.0, 0.1], [1.0, 1.0, 1.0]
"""How influence grows with less damping, of even and of odd documents."""


@pytest.fixture
def run(tmp_path) -> Run:
    documents = plain_documents(12)
    documents[3]["title"] = PAYLOADS[0]
    return Run(write_tiny_run(tmp_path / "tiny_run", documents, plain_queries()))


def answer(run: Run, exact: dict[int, float], by: Way = Way.INDEX, recall: str = "") -> Answer:
    """Documents whose influence is dealt out equally among their tokens."""
    row: dict[str, Any] = {"side": "completion", "token_id": 1, "start": 10, "end": 14, "straddles": False}
    rows = [row | {"value": -1.5, "log_prob": -1.5}] * 2
    question = Query("0", SAID["prompt"], SAID["completion"], "", "", "Once", "")
    influence = {}
    for document, value in exact.items():
        positions = 1 + len(run.document_tokens(document))
        influence[document] = TokenInfluence("position", np.full((2, positions), value / 2 / positions), True)
    ranking = Ranking(question, "log_prob", rows, by, np.arange(12.0), recall)
    layers = ["model.layers.0.mlp", "model.layers.4.mlp"]
    at = {document: np.outer(OF_FACTORS[document % 2], [0.75, 0.25]) * value for document, value in exact.items()}
    return Answer(ranking, influence, Damped(0.1, [0.01, 0.1, 1.0], layers, at) if exact else None)


def keep(run: Run, finished: bool = True, **given: Any) -> None:
    keep_answers(run, QUESTION, [answer(run, **given).record(run, 20)], finished)


def jobs(runs: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(job.kind, job.arguments) for job in JobTable(runs).recent()]


def test_without_a_question_the_page_says_what_to_write(open_page, run):
    app = open_page(run.path.parent, "ask")
    assert "Write a prompt" in words(app)
    assert not jobs(run.path.parent)


def test_asking_puts_the_question_into_the_address_and_a_job_into_the_queue(open_page, run):
    app = open_page(run.path.parent, "ask")
    app.text_area(key="_asked_prompt").set_value("Once there")
    app.text_input(key="_asked_completion").set_value(" was a cat")
    next(button for button in app.button if button.label == "Ask").click().run()
    assert not app.exception
    assert app.query_params["prompt"] in ("Once there", ["Once there"])
    arguments = {"run": str(run.path.resolve()), "settings": asdict(QUESTION)}
    assert jobs(run.path.parent) == [("ask", arguments)]


def test_a_link_asks_nothing_by_itself(open_page, run):
    app = open_page(run.path.parent, "ask", **SAID)
    assert "has not been asked of this run yet" in words(app)
    assert not jobs(run.path.parent)
    next(button for button in app.button if button.label == "Ask it").click().run()
    assert [kind for kind, _ in jobs(run.path.parent)] == ["ask"]


def test_the_first_ranking_is_shown_before_anything_exact_is_known(open_page, run):
    keep(run, finished=False, exact={})
    app = open_page(run.path.parent, "ask", **SAID)
    assert "their exact influence is on its way" in words(app)
    assert app.dataframe[0].value["title"].tolist()[0] == run.documents["title"][11]


def test_the_answer_names_the_strongest_document_and_shows_its_tokens(open_page, run):
    keep(run, exact={3: 5.0, 7: 9.0, 2: -1.0}, recall="They held 90% of the exact top 10.")
    said = words(open_page(run.path.parent, "ask", **SAID))
    assert (
        "“Story number 7” did most: +9.00 nats per unit of weight; 2 of 3 documents scored exactly raised it." in said
    )
    assert "They held 90% of the exact top 10." in said
    assert "Make an index" not in said


def test_a_run_without_an_index_is_offered_one(open_page, run):
    keep(run, exact={3: 5.0}, by=Way.WORDS)
    app = open_page(run.path.parent, "ask", **SAID)
    assert "this run has no index" in words(app)
    next(button for button in app.button if button.label == "Make an index").click().run()
    assert [kind for kind, _ in jobs(run.path.parent)] == ["index"]


def test_a_chosen_document_is_opened(open_page, run):
    keep(run, exact={3: 5.0, 7: 9.0})
    app = open_page(run.path.parent, "ask", **SAID, document="plain-3")
    assert "**+5.00** nats per unit of weight" in words(app)


def test_other_damping_and_fewer_blocks_are_answered_at_once(open_page, run):
    keep(run, exact={3: 5.0, 7: 9.0, 2: 2.0})
    app = open_page(run.path.parent, "ask", **SAID)
    assert app.dataframe[0].value["document"].tolist() == [7, 3, 2]
    app.select_slider(key="damping").set_value(0.01).run()
    shown = app.dataframe[0].value
    assert shown["document"].tolist() == [2, 7, 3] and shown["influence"].tolist() == [20.0, 9.0, 5.0]
    assert "At damping factor **0.01**, through **all layers**: rank correlation **-0.50** over these 3" in words(app)
    app.select_slider(key="blocks").set_value((5, 5)).run()
    assert app.dataframe[0].value["influence"].tolist() == [5.0, 2.25, 1.25]
    assert "through **block 5**" in words(app)
    assert not app.exception


def test_a_link_holds_damping_and_blocks(open_page, run):
    keep(run, exact={3: 5.0, 7: 9.0, 2: 2.0})
    app = open_page(run.path.parent, "ask", **SAID, damping="1")
    assert "At damping factor **1**" in words(app)
    assert "did most: +9.00 nats" in words(app)


def test_a_run_that_was_sampled_says_why_it_cannot_answer(open_page, run):
    manifest = json.loads((run.path / "manifest.json").read_text())
    manifest["steps"]["fit"]["settings"]["estimator"] = "bif"
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    app = open_page(run.path.parent, "ask", **SAID)
    assert "influence was sampled" in words(app).replace("\u2060", "")
    assert not app.text_area
