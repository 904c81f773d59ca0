"""Influence over a size: the numbers, the order, and the page that shows them."""

import numpy as np
import pytest
from page_words import words
from tiny_run import plain_documents, plain_queries, write_tiny_run

from dashboard.components import text
from engine.analysis.ranking import SIZES, headline, rank_by_size, rank_documents
from engine.run import Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    documents = [one | {"text": one["text"] * (1 + number)} for number, one in enumerate(plain_documents(9))]
    write_tiny_run(folder / "run", documents, plain_queries())
    return folder


@pytest.fixture(scope="module")
def run(runs) -> Run:
    return Run(runs / "run")


def sizes(run: Run, size: str) -> np.ndarray:
    """The size of every document of the run, by its number."""
    if size == "tokens":
        return run.documents["tokens"].to_numpy(dtype=float)
    if size == "nats":
        return np.full(len(run.documents), -run.queries["log_prob"][0])
    cosine = run.influence(0)  # the dot product over the cosine is the product of both norms
    return (cosine["gradient_dot"] / cosine["gradient_cosine"] / run.queries["gradient_norm"][0]).to_numpy()


@pytest.mark.parametrize("size", SIZES)
def test_it_is_influence_over_the_size_and_the_order_follows(run, size):
    found, plain = rank_by_size(run, 0, size), rank_documents(run, 0)
    expected = plain.set_index("document")["influence"].sort_index() / sizes(run, size)
    assert found["normalised"].tolist() == pytest.approx(expected[found["document"]].tolist())
    assert found["normalised"].is_monotonic_decreasing
    assert found["rank"].tolist() == list(range(1, len(plain) + 1))
    assert (np.sign(found["normalised"]) == np.sign(found["influence"])).all()
    for sign in (found["normalised"] > 0, found["normalised"] < 0):
        assert found.loc[sign, "share"].sum() == pytest.approx(1)
    assert (list(found["document"]) == list(plain["document"])) == (size == "nats")


def test_a_document_without_tokens_has_nothing_per_token(tmp_path):
    empty = {"id": "empty", "title": "Nothing", "source": "Web", "language": "en", "text": ""}
    run = Run(write_tiny_run(tmp_path / "run", [*plain_documents(3), empty], plain_queries()))
    assert rank_by_size(run, 0, "tokens").set_index("title").at["Nothing", "normalised"] == 0


def test_nats_are_those_of_the_chosen_completion_tokens(run):
    whole, one = rank_by_size(run, 0, "nats"), rank_by_size(run, 0, "nats", tokens=[1])
    cost = -run.tokens_of_query(0).set_index("token")["log_prob"]
    assert len(cost) > 1
    assert (whole["influence"] / whole["normalised"]).tolist() == pytest.approx([cost.sum()] * len(whole))
    assert (one["influence"] / one["normalised"]).tolist() == pytest.approx([cost[1]] * len(one))


def test_the_headline_is_of_what_is_ranked_by(run):
    found = rank_by_size(run, 0, "tokens")
    positive = found["normalised"][found["normalised"] > 0]
    assert headline(found).total == pytest.approx(found["normalised"].sum())
    assert headline(found).top_share == pytest.approx(positive[:10].sum() / positive.sum())


@pytest.mark.parametrize(
    ("label", "size", "unit"),
    [
        ("Per norm", "gradient_norm", "nats per unit of weight per unit of gradient norm"),
        ("Per token", "tokens", "nats per unit of weight per token of the document"),
        ("Per nat", "nats", "nats per unit of weight per nat of the completion"),
    ],
)
def test_the_page_ranks_by_what_its_address_names(open_page, runs, run, label, size, unit):
    app = open_page(runs, ranked=label)
    found = rank_by_size(run, 0, size)
    first = found.iloc[0]
    assert f"raised it most, by **{text.number(first['normalised'])}** {unit}" in words(app)
    table = app.dataframe[0].value
    assert table["normalised"].tolist() == pytest.approx(found["normalised"][found["normalised"] > 0].tolist())
    assert table["title"].iloc[0] == first["title"]


def test_a_way_that_is_unknown_falls_back_to_influence(open_page, runs):
    app = open_page(runs, ranked="Per mile")
    assert "normalised" not in app.dataframe[0].value
    assert "nats per unit of weight. " in words(app)
