"""Scores from words alone: the TF-IDF prefilter of Grosse et al. 2023 and the BM25 baseline.

The prefilter's Okapi form has *binary* term counts, so it reduces to the summed IDF of
the tokens shared with the query. The baseline is another thing: full Okapi BM25 over
words (k1 1.5, b 0.75; Robertson's, in the form of Lucene). Documents are gone through twice, to count
and to score, and never kept.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import regex

from engine.store import RunFolder
from engine.writing import writing

MAX_CANDIDATES = 10_000
CANDIDATE_SHARE = 0.1
K1, B = 1.5, 0.75
BATCH = 1024
"""Documents that are scored at a time."""
WORD = regex.compile(r"[\p{L}\p{M}\p{N}_]+")


def write_lexical(folder: RunFolder, query_tokens: Sequence[np.ndarray], query_texts: Sequence[str]) -> None:
    """Write a run's table of lexical scores: columns document, ``tfidf.<query>``, ``bm25.<query>``.

    Args:
        folder: The run.
        query_tokens: Token ids of prompt and completion of each query.
        query_texts: Prompt and completion of each query.
    """
    parts = zip(_tfidf(folder, query_tokens), _bm25(folder, query_texts), strict=True)
    kinds, first = ("tfidf", "bm25"), 0
    names = [f"{kind}.{query}" for kind in kinds for query in range(len(query_texts))]
    schema = pa.schema([("document", pa.int32()), *((name, pa.float32()) for name in names)])
    with writing(folder.lexical) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for scores in parts:
            rows = np.concatenate(scores)
            numbers = np.arange(first, first := first + rows.shape[1], dtype=np.int32)
            writer.write_table(pa.table([numbers, *rows], schema=schema))


def tfidf(folder: RunFolder, query_tokens: Sequence[np.ndarray]) -> np.ndarray:
    """Summed IDF of the tokens each document shares with each query, float32 ``[queries, documents]``.

    ``IDF = log((C - n + 0.5) / (n + 0.5) + 1)`` with n of C documents holding the token.

    Args:
        folder: The run, for its token table.
        query_tokens: Token ids of prompt and completion of each query.
    """
    return np.concatenate(list(_tfidf(folder, query_tokens)), axis=1)


def shared_pairs(folder: RunFolder, query_tokens: Sequence[np.ndarray]) -> np.ndarray:
    """:func:`tfidf` of pairs of neighbouring tokens."""
    pairs = [_paired(np.asarray(tokens, dtype=np.int64)) for tokens in query_tokens]
    return np.concatenate(list(_summed_idf(lambda: map(_pairs, _tokens(folder)), pairs)), axis=1)


Held = tuple[np.ndarray, np.ndarray, int]
"""What some documents hold: things ``[n]``, the place among them of the document each is in ``[n]``, their number."""


def _tfidf(folder: RunFolder, query_tokens: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    queries = [np.asarray(tokens, dtype=np.int64) for tokens in query_tokens]
    return _summed_idf(lambda: _tokens(folder), queries)


def _tokens(folder: RunFolder) -> Iterator[Held]:
    for batch in pq.ParquetFile(folder.tokens).iter_batches(BATCH, columns=["token_ids"]):
        lists = batch["token_ids"]
        lengths = lists.value_lengths().to_numpy()
        yield lists.flatten().to_numpy().astype(np.int64), np.repeat(np.arange(len(lists)), lengths), len(lists)


def _pairs(held: Held) -> Held:
    ids, at, count = held
    together = at[:-1] == at[1:]
    return _paired(ids)[together], at[:-1][together], count


def _paired(tokens: np.ndarray) -> np.ndarray:
    """Each token with the next one, as one number."""
    return tokens[:-1] << 32 | tokens[1:]


def _summed_idf(read: Callable[[], Iterable[Held]], queries: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Summed IDF of what documents share with each query, ``[queries, documents of a batch]`` after another."""
    known = np.unique(np.concatenate(queries))
    holding, documents = np.zeros(len(known)), 0
    for held in read():
        holding += np.bincount(_shared(held, known)[1], minlength=len(known))
        documents += held[2]
    idf = _idf(holding, documents)
    weights = [np.where(np.isin(known, query), idf, 0.0) for query in queries]
    for held in read():
        at, places = _shared(held, known)
        yield np.stack([np.bincount(at, of[places], held[2]) for of in weights]).astype(np.float32)


