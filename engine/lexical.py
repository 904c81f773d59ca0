"""Scores from words alone: the TF-IDF prefilter of Grosse et al. 2023 and the BM25 baseline.

The prefilter's Okapi form has *binary* term counts, so it reduces to the summed IDF of
the tokens shared with the query. The baseline is another thing: full Okapi BM25 over
words (k1 1.5, b 0.75) by bm25s.
"""

import os
from collections.abc import Iterator, Sequence

# bm25s calls JAX where it is installed, which would take three quarters of a GPU's memory for itself.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import bm25s
import numpy as np
import pyarrow.parquet as pq
import regex

from engine.store import RunFolder

MAX_CANDIDATES = 10_000
CANDIDATE_SHARE = 0.1
K1, B = 1.5, 0.75
WORD = regex.compile(r"[\p{L}\p{M}\p{N}_]+")


def token_sets(folder: RunFolder, keep: np.ndarray) -> Iterator[np.ndarray]:
    """For each document the distinct tokens among ``keep`` (bool per token id)."""
    for batch in pq.ParquetFile(folder.tokens).iter_batches(1024, columns=["token_ids"]):
        for tokens in batch["token_ids"]:
            ids = np.unique(np.asarray(tokens.values))
            yield ids[keep[ids]] if len(ids) else ids


def tfidf(folder: RunFolder, query_tokens: Sequence[np.ndarray], vocabulary: int) -> np.ndarray:
    """Summed IDF of the tokens each document shares with each query, float32 ``[queries, documents]``.

    ``IDF = log((C - n + 0.5) / (n + 0.5) + 1)`` with n of C documents holding the token.

    Args:
        folder: The run, for its token table.
        query_tokens: Token ids of prompt and completion of each query.
        vocabulary: Size of the vocabulary.
    """
    wanted = np.zeros(vocabulary, dtype=bool)
    wanted[np.concatenate([np.asarray(tokens) for tokens in query_tokens])] = True
    documents = list(token_sets(folder, wanted))
    holding = np.zeros(vocabulary)
    for tokens in documents:
        holding[tokens] += 1
    idf = np.log((len(documents) - holding + 0.5) / (holding + 0.5) + 1)
    scores = np.zeros((len(query_tokens), len(documents)), dtype=np.float32)
    for row, tokens in enumerate(query_tokens):
        weight = np.zeros(vocabulary)
        weight[np.unique(tokens)] = idf[np.unique(tokens)]
        scores[row] = [weight[shared].sum() for shared in documents]
    return scores


def candidates(scores: np.ndarray) -> np.ndarray:
    """The documents that pass the prefilter, int ``[queries, min(10,000, 10% of the corpus)]``."""
    count = min(MAX_CANDIDATES, max(1, int(np.ceil(CANDIDATE_SHARE * scores.shape[1]))))
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def recall(chosen: np.ndarray, influence: np.ndarray, top: int) -> float:
    """Share of the ``top`` most influential documents of one query that are among ``chosen``."""
    best = np.argsort(-influence, kind="stable")[:top]
    return float(np.isin(best, chosen).mean())


def bm25(folder: RunFolder, query_texts: Sequence[str]) -> np.ndarray:
    """:func:`okapi` of a run's documents."""
    texts: list[str] = []
    for batch in pq.ParquetFile(folder.documents).iter_batches(1024, columns=["text"]):
        texts += batch["text"].to_pylist()
    return okapi(texts, query_texts)


def okapi(texts: Sequence[str], query_texts: Sequence[str]) -> np.ndarray:
    """Okapi BM25 of each text for each query, over lower-cased words, float32 ``[queries, texts]``."""
    words = [_words(text) for text in texts]
    if not any(words):
        return np.zeros((len(query_texts), len(words)), dtype=np.float32)
    index = bm25s.BM25(k1=K1, b=B)
    index.index(words, show_progress=False)
    known = index.vocab_dict
    rows = []
    for text in query_texts:
        shared = [word for word in _words(text) if word in known]
        rows.append(index.get_scores(shared) if shared else np.zeros(len(words)))
    return np.asarray(rows, dtype=np.float32)


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())
