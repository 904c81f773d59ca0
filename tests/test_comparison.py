"""Agreement of two rankings: values by hand, resamples done the slow way, chance, and what is matched with what."""

import json

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from tiny_run import plain_documents, plain_queries, write_tiny_run

from engine.analysis import comparison
from engine.analysis.comparison import (
    agreement,
    differing_settings,
    overlap_curve,
    pair_documents,
    ranks,
    shared_curve,
    to_draw,
    top_overlap,
)
from engine.errors import WhenceError
from engine.run import Run


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    return Run(write_tiny_run(tmp_path_factory.mktemp("runs") / "left", plain_documents(12), plain_queries()))


def changed_manifest(run, change):
    """The same run with another manifest."""
    file = run.path / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest["steps"])
    file.write_text(json.dumps(manifest))
    return Run(run.path)


def test_ranks_begin_at_the_largest_and_equal_ones_keep_their_order():
    assert ranks(np.array([0.5, 3.0, -1.0, 0.5])).tolist() == [2, 1, 4, 3]


def test_what_two_rankings_of_five_share_counted_by_hand():
    rank, other = np.array([1, 2, 3, 4, 5]), np.array([2, 1, 5, 4, 3])
    assert shared_curve(rank, other).tolist() == [0, 2, 2, 3, 5]
    assert shared_curve(rank, other, "lowered").tolist() == [0, 1, 3, 3, 5]


def test_the_curve_agrees_with_intersections_of_sets():
    random = np.random.default_rng(0)
    rank, other = (random.permutation(30) + 1 for _ in range(2))
    for end, sign in (("raised", 1), ("lowered", -1)):
        first, second = (np.argsort(sign * side, kind="stable") for side in (rank, other))
        by_sets = [len(set(first[:k]) & set(second[:k])) for k in range(1, 31)]
        assert shared_curve(rank, other, end).tolist() == by_sets


def test_a_ranking_shares_everything_with_itself_and_nothing_with_its_reverse():
    rank = np.arange(1, 101)
    same, reverse = top_overlap(rank, rank), top_overlap(rank, 101 - rank)
    assert (same["shared"] == same["k"]).all()
    assert reverse.loc[reverse["k"] <= 50, "shared"].tolist() == [0, 0, 0, 0]


def test_chance_is_the_hypergeometric_mean_and_shuffled_rankings_keep_to_it():
    """1,000 shuffles: the mean's standard error at k = 30 of 200 is 0.06."""
    random, n = np.random.default_rng(1), 200
    tables = [top_overlap(np.arange(1, n + 1), random.permutation(n) + 1) for _ in range(1000)]
    first = tables[0]
    assert first["chance"].tolist() == pytest.approx([0.5, 4.5, 50, 0.5, 4.5, 50])
    shared = np.array([table["shared"] for table in tables])
    assert shared.mean(0) == pytest.approx(first["chance"].to_numpy(), abs=0.25)
    held = (shared >= first["chance_low"].to_numpy()) & (shared <= first["chance_high"].to_numpy())
    assert (held.mean(0) > 0.93).all()


def test_lists_longer_than_the_corpus_are_the_corpus():
    table = top_overlap(np.array([1, 2, 3]), np.array([3, 2, 1]))
    assert table["k"].tolist() == [3, 3]
    assert table["shared"].tolist() == [3, 3]


def test_the_curve_of_shares_ends_at_one_and_lies_in_its_band_there():
    random = np.random.default_rng(2)
    curve = overlap_curve(np.arange(1, 501), random.permutation(500) + 1)
    last = curve.iloc[-1]
    assert (last[["raised", "lowered", "chance", "chance_low", "chance_high"]] == 1).all()
    assert curve["k"].iloc[0] == 1 and curve["k"].is_monotonic_increasing


def test_an_unknown_end_is_refused_by_name():
    with pytest.raises(WhenceError, match="sideways"):
        shared_curve(np.array([1]), np.array([1]), "sideways")


def test_spearman_is_scipys_with_ties():
    random = np.random.default_rng(3)
    x, y = random.integers(0, 8, 60).astype(float), random.normal(size=60)
    y += x
    assert agreement(x, y, draws=2).spearman == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_the_interval_is_that_of_documents_drawn_and_ranked_anew():
    """The slow reference repeats the drawn documents and ranks them again."""
    random, n, draws = np.random.default_rng(4), 40, 50
    x, y = random.integers(0, 10, n).astype(float), random.normal(size=n)
    y += x / 3
    again, slow = np.random.default_rng(7), []
    for _ in range(draws):
        times = np.bincount(again.integers(n, size=n), minlength=n)
        slow.append(np.corrcoef(rankdata(np.repeat(x, times)), rankdata(np.repeat(y, times)))[0, 1])
    found = agreement(x, y, draws, seed=7)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=1e-12)


