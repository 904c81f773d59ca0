"""Checks that retrain: what is read, what is kept, and that a stopped check goes on; end to end on toys."""

import json
from pathlib import Path

import numpy as np
import pytest
from toys import QUERIES, documents, write_jsonl

from engine.__main__ import main
from engine.check.lds import check_lds
from engine.check.leave_out import check_leave_out
from engine.check.removal import check_removal, prediction_influence
from engine.check.result import read_result
from engine.check.retraining import Bench, Reading, pieces
from engine.check.settings import LdsSettings, LeaveOutSettings, RemovalSettings, RetrainingSettings
from engine.corpus import Query
from engine.errors import RunError, WhenceError
from engine.factors import run_cutting
from engine.live import load_run
from engine.loading import load_model
from engine.progress import SilentProgress
from engine.queries import measure, measured_values
from engine.run import Run
from engine.settings import ESTIMATORS, BifSettings
from engine.windows import positions

ROUNDING = 1e-4
"""Float32 sums of some hundred terms; a completion token left out would be wrong by a tenth."""


@pytest.fixture(scope="module")
def given(tmp_path_factory, toy_folder) -> dict:
    """Settings of a bench: the toy GPT-2, 30 documents of which 12 are studied, two completions."""
    folder = tmp_path_factory.mktemp("given")
    return {
        "model": str(toy_folder),
        "corpus": str(write_jsonl(folder / "corpus.jsonl", documents(30))),
        "queries": str(write_jsonl(folder / "queries.jsonl", QUERIES)),
        "documents": 12,
        "completions": 2,
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Where the checks of this module keep what they have in common."""
    return tmp_path_factory.mktemp("checks")


@pytest.fixture(autouse=True)
def _one_retrainer(monkeypatch):
    """A process of its own, as always; but one, since each takes longer to import torch than to train."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)


def dates(home: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in home.glob("retraining/*/token_readings/*.json")}


def test_lds_comes_to_a_row_for_every_estimator_and_a_second_call_trains_nothing(given, home, monkeypatch):
    few = BifSettings(chains=2, burn_in=1, draws=8, every=1)
    monkeypatch.setattr("engine.sampled_scores.sampler_of", lambda folder, settings: few)
    settings = LdsSettings(**given, masks=3, estimators=list(ESTIMATORS))
    found = check_lds(settings, SilentProgress(), home / "lds")
    names = [row["estimator"] for row in found["estimators"]]
    assert set(ESTIMATORS.values()) | {"gradient dot", "BM25", "random order"} <= set(names)
    assert len(found["queries"]) == 2 * len(names)
    for row in found["estimators"]:
        of_queries = [one["lds"] for one in found["queries"] if one["estimator"] == row["estimator"]]
        assert row["lds"] == pytest.approx(np.mean(of_queries))
        assert -1 <= row["lds_low"] <= row["lds"] <= row["lds_high"] <= 1
    (bench,) = found["bench"]
    assert bench["log_prob_before"] < bench["log_prob_after_half"] < bench["log_prob_after_all"]
    before = dates(home)
    assert len(before) == 3 * 2 + 2
    assert check_lds(settings, SilentProgress(), home / "lds") == found
    assert dates(home) == before


def test_what_was_trained_by_one_check_serves_another_and_a_lost_reading_only_is_trained_again(given, home):
    settings = RemovalSettings(**given, removed_for=2, top=2, share=0.1, pairs=2, seeds=1)
    before = dates(home)
    found = check_removal(settings, SilentProgress(), home / "removal")
    after = dates(home)
    assert before.items() <= after.items()
    lost = next(file for file in after if file not in before)
    lost.unlink()
    assert check_removal(settings, SilentProgress(), home / "removal") == found
    assert {file for file, date in dates(home).items() if after[file] != date} == {lost}

    assert {(row["what"], row["method"]) for row in found["methods"]} == {
        (what, method) for what in ("documents", "tokens") for method in ("EK-FAC", "BM25", "random")
    }
    chosen = [point for point in found["points"] if point["method"] == "EK-FAC"]
    assert len(chosen) == 4
    assert all(point["predicted"] < 0 for point in chosen)  # what raised it most is left out
    assert {point["completion"] for point in chosen} == {query["title"] for query in QUERIES}
    tokens = found["rare_tokens"]
    assert [row["group"] for row in tokens] == ["rare", "frequent"] * 2
    assert all(row["predicted"] < 0 and np.isfinite(row["measured"]) for row in tokens)


def test_influence_of_every_token_adds_up_to_that_of_the_documents(toy_run):
    loaded = load_run(toy_run)
    cutting = run_cutting(loaded.run.folder)
    lengths = [positions(cutting, count) for count in loaded.run.documents["tokens"]]
    for query in range(len(QUERIES)):
        parts = np.split(prediction_influence(loaded, query), np.cumsum(lengths)[:-1])
        influence = loaded.run.influence(query)["influence"].to_numpy()
        scale = sum(np.abs(part).sum() for part in parts)
        assert np.abs([part.sum() for part in parts] - influence).max() < ROUNDING * scale


def test_a_dropped_position_is_read_but_its_token_is_not_learned(toy_folder):
    model = load_model(str(toy_folder))
    texts = documents(2)
    whole = pieces(model.tokenizer, texts, 32)
    first = len(pieces(model.tokenizer, texts[:1], 32))
    less = pieces(model.tokenizer, texts, 32, Reading((0, 1), dropped={0: (1, 3)}))
    assert [one.ids.tolist() for one in less] == [one.ids.tolist() for one in whole]
    assert np.flatnonzero(whole[0].counts & ~less[0].counts).tolist() == [1, 3]  # position 0 is the start token
    assert all(np.array_equal(a.counts, b.counts) for a, b in zip(whole[first:], less[first:], strict=True))


def test_a_reading_is_named_by_everything_that_decides_it():
    base = Reading((1, 2), 0, {1: (3,)})
    others = [
        Reading((1,), 0, {1: (3,)}),
        Reading((1, 2), 1, {1: (3,)}),
        Reading((1, 2), 0, {1: (4,)}),
        Reading((1, 2)),
    ]
    assert len({one.key for one in (base, *others)}) == 5
    assert base.key == Reading((1, 2), 0, {1: (3,)}).key


def test_a_bench_that_is_too_small_is_refused(given, tmp_path):
    with pytest.raises(WhenceError, match="has 30 documents and .* 2 completions -- the check needs 31 and 2"):
        Bench(RetrainingSettings(**given | {"documents": 31}), tmp_path, SilentProgress())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"share": 1.0}, "share is 1.0"),
        ({"removed_for": 50}, "removed_for is 50 of 40 completions"),
        ({"top": 600}, "top 600 of 600 documents"),
        ({"seeds": 0}, "seeds is 0"),
        ({"documents": 9}, "documents is 9"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(wrong, message):
    with pytest.raises(WhenceError, match=message):
        RemovalSettings(**wrong)


def test_the_value_that_is_measured_is_the_one_the_gradient_is_of(toy_run):
    model = load_run(toy_run)
    for row in QUERIES:
        query = Query(**row)
        for measurement in ("log_prob", "margin", "logit", "contrast"):
            whole = measure(model.model, model.layers, query, measurement)
            expected = sum(token["value"] for token in whole.tokens)
            found = measured_values(model.model, query, measurement).sum().item()
            assert found == pytest.approx(expected, rel=ROUNDING)


def test_leaving_out_is_predicted_and_measured_for_every_completion(toy_run, tmp_path, capsys):
    out = tmp_path / "leave-out.json"
    flags = ["--run", str(toy_run), "--query", QUERIES[1]["title"], "--top", "2", "--beside", "10", "--epochs", "2"]
    assert main(["check", "leave-out", "--out", str(out), "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == read_result(out).tables
    assert [row["completion"] for row in found["completions"]] == [QUERIES[1]["title"], QUERIES[0]["title"]]
    assert all(row["predicted"] is None for row in found["completions"])  # this run's training set is unknown
    run = Run(toy_run)
    strongest = run.influence(1).nlargest(2, "influence")["document"]
    assert [row["document"] for row in found["documents"]] == run.documents.loc[strongest, "title"].tolist()
    trained = {file: file.stat().st_mtime_ns for file in out.with_suffix("").glob("*.json")}
    assert len(trained) == 3 * 2
    settings = LeaveOutSettings(str(toy_run), QUERIES[1]["title"], top=2, beside=10, epochs=2)
    assert check_leave_out(settings, SilentProgress(), out.with_suffix("")) == found
    assert trained == {file: file.stat().st_mtime_ns for file in out.with_suffix("").glob("*.json")}


def test_leaving_out_more_than_would_be_trained_on_is_refused(toy_run, tmp_path):
    settings = LeaveOutSettings(str(toy_run), QUERIES[0]["title"], top=5, beside=5)
    with pytest.raises(RunError, match="5 documents are to be left out and 5 would be trained on beside them"):
        check_leave_out(settings, SilentProgress(), tmp_path)
