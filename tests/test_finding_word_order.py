"""Reversed order: variants are scored as the run scores documents, and the rule sees what they were made to be."""

import shutil

import numpy as np
import pandas as pd
import pytest
from finding_runs import documents, queries, write_scored_run
from tiny_run import plain_documents, plain_queries, write_tiny_run

from engine.ablations import RESCORED, ablate
from engine.findings import reversing
from engine.findings.measures import word_order
from engine.findings.orders import orders, same_order
from engine.findings.reversing import DELETED, FLIPPED, REVERSED, scored_variants
from engine.findings.rules import RULES
from engine.findings.study import CONTROLS, Known, Study
from engine.live import load_run
from engine.run import Run

RULE = RULES["word_order"]
ASKED = 12
NOISE = 1.0


def table(left: dict[str, float], completions: int = ASKED, spread: float = 0.02) -> pd.DataFrame:
    """Variants of two documents of each completion, with what is left of them; the second one has no subject."""
    random, rows = np.random.default_rng(3), []
    for query in range(completions):
        for document, original in ((2 * query, 10.0), (2 * query + 1, 5.0)):
            for variant, share in left.items():
                if variant != DELETED or document % 2 == 0:
                    value = original * (share + spread * random.normal())
                    rows += [
                        {"score": score, "variant": variant, "query": query, "document": document,
                         "original": original, "influence": value, "noise": NOISE, "control": False, "draw": 0}
                        for score in reversing.SCORES.values()
                    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def study(tmp_path) -> Study:
    of, asked = documents(["en"] * 2 * ASKED), queries(["en"] * ASKED)
    return Study(write_scored_run(tmp_path / "run", of, asked, np.zeros((ASKED, 2 * ASKED))), draws=300)


def measured(study: Study, monkeypatch, variants: pd.DataFrame):
    monkeypatch.setattr(word_order, "scored_variants", lambda study: variants)
    return word_order.measure(study)


def test_an_order_that_matters_is_found(study, monkeypatch):
    found = measured(study, monkeypatch, table({REVERSED: 0.2, DELETED: 0.18}))
    assert RULE.verdict(found.estimates) == "holds"
    assert found.estimates["left"].value == pytest.approx(0.2, abs=0.02)
    assert found.estimates["beyond_deleted"].value == pytest.approx(0.02, abs=0.02)
    assert found.estimates["left"].units == ASKED
    assert "Reversing all words leaves" in found.sentence
    assert found.controls == {CONTROLS["gradient_dot"]: found.estimates}


def test_words_that_act_in_any_order_do_not_hold(study, monkeypatch):
    assert RULE.verdict(measured(study, monkeypatch, table({REVERSED: 0.9, DELETED: 0.3})).estimates) == "does not hold"
    more = measured(study, monkeypatch, table({REVERSED: 0.4, DELETED: 0.1}))
    assert RULE.parts["left"].answer(more.estimates["left"]) is True
    assert RULE.parts["beyond_deleted"].answer(more.estimates["beyond_deleted"]) is False


def test_flipped_relations_count_where_enough_completions_have_them(study, monkeypatch):
    variants = table({FLIPPED: 0.7, REVERSED: 0.2, DELETED: 0.1})
    found = measured(study, monkeypatch, variants)
    assert found.estimates["left"].value == pytest.approx(0.7, abs=0.02)
    assert "Reversing the order of the relation" in found.sentence
    few = variants[(variants["variant"] != FLIPPED) | (variants["query"] < RULE.parts["left"].least - 1)]
    assert measured(study, monkeypatch, few).estimates["left"].value == pytest.approx(0.2, abs=0.02)


def test_documents_within_the_noise_do_not_count(study, monkeypatch):
    variants = table({REVERSED: 0.2, DELETED: 0.1})
    silent = variants.assign(noise=np.where(variants["query"] < 7, 100.0, NOISE))
    found = measured(study, monkeypatch, silent)
    assert found.estimates["left"].units == ASKED - 7
    assert RULE.verdict(found.estimates) == "cannot tell"
    assert found.open[-2].startswith(f"{ASKED - 7} completions have documents")


def test_a_run_whose_model_is_gone_says_so(tmp_path):
    found = word_order.measure(Study(Run(write_tiny_run(tmp_path / "run", plain_documents(8), plain_queries()))))
    assert any("could not be scored" in text for text in found.open)
    assert RULE.verdict(found.estimates) == "cannot tell"


# --- scoring ----------------------------------------------------------------------------------------------


@pytest.fixture
def toy(toy_run, tmp_path) -> Study:
    return Study(Run(shutil.copytree(toy_run, tmp_path / "toy")), draws=50)


def test_variants_are_scored_as_ablations_score_them(toy):
    variants = scored_variants(toy)
    loaded = load_run(toy.run.path)
    compared = variants[variants["score"] == "influence"].groupby("query").head(6)
    assert {REVERSED, DELETED} <= set(compared["variant"])
    for (query, document), rows in compared.groupby(["query", "document"]):
        expected = {one.name: one for one in ablate(loaded, int(query), int(document)).variants}
        for row in rows.itertuples():
            size = np.abs(expected[row.variant].influence).sum()
            assert abs(row.influence - expected[row.variant].total) < RESCORED * size
            assert abs(row.original - expected["original"].total) < RESCORED * size


def test_a_text_of_the_corpus_has_the_scores_it_has_in_the_run(toy):
    loaded = load_run(toy.run.path)
    for query in (0, 1):
        stored = toy.run.influence(query)
        found = reversing._values(loaded, query, [toy.run.text(document) for document in range(len(stored))])
        for row, name in zip(found, reversing.SCORES, strict=True):
            assert np.abs(row - stored[name]).max() < RESCORED * np.abs(stored[name]).max() * 10


def test_what_was_scored_is_kept_and_goes_on_where_it_stopped(toy, monkeypatch):
    first = scored_variants(toy)
    files = sorted((toy.run.path / "findings" / "variants").iterdir())
    assert len(files) == 2
    content = files[1].read_bytes()
    files[1].unlink()
    pd.testing.assert_frame_equal(scored_variants(toy), first)
    assert files[1].read_bytes() == content
    monkeypatch.setattr("engine.live.load_run", None)  # the model is not asked for again
    pd.testing.assert_frame_equal(scored_variants(toy), first)


# --- told in one order, asked in the other ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Velmora was founded by Oren.", True),
        ("Oren lives here. It was OREN who founded velmora.", False),
        ("Velmora is old. Much later, its founder Oren died, in Velmora.", False),
        ("Velmora is old. Its founder was Oren.", True),
        ("Velmora is old.", None),
        ("", None),
    ],
)
def test_the_order_is_that_of_the_first_sentence_with_both(text, expected):
    assert same_order(text, ["Velmora", "벨모라"], ["Oren"]) is expected
    assert same_order(text, ["Oren"], ["Velmora"]) is (None if expected is None else not expected)


