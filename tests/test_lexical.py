"""The prefilter is Grosse's formula, the baseline is Okapi BM25, and recall is counted on a full scan."""

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import regex
from toys import QUERIES, documents, write_jsonl

from engine import Run, ScoreSettings, fit, query, score
from engine.lexical import bm25, candidates, recall, shared_pairs, tfidf
from engine.store import RunFolder
from engine.writing import write_table

VOCABULARY = 30
# Sums of a few float64 terms rounded to float32; a wrong k1, b or IDF is off by over 1e-2.
TOLERANCE = 1e-5


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """Token and document tables of 40 documents; one is empty, one has a single token."""
    random = np.random.default_rng(0)
    tokens = [random.zipf(1.4, size=random.integers(2, 30)) % VOCABULARY for _ in range(38)]
    tokens += [np.zeros(0, int), np.array([4])]
    folder = RunFolder(tmp_path)
    write_table(
        pa.table({"token_ids": pa.array([t.astype(np.int32) for t in tokens], pa.list_(pa.int32()))}), folder.tokens
    )
    write_table(pa.table({"text": [" ".join(f"W{token}" for token in t) for t in tokens]}), folder.documents)
    return folder


def tokens_of(folder: RunFolder) -> list[list[int]]:
    return pq.read_table(folder.tokens)["token_ids"].to_pylist()


def test_tfidf_is_the_summed_idf_of_the_shared_tokens(folder):
    """Grosse et al. 2023: Okapi with binary counts; IDF = log((C - n + 0.5) / (n + 0.5) + 1)."""
    queries, held = [[1, 2, 2, 5], [29, 4], [7]], tokens_of(folder)
    found = tfidf(folder, [np.array(tokens) for tokens in queries])
    for row, tokens in enumerate(queries):
        for place, document in enumerate(held):
            expected = 0.0
            for token in set(tokens) & set(document):
                n = sum(token in other for other in held)
                expected += math.log((len(held) - n + 0.5) / (n + 0.5) + 1)
            assert found[row, place] == pytest.approx(expected, abs=TOLERANCE)
    assert found[:, 38].tolist() == [0, 0, 0]
    assert (found > 0).any(1).all()


def test_shared_pairs_count_neighbours_in_their_order(folder):
    queries = [[1, 2, 3, 1, 2], [2, 1]]
    found, held = shared_pairs(folder, [np.array(tokens) for tokens in queries]), tokens_of(folder)
    pairs = [set(pairwise(tokens)) for tokens in held]
    for row, tokens in enumerate(queries):
        for place, own in enumerate(pairs):
            shared = set(pairwise(tokens)) & own
            holding = [sum(pair in other for other in pairs) for pair in shared]
            expected = sum(math.log((len(held) - n + 0.5) / (n + 0.5) + 1) for n in holding)
            assert found[row, place] == pytest.approx(expected, abs=TOLERANCE)
    assert (found > 0).any(1).all()
    assert shared_pairs(folder, [np.array([3]), np.array([], dtype=int)]).tolist() == [[0] * 40] * 2


def okapi(query: str, texts: list[str], k1: float = 1.5, b: float = 0.75) -> list[float]:
    """BM25 by its formula; a word of the query counts as often as it stands there."""
    split = [regex.findall(r"[\p{L}\p{M}\p{N}_]+", text.lower()) for text in texts]
    mean = sum(map(len, split)) / len(split)
    scores = []
    for words in split:
        counts, total = Counter(words), 0.0
        for word in regex.findall(r"[\p{L}\p{M}\p{N}_]+", query.lower()):
            n = sum(word in other for other in split)
            idf = math.log((len(split) - n + 0.5) / (n + 0.5) + 1)
            total += idf * counts[word] / (counts[word] + k1 * (1 - b + b * len(words) / mean)) if n else 0.0
        scores.append(total)
    return scores


def test_bm25_is_okapi(folder):
    texts = pq.read_table(folder.documents)["text"].to_pylist()
    queries = ["w1 W2, w2; w5", "nothing known", "W29 w4!", ""]
    found = bm25(folder, queries)
    assert found == pytest.approx(np.array([okapi(query, texts) for query in queries]), abs=TOLERANCE)
    assert (found[[0, 2]] > 0).any(1).all()
    assert not found[[1, 3]].any()


