"""The reader, the ranking and the displayed units: numbers add up, and text stays whole."""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st
from toys import QUERIES, TEXTS, documents, write_jsonl

from engine import QuerySettings, Run, RunError, ScoreSettings, fit, query, rank_documents, score, token_influence
from engine.analysis.ranking import BASELINES, headline, strongest
from engine.analysis.rare_tokens import token_frequencies
from engine.analysis.units import display_units
from engine.corpus import Tokens, tokenize
from engine.run import TABLE_OF_KIND, is_run
from engine.store import RunFolder
from engine.writing import write_table

# Scores are stored in float32, so sums of a few of them agree to about 1e-6 of the largest.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def run(toy_run) -> Run:
    return Run(toy_run)


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    found, expected = np.asarray(found), np.asarray(expected)
    return bool(np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max())


# Reader


def test_token_frequencies_are_counted_while_the_corpus_is_read(run, monkeypatch):
    lists = pq.read_table(run.folder.tokens)["token_ids"].to_pylist()
    table = token_frequencies(run).set_index("token_id")
    assert table["occurrences"].to_dict() == Counter(chain.from_iterable(lists))
    assert table["document_frequency"].to_dict() == Counter(chain.from_iterable(map(set, lists)))
    monkeypatch.setattr(RunFolder, "frequencies", Path("none"))  # of an earlier version
    pd.testing.assert_frame_equal(token_frequencies(run).set_index("token_id"), table, check_index_type=False)


def test_documents_and_queries_are_those_of_the_files_in_their_order(run):
    given = documents(20)
    assert run.documents["document"].tolist() == list(range(20))
    for name in ("id", "title", "source", "language"):
        assert run.documents[name].tolist() == [getattr(document, name) for document in given]
    assert [run.text(number) for number in range(20)] == [document.text for document in given]
    for name in QUERIES[0]:
        assert run.queries[name].tolist() == [query[name] for query in QUERIES]


def test_the_tokens_of_a_document_place_it_in_its_text(run, tokenizer):
    for number in (0, 6, 19):
        tokens, expected = run.document_tokens(number), tokenize(tokenizer, run.text(number))
        for name in ("ids", "starts", "ends"):
            assert getattr(tokens, name).tolist() == getattr(expected, name).tolist()
        assert len(tokens) == run.documents["tokens"][number]


def test_the_completion_tokens_joined_are_the_completion_and_their_log_probabilities_add_up(run):
    for number, record in enumerate(QUERIES):
        tokens = run.tokens_of_query(number)
        assert "".join(tokens["text"]) == record["completion"]
        row = run.queries.loc[number]
        assert tokens["log_prob"].sum() == pytest.approx(row["log_prob"])
        assert (tokens["log_prob"] < 0).all()
        assert row["value"] == pytest.approx(row["log_prob"])


def test_the_influence_of_selected_completion_tokens_adds_up_to_the_completion(run):
    whole = run.influence(0)
    count = len(run.tokens_of_query(0))
    single = [run.influence(0, [token])["influence"] for token in range(count)]
    assert close(sum(single), whole["influence"])
    assert close(single[1] + single[4], run.influence(0, [4, 1, 4])["influence"])
    assert close(run.influence(0, range(count))["influence"], whole["influence"])
    assert not close(single[0], single[1])
    names = [name for name in whole if name != "influence"]
    assert run.influence(0, [2])[names].equals(whole[names])


def test_stored_token_influences_add_up_to_the_document_for_each_completion_token(run):
    for number in run.queries["query"]:
        per_token = [run.influence(number, [token]) for token in run.tokens_of_query(number)["token"]]
        for kind in ("position", "prediction"):
            for document in run.documents_with_tokens(number, kind):
                found = run.token_influence(number, document, kind)
                sums = [table.set_index("document").at[document, "influence"] for table in per_token]
                # relative to the sum of magnitudes, since token influences cancel
                assert np.abs(found.influence.sum(1) - sums).max() <= TOLERANCE * np.abs(found.influence).sum(1).max()
                assert found.influence.shape[1] == run.documents["tokens"][document] + 1
                assert np.array_equal(found.of_start, found.influence[:, 0])
                assert found.of_start.any() == (kind == "position")  # no loss term predicts the start token
                assert found.of_tokens.shape[1] == run.documents["tokens"][document]


def test_tokens_are_kept_for_both_ends_of_each_ranking(run):
    for kind, keep in (("position", 5), ("prediction", 2)):
        ranking = rank_documents(run, 0)["document"].tolist()
        assert run.documents_with_tokens(0, kind) == sorted(ranking[:keep] + ranking[-keep:])
        assert run.token_influence(0, ranking[keep], kind) is None


def test_token_influences_computed_on_demand_are_kept_and_have_the_same_sum(toy_run, tmp_path):
    folder = Path(shutil.copytree(toy_run, tmp_path / "run"))
    run = Run(folder)
    middle = rank_documents(run, 1)["document"][10]
    expected = [run.influence(1, [token])["influence"][middle] for token in run.tokens_of_query(1)["token"]]
    for kind in ("position", "prediction"):
        assert run.token_influence(1, middle, kind) is None
        found = token_influence(folder, 1, middle, kind)
        assert np.abs(found.influence.sum(1) - expected).max() <= TOLERANCE * np.abs(found.influence).sum()
        assert np.array_equal(Run(folder).token_influence(1, middle, kind).influence, found.influence)


