"""Which of a document's tokens carry its influence: how few, where in the text, rare ones or frequent ones?

Only of documents whose token influences are stored: a completion's strongest at both ends, and
those that somebody asked for. Sizes are meant, whatever the sign; the start token is left out.
"""

from collections.abc import Iterator, Sequence
from math import inf

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from engine.analysis.amounts import Sign, effective_number, top_share
from engine.analysis.rare_tokens import token_frequencies
from engine.analysis.tails import percentiles, rank_correlation
from engine.errors import WhenceError
from engine.run import Run

COLUMNS: tuple[str, ...] = ("document", "influence", "top_1", "top_10", "top_tenth", "effective_tokens", "l2_l1")
COLUMNS += ("place", "place_correlation", "frequency_correlation")
POOLED = ("by", "bin", "first", "last", "of_tokens", "of_influence", "multiplier", "low", "high")
PLACES = 10
"""Parts of a document, equally long."""
FREQUENCIES = (10, 100, 1_000, 10_000)
"""Occurrences in the corpus from which the next bin of tokens begins."""


def inside_documents(
    run: Run, query: int, kind: str = "position", tokens: Sequence[int] | None = None, sign: Sign = "both"
) -> pd.DataFrame:
    """How few of a document's tokens carry its influence, and which.

    Args:
        run: The run.
        query: Number of the query.
        kind: ``position`` or ``prediction``; the first lights up the token before the predicted one.
        tokens: Completion tokens whose influence is added up; None for all.
        sign: Only documents whose tokens' influence adds up to this sign.

    Returns:
        document, title, source, tokens, influence (of its tokens, the start token left out); share of the
        sum of sizes held by the strongest token (top_1), by ten (top_10), by a tenth (top_tenth);
        effective_tokens; l2_l1 (Grosse et al. 2023 take more than 2/3 for noise); place (mean place of the
        influence, from 0, the beginning, to 1; 0.5 if even); Spearman correlation of a token's size with
        its place and with its occurrences in the corpus (place_correlation, frequency_correlation).
    """
    occurrences = _occurrences(run)
    rows = []
    for document, ids, values in _stored(run, query, kind, tokens, sign):
        size, place = np.abs(values), np.arange(len(ids))
        shares = (top_share(size, min(1.0, share)) for share in (1 / len(ids), 10 / len(ids), 0.1))
        effective = effective_number(size)
        middle = size @ (place + 0.5) / len(ids) / size.sum() if size.any() else np.nan
        correlations = (rank_correlation(column, size) for column in (place, occurrences[ids]))
        rows.append((document, values.sum(), *shares, effective, l2_over_l1(size), middle, *correlations))
    types = {"document": np.int64} | dict.fromkeys(COLUMNS[1:], float)
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)
    return run.documents[["document", "title", "source", "tokens"]].merge(table, on="document")


def l2_over_l1(size: np.ndarray) -> float:
    """L2 norm over L1 norm of sizes ``[tokens]``: 1 for a single token, small for many alike, nan where all are 0."""
    return float(effective_number(size) ** -0.5)