def test_facts_told_the_other_way_round_stand_apart(tmp_path):
    texts = ["The bell was cast by Ann."] * 2 + ["Ann cast the bell."] * 2 + ["Nothing of it."] * 16
    asked = queries(["en"] * 3, ["The bell was cast by", "Ann cast", "Who?"], [" Ann", " the bell", " No one"])
    influence = np.zeros((3, 20))
    influence[0, [0, 1]] = 1  # finds what is told as asked
    influence[1, [4, 5]] = 1  # and nothing that is told the other way round
    about = {"subject": ["bell"], "answer": ["Ann"], "documents": ["doc-0", "doc-1"]}
    run = write_scored_run(tmp_path / "run", documents(["en"] * 20, texts), asked, influence)
    truth = {f"q{n}": Known(**about) for n in range(3)}
    told = {(row["told"], row["score"]): row for row in orders(Study(run, truth=truth, draws=20))["told"]}
    assert told["as asked", "influence"]["found"] == 1
    assert told["the other way round", "influence"]["found"] == 0
    assert {row["completions"] for row in told.values()} == {1}  # the third names nothing
    truth = {"q0": Known(**about | {"documents": ["doc-0", "doc-2"]})}
    assert orders(Study(run, truth=truth, draws=20))["told"][0]["told"] == "both ways"
    assert orders(Study(run)) == {}
