"""Do frequent tokens draw on more documents than rare ones?

Each completion token is a completion of its own here: its concentration stands beside its
frequency in the corpus and its loss, since a rare token is also a surprising one.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from engine.analysis.amounts import MEASURES, Sign, measures
from engine.analysis.concentration import influence_of_tokens
from engine.analysis.tails import cluster_interval, permutation_p, rank_correlation
from engine.errors import WhenceError
from engine.run import Run
from engine.tables import open_tables

BLOCK = 2**23
"""Influences in memory at once."""
FREQUENCIES = ["token_id", "occurrences", "document_frequency"]
LOSS_BINS = 10
"""Bins of the tokens' loss, for matching."""


def token_concentration(
    run: Run, queries: Sequence[int] | None = None, sign: Sign = "both", whole: bool = False
) -> pd.DataFrame:
    """Concentration of every completion token, beside its frequency in the corpus and its loss.

    Args:
        run: The run.
        queries: Numbers of queries; None for all.
        sign: What to measure.
        whole: One row per completion instead, its tokens' influences added up.

    Returns:
        query, then token, token_id, text, side, loss (nats), occurrences, document_frequency (documents
        that hold it), or for whole completions title, kind, language, loss; then :data:`MEASURES`.
    """
    wanted = run.queries["query"].tolist() if queries is None else list(queries)
    if not wanted or not set(wanted) <= set(run.queries["query"]):
        raise WhenceError(f"queries {wanted} -- there is nothing to measure -- choose of 0 to {len(run.queries) - 1}.")
    chosen = run.query_tokens[run.query_tokens["query"].isin(wanted)]
    tables = []
    for rows, influence in _blocks(run, chosen):
        if whole:
            starts = np.flatnonzero(np.diff(rows["query"], prepend=-1))
            rows, influence = rows.iloc[starts], np.add.reduceat(influence, starts, axis=0)
        tables.append(pd.concat([rows.reset_index(drop=True), measures(influence, sign)], axis=1))
    table = pd.concat(tables, ignore_index=True)
    if whole:
        table = table[["query", *MEASURES]].merge(run.queries, on="query").assign(loss=lambda t: -t["log_prob"])
        return table[["query", "title", "kind", "language", "loss", *MEASURES]]
    table = table.merge(token_frequencies(run), on="token_id", how="left").assign(loss=lambda t: -t["log_prob"])
    counts = ["occurrences", "document_frequency"]
    table[counts] = table[counts].fillna(0).astype(np.int64)
    return table[["query", "token", "token_id", "text", "side", "loss", *counts, *MEASURES]]


def token_frequencies(run: Run) -> pd.DataFrame:
    """Tokens that occur in the corpus: token_id, occurrences, document_frequency (documents that hold it)."""
    if run.folder.frequencies.is_file():
        return pq.read_table(run.folder.frequencies).to_pandas()
    occurrences, documents = _counted(run, "token_ids"), _counted(run, "list_distinct(token_ids)")
    return occurrences.merge(documents, on="token_id", suffixes=("", "_of_documents")).set_axis(FREQUENCIES, axis=1)


def _counted(run: Run, tokens: str) -> pd.DataFrame:
    """How often each token is in some list of every document, in a run of an earlier version."""
    with open_tables(corpus=run.folder.tokens) as tables:
        each = f"SELECT unnest({tokens}) AS token_id FROM corpus"
        return tables.execute(
            f"SELECT token_id, count(*) AS counted FROM ({each}) GROUP BY token_id ORDER BY token_id"
        ).df()


def frequency_correlation(
    table: pd.DataFrame, measure: str = "effective_number", frequency: str = "occurrences", draws: int = 1000
) -> pd.DataFrame:
    """Do frequent tokens spread over more documents than rare ones?

    Args:
        table: From :func:`token_concentration`; nan is left out.
        measure: Its column, like ``effective_number`` or ``top_share``.
        frequency: ``occurrences`` or ``document_frequency``.
        draws: Resamples of whole completions for the interval, and shuffles for the p-value.

    Returns:
        Rows plain, given loss (partial) and matched for loss (within :data:`LOSS_BINS` bins): version, correlation
        (Spearman), low, high, p_value (frequencies shuffled among types), tokens, completions, token_types.
    """
    table = table[table[measure].notna()]
    x, y, loss, types = (table[name].to_numpy() for name in (frequency, measure, "loss", "token_id"))
    sizes = {"tokens": len(table), "completions": table["query"].nunique(), "token_types": len(np.unique(types))}
    rows = []
    for version, given, bins in (("plain", None, 0), ("given loss", loss, 0), ("matched for loss", loss, LOSS_BINS)):
        statistic = partial(rank_correlation, bins=bins)
        columns = [x, y] if given is None else [x, y, given]
        low, high = cluster_interval(statistic, columns, table["query"].to_numpy(), draws)
        row = {"version": version, "correlation": statistic(*columns), "low": low, "high": high}
        rows.append(row | {"p_value": permutation_p(statistic, columns, types, draws)} | sizes)
    return pd.DataFrame(rows)


def _blocks(run: Run, tokens: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Whole completions' tokens and their influence ``[tokens, documents]``, as many as fit into a block."""
    fit = max(1, BLOCK // run.corpus_documents)
    sizes = tokens.groupby("query").size()
    for _, held in sizes.groupby((sizes.cumsum() - 1) // fit):
        rows = tokens[tokens["query"].isin(held.index)]
        yield rows, influence_of_tokens(run, rows)
