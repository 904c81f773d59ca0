"""What stands behind one completion: the answer, its documents, the tokens of one, and what to hold them against."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from engine.ablation_file import ablation_key, read_ablation, read_top
from engine.analysis.ablation import summarise
from engine.analysis.amounts import TOP
from engine.analysis.concentration import measured
from engine.analysis.ranking import Headline, headline, rank_documents
from engine.analysis.sources import SMALLEST_K, multipliers
from engine.errors import RunError, WhenceError
from engine.report.strip import Piece, Strip, document_strip, pieces
from engine.run import Run
from engine.variants import LABELS, VariantSettings

Known = TypeVar("Known")
DOCUMENTS = 5
"""Documents listed at each end."""
FEW = 10
"""Strongest documents that scores are compared by."""
GROUPS = 8
"""Sources listed."""
BASELINES = {
    "gradient_dot": "Gradient dot (no curvature)", "bm25": "BM25 (words in common)",
    "hidden_similarity": "Hidden states (what the model makes of the texts)",
}  # fmt: skip
RANKED_BY = ("gradient_dot", "bm25")
"""Baselines whose rank stands beside each document."""


@dataclass(frozen=True)
class Ranked:
    """A document of the table: ``left_out`` is the predicted change without it, ``bar`` its size in percent."""

    document: int
    id: str
    title: str
    source: str
    language: str
    rank: int
    influence: float
    share: float
    left_out: float | None
    dot_rank: int
    bm25_rank: int
    bar: float


@dataclass(frozen=True)
class Baseline:
    """Another score beside influence: whom it puts first, and how many of the strongest both have."""

    name: str
    first: str
    shared: int
    of: int


@dataclass(frozen=True)
class Section:
    """A completion's part of the report.

    Attributes:
        id: Of the completion.
        title: Its title.
        kind: Its kind.
        texts: Prompt, completion and, where it is measured against one, its alternative.
        value: The measurement.
        log_prob: Log-probability of the completion, nats.
        tokens: Completion tokens.
        head: How many documents raised it, and lowered it.
        raised: Those that raised it most.
        lowered: Those that lowered it most.
        shown: The document whose text is drawn; None where no document has influence.
        strip: That text.
        baselines: Other scores.
        concentration: By measure the row of :func:`measured`; or why there is none.
        top: Documents that a share of the strongest is of.
        sources: Rows of :func:`multipliers` at the top; or why there are none.
        k: Size of that top.
        variants: Rows of :func:`summarise` of that document's variants; None where none were scored.
        verdict: The completion's row in the check of stability; None where it was not checked.
        left_out: What training on without some documents came to: their titles, predicted and measured change.
    """

    id: str
    title: str
    kind: str
    texts: tuple[tuple[Piece, ...], ...]
    value: float
    log_prob: float
    tokens: int
    head: Headline
    raised: tuple[Ranked, ...]
    lowered: tuple[Ranked, ...]
    shown: Ranked | None
    strip: Strip | None
    baselines: tuple[Baseline, ...]
    concentration: pd.DataFrame | str
    top: int
    sources: list[dict[str, Any]] | str
    k: int
    variants: list[dict[str, Any]] | None
    verdict: dict[str, Any] | None
    left_out: tuple[dict[str, Any], ...]


def section(run: Run, query: int, verdict: dict[str, Any] | None, left_out: tuple[dict[str, Any], ...]) -> Section:
    """A completion's part of the report.

    Args:
        run: The run.
        query: Number of the query.
        verdict: Its row in the check of stability.
        left_out: What leaving documents out for it came to.
    """
    row = run.queries.set_index("query").loc[query]
    ranking = rank_documents(run, query)
    head = headline(ranking)
    raised, lowered = (tuple(_ranked(run, ranking, sign)) for sign in (1, -1))
    shown = next(iter((*raised, *lowered)), None)
    k = max(SMALLEST_K, round(TOP * len(ranking)))
    return Section(
        id=str(row["id"]),
        title=str(row["title"]),
        kind=str(row["kind"]),
        texts=tuple(pieces(row[name]) for name in ("prompt", "completion", "contrast")),
        value=float(row["value"]),
        log_prob=float(row["log_prob"]),
        tokens=int((run.tokens_of_query(query)["side"] == "completion").sum()),
        head=head,
        raised=raised,
        lowered=lowered,
        shown=shown,
        strip=None if shown is None else document_strip(run, query, shown.document),
        baselines=tuple(_baselines(ranking)),
        concentration=_or_why(lambda: measured(ranking["influence"].to_numpy(), "positive")),
        top=max(1, math.ceil(TOP * head.raised - 1e-9)),
        sources=_or_why(lambda: _sources(run, query, k, len(ranking))),
        k=k,
        variants=None if shown is None else _variants(run, query, shown.document),
        verdict=verdict,
        left_out=left_out,
    )


def _or_why(compute: Callable[[], Known]) -> Known | str:
    """What is computed, or why it cannot be."""
    try:
        return compute()
    except WhenceError as error:
        return str(error)


def _ranked(run: Run, ranking: pd.DataFrame, sign: int) -> Iterator[Ranked]:
    """The strongest documents of a sign."""
    ids = run.documents.set_index("document")["id"]
    dot, bm25 = (ranking[name].rank(ascending=False, method="min").fillna(len(ranking)) for name in RANKED_BY)
    signed = ranking[sign * ranking["influence"] > 0]
    rows = signed.head(DOCUMENTS) if sign > 0 else signed.tail(DOCUMENTS)[::-1]
    largest = ranking["influence"].abs().max()
    for place, row in rows.iterrows():
        left_out = -row["influence"] / run.training_windows if run.training_windows else None
        yield Ranked(
            int(row["document"]), ids[row["document"]], row["title"], row["source"], row["language"], int(row["rank"]),
            row["influence"], row["share"], left_out, int(dot[place]), int(bm25[place]),
            100 * abs(row["influence"]) / largest,
        )  # fmt: skip


def _baselines(ranking: pd.DataFrame) -> Iterator[Baseline]:
    few = min(FEW, len(ranking))
    strongest = set(ranking["document"].head(few))
    for column, name in BASELINES.items():
        by = ranking.sort_values([column, "document"], ascending=[False, True], na_position="last")
        yield Baseline(name, str(by["title"].iloc[0]), len(strongest & set(by["document"].head(few))), few)


def _sources(run: Run, query: int, k: int, documents: int) -> list[dict[str, Any]]:
    """Sources at the top, those with most of it first."""
    if documents <= k:
        raise RunError(f"all {documents} scored documents are within the {k} strongest, so that no source can lead.")
    table = multipliers(run, [query], ks=[k])
    rows = table[(table["end"] == "raised")].sort_values(["share", "group"], ascending=[False, True])
    return rows.head(GROUPS).replace({np.nan: None}).to_dict("records")


def _variants(run: Run, query: int, document: int) -> list[dict[str, Any]] | None:
    """What is left of a document whose words were moved or cut, where that was scored: by its page, or over many."""
    kept = read_ablation(run, query, document, ablation_key(VariantSettings()))
    if kept is not None:
        table = kept.table()
    else:
        many = read_top(run.folder, [query])
        table = many[(many["document"] == document) & ~many["control"]]
    if table.empty:
        return None
    rows = summarise(table)
    return rows.assign(label=rows["variant"].map(LABELS)).replace({np.nan: None}).to_dict("records")
