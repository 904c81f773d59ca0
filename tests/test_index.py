"""A run's index: what it finds, and that it is whole or not there."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import difference, spearman
from toys import QUERIES, Stopping, documents, write_jsonl

import engine.windows
from engine import FitSettings, QuerySettings, Run, ScoreSettings, WhenceError, fit, query, score
from engine.__main__ import main
from engine.errors import Cancelled
from engine.index.build import build_index
from engine.index.search import Index, noted_index, read_index
from engine.index.settings import IndexSettings
from engine.live import LoadedRun, load_run
from engine.queries import read_query_gradients

DAMPING = 0.1
LONG = IndexSettings(document_bytes=2048, damping_factor=DAMPING)
"""As many bits as a toy layer has weights: what is lost is lost by keeping signs only."""


@pytest.fixture
def loaded(toy_run, tmp_path) -> LoadedRun:
    """A copy of the toy run with its model."""
    shutil.copytree(toy_run, tmp_path / "run")
    return load_run(tmp_path / "run")


def scores(loaded: LoadedRun) -> np.ndarray:
    index = read_index(loaded)
    assert index is not None
    gradients = read_query_gradients(loaded.run.folder, range(len(QUERIES)))
    return index.scores(index.sketches(gradients))


def exact(run: Run) -> np.ndarray:
    return np.stack([run.influence(number)["influence"].to_numpy() for number in range(len(QUERIES))])


def recall(found: np.ndarray, expected: np.ndarray, top: int, candidates: int) -> float:
    order, best = (np.argsort(-values, axis=1, kind="stable") for values in (found, expected))
    return float(np.mean([np.isin(b[:top], o[:candidates]).mean() for o, b in zip(order, best, strict=True)]))


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_before_its_bits_are_taken_a_long_sketch_gives_influence_itself(loaded):
    """In full precision nothing is approximated but where pieces of a layer share a place."""
    index, folder = Index(loaded, IndexSettings(document_bytes=1 << 14, damping_factor=DAMPING)), loaded.run.folder
    one, other = index.sketches(read_query_gradients(folder, [0, 1]))
    whitened = []
    for gradient in read_query_gradients(folder, [0, 1]):
        parts = []
        for name, of in loaded.factors.items():
            rotated = of.q_s.T @ gradient.formed(name).sum(0) @ of.q_a
            parts.append((rotated / (of.lam + DAMPING * of.lam.mean()).sqrt()).flatten())
        whitened.append(torch.cat(parts))
    assert difference(one @ one, whitened[0] @ whitened[0]) < 0.1
    assert abs(float(one @ other - whitened[0] @ whitened[1])) < 0.1 * float(whitened[0].norm() * whitened[1].norm())


def test_the_index_finds_what_the_full_scan_finds(loaded):
    """Recall of the exact top 5 of 20 documents among 8 is 1 without compression, 0.4 by chance."""
    build_index(loaded, LONG)
    found, expected = scores(loaded), exact(loaded.run)
    assert recall(found, expected, 5, 8) >= 0.8
    assert min(spearman(a, b) for a, b in zip(found, expected, strict=True)) > 0.7


def test_more_bytes_find_more(loaded):
    expected = exact(loaded.run)
    agreement = []
    for size in (16, 2048):
        build_index(loaded, IndexSettings(document_bytes=size, damping_factor=DAMPING))
        agreement.append(np.mean([spearman(a, b) for a, b in zip(scores(loaded), expected, strict=True)]))
    assert agreement[0] < agreement[1]


def test_a_part_of_a_sketch_is_a_sketch(loaded):
    build_index(loaded, LONG)
    index = read_index(loaded)
    assert index is not None
    sketches = index.sketches(read_query_gradients(loaded.run.folder, range(len(QUERIES))))
    half = index.scores(sketches, document_bytes=1024)
    assert min(spearman(a, b) for a, b in zip(half, exact(loaded.run), strict=True)) > 0.5


def test_the_size_of_batches_changes_no_score(loaded):
    """Signs of numbers near zero may turn; each is worth 1/16384 of a score's scale."""
    found = []
    for batch_tokens in (40, 2000):
        shutil.rmtree(loaded.run.folder.index.parent, ignore_errors=True)
        build_index(loaded, IndexSettings(2048, DAMPING, batch_tokens=batch_tokens))
        found.append(scores(loaded))
    assert difference(found[0], found[1]) < 0.01


