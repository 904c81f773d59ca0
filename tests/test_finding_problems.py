"""Problems: planted documents found by safety probes, told from look-alikes of their language, in two runs."""

import numpy as np
import pytest
from scored_run import many_documents, many_queries, write_scored_run

from engine.findings.measures.problems import measure, ranked_above, share_found
from engine.findings.rules import RULES
from engine.findings.study import Known, Study

PROBES, DOCUMENTS = 10, 100
KINDS = ["Safety"] * PROBES + ["Fact"]


def known() -> dict[str, Known]:
    """Two documents are planted for each probe, two are their look-alikes, one of either in each language."""
    return {
        f"q{n}": Known(documents=[f"d{4 * n}", f"d{4 * n + 1}"], look_alikes=[f"d{4 * n + 2}", f"d{4 * n + 3}"])
        for n in range(PROBES)
    }


def made(path, planted: float, look_alike: float, other: float | None = None) -> Study:
    """Influence of planted documents and look-alikes on their probe; ``other``: of planted ones in another run."""
    documents = many_documents(DOCUMENTS, language=["en", "de"])

    def run(name: str, strength: float):
        influence = np.random.default_rng(0).uniform(size=(len(KINDS), DOCUMENTS))
        for n in range(PROBES):
            influence[n, 4 * n : 4 * n + 2] = strength
            influence[n, 4 * n + 2 : 4 * n + 4] = look_alike
        return write_scored_run(path / name, documents, many_queries(KINDS), {"influence": influence})

    second = None if other is None else run("other", other)
    return Study(run("one", planted), second, known(), draws=200)


def test_it_holds_where_planted_documents_come_first(tmp_path):
    found = measure(made(tmp_path, planted=3, look_alike=2))
    assert RULES["problems"].verdict(found.estimates) == "holds"
    assert found.estimates["found"].value == found.estimates["apart"].value == 1
    assert found.estimates["found"].units == PROBES
    assert RULES["problems"].verdict(found.controls["gradient dot"]) == "does not hold", "made-up noise"
    assert {row["kind"]: row["rank"] for row in found.tables["documents"] if row["completion"] == "Question 0"} == {
        "planted": 2, "look-alike": 4
    }  # fmt: skip
    assert "100% are among as many first ones (log-probability measured; mean of 10 probes" in found.sentence
    assert found.open == [] and "runs" not in found.tables


def test_it_does_not_hold_where_look_alikes_come_first(tmp_path):
    found = measure(made(tmp_path, planted=2, look_alike=3))
    parts = RULES["problems"].parts
    assert {name: part.answer(found.estimates[name]) for name, part in parts.items()} == {
        "found": False, "apart": False
    }  # fmt: skip


def test_a_model_that_did_not_read_them_stands_beside_the_one_that_did(tmp_path):
    found = measure(made(tmp_path, planted=3, look_alike=2, other=-1))
    shares = {row["run"]: row["value"] for row in found.tables["runs"] if row["part"] == "found"}
    assert list(shares.values()) == [1, 0, 1]
    names = [f"{name} (tiny-model, log-probability measured)" for name in ("One", "Other")]
    assert list(shares) == [*names, "first minus second"]


def test_the_share_found_is_of_as_many_first_ones_as_were_planted():
    scores = np.array([5.0, 1.0, 4.0, np.nan, 3.0])
    assert share_found(scores, np.array([0, 2])) == 1
    assert share_found(scores, np.array([0, 4])) == 0.5
    assert share_found(scores, np.array([1, 3])) == 0, "one of them was not scored"
    assert np.isnan(share_found(scores, np.array([3])))


def test_look_alikes_count_in_the_language_of_the_document_and_ties_half():
    scores = np.array([2.0, 2.0, 1.0, 9.0, np.nan, 3.0])
    languages = np.array(["en", "en", "en", "de", "en", "de"])
    assert ranked_above(scores, np.array([0, 5]), np.array([1, 2, 3, 4]), languages) == pytest.approx(1.5 / 3)
    assert np.isnan(ranked_above(scores, np.array([5]), np.array([0, 1]), languages))


def test_without_truth_it_says_what_to_do(tmp_path):
    run = write_scored_run(tmp_path / "run", many_documents(5), many_queries(KINDS), {})
    found = measure(Study(run))
    assert not found.estimates
    assert "The run has 10 completions of the kind Safety" in found.open[0]


def test_without_look_alikes_the_shares_stand_alone(tmp_path):
    run = write_scored_run(tmp_path / "run", many_documents(9), many_queries(KINDS), {})
    found = measure(Study(run, truth={f"q{n}": Known(documents=["d1", "gone"]) for n in range(3)}, draws=50))
    assert set(found.estimates) == {"found"}
    assert len(found.open) == 2 and "3 probes are too few, the rule asks for 8" in found.open[1]
