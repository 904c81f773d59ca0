"""Which documents raised a completion, and which lowered it?"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from engine.run import Run

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
    table = run.influence(query, tokens).merge(
        run.documents[["document", "title", "source", "language", "tokens"]], on="document"
    )
    positive = table["influence"].clip(lower=0).sum()
    negative = table["influence"].clip(upper=0).sum()
    totals = table["influence"].map(lambda value: positive if value > 0 else negative)
    table["share"] = (table["influence"] / totals.where(totals != 0)).fillna(0.0)
    table = table.sort_values(["influence", "document"], ascending=[False, True], ignore_index=True)
    table.insert(0, "rank", range(1, len(table) + 1))
    if sources:
        table = table[table["source"].isin(list(sources))]
    if languages:
        table = table[table["language"].isin(list(languages))]
    columns = ["rank", "document", "title", "source", "language", "tokens", "influence", "share", *BASELINES]
    return table[columns].reset_index(drop=True)


@dataclass(frozen=True)
class Headline:
    """The numbers of the sentence that answers the question.

    Attributes:
        documents: Documents ranked.
        raised: Documents with positive influence.
        lowered: Documents with negative influence.
        total: Sum of all influences, in the unit of the measurement.
        top_share: Share of all positive influence in the ten strongest documents.
    """

    documents: int
    raised: int
    lowered: int
    total: float
    top_share: float


def headline(ranking: pd.DataFrame) -> Headline:
    """Summary of an unfiltered ranking."""
    influence = ranking["influence"]
    positive = influence[influence > 0]
    return Headline(
        documents=len(ranking),
        raised=len(positive),
        lowered=int((influence < 0).sum()),
        total=float(influence.sum()),
        top_share=float(positive.nlargest(10).sum() / positive.sum()) if len(positive) else 0.0,
    )