def test_on_demand_gives_what_the_score_step_stored(toy_run, tmp_path):
    folder = Path(shutil.copytree(toy_run, tmp_path / "run"))
    for kind, table in TABLE_OF_KIND.items():
        document = Run(folder).documents_with_tokens(0, kind)[0]
        stored = Run(folder).token_influence(0, document, kind)
        file = RunFolder(folder).shard(table, 0)
        write_table(pq.read_table(file).slice(0, 0), file)
        assert Run(folder).token_influence(0, document, kind) is None
        assert close(token_influence(folder, 0, document, kind).influence, stored.influence)


@pytest.mark.parametrize("name", ["run [1]", "run?", "*", "it's {1,2}", "[red]"])
def test_a_folder_may_have_any_name_and_its_neighbours_are_not_read(name, toy_run, tmp_path):
    """Brackets, stars and the like are patterns elsewhere."""
    for other in (name, "run 1", "runs", "x"):
        shutil.copytree(toy_run, tmp_path / other)
    found, run = Run(tmp_path / name), Run(toy_run)
    assert found.influence(0).equals(run.influence(0))
    assert found.documents_with_tokens(0) == run.documents_with_tokens(0)
    document, middle = run.documents_with_tokens(0)[0], rank_documents(run, 0)["document"][10]
    assert np.array_equal(found.token_influence(0, document).influence, run.token_influence(0, document).influence)
    assert token_influence(tmp_path / name, 0, middle).influence.any()


def test_many_threads_may_read_one_run(toy_run, run):
    """Each visitor of the pages is a thread."""
    documents = run.documents_with_tokens(0) * 20
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda document: run.token_influence(0, document).influence, documents))
    for document, values in zip(documents, found, strict=True):
        assert np.array_equal(values, run.token_influence(0, document).influence)


def test_names_are_readable(run):
    assert run.name == "Run"
    assert run.model_name == "toy-gpt2"
    assert (run.measurement, run.unit, run.has_start) == ("log_prob", "nats", True)
    assert run.training_windows is None
    assert is_run(run.path)


def test_a_document_or_query_is_found_by_id_and_by_title(run):
    assert run.find_document("d7") == run.find_document("Document 7") == 7
    assert run.find_query("q1") == run.find_query("What is 12 and 30?") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ferry", "no query .* 'ferry' -- did you mean 'When does the ferry leave\\?'\\?"),
        ("When dos the fery leave", "did you mean 'When does the ferry leave\\?'\\?"),
        ("WHAT IS", "did you mean 'What is 12 and 30\\?'\\?"),
        ("xyz", "for example 'When does the ferry leave\\?'"),
        ("(", "no query of this run has the id or title '\\('"),
    ],
)
def test_an_unknown_title_suggests_near_ones(name, message, run):
    with pytest.raises(RunError, match=message):
        run.find_query(name)


def test_a_title_that_several_have_asks_for_the_id(toy_folder, tmp_path):
    records = [vars(document) | {"title": "Same"} for document in documents(4)]
    fit(tmp_path / "run", str(toy_folder), write_jsonl(tmp_path / "c.jsonl", records))
    query(tmp_path / "run", write_jsonl(tmp_path / "q.jsonl", QUERIES))
    score(tmp_path / "run", ScoreSettings(keep_tokens=0, keep_prediction=0))
    run = Run(tmp_path / "run")
    with pytest.raises(RunError, match="4 of the run's document titles are 'Same' -- give the id instead"):
        run.find_document("Same")
    assert run.find_document("d2") == 2
    assert run.documents_with_tokens(0) == []
    assert run.token_influence(0, 0) is None


def test_the_contrast_is_the_difference_of_two_completions(toy_folder, inputs, tmp_path, run):
    fit(tmp_path / "run", str(toy_folder), inputs[0])
    query(tmp_path / "run", inputs[1], QuerySettings(measurement="contrast"))
    score(tmp_path / "run", ScoreSettings(keep_tokens=None, keep_prediction=0, rank_error=0.001))
    contrast = Run(tmp_path / "run")
    tokens = contrast.tokens_of_query(0)
    for side in ("completion", "contrast"):
        assert "".join(tokens.loc[tokens["side"] == side, "text"]) == QUERIES[0][side]
    assert contrast.queries["value"][0] == pytest.approx(
        contrast.queries["log_prob"][0] - tokens.loc[tokens["side"] == "contrast", "log_prob"].sum()
    )
    own = tokens.loc[tokens["side"] == "completion", "token"].tolist()
    both, alone = contrast.influence(0, own)["influence"], run.influence(0)["influence"]
    # the other run's directions are of low rank, within 5%; another sign or side is off by over 100%
    assert (both - alone).abs().max() < 0.15 * alone.abs().max()
    assert np.corrcoef(contrast.influence(0)["influence"], alone)[0, 1] < 0.999


