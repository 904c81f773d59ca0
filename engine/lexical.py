"""Scores from words alone: the TF-IDF prefilter of Grosse et al. 2023 and the BM25 baseline.

The prefilter's Okapi form has *binary* term counts, so it reduces to the summed IDF of
the tokens shared with the query. The baseline is another thing: full Okapi BM25 over
words (k1 1.5, b 0.75) by bm25s.
"""

import os
from collections.abc import Iterable, Sequence

# bm25s calls JAX where it is installed, which would take three quarters of a GPU's memory for itself.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import bm25s
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import regex

from engine.store import RunFolder, write_table

MAX_CANDIDATES = 10_000
CANDIDATE_SHARE = 0.1
K1, B = 1.5, 0.75
WORD = regex.compile(r"[\p{L}\p{M}\p{N}_]+")


def write_lexical(folder: RunFolder, query_tokens: Sequence[np.ndarray], query_texts: Sequence[str]) -> None:
    """Write a run's table of lexical scores: columns document, ``tfidf.<query>``, ``bm25.<query>``.

    Args:
        folder: The run.
        query_tokens: Token ids of prompt and completion of each query.
        query_texts: Prompt and completion of each query.
    """
    scores = {"tfidf": tfidf(folder, query_tokens), "bm25": bm25(folder, query_texts)}
    columns = {"document": np.arange(scores["tfidf"].shape[1], dtype=np.int32)}
    columns |= {f"{name}.{query}": row for name, rows in scores.items() for query, row in enumerate(rows)}
    write_table(pa.table(columns), folder.lexical)


def tfidf(folder: RunFolder, query_tokens: Sequence[np.ndarray]) -> np.ndarray:
    """Summed IDF of the tokens each document shares with each query, float32 ``[queries, documents]``.

    ``IDF = log((C - n + 0.5) / (n + 0.5) + 1)`` with n of C documents holding the token.

    Args:
        folder: The run, for its token table.
        query_tokens: Token ids of prompt and completion of each query.
    """
    queries = [np.asarray(tokens, dtype=np.int64) for tokens in query_tokens]
    return _summed_idf(_tokens(folder), queries, pq.read_metadata(folder.tokens).num_rows)


def shared_pairs(folder: RunFolder, query_tokens: Sequence[np.ndarray]) -> np.ndarray:
    """:func:`tfidf` of pairs of neighbouring tokens."""
    pairs = [_paired(np.asarray(tokens, dtype=np.int64)) for tokens in query_tokens]
    held = ((_paired(ids), at[:-1], at[:-1] == at[1:]) for ids, at, _ in _tokens(folder))
    return _summed_idf(held, pairs, pq.read_metadata(folder.tokens).num_rows)


Held = Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]
"""What documents hold, in parts: things ``[n]``, the document each is in ``[n]``, and which of them count ``[n]``."""


def _tokens(folder: RunFolder) -> Held:
    first = 0
    for batch in pq.ParquetFile(folder.tokens).iter_batches(1024, columns=["token_ids"]):
        lists = batch["token_ids"]
        lengths = lists.value_lengths().to_numpy()
        ids = lists.flatten().to_numpy().astype(np.int64)
        yield ids, np.repeat(np.arange(first, first + len(lists)), lengths), np.ones(len(ids), dtype=bool)
        first += len(lists)


def _paired(tokens: np.ndarray) -> np.ndarray:
    """Each token with the next one, as one number."""
    return tokens[:-1] << 32 | tokens[1:]


def _summed_idf(held: Held, queries: Sequence[np.ndarray], documents: int) -> np.ndarray:
    known = np.unique(np.concatenate(queries))
    if not len(known):
        return np.zeros((len(queries), documents), dtype=np.float32)
    shared = []
    for things, at, count in held:
        places = np.searchsorted(known, things).clip(max=len(known) - 1)
        hit = count & (known[places] == things)
        shared.append(np.unique(at[hit] * len(known) + places[hit]))  # a document counts once, however often it has it
    at, places = np.divmod(np.concatenate(shared), len(known))
    holding = np.bincount(places, minlength=len(known))
    idf = np.log((documents - holding + 0.5) / (holding + 0.5) + 1)
    weights = (np.where(np.isin(known, query), idf, 0.0)[places] for query in queries)
    return np.stack([np.bincount(at, of, documents) for of in weights]).astype(np.float32)


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
