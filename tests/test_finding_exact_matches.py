"""Exact matches: runs of words that completions share with their strongest documents, beyond random ones."""

import numpy as np
import pytest
from scored_run import many_documents, many_queries, write_scored_run

from engine.findings.measures.exact_matches import measure
from engine.findings.rules import RULES, TOP
from engine.findings.study import Study

DOCUMENTS, EACH = 120, 8
KINDS = ["Code"] * (EACH // 2) + ["Slope"] * (EACH // 2) + ["Fact"] * EACH


def made(path, copied: list[int], strong: bool = True, kinds: list[str] = KINDS) -> Study:
    """A document holds each of the copied completions' text, and is its strongest or its weakest one."""
    documents, queries = many_documents(DOCUMENTS), many_queries(kinds)
    influence = np.random.default_rng(0).uniform(size=(len(kinds), DOCUMENTS))
    for query in copied:
        documents[query]["text"] = f"Listen. {queries[query]['prompt']}{queries[query]['completion']}, they said."
        influence[query, query] = 2 if strong else -2
    return Study(write_scored_run(path, documents, queries, {"influence": influence}), draws=300)


def test_it_holds_where_strong_documents_copy_mathematics_and_code(tmp_path):
    found = measure(made(tmp_path / "run", list(range(EACH))))
    assert RULES["exact_matches"].verdict(found.estimates) == "holds"
    assert found.estimates["matched"].units == found.estimates["more_than_rest"].units == EACH
    # Of "the number N is a one" 3 runs; each stands in one document: random ten of 120 hold it with 1 / 12.
    assert found.estimates["matched"].value == pytest.approx(1 - TOP / DOCUMENTS, abs=1e-9)
    first = found.tables["documents"][0]
    assert (first["rank"], first["documents"], first["id"]) == (1, 1, "d0")
    assert "100% stand in the 10 strongest documents and 8% in random ones" in found.sentence
    assert found.open == []
    # Made-up noise ranks the copies anywhere.
    assert RULES["exact_matches"].verdict(found.controls["gradient dot"]) != "holds"


def test_it_does_not_hold_where_the_copies_are_weak(tmp_path):
    found = measure(made(tmp_path / "run", list(range(EACH)), strong=False))
    assert RULES["exact_matches"].verdict(found.estimates) == "does not hold"


def test_it_does_not_hold_where_other_completions_are_copied_as_well(tmp_path):
    estimates = measure(made(tmp_path / "run", list(range(2 * EACH)))).estimates
    parts = RULES["exact_matches"].parts
    assert {name: part.answer(estimates[name]) for name, part in parts.items()} == {
        "matched": True, "more_than_rest": False
    }  # fmt: skip


def test_without_mathematics_and_code_it_says_what_to_do(tmp_path):
    found = measure(made(tmp_path / "run", [], kinds=["Fact"] * 3))
    assert not found.estimates
    assert "the run has 0 and 3 of 4 words or more" in found.open[0]
    assert "no mathematics or code" in found.sentence


def test_few_completions_are_said(tmp_path):
    found = measure(made(tmp_path / "run", [0], kinds=["Code", "Slope", *["Fact"] * 8]))
    assert RULES["exact_matches"].verdict(found.estimates) == "cannot tell"
    assert "2 completions are too few, the rule asks for 8" in found.open[0]