# Ranking


def test_the_ranking_is_by_influence_with_ranks_shares_and_baselines(run):
    ranking = rank_documents(run, 0)
    assert ranking["influence"].is_monotonic_decreasing
    assert ranking["rank"].tolist() == list(range(1, 21))
    table = run.influence(0).set_index("document")
    for name in ("influence", *BASELINES):
        assert ranking[name].tolist() == table.loc[ranking["document"], name].tolist()
    for side in (ranking["influence"] > 0, ranking["influence"] < 0):
        assert side.any()
        assert ranking.loc[side, "share"].sum() == pytest.approx(1)
        assert (ranking.loc[side, "share"] > 0).all()


def test_filters_keep_rank_and_share_among_all_documents(run):
    whole = rank_documents(run, 0)
    for filters, kept in (
        ({"sources": ["Web"]}, whole["source"] == "Web"),
        ({"languages": ["de"]}, whole["language"] == "de"),
        (
            {"sources": ["Web", "Code"], "languages": ["en"]},
            whole["source"].isin(["Web", "Code"]) & (whole["language"] == "en"),
        ),
    ):
        found = rank_documents(run, 0, **filters)
        assert 0 < len(found) < 20
        pd.testing.assert_frame_equal(found, whole[kept].reset_index(drop=True))
    assert len(rank_documents(run, 0, sources=["Nowhere"])) == 0


def test_a_ranking_for_some_completion_tokens_is_by_their_sum(run):
    found = rank_documents(run, 0, tokens=[0, 2]).set_index("document").sort_index()["influence"]
    assert close(found, run.influence(0, [0, 2])["influence"])


def test_the_headline_counts_and_shares(run):
    ranking = rank_documents(run, 0)
    found = headline(ranking)
    positive = ranking["influence"][ranking["influence"] > 0]
    assert (found.documents, found.raised, found.lowered) == (20, len(positive), (ranking["influence"] < 0).sum())
    assert found.total == pytest.approx(ranking["influence"].sum())
    assert found.top_share == pytest.approx(positive.head(10).sum() / positive.sum())
    none = ranking.assign(influence=-ranking["influence"].abs())
    assert headline(none).top_share == 0


def test_the_gradient_cosine_is_a_cosine(run):
    ranking = rank_documents(run, 0)
    assert ranking["gradient_cosine"].abs().max() <= 1 + TOLERANCE
    assert np.sign(ranking["gradient_cosine"]).equals(np.sign(ranking["gradient_dot"]))


# Displayed units

CLUSTERS = [
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "e\u0301\u0323",
    "مُحَمَّد",
    "각",
    "\u1112\u1161\u11ab",
    "🇩🇪🇫🇷",
    "नि",
    "\r\n",
    "\u200f",
    "🚀",
    " the",
    "\x00",
]
TEXT = st.lists(st.one_of(st.sampled_from(CLUSTERS), st.text(max_size=4), st.sampled_from(TEXTS))).map("".join)


def assert_units(text: str, tokens: Tokens) -> None:
    units = display_units(text, tokens)
    assert "".join(text[unit.start : unit.end] for unit in units) == text
    assert all(unit.start < unit.end for unit in units)
    assert sorted(token for unit in units for token in unit.tokens) == list(range(len(tokens)))
    for unit in units:
        for token in unit.tokens:
            assert unit.start <= tokens.starts[token] < tokens.ends[token] <= unit.end
    cuts = {unit.start for unit in units} | {0, len(text)}
    graphemes = {match.start() for match in regex.finditer(r"\X", text)} | {0, len(text)}
    assert cuts <= graphemes
    # the smallest such pieces: every place that tears nothing apart is a cut, if a token begins or ends there
    torn = {place for start, end in zip(tokens.starts, tokens.ends, strict=True) for place in range(start + 1, end)}
    assert ({*tokens.starts.tolist(), *tokens.ends.tolist()} & graphemes) - torn <= cuts


@settings(max_examples=200, deadline=None)
@given(text=TEXT)
@example(text="")
@example(text="".join(CLUSTERS))
@example(text="مرحبا بالعالم")
@example(text="등대는 바위 위에 서 있다")
def test_units_joined_are_the_text_and_every_token_is_in_exactly_one(text, tokenizer):
    assert_units(text, tokenize(tokenizer, text))


@settings(max_examples=100, deadline=None)
@given(text=st.text(min_size=1, max_size=12), data=st.data())
def test_units_hold_for_tokenizers_that_leave_characters_out(text, data):
    """Sentence-piece tokenizers drop blanks; no token covers them."""
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    spans = [span for span in pairwise(places) if data.draw(st.booleans())]
    starts, ends = (np.array([span[side] for span in spans], dtype=np.int32) for side in (0, 1))
    assert_units(text, Tokens(np.zeros(len(spans), np.int32), starts, ends))


def test_the_strongest_documents_are_the_first_of_the_rankings(run):
    assert strongest(run) == {query: int(rank_documents(run, query)["document"][0]) for query in run.queries["query"]}
