"""Which documents raised a completion, and which lowered it?"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from engine.analysis.matrix import influence_matrix
from engine.analysis.order import by_size
from engine.run import Run

Size = Literal["gradient_norm", "tokens", "nats"]
SIZES: tuple[Size, ...] = get_args(Size)
"""What influence may be divided by: the document's gradient norm, its tokens, the completion's nats."""
BLOCK = 1 << 25
"""Influences in memory at once."""
BASELINES = ("gradient_dot", "gradient_cosine", "bm25", "hidden_similarity", "tfidf")


def rank_documents(
    run: Run,
    query: int,
    tokens: Sequence[int] | None = None,
    sources: Collection[str] = (),
    languages: Collection[str] = (),
) -> pd.DataFrame:
    """Documents by influence on a completion, the one that raised it most first.

    Args:
        run: The run.
        query: Number of the query.
        tokens: Completion tokens to rank for; None for the whole completion.
        sources: Sources to show; empty for all.
        languages: Languages to show; empty for all.

    Returns:
        rank (among all scored documents), document, title, source, language, tokens, influence,
        share, and the baselines. ``share`` is the document's part of all positive influence
        if its influence is positive, of all negative influence if it is negative.
    """
    table = _ranked(run.influence(query, tokens), "influence")
    about = run.documents[["title", "source", "language", "tokens"]].take(table["document"])  # texts are sorted last
    table = pd.concat([table, about.reset_index(drop=True)], axis=1)
    if sources:
        table = table[table["source"].isin(list(sources))]
    if languages:
        table = table[table["language"].isin(list(languages))]
    columns = ["rank", "document", "title", "source", "language", "tokens", "influence", "share", *BASELINES]
    return table[columns].reset_index(drop=True)


def strongest(run: Run) -> dict[int, int]:
    """The document that raised each completion most, or lowered it least: the first of :func:`rank_documents`."""
    numbers = run.queries["query"].tolist()
    step = max(1, BLOCK // max(len(run.documents), 1))
    found: dict[int, int] = {}
    for start in range(0, len(numbers), step):
        some = numbers[start : start + step]
        influence = np.nan_to_num(influence_matrix(run, some), nan=-np.inf)
        found |= dict(zip(some, influence.argmax(1).tolist(), strict=True))
    return found


def rank_by_size(run: Run, query: int, size: Size, tokens: Sequence[int] | None = None) -> pd.DataFrame:
    """:func:`rank_documents` by influence over a size, so that long documents do not lead because they are long.

    Args:
        run: The run.
        query: Number of the query.
        size: ``gradient_norm`` of the document, which leaves what its direction does; its ``tokens``; or the ``nats``
            that the completion tokens cost the model, one number for all documents.
        tokens: Completion tokens to rank for; None for the whole completion.

    Returns:
        The same columns, ``rank`` and ``share`` by the column ``normalised``, zero where there is no size.
    """
    table = rank_documents(run, query, tokens)
    table["normalised"] = (table["influence"] / _sizes(run, query, table, size, tokens)).fillna(0.0)
    return _ranked(table.drop(columns=["rank", "share"]), "normalised")


def _sizes(run: Run, query: int, table: pd.DataFrame, size: Size, tokens: Sequence[int] | None) -> pd.Series:
    """The size of each row's document, nan where it has none."""
    if size == "nats":
        rows = run.tokens_of_query(query)
        rows = rows if tokens is None else rows[rows["token"].isin(list(tokens))]
        found = pd.Series(-float(rows["log_prob"].sum()), index=table.index)
    elif size == "tokens":
        found = table["tokens"].astype(float)
    else:
        norms = run.influence(query).set_index("document")["gradient_norm"]
        found = norms.reindex(table["document"]).set_axis(table.index)
    return found.where(found > 0)


def _ranked(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rows by a column, the highest first, with ``rank`` and with ``share`` of all that has its sign."""
    positive, negative = table[column].clip(lower=0).sum(), table[column].clip(upper=0).sum()
    totals = np.where(table[column] > 0, positive, negative)
    shares = np.divide(table[column], totals, out=np.zeros(len(table)), where=totals != 0)
    table = table.assign(share=np.nan_to_num(shares))
    if not table["document"].is_monotonic_increasing:
        table = table.sort_values("document")
    table = table.take(by_size(table[column].to_numpy())).reset_index(drop=True)
    table.insert(0, "rank", range(1, len(table) + 1))
    return table


@dataclass(frozen=True)
class Headline:
    """The numbers of the sentence that answers the question.

    Attributes:
        documents: Documents ranked.
        raised: Documents with positive influence.
        lowered: Documents with negative influence.
        total: Sum of all that is ranked by.
        top_share: Share of all positive influence in the ten strongest documents.
    """

    documents: int
    raised: int
    lowered: int
    total: float
    top_share: float


def headline(ranking: pd.DataFrame) -> Headline:
    """Summary of an unfiltered ranking, by what it is ranked by."""
    influence = ranking["normalised" if "normalised" in ranking else "influence"]
    positive = influence[influence > 0]
    return Headline(
        documents=len(ranking),
        raised=len(positive),
        lowered=int((influence < 0).sum()),
        total=float(influence.sum()),
        top_share=float(positive.nlargest(10).sum() / positive.sum()) if len(positive) else 0.0,
    )
