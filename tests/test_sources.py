"""Sources: multipliers and signed mass are what a direct count says, and their bands mean what they say."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tiny_run import plain_documents, plain_queries, write_tiny_run

from engine.analysis import matrix, source_bands
from engine.analysis.matrix import influence_matrix, interval, query_draws, scored_influence
from engine.analysis.ranking import rank_documents
from engine.analysis.source_bands import Groups, mass_within
from engine.analysis.sources import (
    differs_most,
    log_ks,
    multipliers,
    multipliers_of_groups,
    queries_by_kind,
    rank_by_mean,
    signed_mass,
    stands_out,
)
from engine.corpus import UNKNOWN_LANGUAGE, UNKNOWN_SOURCE
from engine.errors import WhenceError
from engine.run import Run
from engine.writing import write_table


def put(run: Run, influence: np.ndarray, numbers: Sequence[int] | None = None, shard: int = 0) -> None:
    """Write influence ``[queries, documents]`` as a shard; every completion has one token."""
    documents = np.arange(influence.shape[1]) if numbers is None else np.asarray(numbers)
    columns = {"document": pa.array(documents, pa.int32())}
    columns |= {f"influence.{query}.0": pa.array(row, pa.float32()) for query, row in enumerate(influence)}
    write_table(pa.table(columns), run.folder.shard("documents", shard))
    matrix._kept.cache_clear()  # the shards of a finished run stay as they are


def made(path, sources: Sequence[str], influence: np.ndarray, words: Sequence[int] | None = None) -> Run:
    """A run with these influences, document by document; documents are as many words long as ``words`` says."""
    documents = [
        {"id": f"d{n}", "title": f"T{n}", "language": "en", "source": source, "text": " x" * (words[n] if words else 2)}
        for n, source in enumerate(sources)
    ]
    queries = [
        {"id": f"q{n}", "title": f"Q{n}", "kind": "AB"[n % 2], "language": "en", "prompt": "p", "completion": "c"}
        for n in range(len(influence))
    ]
    run = Run(write_tiny_run(path, documents, queries))
    put(run, influence)
    return run


def cell(table: pd.DataFrame, end: str, k: int, group: str) -> pd.Series:
    rows = table[(table["end"] == end) & (table["k"] == k) & (table["group"] == group)]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Run:
    """Completions of several tokens; two sources, two languages, two kinds."""
    return Run(write_tiny_run(tmp_path_factory.mktemp("sources") / "tiny", plain_documents(37), plain_queries()))


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Run:
    """200 documents, every fourth a book, and 12 queries, to be given influences."""
    sources = ["Book" if n % 4 == 0 else "Web" for n in range(200)]
    return made(tmp_path_factory.mktemp("sources") / "wide", sources, np.zeros((12, 200)))


# Matrix


def test_the_matrix_holds_the_influences_of_the_run(tiny):
    found = influence_matrix(tiny, [2, 0])
    assert found.dtype == np.float32 and found.shape == (2, 37)
    for row, query in zip(found, [2, 0], strict=True):
        direct = tiny.influence(query).set_index("document")["influence"]
        np.testing.assert_array_equal(row, direct.loc[range(37)])


def test_the_matrix_reads_all_shards_and_knows_what_was_not_scored(tmp_path):
    values = np.arange(8, dtype=np.float32).reshape(2, 4)
    run = made(tmp_path / "run", ["A"] * 6, np.zeros((2, 6)))
    put(run, values[:, :2], [4, 0])
    put(run, values[:, 2:], [5, 2], shard=1)
    put(run, values[:, :0], [], shard=2)
    nan = np.nan
    np.testing.assert_array_equal(influence_matrix(run, [0, 1]), [[1, nan, 3, nan, 0, 2], [5, nan, 7, nan, 4, 6]])
    influence, documents = scored_influence(run, [1])
    assert influence.tolist() == [[5, 7, 4, 6]] and documents["document"].tolist() == [0, 2, 4, 5]


def test_the_matrix_knows_long_completions(tmp_path):
    long = plain_queries()[0] | {"completion": " c" * 1500}
    run = Run(write_tiny_run(tmp_path / "[run]", plain_documents(3), [long]))
    shard = pd.read_parquet(run.folder.shard("documents", 0))
    direct = shard.filter(like="influence.0.").sum(axis=1)
    np.testing.assert_allclose(influence_matrix(run, [0])[0], direct, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("tokens", [1, 9, 499, 500, 501, 1100])
def test_a_ranking_and_the_matrix_are_the_same_bits_however_long_the_completion(tmp_path, tokens):
    """duckdb refuses a sum of 1,000 columns; float32 sums depend on their order."""
    run = Run(
        write_tiny_run(tmp_path / "run", plain_documents(40), [plain_queries()[0] | {"completion": " c" * tokens}])
    )
    stored = pd.read_parquet(run.folder.shard("documents", 0)).astype({"document": "int32"})
    stored = stored.astype({name: "float32" for name in stored.columns if name != "document"})
    write_table(pa.Table.from_pandas(stored, preserve_index=False), run.folder.shard("documents", 0))
    expected = np.zeros(40, dtype=np.float32)
    for token in range(tokens):
        expected += stored[f"influence.0.{token}"].to_numpy()
    found = run.influence(0)["influence"]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(influence_matrix(run, [0])[0], expected)
    np.testing.assert_array_equal(run.influence(0, range(tokens))["influence"], expected)


def test_a_run_without_scored_documents_is_refused(tmp_path):
    run = made(tmp_path / "run", ["A"] * 3, np.zeros((1, 3)))
    put(run, np.zeros((1, 0)), [])
    with pytest.raises(WhenceError, match="no scored documents"):
        multipliers(run, [0])


def test_intervals_leave_out_what_is_unknown():
    nan = np.nan
    low, high = interval(np.array([[1.0, nan, nan], [1.0, 2.0, nan], [1.0, 2.0, nan]]))
    np.testing.assert_array_equal(low, [1, 2, nan])
    np.testing.assert_array_equal(high, [1, 2, nan])


def test_queries_are_drawn_with_replacement_after_the_queries_as_they_are():
    drawn = query_draws(5, 50, 3)
    assert drawn.shape == (51, 5) and (drawn[0] == 1).all() and (drawn.sum(1) == 5).all() and drawn.max() > 1


# Multipliers


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        (1, [1]),
        (10, [10]),
        (11, [10, 11]),
        (100, [10, 20, 30, 50, 100]),
        (465, [10, 20, 30, 50, 100, 200, 300, 465]),
        (3767, [10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 3000, 3767]),
    ],
)
def test_ks_go_from_ten_to_all_documents(documents, expected):
    assert log_ks(documents) == expected


def test_multipliers_by_hand(tmp_path):
    # Query 0 ranks documents 0 1 2 3, query 1 ranks 3 1 0 2. "A" is documents 0 and 1, half of the corpus.
    run = made(tmp_path / "run", ["A", "A", "B", "C"], np.array([[4, 3, 2, 1], [2, 3, 1, 4]]), words=[1, 3, 4, 8])
    table = multipliers(run, [0, 1], ks=[1, 2, 4], draws=20)
    top = cell(table, "raised", 2, "A")  # both, then one of the two
    assert top["share"] == 0.75 and top["corpus_share"] == 0.5 and top["multiplier"] == 1.5 and top["documents"] == 2
    assert cell(table, "raised", 1, "C")["multiplier"] == 2
    assert cell(table, "lowered", 1, "B")["multiplier"] == 2
    assert cell(table, "lowered", 2, "A")["multiplier"] == 0.5
    by_tokens = multipliers(run, [0, 1], weight="tokens", ks=[1, 2, 4], draws=20)
    top = cell(by_tokens, "raised", 2, "A")  # 4 of 4 tokens, then 3 of 11; 4 of 16 in the corpus
    assert top["share"] == pytest.approx((1 + 3 / 11) / 2) and top["corpus_share"] == 0.25
    assert top["multiplier"] == pytest.approx((1 + 3 / 11) / 2 / 0.25)


@pytest.mark.parametrize("by", ["source", "language"])
@pytest.mark.parametrize("weight", ["documents", "tokens"])
def test_multipliers_are_those_of_the_rankings(tiny, by, weight):
    table = multipliers(tiny, [0, 1, 2], by=by, weight=weight, draws=5)
    assert table["k"].unique().tolist() == [10, 20, 30, 37]
    for row in table.itertuples():
        shares = []
        for query in range(3):
            ranking = rank_documents(tiny, query).assign(documents=1)
            end = ranking.head(row.k) if row.end == "raised" else ranking.tail(row.k)
            shares.append(end[weight][end[by] == row.group].sum() / end[weight].sum())
        corpus_share = ranking[weight][ranking[by] == row.group].sum() / ranking[weight].sum()
        assert row.share == pytest.approx(np.mean(shares))
        assert row.multiplier == pytest.approx(np.mean(shares) / corpus_share)
        assert row.documents == (tiny.documents[by] == row.group).sum()


@pytest.mark.parametrize("weight", ["documents", "tokens"])
def test_the_whole_corpus_has_multiplier_one_exactly(tmp_path, weight):
    random = np.random.default_rng(0)
    sources, words = [f"S{n}" for n in random.integers(7, size=53)], random.integers(1, 30, 53).tolist()
    run = made(tmp_path / "run", sources, random.normal(size=(11, 53)), words)
    table = multipliers(run, range(11), weight=weight, ks=[10, 10**6], draws=50)
    assert table["k"].unique().tolist() == [10, 53]
    whole = table[table["k"] == 53]
    assert (whole[["multiplier", "low", "high", "null_low", "null_high"]] == 1).all(axis=None)
    assert (whole["share"] == whole["corpus_share"]).all()
    assert whole["share"].sum() == pytest.approx(2)  # both ends


@pytest.mark.parametrize("documents", [1, 7, 60])
def test_resampled_documents_count_as_if_they_were_repeated(documents, monkeypatch):
    """The fast path (cumulative weights) against its slow reference (a corpus with documents repeated)."""
    monkeypatch.setattr("engine.analysis.source_bands.BLOCK", 3 * documents)  # blocks of 3 draws, the last one shorter
    random = np.random.default_rng(documents)
    of = np.unique(random.integers(4, size=documents), return_inverse=True)[1]
    groups = Groups([str(n) for n in range(of.max() + 1)], of, random.integers(0, 9, documents))
    weights = random.multinomial(documents, np.full(documents, 1 / documents), 10).astype(np.uint8)
    order, cuts = random.permutation(documents), np.arange(documents + 1)
    found = mass_within(order, groups, weights, cuts)
    for draw, row in enumerate(weights):
        repeated = np.repeat(order, row[order])
        for cut in cuts:
            top = repeated[:cut]
            expected = np.bincount(of[top], groups.mass[top], len(groups.names))
            np.testing.assert_array_equal(found[draw, cut], expected)


def test_a_planted_source_is_found_with_the_right_multiplier(wide):
    # Books, a quarter of the corpus, fill the top 20 of one half of the queries, and the bottom 20 of the other.
    random = np.random.default_rng(1)
    influence = random.uniform(-1, 1, (12, 200))
    for query in range(12):
        books = random.permutation(np.arange(0, 200, 4))[:20]
        influence[query, books] += 5 if query % 2 else -5
    put(wide, influence)
    table = multipliers(wide, range(12), ks=[20, 200])
    by_kind = multipliers_of_groups(wide, queries_by_kind(wide), ks=[20, 200])
    assert by_kind["queries"].unique().tolist() == ["A", "B"]
    raised = cell(by_kind[by_kind["queries"] == "B"], "raised", 20, "Book")
    assert raised["multiplier"] == 4 and raised["share"] == 1
    assert raised["low"] > raised["null_high"] > 1 > raised["null_low"]
    lowered = cell(by_kind[by_kind["queries"] == "A"], "lowered", 20, "Book")
    assert lowered["multiplier"] == 4 and lowered["low"] > lowered["null_high"]
    both = cell(table, "raised", 20, "Book")
    others = cell(by_kind[by_kind["queries"] == "A"], "raised", 20, "Book")
    assert both["multiplier"] == pytest.approx((4 + others["multiplier"]) / 2)
    assert both["low"] < both["multiplier"] < both["high"]


def test_shuffled_labels_have_multiplier_one_within_both_bands(tmp_path):
    """Over many shuffles each 95% band holds what it says; all documents share a rank between queries."""
    random = np.random.default_rng(2)
    influence = random.normal(size=120) + 0.5 * random.normal(size=(6, 120))
    run = made(tmp_path / "run", ["Web"] * 120, influence)
    inside = []
    for seed in range(40):
        run.documents["source"] = random.permutation(["Book"] * 40 + ["Web"] * 80)
        row = cell(multipliers(run, range(6), ks=[30], draws=80, seed=seed), "raised", 30, "Book")
        inside.append((row["low"] <= 1 <= row["high"], row["null_low"] <= row["multiplier"] <= row["null_high"]))
    # 38 of 40 expected; fewer than 33 would happen once in a thousand times at 93%.
    assert (np.sum(inside, 0) >= 33).all(), np.sum(inside, 0)


@pytest.mark.parametrize("weigh", [False, True])
def test_shuffling_the_labels_of_the_top_alone_gives_the_band_of_shuffling_all(weigh, monkeypatch):
    random = np.random.default_rng(0)
    influence, of = random.normal(size=(4, 3000)), random.choice(4, 3000, p=[0.6, 0.3, 0.08, 0.02])
    influence[1:] += influence[0]
    mass = random.integers(50, 150, 3000) if weigh else np.ones(3000, dtype=np.int64)
    ks, groups = np.array([10, 100, 500, 2000, 3000]), source_bands.Groups(list("abcd"), of, mass)
    low, high = interval(source_bands.shuffled_labels(source_bands.rankings(influence), groups, ks, 1500, 0))
    monkeypatch.setattr(source_bands, "FEW_ENOUGH", 1000)
    monkeypatch.setattr(source_bands, "LARGE_TOP", 200)
    found = source_bands.shuffled_labels(source_bands.rankings(influence), groups, ks, 1500, 0)
    assert (found[:, :, -1] == 1).all()
    apart = np.abs(np.stack(interval(found)) - [low, high])[:, :, :-1] / (high - low)[:, :-1]
    assert apart[:, :, 0].max() < 0.35  # of ten documents a share has steps
    assert apart[:, :, 1:].max() < 0.2


@pytest.mark.parametrize("weigh", [False, True])
def test_resampling_in_blocks_gives_the_interval_of_resampling_documents(weigh, monkeypatch):
    random = np.random.default_rng(0)
    influence, of = random.normal(size=(3, 4000)), random.choice(4, 4000, p=[0.6, 0.3, 0.08, 0.02])
    influence[1:] += influence[0]
    influence += of / 4
    mass = random.integers(50, 150, 4000) if weigh else np.ones(4000, dtype=np.int64)
    ks, groups = np.array([30, 100, 700, 2500, 4000]), source_bands.Groups(list("abcd"), of, mass)
    picks = query_draws(3, 1500, 0)
    slow = source_bands.resampled(source_bands.rankings(influence), groups, ks, picks, 0)
    monkeypatch.setattr(source_bands, "FEW_ENOUGH", 1000)
    fast = source_bands.resampled(source_bands.rankings(influence), groups, ks, picks, 0)
    assert np.array_equal(fast[0], slow[0]) and not np.array_equal(fast, slow)
    assert (fast[:, :, -1] == 1).all()
    low, high = interval(slow[1:, :, :-1])
    assert (np.abs(np.stack(interval(fast[1:, :, :-1])) - [low, high]) / (high - low)).max() < 0.15


@pytest.mark.parametrize("weigh", [False, True])
def test_documents_far_from_every_end_are_resampled_by_their_number(weigh, monkeypatch):
    random = np.random.default_rng(0)
    influence, of = random.normal(size=(1, 20_000)), random.choice(3, 20_000, p=[0.5, 0.3, 0.2])
    influence += of / 4
    mass = random.integers(50, 150, 20_000) if weigh else np.ones(20_000, dtype=np.int64)
    orders, groups = source_bands.rankings(influence), source_bands.Groups(list("abc"), of, mass)
    ks, picks = np.array([15, 40]), np.ones((1001, 1))
    slow = source_bands.resampled(orders, groups, ks, picks, 0)
    monkeypatch.setattr(source_bands, "FEW_ENOUGH", 1000)
    put_together, made = source_bands._as_one, []
    monkeypatch.setattr(source_bands, "_as_one", lambda *given: made.append(put_together(*given)) or made[0])
    fast = source_bands.resampled(orders, groups, ks, picks, 0)
    assert made[0][1].sum() == 20_000 and made[0][2].sum() == mass.sum() and len(made[0][1]) < 2_000
    assert np.array_equal(fast[0], slow[0])
    low, high = interval(slow[1:])
    assert (np.abs(np.stack(interval(fast[1:])) - [low, high]) / (high - low)).max() < 0.2


def test_intervals_cover_the_multiplier_of_other_queries_and_documents(wide):
    """New queries and documents each time: the interval holds their mean multiplier about 95 times of 100."""
    books = np.arange(200) % 4 == 0

    def draw(seed: int, draws: int) -> pd.Series:
        random = np.random.default_rng(seed)
        of_document, of_query = 0.7 * random.normal(size=200), 0.5 * random.normal(size=(12, 1))
        put(wide, 0.7 * books + of_document + of_query * books + 0.7 * random.normal(size=(12, 200)))
        return cell(multipliers(wide, range(12), ks=[40], draws=draws, seed=seed), "raised", 40, "Book")

    truth = np.mean([draw(seed, 1)["multiplier"] for seed in range(1000, 1100)])
    rows = [draw(seed, 80) for seed in range(40)]
    covered = sum(row["low"] <= truth <= row["high"] for row in rows)
    assert truth > 1.5
    assert covered >= 36, covered
    widths = np.mean([row["high"] - row["low"] for row in rows])
    spread = np.std([row["multiplier"] for row in rows])
    # 1.3; the square root of 3 where nothing is shared (Owen 2007). Documents alone, or queries alone: 0.9.
    assert 1.05 < widths / (2 * 1.96 * spread) < 1.8


def test_results_repeat_and_the_seed_changes_only_the_bands(tiny):
    first, again, other = (multipliers(tiny, [0, 1, 2], ks=[10], draws=30, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_series_equal(first["multiplier"], other["multiplier"])
    assert not first["high"].equals(other["high"])


def test_one_source_has_multiplier_one_everywhere(tmp_path):
    run = made(tmp_path / "run", ["Only"] * 15, np.random.default_rng(3).normal(size=(2, 15)))
    table = multipliers(run, [0, 1], ks=[1, 5, 15], draws=10)
    assert (table[["multiplier", "low", "high"]] == 1).all(axis=None)
    np.testing.assert_allclose(table[["null_low", "null_high"]], 1)  # sums of parts, rounded
    assert (signed_mass(run, [0, 1])["share"].iloc[:2] == 1).all()


def test_documents_that_name_no_source_are_one_group(tmp_path):
    run = made(tmp_path / "run", ["", "A", UNKNOWN_SOURCE, ""], np.array([[4, 3, 2, 1]]))
    table = multipliers(run, [0], ks=[2], draws=5)
    assert cell(table, "raised", 2, UNKNOWN_SOURCE)["documents"] == 3 and set(table["group"]) == {"A", UNKNOWN_SOURCE}
    run.documents["language"] = ["", "en", None, UNKNOWN_LANGUAGE]
    assert set(signed_mass(run, [0], by="language")["group"]) == {"en", UNKNOWN_LANGUAGE}


def test_a_document_that_resampling_left_out_says_nothing_and_one_without_tokens_has_no_multiplier(tmp_path):
    run = made(tmp_path / "run", ["Rare", *["Web"] * 11], -np.arange(12.0)[None], [0, *[2] * 11])
    row = cell(multipliers(run, [0], ks=[3], draws=100), "raised", 3, "Rare")
    assert row["multiplier"] == 4 and 0 < row["low"] <= 4 <= row["high"]  # it is first whenever it is there
    row = cell(multipliers(run, [0], weight="tokens", ks=[3], draws=100), "raised", 3, "Rare")
    assert row["share"] == row["corpus_share"] == 0 and np.isnan(row[["multiplier", "low", "high"]].astype(float)).all()


def test_only_scored_documents_are_ranked_and_make_up_the_corpus(tmp_path):
    run = made(tmp_path / "run", ["A", "B", "A", "B", "B", "C"], np.zeros((1, 6)))
    put(run, np.array([[3.0, 2.0, -1.0]]), [0, 1, 4])
    table = multipliers(run, [0], ks=[1, 6], draws=5)
    row = cell(table, "raised", 1, "A")
    assert table["k"].max() == 3 and set(table["group"]) == {"A", "B"}
    assert row["corpus_share"] == 1 / 3 and row["multiplier"] == 3 and row["documents"] == 1
    assert signed_mass(run, [0])["documents"].tolist() == [1, 2] * 3


# Two groups of queries side by side


def test_the_difference_of_two_groups_by_hand(tmp_path):
    # Of documents A A B B, query 0 has both A on top, query 1 one of each, query 2 both B.
    influence = np.array([[4, 3, 2, 1], [4, 2, 3, 1], [2, 1, 4, 3]])
    run = made(tmp_path / "run", ["A", "A", "B", "B"], influence)
    table = multipliers_of_groups(run, {"one": [0], "two": [1], "three": [2, 1]}, ks=[2, 4], draws=30)
    differences = {
        (row.queries, row.group): row.difference
        for row in table[(table["end"] == "raised") & (table["k"] == 2)].itertuples()
    }
    assert differences == {
        ("one", "A"): 0, ("one", "B"): 0, ("two", "A"): -1, ("two", "B"): 1, ("three", "A"): -1.5, ("three", "B"): 1.5,
    }  # fmt: skip
    whole = table[table["k"] == 4]
    assert (whole[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)


def test_a_group_has_the_same_numbers_alone_and_beside_another_and_no_difference_to_itself(wide):
    put(wide, np.random.default_rng(4).normal(size=(12, 200)))
    beside = multipliers_of_groups(wide, {"odd": [1, 3, 5], "even": [0, 2, 4], "again": [1, 3, 5]}, ks=[20], draws=40)
    alone = multipliers(wide, [0, 2, 4], ks=[20], draws=40)
    pd.testing.assert_frame_equal(beside[beside["queries"] == "even"][alone.columns].reset_index(drop=True), alone)
    again = beside[beside["queries"] == "again"]
    assert (again[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    even = beside[beside["queries"] == "even"]
    assert (even["difference_low"] < even["difference_high"]).all()


def test_the_interval_of_a_difference_holds_it_as_often_as_it_says(wide):
    """Books count for more in odd queries, and by which documents is common to both groups."""
    books, odd = np.arange(200) % 4 == 0, np.arange(12)[:, None] % 2

    def draw(seed: int, draws: int) -> pd.Series:
        random = np.random.default_rng(seed)
        of_document, of_query = 0.7 * random.normal(size=200), 0.3 * random.normal(size=(12, 1))
        put(wide, (0.3 + 0.5 * odd + of_query) * books + of_document + 0.7 * random.normal(size=(12, 200)))
        table = multipliers_of_groups(wide, queries_by_kind(wide), ks=[40], draws=draws, seed=seed)
        return cell(table[table["queries"] == "B"], "raised", 40, "Book")

    truth = np.mean([draw(seed, 1)["difference"] for seed in range(1000, 1060)])
    rows = [draw(seed, 80) for seed in range(40)]
    assert truth > 0.3
    # 38 of 40 expected; fewer than 34 would happen once in a hundred times.
    assert sum(row["difference_low"] <= truth <= row["difference_high"] for row in rows) >= 34
    widths = np.mean([row["difference_high"] - row["difference_low"] for row in rows])
    # 1.21; 1.48 where the two groups do not meet the same resampled documents.
    assert 1.05 < widths / (2 * 1.96 * np.std([row["difference"] for row in rows])) < 1.35


# What stands out


def test_what_stands_out_is_the_highest_multiplier_that_chance_does_not_explain():
    def row(group: str, multiplier: float, low: float, null_high: float, end: str = "raised", k: int = 10) -> dict:
        return {"end": end, "k": k, "group": group, "multiplier": multiplier, "low": low, "null_high": null_high}

    rows = [row("rare", 9, 0, 4), row("sure", 2, 1.6, 1.3), row("strong", 3, 1.5, 1.4), row("even", 5, 1.4, 1.4)]
    rows += [row("less", 0.9, 0.8, 0.7), row("other k", 8, 7, 1, k=20), row("other end", 8, 7, 1, end="lowered")]
    table = pd.DataFrame(rows)
    assert stands_out(table, 10)["group"] == "strong"
    assert stands_out(table, 20)["group"] == "other k"
    assert stands_out(table, 10, "lowered")["group"] == "other end"
    assert stands_out(table.iloc[[0, 3, 4]], 10) is None and stands_out(table, 30) is None


def test_nothing_stands_out_where_the_end_is_the_whole_corpus(tiny):
    assert stands_out(multipliers(tiny, [0, 1], ks=[37], draws=20), 37) is None


def test_two_groups_differ_most_where_the_interval_leaves_out_zero():
    rows = [("first", "A", 0, 0, 0), ("first", "B", 0, 0, 0), ("second", "A", 3, -1, 6), ("second", "B", -2, -3, -1),
            ("second", "C", 1, 0.5, 2)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["queries", "group", "difference", "difference_low", "difference_high"])
    table = table.assign(end="raised", k=10)
    assert differs_most(table, 10)["group"] == "B"
    assert differs_most(table.iloc[:3], 10) is None
    assert differs_most(table, 10, "lowered") is None and differs_most(table, 20) is None


# Documents of a group of queries


def test_documents_rank_by_their_mean_influence_on_the_group(tmp_path):
    run = made(tmp_path / "run", ["A", "", "A"], np.array([[1, 2, 3], [9, 9, 9], [-5, 4, 3]]))
    table = rank_by_mean(run, [2, 0])
    assert table["id"].tolist() == ["d1", "d2", "d0"] and table["rank"].tolist() == [1, 2, 3]
    assert table["influence"].tolist() == [3, 3, -2] and table["group"].tolist() == [UNKNOWN_SOURCE, "A", "A"]
    assert table["raised"].tolist() == [2, 2, 1] and table["lowered"].tolist() == [0, 0, 1]
    assert table["raised_most"].tolist() == [2, 2, 0] and table["lowered_most"].tolist() == [0, 2, 2]
    of_a = table[table["group"] == "A"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rank_by_mean(run, [2, 0], group="A"), of_a)


def test_the_ranking_of_a_single_query_is_that_of_its_page(tiny):
    found, page = rank_by_mean(tiny, [1], "language"), rank_documents(tiny, 1)
    assert found["document"].tolist() == page["document"].tolist()
    np.testing.assert_allclose(found["influence"], page["influence"], rtol=1e-5, atol=1e-5)
    assert found["group"].tolist() == page["language"].tolist()


# Signed mass


def test_signed_mass_by_hand(tmp_path):
    run = made(tmp_path / "run", ["A", "B", "A", "B"], np.array([[3, 1, -2, 0], [0, 30, -10, -30]]))
    table = signed_mass(run, [0, 1]).set_index(["mass", "group"])
    expected = {  # means over the two queries
        ("positive", "A"): (1.5, (3 / 4 + 0) / 2),
        ("positive", "B"): (15.5, (1 / 4 + 1) / 2),
        ("negative", "A"): (-6, (1 + 10 / 40) / 2),
        ("negative", "B"): (-15, (0 + 30 / 40) / 2),
        ("net", "A"): (-4.5, (1 / 6 - 10 / 70) / 2),
        ("net", "B"): (0.5, (1 / 6 + 0) / 2),
    }
    for key, (influence, share) in expected.items():
        row = table.loc[key]
        assert row["influence"] == pytest.approx(influence) and row["share"] == pytest.approx(share)
        assert row["low"] <= influence <= row["high"] and row["share_low"] <= share <= row["share_high"]
        assert row["corpus_share"] == 0.5 and row["documents"] == 2
    assert table.loc[("positive", "B"), "low"] == 1 and table.loc[("positive", "B"), "high"] == 30  # one query or other


@pytest.mark.parametrize("by", ["source", "language"])
def test_signed_mass_is_that_of_the_rankings(tiny, by):
    table = signed_mass(tiny, [0, 1, 2], by=by).set_index(["mass", "group"])
    sums = []
    for query in range(3):
        ranking = rank_documents(tiny, query)
        for mass, values in (
            ("positive", ranking["influence"].clip(lower=0)),
            ("negative", ranking["influence"].clip(upper=0)),
            ("net", ranking["influence"]),
        ):
            whole = ranking["influence"].abs().sum() if mass == "net" else values.sum()
            direct = values.groupby(ranking[by]).sum()
            sums += [(mass, group, value, value / whole) for group, value in direct.items()]
    direct = pd.DataFrame(sums, columns=["mass", "group", "influence", "share"]).groupby(["mass", "group"]).mean()
    for column in ("influence", "share"):
        found = table[column].loc[direct.index]
        np.testing.assert_allclose(found, direct[column], rtol=1e-5, atol=1e-5)


def test_a_single_query_has_signed_mass_without_an_interval(tmp_path):
    run = made(tmp_path / "run", ["A", "B"], np.array([[1.0, 2.0]]))
    table = signed_mass(run, [0])
    assert table[["low", "high", "share_low", "share_high"]].isna().all(axis=None)
    assert table["share"].tolist() == pytest.approx([1 / 3, 2 / 3, 0, 0, 1 / 3, 2 / 3])  # nothing lowers: share 0


# Refusals


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"queries": []}, "no queries were chosen"),
        ({"queries": [0, 9]}, "query 9 is not in this run -- it has queries 0 to 2"),
        ({"by": "colour"}, "by 'colour' is unknown -- choose one of source, language"),
        ({"weight": "letters"}, "weight 'letters' is unknown -- choose one of documents, tokens"),
        ({"ks": [5, 0]}, r"k \[5, 0\]"),
        ({"ks": []}, r"k \[\]"),
        ({"draws": 0}, "0 draws"),
    ],
)
def test_wrong_requests_are_refused(tiny, asked, message):
    with pytest.raises(WhenceError, match=message):
        multipliers(tiny, **({"queries": [0]} | asked))


def test_signed_mass_and_comparisons_refuse_alike(tiny):
    with pytest.raises(WhenceError, match="no queries were chosen"):
        signed_mass(tiny, [])
    with pytest.raises(WhenceError, match="0 draws"):
        signed_mass(tiny, [0], draws=0)
    with pytest.raises(WhenceError, match="no groups of queries"):
        multipliers_of_groups(tiny, {})
    with pytest.raises(WhenceError, match="no queries were chosen"):
        multipliers_of_groups(tiny, {"some": [0], "none": []})
    with pytest.raises(WhenceError, match="by 'colour' is unknown"):
        rank_by_mean(tiny, [0], "colour")