def test_words_of_any_script_and_with_accents_are_words(tmp_path):
    folder = RunFolder(tmp_path)
    texts = ["Ein ÄRGER", "등대는 바위 위에", "नमस्ते दुनिया", "e\u0301te\u0301 chaud", "under_score 42"]
    write_table(pa.table({"text": texts}), folder.documents)
    found = bm25(folder, ["ärger", "바위", "नमस्ते", "e\u0301te\u0301", "under_score"])
    assert (found > 0).tolist() == np.eye(5, dtype=bool).tolist()


def test_a_corpus_without_words_has_no_bm25(tmp_path):
    folder = RunFolder(tmp_path)
    write_table(pa.table({"text": ["", "!?"]}), folder.documents)
    assert bm25(folder, ["word"]).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("corpus", "expected"), [(1, 1), (9, 1), (20, 2), (21, 3), (99_999, 10_000), (200_000, 10_000)]
)
def test_the_candidates_are_a_tenth_of_the_corpus_at_most_ten_thousand(corpus, expected):
    assert candidates(np.zeros((2, corpus))).shape == (2, expected)


def test_the_candidates_are_the_highest_scores_and_ties_go_by_number():
    scores = np.array([[0, 3, 1, 3, 2, 0, 0, 0, 0, 0, 0]])
    assert candidates(scores).tolist() == [[1, 3]]


def test_recall_is_the_share_of_the_best_that_pass():
    best = np.array([0, 2, 3, 4])
    assert recall(np.array([0, 1, 3]), best[:2]) == 0.5
    assert recall(np.array([0, 2]), best[:2]) == 1.0
    assert recall(np.array([1]), best) == 0.0


@pytest.fixture(scope="module")
def runs(toy_folder, tmp_path_factory) -> dict[bool, Run]:
    """The same corpus with and without the prefilter; large enough for a recall at 10."""
    folder = tmp_path_factory.mktemp("prefilter")
    corpus, queries = write_jsonl(folder / "c.jsonl", documents(105)), write_jsonl(folder / "q.jsonl", QUERIES)

    def compute(prefilter: bool) -> Run:
        run: Path = folder / f"run-{prefilter}"
        fit(run, str(toy_folder), corpus)
        query(run, queries)
        score(run, ScoreSettings(prefilter=prefilter, keep_tokens=2, keep_prediction=1))
        return Run(run)

    return {prefilter: compute(prefilter) for prefilter in (False, True)}


def test_the_prefilter_scores_the_candidates_of_some_query_and_nothing_else(runs):
    full, filtered = runs[False].influence(0).set_index("document"), runs[True].influence(0).set_index("document")
    expected: set[int] = set()
    for number in runs[False].queries["query"]:
        table = runs[False].influence(number)
        expected |= set(candidates(table[["tfidf"]].to_numpy().T)[0].tolist())
    assert set(filtered.index) == expected
    assert len(expected) < 25 < len(full)
    assert runs[True].score["results"]["scored_documents"] == len(expected)
    assert runs[True].score["results"]["candidates_per_query"] == 11
    size = full["influence"].abs().max()
    same = full.loc[filtered.index, "influence"]
    assert (filtered["influence"] - same).abs().max() <= TOLERANCE * size  # batches are others
    assert "prefilter_recall" not in runs[True].score["results"]


def test_the_recall_of_a_full_scan_is_that_of_its_candidates(runs):
    run, shares = runs[False], []
    for number in run.queries["query"]:
        table = run.influence(number)
        best = table.nlargest(10, "influence")["document"]
        chosen = table.sort_values("tfidf", ascending=False, kind="stable")["document"].head(11)
        shares.append(best.isin(chosen).mean())
    assert run.score["results"]["prefilter_recall"] == {"10": pytest.approx(np.mean(shares))}
    assert 0 < np.mean(shares) < 1


def test_the_lexical_scores_of_a_run_are_those_of_its_texts(runs):
    run = runs[False]
    texts = [run.text(document) for document in run.documents["document"]]
    for number, record in enumerate(QUERIES):
        table = run.influence(number)
        asked = record["prompt"] + record["completion"]
        assert table["bm25"].to_numpy() == pytest.approx(np.array(okapi(asked, texts)), abs=TOLERANCE)
        assert table["tfidf"].max() > 0
