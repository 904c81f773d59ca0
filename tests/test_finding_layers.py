"""Finding 9 splits the influence of the strongest documents among thirds of the network."""

import math
import shutil

import pytest
from scored_run import many_documents, many_queries, write_scored_run

from engine import Run
from engine.findings.measures.layers import THIRDS, _by_layer, measure, rows_to_estimates, shares_of, thirds_of
from engine.findings.rules import RULES
from engine.findings.study import Study
from engine.live import load_run

FIVE = [f"model.layers.{number}.mlp.{kind}" for number in range(5) for kind in ("up_proj", "down_proj")]
EQUAL = dict.fromkeys(THIRDS, 1 / 3)


def test_a_block_lies_in_the_third_that_its_middle_lies_in():
    assert [thirds_of(FIVE, 5)[name] for name in FIVE[::2]] == ["lower", "lower", "middle", "upper", "upper"]
    assert set(thirds_of(FIVE[:4], 12).values()) == {"lower"}, "blocks that are not tracked count too"
    assert thirds_of(["lm_head", "transformer.h.1.mlp.c_fc"], 3) == {"transformer.h.1.mlp.c_fc": "middle"}


def test_shares_add_up_to_one_with_their_signs():
    thirds = thirds_of(FIVE, 5)
    shares = shares_of(dict(zip(FIVE, (1, 1, 1, 1, 2, 2, -1, -1, 3, 3), strict=True)), thirds)
    assert shares == pytest.approx({"lower": 4 / 12, "middle": 4 / 12, "upper": 4 / 12})
    assert sum(shares.values()) == pytest.approx(1)
    assert all(math.isnan(share) for share in shares_of(dict.fromkeys(FIVE, -1.0), thirds).values())


def rows(upper_of_facts: float, middle_of_sums: float) -> list[dict]:
    """Shares of ten completions of either kind, with a little spread."""
    found = []
    for number in range(10):
        for family, third, share in (("factual", "upper", upper_of_facts), ("code", "middle", middle_of_sums)):
            rest = (1 - share) / 2
            shares = dict.fromkeys(THIRDS, rest) | {third: share + 0.01 * (number % 3)}
            found += [{"family": family, "third": one, "share": value} for one, value in shares.items()]
    return found


@pytest.mark.parametrize(
    ("upper", "middle", "verdict"),
    [(0.5, 0.5, "holds"), (0.5, 0.3, "does not hold"), (0.3, 0.5, "does not hold"), (1 / 3, 1 / 3, "does not hold")],
)
def test_the_verdict_is_of_shares_beyond_those_of_the_layers(upper, middle, verdict, tmp_path):
    study = Study(write_scored_run(tmp_path / "run", many_documents(3), many_queries(["Fact"]), {}), draws=200)
    found = rows_to_estimates(study, rows(upper, middle), EQUAL)
    assert RULES["layers"].verdict(found) == verdict
    assert found["factual"].units == found["procedural"].units == 10


def test_a_network_of_two_blocks_has_no_thirds(toy_run):
    found = measure(Study(Run(toy_run)))
    assert found.estimates == {}
    assert "lie in 2 of the network's three thirds" in found.open[0]


def test_what_was_computed_of_a_completion_is_not_computed_again(toy_run, tmp_path, monkeypatch):
    run = shutil.copytree(toy_run, tmp_path / "run")
    loaded = load_run(run)
    first = _by_layer(loaded, 0, [0, 2])
    assert set(first) == {0, 2} and set(first[0]) == {layer.name for layer in loaded.layers}
    stored = loaded.run.influence(0).set_index("document")
    for document, of in first.items():
        sums = [sum(two) for two in zip(*of.values(), strict=True)]
        assert sums == pytest.approx(stored.loc[document, ["influence", "gradient_dot"]].tolist(), rel=1e-3)
    monkeypatch.setattr("engine.live.influence_by_layer", lambda *given: pytest.fail("computed again"))
    assert _by_layer(loaded, 0, [0, 2]) == first


def test_a_model_that_is_gone_leaves_the_finding_open(tmp_path):
    found = measure(Study(write_scored_run(tmp_path / "run", many_documents(3), many_queries(["Fact"]), {})))
    assert found.estimates == {}
    assert "cannot be split by layer" in found.open[0]