def test_resampling_some_of_very_many_documents_gives_the_interval_of_all(monkeypatch):
    random = np.random.default_rng(6)
    x, noise = random.normal(size=(2, 6000))
    y = x + noise
    every = agreement(x, y, draws=1000)
    monkeypatch.setattr(comparison, "FEW_ENOUGH", 1500)
    some = agreement(x, y, draws=1000)
    assert some.spearman == every.spearman
    width = every.high - every.low
    assert (some.low, some.high) == pytest.approx((every.low, every.high), abs=0.25 * width)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Spearman of a normal pair of correlation r is 6/pi asin(r/2). 95% nominal; 200 trials, standard error 1.5%."""
    random, r = np.random.default_rng(5), 0.6
    truth, held = 6 / np.pi * np.arcsin(r / 2), 0
    for trial in range(200):
        x, noise = random.normal(size=(2, 150))
        found = agreement(x, r * x + np.sqrt(1 - r * r) * noise, draws=200, seed=trial)
        held += found.low <= truth <= found.high
    assert held / 200 > 0.9


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0]])
def test_where_nothing_varies_there_is_no_correlation(values):
    found = agreement(np.array(values), np.array(values))
    assert np.isnan([found.spearman, found.low, found.high]).all()


def test_a_picture_keeps_both_ends_of_both_sides_and_fills_up_at_random():
    random, n = np.random.default_rng(6), 1000
    rank, other = (random.permutation(n) + 1 for _ in range(2))
    drawn = to_draw(rank, other, strongest=20, most=300)
    ends = (rank <= 20) | (rank > 980) | (other <= 20) | (other > 980)
    assert drawn[ends].all()
    assert drawn.sum() == 300
    assert to_draw(rank, other, strongest=20, most=10).sum() == ends.sum()
    assert to_draw(rank, other).all()


def test_two_completions_of_a_run_are_paired_document_by_document(left):
    pairs = pair_documents(left, 0, left, 1)
    assert pairs.documents == (12, 12) and pairs.changed == 0
    assert (pairs.table["document"] == pairs.table["other_document"]).all()
    for prefix, query in (("", 0), ("other_", 1)):
        influence = left.influence(query).set_index("document")["influence"]
        assert pairs.table[f"{prefix}influence"].tolist() == influence[pairs.table["document"]].tolist()
        best = pairs.table.loc[pairs.table[f"{prefix}rank"] == 1, f"{prefix}influence"].item()
        assert best == influence.max()


def test_documents_of_two_runs_are_matched_by_id_whatever_their_order_and_left_out_where_their_text_differs(
    left, tmp_path
):
    documents = plain_documents(12)[::-1][:10]
    documents[0] = documents[0] | {"text": "Something else."}
    right = Run(write_tiny_run(tmp_path / "right", documents, plain_queries(), seed=1))
    pairs = pair_documents(left, 0, right, 0)
    assert pairs.documents == (12, 10) and pairs.changed == 1
    assert pairs.table["id"].tolist() == [f"plain-{n}" for n in range(2, 11)]
    assert pairs.table["other_document"].tolist() == [11 - n for n in range(2, 11)]
    assert sorted(pairs.table["rank"]) == sorted(pairs.table["other_rank"]) == list(range(1, 10))


def test_runs_without_a_common_document_pair_nothing(left, tmp_path):
    other = [document | {"id": f"other-{document['id']}"} for document in plain_documents(3)]
    right = Run(write_tiny_run(tmp_path / "right", other, plain_queries()))
    assert pair_documents(left, 0, right, 0).table.empty


def test_differing_settings_are_named_and_only_those(left, tmp_path):
    right = Run(write_tiny_run(tmp_path / "right", plain_documents(12), plain_queries()))
    assert differing_settings(left, right).empty

    def change(steps):
        steps["query"]["settings"]["damping_factor"] = 0.01
        steps["fit"]["settings"]["layers"] = "all"

    table = differing_settings(left, changed_manifest(right, change)).set_index("setting")
    assert table.loc["Damping factor"].tolist() == ["0.1", "0.01"]
    assert table.loc["Layers"].tolist() == ["mlp, 63% of the parameters", "all, 63% of the parameters"]
    assert len(table) == 2


def test_two_models_of_one_name_are_told_apart_by_their_weights(left, tmp_path):
    right = Run(write_tiny_run(tmp_path / "right", plain_documents(12), plain_queries()))
    other = changed_manifest(right, lambda steps: steps["fit"]["inputs"].update(model_hash="0123456789"))
    assert differing_settings(left, other).values.tolist() == [
        ["Weights of the model", "fingerprint unknown", "fingerprint 01234567"]
    ]