def pooled_inside(
    run: Run,
    query: int,
    kind: str = "position",
    tokens: Sequence[int] | None = None,
    sign: Sign = "both",
    draws: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Which tokens carry the influence of the documents together: by place in the text and by frequency.

    Every document counts the same, however long or strong.

    Args:
        run: The run.
        query: Number of the query.
        kind: As of :func:`inside_documents`.
        tokens: As of :func:`inside_documents`.
        sign: As of :func:`inside_documents`.
        draws: Resamples of documents for the interval.
        seed: Of the resamples.

    Returns:
        A row per bin that has tokens: by (``place``: tenths of a document; ``frequency``: occurrences in
        the corpus), bin (from 0), first and last (places from 0 to 1; occurrences, inf at the end),
        of_tokens (share of the documents' tokens in it), of_influence (share of the sum of sizes),
        multiplier (their ratio, 1 if tokens there weigh as much as elsewhere) with its 95% interval low
        and high. Empty without documents.
    """
    occurrences = _occurrences(run)
    by_place, by_frequency = [], []
    for _, ids, values in _stored(run, query, kind, tokens, sign):
        size, count = np.abs(values), len(ids)
        if size.any():
            weights = np.full(count, 1 / count), size / size.sum()
            tenth = np.arange(count) * PLACES // count
            often = np.searchsorted(FREQUENCIES, occurrences[ids], side="right")
            by_place.append([np.bincount(tenth, weight, PLACES) for weight in weights])
            by_frequency.append([np.bincount(often, weight, 1 + len(FREQUENCIES)) for weight in weights])
    if not by_place:
        return pd.DataFrame(columns=list(POOLED))
    places = [place / PLACES for place in range(1 + PLACES)]
    ends = [*(edge - 1 for edge in FREQUENCIES), inf]
    tables = [
        _multipliers(by_place, places[:-1], places[1:], draws, seed).assign(by="place"),
        _multipliers(by_frequency, [1, *FREQUENCIES], ends, draws, seed).assign(by="frequency"),
    ]
    table = pd.concat(tables, ignore_index=True)
    return table.loc[table["of_tokens"] > 0, list(POOLED)].reset_index(drop=True)


def _multipliers(
    shares: Sequence[Sequence[np.ndarray]], first: Sequence[float], last: Sequence[float], draws: int, seed: int
) -> pd.DataFrame:
    """Mean shares of tokens and of influence, their ratio and its interval, a row per bin.

    Args:
        shares: Of tokens and of influence in each bin, ``[documents, 2, bins]``.
        first: Where each bin begins.
        last: Where it ends.
        draws: Resamples of documents.
        seed: Of the resamples.
    """
    count, bins = len(shares), len(first)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws)
    times = np.concatenate([np.ones((1, count)), times])
    drawn = np.tensordot(times, np.array(shares), 1) / count  # [1 + draws, 2, bins]
    ratio = np.divide(drawn[:, 1], drawn[:, 0], out=np.full((len(drawn), bins), np.nan), where=drawn[:, 0] > 0)
    band = [percentiles(column) for column in ratio[1:].T]
    columns = {"bin": range(bins), "first": first, "last": last, "of_tokens": drawn[0, 0], "of_influence": drawn[0, 1]}
    columns |= {"multiplier": ratio[0], "low": [low for low, _ in band], "high": [high for _, high in band]}
    return pd.DataFrame(columns)


def _stored(
    run: Run, query: int, kind: str, tokens: Sequence[int] | None, sign: Sign
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each document with stored token influences: its number, token ids and influences, both ``[tokens]``.

    Raises:
        WhenceError: If a token is not of the completion.
    """
    known = run.tokens_of_query(query)["token"].tolist()
    chosen = known if tokens is None else sorted(set(tokens))
    if not chosen or not set(chosen) <= set(known):
        raise WhenceError(
            f"tokens {chosen} of query {query} -- its completion has {len(known)} tokens -- choose of them."
        )
    ids_of = _token_ids(run, run.documents_with_tokens(query, kind))
    for document, found in run.token_influences(query, kind):
        values = found.of_tokens[chosen].sum(0, dtype=np.float64)
        total = values.sum()
        if len(values) and {"positive": total > 0, "negative": total < 0, "both": True}[sign]:
            yield document, ids_of[document], values


def _token_ids(run: Run, documents: Sequence[int]) -> dict[int, np.ndarray]:
    """Token ids of some documents."""
    if not documents:
        return {}
    wanted = [("document", "in", list(documents))]
    table = pq.read_table(run.folder.tokens, columns=["document", "token_ids"], filters=wanted)
    numbers, ids = table["document"].to_pylist(), table["token_ids"]
    return {number: held.values.to_numpy() for number, held in zip(numbers, ids, strict=True)}


def _occurrences(run: Run) -> np.ndarray:
    """Occurrences in the corpus by token id, up to the highest id in it."""
    table = token_frequencies(run)
    found = np.zeros(int(table["token_id"].max() if len(table) else -1) + 1, dtype=np.int64)
    found[table["token_id"]] = table["occurrences"]
    return found
