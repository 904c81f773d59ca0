"""Nothing that a user does not mean to change changes a score."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toys import QUERIES, documents, write_jsonl

import engine.directions
import engine.windows
from engine import FitSettings, Run, ScoreSettings, fit, query, score
from engine.store import RunFolder

# Relative to the largest score. Sums of float32 products in another order differ by about 1e-6;
# a document more or less in a batch with fused attention, or labels drawn by place, by over 1e-2.
TOLERANCE = 1e-5
BATCH_TOKENS = 150
"""Several documents a batch, and windows of one document in several batches."""


def compute(run: Path, model: Path, corpus: Path, queries: Path, batch_tokens: int = BATCH_TOKENS) -> pd.DataFrame:
    """Every score and baseline of a run, by document id."""
    fit(run, str(model), corpus, FitSettings(batch_tokens=batch_tokens, fit_documents=15))
    query(run, queries)
    score(run, ScoreSettings(batch_tokens=batch_tokens, keep_tokens=None, keep_prediction=3))
    reader = Run(run)
    scores = [
        reader.influence(number).set_index("document").add_suffix(f" {number}") for number in reader.queries["query"]
    ]
    return pd.concat(scores, axis=1).set_index(reader.documents["id"]).sort_index()


def token_scores(run: Path) -> dict[tuple[str, int, str], np.ndarray]:
    """Token influences of every document, by its id."""
    reader, found = Run(run), {}
    for document, id in zip(reader.documents["document"], reader.documents["id"], strict=True):
        for number in reader.queries["query"]:
            for kind in ("position", "prediction"):
                tokens = reader.token_influence(number, document, kind)
                if tokens is not None:
                    found[id, number, kind] = tokens.influence
    return found


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert found.index.tolist() == expected.index.tolist()
    for name in expected:
        size = expected[name].abs().max()
        assert size > 0, f"{name} is zero everywhere"
        assert (found[name] - expected[name]).abs().max() <= TOLERANCE * size, name


@pytest.fixture(scope="module")
def expected(toy_folder, tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    """The run that others are compared with, and its scores."""
    folder = tmp_path_factory.mktemp("expected")
    corpus = write_jsonl(folder / "corpus.jsonl", documents(20))
    run = folder / "run"
    return run, compute(run, toy_folder, corpus, write_jsonl(folder / "queries.jsonl", QUERIES))


def test_the_documents_are_longer_than_the_context(expected):
    """Else batches would never cut through a document."""
    run = Run(expected[0])
    assert run.fit["cutting"]["context"] == 32
    assert run.documents["windows"].max() >= 4
    assert run.documents["windows"].min() == 1


@pytest.mark.parametrize("batch_tokens", [1, 64, 100_000])
def test_the_batch_size_and_with_it_padding_changes_no_score(batch_tokens, toy_folder, inputs, tmp_path, expected):
    """One window a batch needs no padding; all windows in one batch need the most."""
    run, scores = expected
    assert_same(compute(tmp_path / "run", toy_folder, *inputs, batch_tokens), scores)
    tokens, other = token_scores(run), token_scores(tmp_path / "run")
    assert tokens.keys() == other.keys()
    largest = max(np.abs(values).max() for values in tokens.values())
    for key, values in tokens.items():
        assert np.abs(other[key] - values).max() <= TOLERANCE * largest, key


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_documents_changes_no_score(seed, toy_folder, inputs, tmp_path, expected):
    order = np.random.default_rng(seed).permutation(20)
    shuffled = write_jsonl(tmp_path / "shuffled.jsonl", [documents(20)[number] for number in order])
    assert_same(compute(tmp_path / "run", toy_folder, shuffled, inputs[1]), expected[1])


@pytest.mark.parametrize("size", [1, 7])
def test_the_number_of_shards_changes_no_score(size, toy_folder, inputs, tmp_path, expected, monkeypatch):
    monkeypatch.setattr(engine.windows, "DOCUMENTS_PER_SHARD", size)
    assert_same(compute(tmp_path / "run", toy_folder, *inputs), expected[1])
    assert len(list((tmp_path / "run" / "score" / "documents").iterdir())) == -(-20 // size)


def test_nor_does_the_size_of_a_shard_of_very_many_documents(toy_folder, inputs, tmp_path, expected, monkeypatch):
    """A run goes on in the shards that it began with, also if a later version would make others."""
    for name, number in {"VERY_MANY": 19, "DOCUMENTS_PER_GROUP": 8, "DOCUMENTS_PER_SHARD": 3}.items():
        monkeypatch.setattr(engine.windows, name, number)
    assert_same(compute(tmp_path / "run", toy_folder, *inputs), expected[1])
    monkeypatch.undo()
    assert engine.windows.shard_documents(RunFolder(tmp_path / "run")) == [range(8), range(8, 16), range(16, 20)]
    assert len(list((tmp_path / "run" / "score" / "documents").iterdir())) == 3


def test_another_document_in_the_corpus_changes_no_gradient(toy_folder, inputs, tmp_path, expected):
    """A document's own gradient depends on nothing but the document and the model."""
    more = write_jsonl(tmp_path / "more.jsonl", documents(21))
    found = compute(tmp_path / "run", toy_folder, more, inputs[1]).drop(index="d20")
    names = ["gradient_dot 0", "gradient_cosine 0", "hidden_similarity 0", "log_prob 0"]
    assert_same(found[names], expected[1][names])


def test_memory_for_directions_changes_no_score(toy_folder, inputs, tmp_path, monkeypatch):
    """Thin rows multiplied out are the very same rows."""
    monkeypatch.setattr(engine.directions, "CHEAPER", 1.0)  # else the toy's layers are too small for thin rows
    influence = []
    for memory in (0.0, 4.0):
        run = tmp_path / f"run-{memory}"
        fit(run, str(toy_folder), inputs[0])
        query(run, inputs[1])
        score(run, ScoreSettings(memory_gb=memory, rank_error=0.3))
        assert any("rank" in way for way in Run(run).score["results"]["directions"].values())
        influence.append(Run(run).influence(0)[["influence"]])
    assert_same(*influence)