def _shared(held: Held, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Documents and the known things in them, by their places; a document counts once, however often it has one."""
    things, at, _ = held
    if not len(known):
        return at[:0], at[:0]
    places = np.searchsorted(known, things).clip(max=len(known) - 1)
    hit = known[places] == things
    found, thing = np.divmod(np.unique(at[hit] * len(known) + places[hit]), len(known))
    return found, thing


def _idf(holding: np.ndarray, documents: int) -> np.ndarray:
    """IDF of things that so many of the documents hold."""
    idf: np.ndarray = np.log((documents - holding + 0.5) / (holding + 0.5) + 1)
    return idf


def candidates(scores: np.ndarray) -> np.ndarray:
    """The documents that pass the prefilter, int ``[queries, min(10,000, 10% of the corpus)]``."""
    count = min(MAX_CANDIDATES, max(1, int(np.ceil(CANDIDATE_SHARE * scores.shape[1]))))
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def recall(chosen: np.ndarray, best: np.ndarray) -> float:
    """Share of the most influential documents of one query that are among ``chosen``."""
    return float(np.isin(best, chosen).mean())


def bm25(folder: RunFolder, query_texts: Sequence[str]) -> np.ndarray:
    """:func:`okapi` of a run's documents."""
    return np.concatenate(list(_bm25(folder, query_texts)), axis=1)


def okapi(texts: Sequence[str], query_texts: Sequence[str]) -> np.ndarray:
    """Okapi BM25 of each text for each query, over lower-cased words, float32 ``[queries, texts]``.

    A word's ``idf * tf / (tf + k1 (1 - b + b * length / mean length))`` counts as often as the query has it.
    """
    return np.concatenate(list(_okapi(lambda: [texts], query_texts)), axis=1)


def _bm25(folder: RunFolder, query_texts: Sequence[str]) -> Iterator[np.ndarray]:
    def read() -> Iterator[list[str]]:
        for batch in pq.ParquetFile(folder.documents).iter_batches(BATCH, columns=["text"]):
            yield batch["text"].to_pylist()

    return _okapi(read, query_texts)


def _okapi(read: Callable[[], Iterable[Sequence[str]]], query_texts: Sequence[str]) -> Iterator[np.ndarray]:
    """:func:`okapi` of some texts after others, which are read twice."""
    asked = [Counter(_words(text)) for text in query_texts]
    known = {word: place for place, word in enumerate(sorted(set().union(*asked)))}
    times = np.array([[counts[word] for word in known] for counts in asked], dtype=np.float64)
    holding, words, documents = np.zeros(len(known)), 0.0, 0
    for texts in read():
        counts, lengths = _counted(texts, known)
        holding += (counts > 0).sum(0)
        words, documents = words + lengths.sum(), documents + len(texts)
    idf, mean = _idf(holding, documents), max(words / max(documents, 1), 1e-9)
    for texts in read():
        counts, lengths = _counted(texts, known)
        damped = counts + K1 * (1 - B + B * lengths / mean)[:, None]
        yield (times @ (idf * counts / damped).T).astype(np.float32)


def _counted(texts: Sequence[str], known: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """How often each text has each known word, ``[texts, known]``, and its words, ``[texts]``."""
    counts, lengths = np.zeros((len(texts), len(known))), np.zeros(len(texts))
    for row, text in enumerate(texts):
        words = _words(text)
        lengths[row] = len(words)
        for word in words:
            if word in known:
                counts[row, known[word]] += 1
    return counts, lengths


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())
