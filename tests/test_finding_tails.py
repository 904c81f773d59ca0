"""Finding 1 tells heavy tails from light ones."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import halfnorm
from scored_run import many_documents, many_queries, write_scored_run

from engine.analysis.tails import fit_tail
from engine.findings.measures.tails import measure, tail_row
from engine.findings.rules import EXPONENTIAL_SHARE, NORMAL_SHARE, NOT_REJECTED, RULES
from engine.findings.study import Study

DOCUMENTS, COMPLETIONS = 400, 24
RANDOM = np.random.default_rng(0)
SIGNS = RANDOM.choice([-1, 1], (COMPLETIONS, DOCUMENTS))
HEAVY = SIGNS * (1 + RANDOM.pareto(1.5, (COMPLETIONS, DOCUMENTS)))
LIGHT = RANDOM.normal(size=(COMPLETIONS, DOCUMENTS))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """From influences to what is measured, once for each."""

    @cache
    def measured(kind, documents=DOCUMENTS):
        influence = {"heavy": HEAVY, "light": LIGHT}[kind][:, :documents]
        scores = {"influence": influence, "gradient_dot": LIGHT[:, :documents]}
        queries, folder = many_queries(["Fact"] * COMPLETIONS), tmp_path_factory.mktemp("run")
        return measure(Study(write_scored_run(folder, many_documents(documents), queries, scores), draws=200))

    return measured


def test_power_laws_hold(found):
    result = found("heavy")
    assert RULES["tails"].verdict(result.estimates) == "holds"
    assert RULES["tails"].verdict(result.controls["gradient dot"]) == "does not hold"
    assert result.open == []
    assert f"{result.estimates['top_share'].value:.1%}" in result.sentence


def test_normal_influences_do_not(found):
    result = found("light")
    assert RULES["tails"].verdict(result.estimates) == "does not hold"
    assert result.estimates["top_share"].high < EXPONENTIAL_SHARE


def test_the_picture_has_a_mark_for_every_completion_and_score(found):
    result = found("heavy")
    marks = {(row["completion"], row["score"]) for row in result.tables["picture"]}
    assert len(marks) == len(result.tables["picture"]) == 4 * COMPLETIONS
    times = sum(row["completions"] for row in result.tables["documents"])
    assert 0 < times <= COMPLETIONS * DOCUMENTS // 100


def test_short_tails_leave_the_finding_open(found):
    result = found("heavy", 60)
    assert "power_law" not in result.estimates
    assert RULES["tails"].verdict(result.estimates) == "cannot tell"
    assert "24 of 24 completions were not fitted" in result.open[0]


def test_a_test_that_stops_early_rejects_the_same_tails():
    draws, enough = 60, 6
    for values in (*HEAVY[:4], *LIGHT[:4]):
        whole, early = (fit_tail(values, draws, enough=stop).p_value for stop in (None, enough))
        assert (whole > NOT_REJECTED) == (early >= NOT_REJECTED)


def test_the_share_of_half_normal_scores_is_the_null_named_beside_it():
    quantiles = halfnorm.ppf((np.arange(100_000) + 0.5) / 100_000)
    # 0.0364 against 0.036; shares of pareto(1.5) lie near 0.2
    assert tail_row(quantiles)["top_share"] == pytest.approx(NORMAL_SHARE, abs=0.001)


def test_documents_without_a_score_and_negative_ones_count_for_nothing():
    values = HEAVY[0]
    assert tail_row(np.concatenate([values, [np.nan] * 50, [-1e9]])) == tail_row(values)
    assert np.isnan(tail_row(np.full(5, -1.0))["top_share"])
