"""Measures of concentration against tables worked out by hand, and on a run against direct computation."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_run import long_document, plain_documents, plain_queries, write_tiny_run

from engine.analysis import amounts as of_amounts
from engine.analysis import rare_tokens
from engine.analysis.amounts import (
    MEASURES,
    amounts,
    cumulative_shares,
    effective_number,
    gini,
    lorenz,
    measures,
    top_share,
)
from engine.analysis.concentration import (
    bootstrap_intervals,
    concentration_and_curve,
    concentration_of,
    cumulative_curve,
    influence_of_tokens,
    lorenz_curve,
    tail_curve,
    tail_of,
)
from engine.analysis.inside import inside_documents, pooled_inside
from engine.analysis.ranking import headline, rank_documents
from engine.analysis.rare_tokens import token_concentration, token_frequencies
from engine.analysis.tails import _choose, _is_farther, fit_tail
from engine.errors import WhenceError
from engine.run import Run
from engine.writing import write_table

SIGNS = ("positive", "negative", "both")
HAND = np.array([4.0, -1, 3, 0, 1, -3, 2])  # raises 4 3 2 1, lowers 3 1


def test_amounts_take_one_sign_and_leave_zero_elsewhere():
    assert amounts(HAND).tolist() == [4, 0, 3, 0, 1, 0, 2]
    assert amounts(HAND, "negative").tolist() == [0, 1, 0, 0, 0, 3, 0]
    assert amounts(HAND, "both").tolist() == [4, 1, 3, 0, 1, 3, 2]


def test_a_table_worked_out_by_hand():
    raised = amounts(HAND)
    assert cumulative_shares(raised).tolist() == pytest.approx([0.4, 0.7, 0.9, 1, 1, 1, 1])
    place, share = lorenz(raised[raised > 0])
    assert place.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert share.tolist() == pytest.approx([0, 0.1, 0.3, 0.6, 1])
    assert gini(raised[raised > 0]) == pytest.approx(0.25)
    assert top_share(raised, 2 / 7) == pytest.approx(0.7)
    assert effective_number(raised) == pytest.approx(100 / 30)
    found = measures(np.array([HAND, -HAND]))
    assert found.columns.tolist() == list(MEASURES)
    assert found.loc[0].tolist() == pytest.approx([4, 10, 1, 0.4, 0.4, 0.25, 100 / 30])
    assert found.loc[1].tolist() == pytest.approx([2, 4, 1, 0.75, 0.75, 0.25, 16 / 10])


def test_gini_is_half_the_mean_difference_and_twice_the_area_above_the_lorenz_curve():
    values = np.random.default_rng(0).lognormal(size=300)
    difference = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert gini(values) == pytest.approx(difference)
    place, share = lorenz(values)
    assert gini(values) == pytest.approx(1 - 2 * np.trapezoid(share, place))


@pytest.mark.parametrize("sign", SIGNS)
def test_measures_of_many_rows_equal_those_of_each(sign):
    influence = np.random.default_rng(1).standard_t(3, (5, 400))
    influence[:, :37] = 0
    for row, found in zip(influence, measures(influence, sign).to_dict("records"), strict=True):
        side = amounts(row, sign)
        held = side[side > 0]
        ordered = np.sort(side)[::-1]
        few, of_all = ordered[:10].sum() / side.sum(), ordered[:4].sum() / side.sum()
        expected = [len(held), held.sum(), few, top_share(held), of_all, gini(held)]
        assert list(found.values()) == pytest.approx([*expected, effective_number(side)])


def test_equal_influences_are_as_spread_as_can_be():
    same = np.full(200, 0.3)
    assert gini(same) == pytest.approx(0, abs=1e-12)
    assert effective_number(same) == pytest.approx(200)
    assert top_share(same) == pytest.approx(0.01)


def test_a_single_influence_is_as_concentrated_as_can_be():
    single = np.eye(100)[7]
    assert effective_number(single) == 1
    assert top_share(single) == 1
    assert gini(single) == pytest.approx(0.99)
    assert measures(single[None]).loc[0].tolist() == [1, 1, 1, 1, 1, 0, 1]
    assert measures(np.array([[5.0]])).loc[0].tolist() == [1, 5, 1, 1, 1, 0, 1]


def test_where_no_document_has_the_sign_there_are_no_shares():
    found = measures(-np.ones((1, 9))).loc[0]
    assert found[["documents", "total"]].tolist() == [0, 0]
    assert found.drop(["documents", "total"]).isna().all()
    assert np.isnan(cumulative_shares(np.zeros(3))).all()
    assert np.isnan([gini(np.zeros(3)), top_share(np.zeros(3)), effective_number(np.zeros(3))]).all()
    assert bootstrap_intervals(-np.ones(9), "positive", draws=5).loc["gini"].isna().all()


@pytest.mark.parametrize("measure", [gini, top_share, effective_number, cumulative_shares, lorenz, amounts])
@pytest.mark.parametrize("values", [[1.0, np.nan], [np.inf, 1.0], []])
def test_what_is_no_influence_is_refused(measure, values):
    with pytest.raises(WhenceError, match="not finite|no influences"):
        measure(np.array(values))


def test_negative_amounts_and_unknown_signs_are_refused():
    with pytest.raises(WhenceError, match="below zero"):
        gini(np.array([1.0, -1.0]))
    with pytest.raises(WhenceError, match="sign 'up' is unknown"):
        amounts(HAND, "up")


def test_the_scale_does_not_matter_but_for_the_total():
    influence = np.random.default_rng(2).normal(size=(1, 99))
    scaled, plain = measures(influence * 1e-6), measures(influence)
    assert scaled.drop(columns="total").to_numpy() == pytest.approx(plain.drop(columns="total").to_numpy())


def test_a_normal_has_its_known_concentration():
    """Top 1% of the positive 3.6%, of all 6.7%; Gini sqrt(2) - 1; effective number 2/pi of the documents."""
    found = measures(np.random.default_rng(0).normal(size=(1, 400_000))).loc[0]
    assert found["top_share"] == pytest.approx(0.0362, abs=0.0005)
    assert found["top_share_of_all"] == pytest.approx(0.067, abs=0.001)
    assert found["gini"] == pytest.approx(np.sqrt(2) - 1, abs=0.003)
    assert found["effective_number"] / found["documents"] == pytest.approx(2 / np.pi, abs=0.003)


def test_intervals_cover_the_population_and_repeat_with_the_seed():
    """Gini of the amounts of a normal, sqrt(2) - 1, in 40 samples of 500."""
    inside = []
    for seed in range(40):
        influence = np.random.default_rng(seed).normal(size=500)
        low, high = bootstrap_intervals(influence, "both", draws=100, seed=seed).loc["gini"]
        inside.append(low <= np.sqrt(2) - 1 <= high)
    assert np.mean(inside) >= 0.85  # 0.95 stated
    first, again = (bootstrap_intervals(influence, "both", draws=9, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    documents = [*plain_documents(70), long_document(250)]
    return Run(write_tiny_run(tmp_path_factory.mktemp("concentration") / "run [1]", documents, plain_queries()))


def direct(run, query, tokens=None):
    return run.influence(query, tokens)["influence"].to_numpy()


@pytest.mark.parametrize("tokens", [None, [0, 2]])
def test_a_completion_s_concentration_is_that_of_its_ranking(run, tokens):
    table = concentration_of(run, 1, tokens, draws=20)
    assert table[["sign", "measure"]].apply(tuple, axis=1).tolist() == [(s, m) for s in SIGNS for m in MEASURES]
    for sign, rows in table.groupby("sign"):
        assert rows["value"].tolist() == pytest.approx(measures(direct(run, 1, tokens)[None], sign).loc[0].tolist())
    assert (table["low"] <= table["high"]).all() and (table["null_low"] <= table["null_high"]).all()
    values = table.set_index(["sign", "measure"])["value"]
    ranking = headline(rank_documents(run, 1, tokens))
    assert (values["positive", "documents"], values["negative", "documents"]) == (ranking.raised, ranking.lowered)


def test_the_curve_ends_at_one_and_passes_the_ranking_s_share_at_ten(run):
    curve = cumulative_curve(run, 0, draws=30).set_index("rank")
    assert curve.index[:40].tolist() == list(range(1, 41)) and curve.index[-1] == 71
    assert curve["share"].iloc[-1] == pytest.approx(1)
    assert curve.loc[10, "share"] == pytest.approx(headline(rank_documents(run, 0)).top_share)
    assert (curve["null_low"] <= curve["null_high"]).all()
    assert cumulative_curve(run, 0, draws=0).filter(like="low").isna().all(axis=None)


@pytest.mark.parametrize("tokens", [None, [1]])
def test_the_influences_on_tokens_add_up_to_the_completion_s(run, tokens):
    rows = run.tokens_of_query(0)
    found = influence_of_tokens(run, rows if tokens is None else rows[rows["token"].isin(tokens)])
    assert found.sum(0) == pytest.approx(direct(run, 0, tokens), rel=1e-5)
    table = concentration_of(run, 0, tokens, draws=9, signs=["both"]).set_index("measure")
    one = table.loc[["gini", "effective_number"], ["value", "shuffled_low", "shuffled_high"]].to_numpy().T
    assert (np.allclose(one[0], one[1]) and np.allclose(one[0], one[2])) == (tokens is not None)


def test_lorenz_curve_and_tail_are_of_the_documents_with_the_sign(run):
    side = direct(run, 0)[direct(run, 0) > 0]
    place, share = lorenz(side)
    found = lorenz_curve(run, 0)
    assert found["documents"].tolist() == pytest.approx(place.tolist())  # fewer than 200: all of them
    assert found["share"].tolist() == pytest.approx(share.tolist())
    tail = tail_curve(run, 0)
    assert tail["amount"].tolist() == pytest.approx(sorted(side, reverse=True))
    assert tail["share"].iloc[[0, -1]].tolist() == pytest.approx([1 / len(side), 1])


def test_long_curves_are_thinned_and_keep_both_ends(run, monkeypatch):
    heavy = np.random.default_rng(0).pareto(2.0, 5000)
    monkeypatch.setattr("engine.analysis.concentration._influence", lambda *given: heavy)
    monkeypatch.setattr("engine.analysis.concentration._influence_of_each", lambda *given: heavy[None])
    curve, tail = lorenz_curve(run, 0), tail_curve(run, 0)
    assert len(curve) <= 200 and len(tail) <= 200
    assert curve.iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, pytest.approx(1)]]
    assert tail["amount"].iloc[[0, -1]].tolist() == [heavy.max(), heavy.min()]
    assert np.trapezoid(curve["share"], curve["documents"]) == pytest.approx((1 - gini(heavy)) / 2, abs=2e-3)


def test_curves_are_empty_where_no_document_has_the_sign(run, monkeypatch):
    monkeypatch.setattr("engine.analysis.concentration._influence", lambda *given: -np.ones(5))
    monkeypatch.setattr("engine.analysis.concentration._influence_of_each", lambda *given: -np.ones((1, 5)))
    assert lorenz_curve(run, 0).empty and tail_curve(run, 0).empty
    assert cumulative_curve(run, 0, draws=3)["share"].isna().all()


def test_the_tail_is_fitted_to_the_amounts_of_one_sign(run):
    found = tail_of(run, 0, sign="both", draws=5, seed=2)
    assert found == fit_tail(np.abs(direct(run, 0)), draws=5, seed=2)
    with pytest.raises(WhenceError, match="needs at least 50"):
        tail_of(run, 0, sign="positive")


@pytest.mark.parametrize("block", [1, 2**23])
def test_each_completion_token_is_measured_as_if_alone(run, monkeypatch, block):
    monkeypatch.setattr(rare_tokens, "BLOCK", block)
    table = token_concentration(run)
    assert table[["query", "token", "text"]].equals(run.query_tokens[["query", "token", "text"]])
    for row in table[table["query"] < 2].to_dict("records"):
        expected = measures(direct(run, row["query"], [row["token"]])[None], "both").loc[0]
        assert [row[name] for name in MEASURES] == pytest.approx(expected.tolist())
    assert (table["loss"] == 1).all()
    chosen = token_concentration(run, [2, 0], sign="negative")
    assert chosen["query"].unique().tolist() == [0, 2]


@pytest.mark.parametrize("block", [1, 2**23])
def test_whole_completions_are_measured_as_their_rankings(run, monkeypatch, block):
    monkeypatch.setattr(rare_tokens, "BLOCK", block)
    table = token_concentration(run, sign="positive", whole=True)
    assert table["title"].tolist() == run.queries["title"].tolist()
    assert table["loss"].tolist() == (-run.queries["log_prob"]).tolist()
    for row in table.to_dict("records"):
        expected = measures(direct(run, row["query"])[None]).loc[0]
        assert [row[name] for name in MEASURES] == pytest.approx(expected.tolist(), rel=1e-5)


def test_unknown_queries_and_tokens_are_refused(run):
    for queries in ([7], [], [0, 7]):
        with pytest.raises(WhenceError, match="choose of 0 to 2"):
            token_concentration(run, queries)
    for query, tokens in ((7, None), (0, [99]), (0, [-1]), (0, [])):
        with pytest.raises(WhenceError, match="choose of them"):
            inside_documents(run, query, tokens=tokens)


def test_shards_are_read_together(run, tmp_path):
    documents = [*plain_documents(70), long_document(250)]
    parted = Run(write_tiny_run(tmp_path, documents, plain_queries()))
    whole = pq.read_table(parted.folder.shard("documents", 0))
    write_table(whole.slice(0, 40), parted.folder.shard("documents", 0))
    write_table(whole.slice(40), parted.folder.shard("documents", 1))
    pd.testing.assert_frame_equal(token_concentration(parted), token_concentration(run))


def test_frequencies_count_occurrences_and_documents(tmp_path):
    run = Run(write_tiny_run(tmp_path, plain_documents(3), plain_queries()))
    lists = pa.array([[5, 5, 9], [5], []], pa.list_(pa.int32()))
    table = {"document": pa.array(range(3), pa.int32()), "token_ids": lists, "starts": lists, "ends": lists}
    write_table(pa.table(table), run.folder.tokens)
    assert token_frequencies(run).to_numpy().tolist() == [[5, 3, 2], [9, 1, 1]]
    tokens = token_concentration(run).set_index("token_id")
    assert (tokens.loc[[5], ["occurrences", "document_frequency"]].to_numpy() == [3, 2]).all()
    assert (tokens.loc[[0], ["occurrences", "document_frequency"]].to_numpy() == 0).all()  # never in the corpus


@pytest.mark.parametrize("kind", ["position", "prediction"])
def test_the_tokens_inside_a_document_are_measured_as_documents_are(run, kind):
    table = inside_documents(run, 0, kind, tokens=[1]).set_index("document")
    assert table.index.tolist() == run.documents_with_tokens(0, kind)
    stored = run.token_influence(0, 70, kind)
    size = np.abs(stored.of_tokens[1].astype(float))
    row, ordered = table.loc[70], np.sort(size)[::-1] / size.sum()
    assert row["tokens"] == len(size) == 250
    assert row["influence"] == pytest.approx(stored.of_tokens[1].sum(), abs=1e-4)
    assert row[["top_1", "top_10", "top_tenth"]].tolist() == pytest.approx(
        [ordered[0], ordered[:10].sum(), ordered[:25].sum()]
    )
    assert row["l2_l1"] == pytest.approx(np.linalg.norm(size) / size.sum())
    assert row["effective_tokens"] == pytest.approx(row["l2_l1"] ** -2)
    assert row["place"] == pytest.approx((np.arange(250) + 0.5) @ size / size.sum() / 250)
    assert row["place_correlation"] == pytest.approx(pd.Series(size).corr(pd.Series(range(250)), "spearman"))
    # a tiny run's token ids are places: low ones are in every document, high ones in the long one alone
    assert row["frequency_correlation"] == pytest.approx(
        pd.Series(size).corr(token_frequencies(run)["occurrences"].astype(float), "spearman")
    )


def test_a_document_without_influence_and_one_without_tokens_say_nothing(tmp_path):
    documents = [*plain_documents(2), plain_documents(1)[0] | {"id": "empty", "text": "", "title": "Empty"}]
    run = Run(write_tiny_run(tmp_path, documents, plain_queries(), without_tokens=[1]))
    stored = pq.read_table(run.folder.shard("tokens", 0)).to_pylist()
    rows = [row | {"influence": [0.0] * len(row["influence"])} for row in stored]
    shard = run.folder.shard("tokens", 0)
    write_table(pa.Table.from_pylist(rows, pq.read_schema(shard)), shard)
    table = inside_documents(run, 0)
    assert table["document"].tolist() == [0]
    assert table.loc[0, "influence"] == 0
    assert table.loc[0, ["top_1", "effective_tokens", "l2_l1", "place", "place_correlation"]].isna().all()


def test_a_run_without_stored_tokens_gives_an_empty_table(tmp_path):
    run = Run(write_tiny_run(tmp_path, plain_documents(3), plain_queries(), without_tokens=[0, 1, 2]))
    table = inside_documents(run, 0)
    assert len(table) == 0 and "top_tenth" in table
    assert pooled_inside(run, 0).empty


def stored(tmp_path, documents, values, ids):
    """A run whose first completion has these position influences on its first token, none elsewhere."""
    run = Run(write_tiny_run(tmp_path, documents, plain_queries()))
    shard = run.folder.shard("tokens", 0)
    rows = [row for row in pq.read_table(shard).to_pylist() if row["query"] == 0]
    for row in rows:
        flat = np.zeros((len(row["influence"]) // row["positions"], len(ids[row["document"]]) + 1))
        flat[0, 1:] = values[row["document"]]
        row |= {"influence": flat.ravel().tolist(), "positions": flat.shape[1]}
    write_table(pa.Table.from_pylist(rows, pq.read_schema(shard)), shard)
    lists = pa.array(ids, pa.list_(pa.int32()))
    table = {"document": pa.array(range(len(ids)), pa.int32()), "token_ids": lists, "starts": lists, "ends": lists}
    write_table(pa.table(table), run.folder.tokens)
    return run


def test_pooled_shares_worked_out_by_hand(tmp_path):
    """Two documents of ten and five tokens; token 7 occurs 12 times in the corpus, each of the others once."""
    ids = [[7] * 9 + [1], [7] * 3 + [2, 3]]
    values = [[1.0] * 9 + [-9], [-2.0, 0, 0, 1, 1]]
    run = stored(tmp_path, plain_documents(2), values, ids)
    table = pooled_inside(run, 0, draws=50)
    place = table[table["by"] == "place"]
    # the first document fills each tenth; the second the first of every two
    assert place["of_tokens"].tolist() == pytest.approx([0.15, 0.05] * 5)
    assert place["of_influence"].tolist() == pytest.approx(
        [x / 36 for x in (1 + 9, 1, 1, 1, 1, 1, 1 + 4.5, 1, 1 + 4.5, 9)]
    )
    often = table[table["by"] == "frequency"].set_index("first")
    assert often["last"].tolist() == [9, 99]
    assert often["of_tokens"].tolist() == pytest.approx([(1 / 10 + 2 / 5) / 2, (9 / 10 + 3 / 5) / 2])
    assert often["of_influence"].tolist() == pytest.approx([0.5, 0.5])
    assert often["multiplier"].tolist() == pytest.approx([2, 2 / 3])
    assert (table["low"] <= table["multiplier"]).all() and (table["multiplier"] <= table["high"]).all()


def test_documents_inside_are_chosen_by_sign(tmp_path):
    ids = [[1, 2], [1, 2], [1, 2]]
    run = stored(tmp_path, plain_documents(3), [[3.0, -1], [-3.0, 1], [0.0, 0]], ids)
    assert inside_documents(run, 0, sign="positive")["document"].tolist() == [0]
    assert inside_documents(run, 0, sign="negative")["document"].tolist() == [1]
    assert inside_documents(run, 0)["document"].tolist() == [0, 1, 2]
    assert pooled_inside(run, 0, sign="positive", draws=5)["of_influence"].tolist() == pytest.approx([0.75, 0.25, 1])


def test_even_influence_weighs_the_same_everywhere(tmp_path):
    random = np.random.default_rng(0)
    ids = [random.integers(0, 40, 200).tolist() for _ in range(30)]
    run = stored(tmp_path, plain_documents(30), [random.choice([-1.0, 1], 200) for _ in ids], ids)
    table = pooled_inside(run, 0)
    assert table["multiplier"].tolist() == pytest.approx([1] * len(table))


def test_token_influences_of_all_documents_are_those_of_each(run):
    for kind in ("position", "prediction"):
        found = dict(run.token_influences(1, kind))
        assert list(found) == run.documents_with_tokens(1, kind)
        for document in (0, 70):
            assert np.array_equal(found[document].influence, run.token_influence(1, document, kind).influence)


def test_measures_and_curve_made_together_are_those_made_apart(run):
    table, curve = concentration_and_curve(run, 0, None, "both", draws=7)
    pd.testing.assert_frame_equal(table, concentration_of(run, 0, draws=7, signs=["both"]))
    pd.testing.assert_frame_equal(curve, cumulative_curve(run, 0, sign="both", draws=7))


def test_a_tail_is_farther_off_if_its_nearest_fit_is():
    random = np.random.default_rng(0)
    for _ in range(20):
        ordered = -np.sort(-random.pareto(1.5, 300) - 1)
        nearest = _choose(ordered)[2]
        for distance in (0.9 * nearest, nearest, 1.1 * nearest):
            assert _is_farther(ordered, None, distance, 60) == (nearest >= distance)


def test_rows_measured_at_once_are_measured_as_one_by_one(monkeypatch):
    influence = np.random.default_rng(0).standard_normal((5, 40))
    alone = pd.concat([measures(row[None]) for row in influence], ignore_index=True)
    monkeypatch.setattr(of_amounts, "LONG", 1)
    pd.testing.assert_frame_equal(measures(influence), alone, check_exact=True)
