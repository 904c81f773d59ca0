"""Reasoning: influence per nat, how it varies and where answers stand are what a direct count says."""

import numpy as np
import pytest
from scored_run import many_documents, many_queries, write_scored_run

from engine.findings.measures.reasoning import completions, measure, per_nat
from engine.findings.rules import RULES
from engine.findings.study import Known, Study

DOCUMENTS, EACH = 200, 10
KINDS = ["Fact"] * EACH + ["Arithmetic"] * EACH


def made(path, kinds: list[str]) -> Study:
    """Strong, uneven influence on the first half of the completions, of documents that hold their answer.

    Document n holds the number n, and is the answer of completion n; completions have two tokens of one nat each.
    """
    random = np.random.default_rng(0)
    influence = 0.01 * random.normal(size=(len(kinds), DOCUMENTS))
    for query in range(len(kinds)):
        own = range(query, query + 2) if query < EACH else range(100, 110)
        influence[query, list(own)] = np.exp(random.normal()) * 5 if query < EACH else 1 + 0.1 * random.normal()
    run = write_scored_run(path, many_documents(DOCUMENTS), many_queries(kinds), {"influence": influence})
    return Study(run, truth={f"q{n}": Known(answer=[str(n)]) for n in range(len(kinds))}, draws=300)


def test_it_holds_where_facts_lean_on_documents_that_hold_their_answer(tmp_path):
    found = measure(made(tmp_path / "run", KINDS))
    assert RULES["reasoning"].verdict(found.estimates) == "holds"
    assert found.estimates["answers"].value == 1
    assert found.estimates["volatility"].value < 0.2, "a tenth over what exp(normal) has"
    assert {one.units for one in found.estimates.values()} == {EACH}
    # Each answer stands in one document: ten random ones of 200 hold it with 1 / 20.
    assert [row["random_documents"] for row in found.tables["answers"]] == pytest.approx([0.05] * 8)
    assert "for 100% of facts and 0% of reasoning" in found.sentence
    assert {row["completion"] for row in found.tables["documents"]} == {f"Question {n}" for n in range(EACH)}
    assert found.open == []


def test_it_does_not_hold_the_other_way_round(tmp_path):
    found = measure(made(tmp_path / "run", KINDS[::-1]))
    answers = [part.answer(found.estimates[name]) for name, part in RULES["reasoning"].parts.items()]
    assert answers == [False, False, False]


def test_without_reasoning_completions_it_says_what_to_do(tmp_path):
    found = measure(made(tmp_path / "run", ["Fact"] * 12))
    assert not found.estimates
    assert "the run has 12 and 0 of them" in found.open[0]


def test_few_completions_are_said(tmp_path):
    found = measure(made(tmp_path / "run", KINDS[:-EACH] + KINDS[-EACH:][:3]))
    assert RULES["reasoning"].verdict(found.estimates) == "cannot tell"
    assert "3 completions of either kind are too few, the rule asks for 8" in found.open[0]


def test_influence_per_nat_is_the_sum_of_the_strongest_over_the_nats():
    scores = np.array([[3.0, -1.0, np.nan, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0, 4.0], [1.0] * 5])
    assert per_nat(scores, np.array([2.0, 0.5, 0.0]), 0.4) == pytest.approx([2.5, 10.0, np.nan], nan_ok=True)
    assert per_nat(scores[:1], np.array([2.0]), 0.001) == pytest.approx([1.5]), "one document at least"


def test_an_answer_is_sought_as_whole_words_in_every_wording(tmp_path):
    documents = [{"text": text} | many_documents(1)[0] | {"text": text, "id": f"t{n}"} for n, text in enumerate(
        ["It is 7.", "It is 70.", "x = 7, he said", "Seven!", "x=7", "-7"]
    )]  # fmt: skip
    run = write_scored_run(tmp_path / "run", documents, many_queries(["Fact", "Slope", "Slope", "Story"]), {})
    truth = {"q0": Known(answer=["7", "seven"]), "q1": Known(answer=["x = 7"])}
    table = completions(Study(run, truth=truth))
    assert [places.tolist() for places in table["holding"]] == [[0, 2, 3, 4, 5], [2, 4], []]
    assert table["answer"].tolist() == ["7 or seven", "x = 7", "a one"], "the completion's own text"
    assert table["by_chance"].tolist() == [1.0, 1.0, 0.0], "ten of six documents are all of them"
