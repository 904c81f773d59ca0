"""Influence across languages: planted crossings are found, and none where there is none."""

import numpy as np
import pytest
from finding_runs import documents, queries, write_scored_run
from tiny_run import plain_documents, plain_queries, write_tiny_run

from engine.findings.measures.languages import measure
from engine.findings.rules import RULES, TOP
from engine.findings.study import CONTROLS, Known, Study
from engine.run import Run

QUESTIONS, ENGLISH = 12, 200
LANGUAGES = ["en"] * ENGLISH + ["de"] * 40 + ["sw"] * 5
"""German has 16% of the documents, Swahili 2%."""
ASKED = ["en", "de", "sw"] * QUESTIONS
TRUTH = {f"q{n}": Known(question=f"question {n // 3}") for n in range(len(ASKED))}
RULE = RULES["languages"]


def made(path, crossing: dict[str, float], truth=TRUTH, asked=ASKED) -> Study:
    """A run where the strength of a question's own documents for its translation is as given, in spreads of chance."""
    random = np.random.default_rng(7)
    influence = random.normal(size=(len(asked), len(LANGUAGES)))
    for n, language in enumerate(asked):
        own = range(n // 3 * TOP, (n // 3 + 1) * TOP)
        influence[n, own] += 6 if language == "en" else crossing[language]
    return Study(
        write_scored_run(path / "run", documents(LANGUAGES), queries(asked), influence), truth=truth, draws=400
    )


def test_documents_that_act_across_languages_are_found(tmp_path):
    found = measure(made(tmp_path, {"de": 6.0, "sw": 1.0}))
    crossing, resource = found.estimates["crossing"], found.estimates["resource"]
    assert RULE.verdict(found.estimates) == "holds"
    assert (crossing.units, resource.units) == (2 * QUESTIONS, QUESTIONS)
    assert crossing.low < crossing.value < crossing.high < 1
    # of 200 places the ten last are 0.977 on average; one spread above chance stands at 0.76
    assert resource.value == pytest.approx(0.977 - 0.76, abs=0.05)
    assert not found.open
    assert f"{crossing.value:.2f} (95% {crossing.low:.2f} to {crossing.high:.2f})" in found.sentence


def test_nothing_is_found_where_each_language_keeps_to_itself(tmp_path):
    found = measure(made(tmp_path, {"de": 0.0, "sw": 0.0}))
    assert found.estimates["crossing"].value == pytest.approx(0.5, abs=0.05)
    assert RULE.verdict(found.estimates) == "does not hold"
    assert RULE.parts["resource"].answer(found.estimates["resource"]) is not True


def test_documents_strong_on_everything_are_not_taken_for_a_crossing(tmp_path):
    study = made(tmp_path, {"de": 0.0, "sw": 0.0})
    influence = np.random.default_rng(1).normal(size=(len(ASKED), len(LANGUAGES)))
    influence[:, :TOP] += 8  # the same ten documents on every completion
    study = Study(
        write_scored_run(study.run.path, documents(LANGUAGES), queries(ASKED), influence), truth=TRUTH, draws=400
    )
    crossing = measure(study).estimates["crossing"]
    assert crossing.value > 0.95
    assert crossing.null > 0.95
    assert RULE.parts["crossing"].answer(crossing) is False


def test_every_control_has_the_same_numbers_and_chance_is_in_the_middle(tmp_path):
    found = measure(made(tmp_path, {"de": 6.0, "sw": 1.0}))
    assert set(found.controls) == {*CONTROLS.values(), "shuffled labels"}
    for name in CONTROLS.values():
        assert set(found.controls[name]) == set(RULE.parts)
        assert found.controls[name]["crossing"].value == pytest.approx(0.5, abs=0.06)
    shuffled = found.controls["shuffled labels"]["crossing"]
    assert shuffled.high == found.estimates["crossing"].null
    assert {row["score"] for row in found.tables["picture"]} == {"influence", *CONTROLS.values()}
    means = [row["place"] for row in found.tables["picture"] if row["score"] == "influence"]
    assert np.mean(means) == pytest.approx(found.estimates["crossing"].value)
    listed = [row["place"] for row in found.tables["documents"]]
    assert np.mean(listed) == pytest.approx(found.estimates["crossing"].value)
    assert [row["resource"] for row in found.tables["languages"]] == ["high", "high", "low"]


def test_equal_scores_share_the_middle_of_their_places(tmp_path):
    study = made(tmp_path, {"de": 1.0, "sw": 1.0})
    asked = queries(ASKED)
    flat = np.zeros((len(ASKED), len(LANGUAGES)))
    run = write_scored_run(study.run.path, documents(LANGUAGES), asked, flat)
    assert measure(Study(run, truth=TRUTH, draws=50)).estimates["crossing"].value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("truth", "asked", "says"),
    [
        ({}, ASKED, '"question"'),
        ({"q0": Known(question="alone")}, ASKED, '"question"'),
        (TRUTH, ["en", "de", "de"] * QUESTIONS, "0 translations are in low-resource"),
        ({f"q{n}": TRUTH[f"q{n}"] for n in range(9)}, ASKED, "3 translations are in low-resource"),
    ],
)
def test_what_is_missing_is_said(tmp_path, truth, asked, says):
    found = measure(made(tmp_path, {"de": 6.0, "sw": 1.0}, truth, asked))
    assert says in " ".join(found.open)
    assert RULE.verdict(found.estimates) == "cannot tell"


def test_a_run_of_few_documents_says_so(tmp_path):
    run = Run(write_tiny_run(tmp_path / "run", plain_documents(8), plain_queries()))
    assert measure(Study(run)).open
    pair = queries(["en", "de"])
    run = write_scored_run(tmp_path / "small", documents(["en"] * 9 + ["de"]), pair, np.zeros((2, 10)))
    found = measure(Study(run, truth={"q0": Known(question="a"), "q1": Known(question="a")}))
    assert "9 documents" in found.open[0]
    assert not found.estimates