def test_an_index_takes_the_bytes_it_was_given(loaded):
    build_index(loaded, IndexSettings(document_bytes=64))
    noted = noted_index(loaded)
    assert noted is not None
    (file,) = loaded.run.folder.index_shard(noted["key"], 0).parent.iterdir()
    count = len(loaded.run.documents)
    assert count * 68 < file.stat().st_size < count * 68 + 400


def test_the_recall_that_is_noted_is_that_of_a_plain_count(loaded, monkeypatch):
    monkeypatch.setattr("engine.index.recall.SHARES", (0.4,))
    monkeypatch.setattr("engine.index.recall.TOPS", (5,))
    build_index(loaded, LONG)
    noted = noted_index(loaded)
    assert noted is not None
    rows = {(row["ranking"], row["document_bytes"]): row for row in noted["recall"]}
    expected = exact(loaded.run)
    assert rows["index", 2048]["recall"] == recall(scores(loaded), expected, 5, 8)
    bm25 = np.stack([loaded.run.influence(number)["bm25"].to_numpy() for number in range(len(QUERIES))])
    assert rows["BM25", None]["recall"] == recall(bm25, expected, 5, 8)
    assert {size for name, size in rows if name == "index and shared tokens"} == {2048, 1024, 512, 256}
    assert {name for name, size in rows if size is None} == {
        "shared tokens", "BM25", "gradient dot", "hidden states",
    }  # fmt: skip


def test_a_stopped_index_is_not_used_and_goes_on_to_the_same_bytes(loaded, monkeypatch):
    monkeypatch.setattr(engine.windows, "_sizes", lambda folder: (len(loaded.run.documents), 8))
    settings = IndexSettings(document_bytes=64, batch_tokens=60)
    counted = Stopping(0)
    build_index(loaded, settings, counted)
    whole = contents(loaded.run.folder.index.parent)
    assert counted.events > 10
    for at in (1, 4, counted.events // 2, counted.events):
        shutil.rmtree(loaded.run.folder.index.parent)
        with pytest.raises(Cancelled):
            build_index(loaded, settings, Stopping(at))
        assert read_index(loaded) is None
        build_index(loaded, settings)
        assert contents(loaded.run.folder.index.parent) == whole


def test_an_index_of_other_settings_takes_the_place_of_the_one_before(loaded):
    for size in (64, 128):
        build_index(loaded, IndexSettings(document_bytes=size))
    folder = loaded.run.folder.index.parent
    assert len([one for one in folder.iterdir() if one.is_dir()]) == 1
    index = read_index(loaded)
    assert index is not None
    assert index.settings.document_bytes == 128


def test_an_index_of_another_fit_is_not_used(loaded):
    build_index(loaded, IndexSettings(document_bytes=64))
    manifest = json.loads((loaded.run.path / "manifest.json").read_text())
    manifest["steps"]["fit"]["inputs"]["model_hash"] = "another"
    (loaded.run.path / "manifest.json").write_text(json.dumps(manifest))
    assert read_index(loaded) is None


@pytest.mark.parametrize(
    "given",
    [{"document_bytes": 100}, {"document_bytes": 0}, {"damping_factor": 0.0}, {"batch_tokens": 0}, {"seed": -1}],
)
def test_settings_that_cannot_be_are_refused(given):
    with pytest.raises(WhenceError, match="--"):
        IndexSettings(**given)


def test_the_command_builds_it_and_prints_what_it_finds(loaded, monkeypatch, capsys):
    monkeypatch.setattr("engine.index.recall.SHARES", (0.5,))
    assert main(["index", "--run", str(loaded.run.path), "--document-bytes", "64"]) == 0
    shown = capsys.readouterr().out
    assert "exact top 10" in shown
    assert "BM25" in shown
    index = read_index(loaded)
    assert index is not None
    assert index.settings == IndexSettings(document_bytes=64)


def test_a_refined_run_is_refused(tmp_path, tokenizer, toy_folder):
    corpus, queries = write_jsonl(tmp_path / "c.jsonl", documents(8)), write_jsonl(tmp_path / "q.jsonl", QUERIES)
    run = tmp_path / "run"
    fit(run, str(toy_folder), corpus, FitSettings(estimator="ekfac-cg"))
    query(run, queries, QuerySettings(cg_iterations=1, cg_documents=2))
    score(run, ScoreSettings(keep_tokens=1, keep_prediction=0))
    with pytest.raises(WhenceError, match="conjugate gradients"):
        build_index(load_run(run))
