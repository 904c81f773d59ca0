"""Finding 2 tells whether rare tokens draw on few documents."""

import numpy as np
import pandas as pd
import pytest
from scored_run import many_documents, many_queries, write_scored_run

from engine.findings.measures.rare_tokens import correlation, measure
from engine.findings.rules import RULES
from engine.findings.study import Study

COMPLETIONS, TOKENS = 30, 6


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    random = np.random.default_rng(0)
    queries = many_queries(["Fact"] * 10)
    scores = {"influence": random.normal(size=(10, 40))}
    return Study(write_scored_run(tmp_path_factory.mktemp("run"), many_documents(40), queries, scores), draws=300)


def tokens(link: float, seed: int = 0) -> pd.DataFrame:
    """Tokens whose effective number follows their occurrences this much; a rare token has a higher loss."""
    random, count = np.random.default_rng(seed), COMPLETIONS * TOKENS
    kind = random.integers(0, 80, count)
    occurrences = np.exp(random.normal(size=80) * 2)[kind]
    spread = link * np.log(occurrences) + random.normal(size=count)
    loss = random.normal(size=count) - 0.3 * np.log(occurrences)
    columns = {"query": np.repeat(np.arange(COMPLETIONS), TOKENS), "token_id": kind, "occurrences": occurrences}
    return pd.DataFrame(columns | {"effective_number": np.exp(spread), "top_10": -spread, "loss": loss})


def judged(study, table) -> str:
    return RULES["rare_tokens"].verdict(
        {part: correlation(study, table, part)[0] for part in RULES["rare_tokens"].parts}
    )


def test_tokens_that_draw_on_more_documents_the_more_frequent_they_are_hold(study):
    assert judged(study, tokens(link=1.0)) == "holds"


def test_the_other_way_round_does_not_hold(study):
    assert judged(study, tokens(link=-1.0)) == "does not hold"


def test_no_link_is_within_what_shuffled_frequencies_give(study):
    estimate, shuffled = correlation(study, tokens(link=0.0), "effective_number")
    assert RULES["rare_tokens"].parts["effective_number"].answer(estimate) is not True
    assert shuffled.low < estimate.value < shuffled.high == estimate.null
    assert shuffled.value == pytest.approx(0, abs=0.05)


def test_the_null_lies_on_the_side_that_the_rule_asks_for(study):
    assert correlation(study, tokens(1.0), "effective_number")[0].null > 0
    assert correlation(study, tokens(1.0), "top_10")[0].null < 0


def test_a_run_says_what_is_left_open(study):
    found = measure(study)
    assert set(found.estimates) == set(found.controls["shuffled labels"]) == set(RULES["rare_tokens"].parts)
    assert all(estimate.units == 10 for estimate in found.estimates.values())
    assert any("check removal" in text for text in found.open)
    assert len(found.tables["picture"]) == len(study.run.query_tokens)
    assert "tokens of 10 completions" in found.sentence
