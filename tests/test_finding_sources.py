"""Finding 8 counts the sources at both ends of rankings."""

import numpy as np
import pytest
from scored_run import many_documents, many_queries, write_scored_run

from engine.findings.measures.sources import measure
from engine.findings.rules import RULES
from engine.findings.study import Study

SOURCES = ("Code", "Wikipedia", "Web", "News", "StackExchange", "Books", "ArXiv", "Web", "News", "Books")
KINDS = ["Arithmetic"] * 9 + ["Fact"] * 10 + ["Story"]
DOCUMENTS = 400
RANDOM = np.random.default_rng(3)
NOISE = RANDOM.normal(size=(len(KINDS), DOCUMENTS))


def influence_drawn_to(reasoning: set[str], factual: set[str], both_ends: bool = True) -> np.ndarray:
    """Noise, and far more of it on some sources' documents; only above zero unless at both ends."""
    found = NOISE.copy()
    for row, kind in enumerate(KINDS):
        chosen = {"Arithmetic": reasoning, "Fact": factual}.get(kind, set())
        loud = np.array([SOURCES[number % len(SOURCES)] in chosen for number in range(DOCUMENTS)])
        found[row, loud] = 20 * (NOISE[row, loud] if both_ends else np.abs(NOISE[row, loud]))
    return found


def measured(tmp_path, influence, kinds=KINDS, sources=SOURCES, controls=NOISE):
    scores = {"influence": influence, "gradient_dot": controls, "hidden": controls, "bm25": controls}
    documents = many_documents(influence.shape[1], source=sources)
    return measure(Study(write_scored_run(tmp_path / "run", documents, many_queries(kinds), scores), draws=300))


def test_planted_sources_hold_and_the_controls_that_lack_them_do_not(tmp_path):
    result = measured(tmp_path, influence_drawn_to({"Code", "StackExchange", "ArXiv"}, {"Wikipedia"}))
    assert RULES["sources"].verdict(result.estimates) == "holds"
    assert result.estimates["reasoning_top"].value == pytest.approx(1 / 0.3)  # all of the top, 30% of the corpus
    assert result.estimates["factual_top"].value == pytest.approx(1 / 0.1)
    assert result.open == []
    for name in ("gradient dot", "hidden states"):
        assert RULES["sources"].verdict(result.controls[name]) != "holds"
    assert "3.3 times as frequent in the top 1%" in result.sentence


def test_chance_gives_one_and_its_band(tmp_path):
    result = measured(tmp_path, NOISE)
    assert RULES["sources"].verdict(result.estimates) != "holds"
    for part, null in result.controls["shuffled labels"].items():
        assert null.value == pytest.approx(1, abs=0.05)
        assert null.high == result.estimates[part].null > 1


def test_sources_at_one_end_only_are_not_enough(tmp_path):
    influence = influence_drawn_to({"Code"}, {"Wikipedia"}, both_ends=False)
    result = measured(tmp_path, influence)
    assert RULES["sources"].parts["reasoning_top"].answer(result.estimates["reasoning_top"]) is True
    assert result.estimates["reasoning_bottom"].value < 1
    assert RULES["sources"].verdict(result.estimates) == "does not hold"


def test_the_lower_end_of_bm25_is_no_ranking(tmp_path):
    result = measured(tmp_path, NOISE)
    assert set(result.controls["BM25"]) == {"reasoning_top", "factual_top"}
    assert not [row for row in result.tables["picture"] if row["score"] == "BM25" and row["end"] == "lowered"]


def test_the_picture_holds_every_source_and_shares_add_up(tmp_path):
    result = measured(tmp_path, NOISE)
    share = {name: SOURCES.count(name) / len(SOURCES) for name in SOURCES}
    rows = [row for row in result.tables["picture"] if (row["kind"], row["end"], row["score"]) == (
        "reasoning", "raised", "influence")]  # fmt: skip
    assert {row["source"] for row in rows} == set(SOURCES)
    assert sum(row["multiplier"] * share[row["source"]] for row in rows) == pytest.approx(1)


def test_what_is_lacking_is_said(tmp_path):
    few = measured(tmp_path / "few", NOISE, kinds=["Arithmetic"] * 5 + ["Fact"] * 15)
    assert RULES["sources"].verdict(few.estimates) == "cannot tell"
    assert "5 completions are too few" in few.open[0]
    none = measured(tmp_path / "none", NOISE, kinds=["Story"] * 10 + ["Fact"] * 10)
    assert set(none.estimates) == {"factual_top"}
    assert none.open == ["The run has no reasoning completions, so their sources cannot be counted -- ask some (a kind "
                         "such as 'Arithmetic')."]  # fmt: skip
    unnamed = measured(tmp_path / "unnamed", NOISE, sources=("Web", "Code"))
    assert "factual_top" not in unnamed.estimates
    assert "None of the scored documents is from a source whose name holds wiki" in unnamed.open[0]
