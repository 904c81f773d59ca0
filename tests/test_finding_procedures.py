"""Procedures: completions of one task correlate, beyond large gradients, other tasks and the same format."""

from itertools import combinations

import numpy as np
import pytest
from scored_run import many_documents, many_queries, write_scored_run

from engine.analysis.task_pairs import TaskPairs, without_norms
from engine.findings.measures.procedures import NO_CONTROLS, NO_TASKS, SHOWN, measure
from engine.findings.rules import RULES
from engine.findings.study import Known, Study

TASKS = np.repeat(["Slope", "Arithmetic", "Linear equation"], 4)
CONTROL_OF = np.array(["Slope", "Arithmetic", "Linear equation", "Slope"])
DOCUMENTS = 400


def made(path, own: float, shared: float = 0.0, of_format: float = 0.0, controls: bool = True) -> Study:
    """Influence that the task, all completions, and completions with controls of their format have in common."""
    random = np.random.default_rng(1)
    task, form = ({name: random.normal(size=DOCUMENTS) for name in sorted(set(TASKS))} for _ in range(2))
    common = random.normal(size=DOCUMENTS)
    rows = [own * task[name] + of_format * form[name] for name in TASKS] + [of_format * form[n] for n in CONTROL_OF]
    influence = np.stack(rows) + shared * common + random.normal(size=(len(rows), DOCUMENTS))
    kinds = [*TASKS, *["Control"] * len(CONTROL_OF)]
    run = write_scored_run(path, many_documents(DOCUMENTS), many_queries(kinds), {"influence": influence})
    truth = {f"q{len(TASKS) + n}": Known(control_of=of) for n, of in enumerate(CONTROL_OF)} if controls else {}
    return Study(run, truth=truth, draws=300)


def verdict(study: Study) -> str:
    return RULES["procedures"].verdict(measure(study).estimates)


def test_it_holds_where_documents_act_on_a_task(tmp_path):
    found = measure(made(tmp_path / "run", own=1.0))
    assert RULES["procedures"].verdict(found.estimates) == "holds"
    # The task's part is half of each completion's variance: 0.5, and its error over 400 documents 0.05.
    assert found.estimates["over_tasks"].value == pytest.approx(0.5, abs=0.1)
    assert found.estimates["over_tasks"].units == len(TASKS)
    assert found.estimates["over_controls"].units == len(CONTROL_OF)
    assert found.open == []
    assert RULES["procedures"].verdict(found.controls["gradient dot"]) == "does not hold", "made-up noise"
    assert abs(found.controls["shuffled labels"]["over_tasks"].value) < 0.1
    assert "0.5" in found.sentence


def test_it_does_not_hold_where_documents_act_on_all_completions_alike(tmp_path):
    assert verdict(made(tmp_path / "run", own=0.0, shared=2.0)) == "does not hold"


def test_it_does_not_hold_where_documents_act_on_the_format(tmp_path):
    estimates = measure(made(tmp_path / "run", own=0.0, of_format=2.0)).estimates
    rule = RULES["procedures"]
    assert rule.parts["over_tasks"].answer(estimates["over_tasks"]) is True
    assert rule.verdict(estimates) == "does not hold", "controls of the format correlate as well"


def test_without_controls_or_tasks_it_says_what_to_do(tmp_path):
    found = measure(made(tmp_path / "run", own=1.0, controls=False))
    assert found.open == [NO_CONTROLS] and set(found.estimates) == {"over_tasks"}
    run = write_scored_run(tmp_path / "facts", many_documents(9), many_queries(["Fact"] * 4), {})
    found = measure(Study(run, draws=20))
    assert found.open == [NO_TASKS] and not found.estimates


def test_a_truth_file_names_tasks_of_other_kinds(tmp_path):
    run = write_scored_run(tmp_path / "run", many_documents(30), many_queries(["Story"] * 4), {})
    truth = {f"q{n}": Known(task="ab"[n % 2]) for n in range(4)}
    found = measure(Study(run, truth=truth, draws=50))
    assert found.estimates["over_tasks"].units == 4
    assert any("4 completions are too few, the rule asks for 8" in text for text in found.open)
    assert [row["task"] for row in found.tables["completions"]] == ["a", "a", "b", "b"]


def test_many_completions_are_thinned_in_the_picture_task_by_task(tmp_path):
    kinds = ["Slope"] * 12 + ["Arithmetic"] * 12
    run = write_scored_run(tmp_path / "run", many_documents(20), many_queries(kinds), {})
    marks = measure(Study(run, draws=20)).tables["picture"]
    shown = {row["completion"]: row["task"] for row in marks}
    assert len(marks) == 4 * SHOWN**2
    assert sorted(shown.values()).count("Slope") == SHOWN // 2


def test_large_gradients_make_no_correlation():
    random = np.random.default_rng(0)
    norms = random.lognormal(size=2000)
    scores = np.outer([1.0, 2.0, -1.0], norms) + 0.5 * random.normal(size=(3, 2000))
    assert abs(np.corrcoef(scores)[0, 1]) > 0.9
    assert abs(np.corrcoef(without_norms(scores, norms))[0, 1]) < 0.06  # 1.96 / sqrt(2000) is 0.044


def test_residuals_give_the_partial_correlation():
    """``(r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2))``."""
    x, y, z = np.random.default_rng(3).normal(size=(3, 50)).cumsum(0)
    r = np.corrcoef([x, y, z])
    partial = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert np.corrcoef(without_norms(np.stack([x, y]), z))[0, 1] == pytest.approx(partial, abs=1e-12)


def test_documents_that_were_not_scored_are_left_out():
    scores = np.array([[1.0, np.nan, 2.0, 5.0], [0.0, np.nan, 1.0, 1.0]])
    assert without_norms(scores, np.array([1.0, np.nan, 1.0, 1.0])).shape == (2, 3)


def test_means_are_those_of_listing_pairs():
    scores = np.random.default_rng(2).normal(size=(6, 30))
    scores -= scores.mean(1, keepdims=True)
    task, of = np.array(["a", "a", "b", "b", "", ""]), np.array(["", "", "", "", "a", "c"])
    pairs = TaskPairs.of(scores, task, of)
    r, weights = np.corrcoef(scores), np.array([[1, 1, 1, 1, 1, 1], [2, 1, 0, 1, 3, 0]])
    for w, same, control in zip(
        weights, pairs.mean(pairs.same, weights), pairs.mean(pairs.control, weights), strict=True
    ):
        listed = [(w[i] * w[j], r[i, j]) for i, j in combinations(range(4), 2) if task[i] == task[j]]
        assert same == pytest.approx(np.average([x for _, x in listed], weights=[x for x, _ in listed]))
        assert control == pytest.approx(np.average(r[:2, 4], weights=w[:2]))
    assert not pairs.compared[2].any(), "no control has the format of b"


def test_a_score_that_does_not_vary_is_in_no_pair():
    scores = np.zeros((3, 5))
    scores[0, 0], scores[1, 1] = 1, 1
    pairs = TaskPairs.of(scores - scores.mean(1, keepdims=True), np.array(["a"] * 3), np.array([""] * 3))
    assert pairs.same.sum() == 2
