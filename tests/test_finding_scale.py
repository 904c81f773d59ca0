"""Two sizes of model: which is the larger, whose documents share words, and whose find paraphrases."""

import numpy as np
import pytest
from finding_runs import documents, queries, write_scored_run

from engine.findings.measures.scale import measure
from engine.findings.rules import RULES, TOP
from engine.findings.study import CONTROLS, INFLUENCE, Known, Study

ASKED = 12
RULE = RULES["scale"]
PROMPTS = [f"The word{n} stands by" for n in range(ASKED)]
COMPLETIONS = [f" other{n}" for n in range(ASKED)]
SHARING = [f"Here word{n} and other{n} again, copy {copy}." for n in range(ASKED) for copy in range(TOP)]
MEANING = [f"Something else that means thing {n}, copy {copy}." for n in range(ASKED) for copy in range(TOP)]
TEXTS = SHARING + MEANING
TRUTH = {f"q{n}": Known(paraphrases=[f"doc-{len(SHARING) + n * TOP + copy}" for copy in (0, 1)]) for n in range(ASKED)}


def of_words(strength: float) -> np.ndarray:
    """Influence that the documents sharing a completion's words have, and 1 minus it those of its meaning."""
    influence = np.zeros((ASKED, len(TEXTS)))
    for n in range(ASKED):
        influence[n, n * TOP : (n + 1) * TOP] = strength
        influence[n, len(SHARING) + n * TOP : len(SHARING) + (n + 1) * TOP] = 1 - strength
    return influence


def study(path, own: float, other: float, sizes=(1000, 5000), truth=TRUTH) -> Study:
    of, asked = documents(["en"] * len(TEXTS), TEXTS), queries(["en"] * ASKED, PROMPTS, COMPLETIONS)
    runs = [
        write_scored_run(path / name, of, asked, of_words(strength), parameters=size)
        for name, strength, size in (("own", own, sizes[0]), ("other", other, sizes[1]))
    ]
    return Study(runs[0], runs[1], truth, draws=200)


def test_a_larger_model_that_leans_on_meaning_is_found(tmp_path):
    found = measure(study(tmp_path, 1.0, 0.0))
    assert RULE.verdict(found.estimates) == "holds"
    # two of a completion's five words stand in the sharing documents, no word in those of its meaning
    assert found.estimates["overlap"].value == pytest.approx(-0.4)
    assert found.estimates["paraphrases"].value == 1.0
    assert found.estimates["overlap"].units == ASKED
    assert not found.open
    assert "-40.0 percentage points" in found.sentence
    assert "1,000 and 5,000" in found.sentence


def test_the_manifests_say_which_is_the_larger(tmp_path):
    found = measure(study(tmp_path, 1.0, 0.0, sizes=(5000, 1000)))
    assert RULE.verdict(found.estimates) == "does not hold"
    assert found.estimates["overlap"].value == pytest.approx(0.4)


def test_completions_are_matched_by_their_ids_in_whatever_order(tmp_path):
    both = study(tmp_path, 1.0, 0.0)
    of, asked = documents(["en"] * len(TEXTS), TEXTS), queries(["en"] * ASKED, PROMPTS, COMPLETIONS)
    for sizes in (1, 9000):
        backwards = write_scored_run(tmp_path / "back", of, asked[::-1], of_words(0.0)[::-1], parameters=sizes)
        found = measure(Study(both.run, backwards, TRUTH, draws=50))
        assert abs(found.estimates["overlap"].value) == pytest.approx(0.4)
        assert abs(found.estimates["paraphrases"].value) == 1.0


def test_two_models_alike_do_not_hold(tmp_path):
    found = measure(study(tmp_path, 1.0, 1.0))
    assert found.estimates["overlap"].value == found.estimates["paraphrases"].value == 0
    assert RULE.verdict(found.estimates) == "does not hold"


def test_words_shared_are_counted_beyond_random_documents(tmp_path):
    found = measure(study(tmp_path, 1.0, 0.0))
    shared = {row["model"]: row["words shared"] for row in found.tables["picture"] if row["score"] == INFLUENCE}
    # a random choice of 10 of 240 documents holds one of the 10 that have the word with 35%
    miss = np.prod([(230 - k) / (240 - k) for k in range(TOP)])
    assert shared["smaller"] == pytest.approx(0.4 * miss)
    assert shared["larger"] == pytest.approx(-0.4 * (1 - miss))
    assert set(found.controls) == set(CONTROLS.values())
    assert all(set(of) == set(RULE.parts) for of in found.controls.values())
    assert len(found.tables["documents"]) == 2 * 3 * ASKED


def test_what_is_missing_is_said(tmp_path):
    both = study(tmp_path, 1.0, 0.0)
    alone = measure(Study(both.run, truth=TRUTH))
    assert "second run" in alone.open[0]
    assert RULE.verdict(alone.estimates) == "cannot tell"
    assert "neither is the larger" in measure(Study(both.run, both.run)).open[0]
    blind = measure(Study(both.run, both.other, draws=50))
    assert list(blind.estimates) == ["overlap"]
    assert '"paraphrases"' in blind.open[0]


def test_other_corpora_and_other_completions_are_not_compared(tmp_path):
    both = study(tmp_path, 1.0, 0.0)
    few = write_scored_run(
        tmp_path / "few", documents(["en"] * 3), queries(["en"] * ASKED), np.zeros((ASKED, 3)), parameters=9
    )
    assert "different corpora" in measure(Study(both.run, few)).open[0]
    of = documents(["en"] * len(TEXTS), TEXTS)
    asked = write_scored_run(tmp_path / "asked", of, queries(["en"]), np.zeros((1, len(TEXTS))), parameters=9)
    assert "no completion in common" in measure(Study(both.run, asked)).open[0]
