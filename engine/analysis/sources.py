"""Which sources, or languages, does the influence come from?

The *multiplier* of a source is its share of the documents at one end of a ranking over its
share of the corpus: 1 if the ranking does not care, 5 if the source is there five times as
often as chance would have it (Ruis et al. 2024, arXiv 2411.12580, "source multipliers").
For a group of queries it is, as there, the mean over the queries of the share in each one's
top k, divided by the share of the corpus.

Two questions about chance, two bands. *Would other queries and documents give the same?*
Both are drawn anew with replacement (the pigeonhole bootstrap: Owen 2007, arXiv 0712.1111;
its 95% intervals covered 89% to 100% in trials, less only where a source had next to no document
in the top k; with none the interval is 0 to 0). *Would any labels give this?* The labels are
shuffled among the documents, the rankings stay as they are. Both are made in :mod:`.source_bands`.

Only scored documents are ranked. Where the prefilter chose them (``score --prefilter``), the
share of the corpus is the share of those documents; they have words in common with the queries,
so that a source may be rare in the corpus and frequent among them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Literal, get_args

import numpy as np
import pandas as pd

from engine.analysis.matrix import interval, query_draws, scored_influence
from engine.analysis.order import by_size
from engine.analysis.source_bands import ENDS, Groups, rankings, resampled, shuffled_labels
from engine.corpus import UNKNOWN_LANGUAGE, UNKNOWN_SOURCE
from engine.errors import WhenceError
from engine.run import Run

By = Literal["source", "language"]
Weight = Literal["documents", "tokens"]
MASSES = ("positive", "negative", "net")
UNKNOWN: dict[str, str] = {"source": UNKNOWN_SOURCE, "language": UNKNOWN_LANGUAGE}
"""Group of the documents that name none, the same as the corpus reader's."""
SMALLEST_K = 10


def log_ks(documents: int) -> list[int]:
    """Sizes of the top of a ranking, even on a log axis: 10, 20, 30, 50, 100, ... and all documents."""
    decades = len(str(documents))
    round_ones = [step * 10**power for power in range(1, decades) for step in (1, 2, 3, 5)]
    return [k for k in round_ones if SMALLEST_K <= k < documents] + [documents]


def multipliers(
    run: Run,
    queries: Sequence[int],
    by: By = "source",
    weight: Weight = "documents",
    ks: Sequence[int] | None = None,
    draws: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of each source at the ends of the rankings, over its share of the corpus.

    151 queries by 3,767 documents take 3 s on one core, 100 by 100,000 take 12 s (5 s with 50 draws).

    Args:
        run: The run.
        queries: Numbers of the queries that make up the group.
        by: ``source`` or ``language``.
        weight: What a share is a share of: ``documents``, or the ``tokens`` in them. k counts
            documents either way.
        ks: Sizes of the ends, in documents; more than were scored means all. None for :func:`log_ks`.
        draws: Resamplings for each band.
        seed: Of the resamplings.

    Returns:
        One row per end, k and group: end (``raised`` is the top, ``lowered`` the bottom), k,
        group, share (mean over queries), corpus_share, multiplier, low, high (95%, documents
        and queries resampled), null_low, null_high (95%, labels shuffled), documents (the
        group's, among those scored). Where k is all documents every multiplier is exactly 1.
        Resamplings in which a group has no document say nothing about it and are left out;
        a group without tokens has no multiplier by tokens (NaN).

    Raises:
        WhenceError: If there are no queries, or a choice is not one of those above.
    """
    return _multipliers(run, queries, by, weight, ks, draws, seed)[0]


def _multipliers(
    run: Run, queries: Sequence[int], by: By, weight: Weight, ks: Sequence[int] | None, draws: int, seed: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """:func:`multipliers`, and the multipliers of each resampling, ``[draws, rows of the table]``."""
    influence, table = _scored(run, queries, by)
    n, groups, orders = len(table), _groups(table, weight), rankings(influence)
    chosen = log_ks(n) if ks is None else list(ks)
    if not chosen or min(chosen) < 1:
        raise WhenceError(f"k {chosen} -- the end of a ranking has at least one document -- choose numbers from 1.")
    sizes = np.unique(np.minimum(chosen, n))
    # A group's own queries seed the draws of its queries: the same alone and beside another group, and
    # two groups of the same queries differ by nothing.
    found = resampled(orders, groups, sizes, query_draws(len(queries), draws, [seed, *map(int, queries)]), seed)
    low, high = interval(found[1:])
    null_low, null_high = interval(shuffled_labels(orders, groups, sizes, draws, seed))
    share = np.nan_to_num(found[0]) * groups.shares  # a group of no mass has no multiplier, and no share
    columns = {"share": share, "corpus_share": groups.shares, "multiplier": found[0], "low": low, "high": high}
    columns |= {"null_low": null_low, "null_high": null_high, "documents": np.bincount(groups.of)}
    rows = pd.DataFrame(list(product(ENDS, sizes.tolist(), groups.names)), columns=["end", "k", "group"])
    table = rows.assign(**{name: np.broadcast_to(values, share.shape).ravel() for name, values in columns.items()})
    return table, found[1:].reshape(draws, -1)


def multipliers_of_groups(
    run: Run,
    groups: Mapping[str, Sequence[int]],
    by: By = "source",
    weight: Weight = "documents",
    ks: Sequence[int] | None = None,
    draws: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """:func:`multipliers` of several groups of queries, to show side by side on one scale.

    Groups are given by name, as :func:`queries_by_kind` does; the rest as in :func:`multipliers`.
    The same resampled documents and the same shuffles serve all groups; queries are resampled
    in each group by themselves. A query in two groups counts as if it were two, which makes the
    interval of their difference too wide, never too narrow where its two effects are alike.

    Returns:
        The columns of :func:`multipliers` after ``queries``, the group's name; then difference,
        difference_low, difference_high (95%): the multiplier minus that of the first group.

    Raises:
        WhenceError: If there are no groups, or :func:`multipliers` refuses one.
    """
    if not groups:
        raise WhenceError("no groups of queries were chosen -- there is nothing to compare -- choose at least one.")
    tables, first = [], None
    for name, queries in groups.items():
        table, drawn = _multipliers(run, queries, by, weight, ks, draws, seed)
        first = first or (table["multiplier"], drawn)
        low, high = interval(drawn - first[1])
        difference = table["multiplier"] - first[0]
        table = table.assign(difference=difference, difference_low=low, difference_high=high)
        table.insert(0, "queries", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def stands_out(table: pd.DataFrame, k: int, end: str = "raised") -> pd.Series | None:
    """The most over-represented group at one end that chance does not explain; None if there is none.

    Among those whose interval lies above 1 and above the band of shuffled labels. With the
    strongest picked out of many, its multiplier is likely to be somewhat too high.

    Args:
        table: :func:`multipliers` of one group of queries.
        k: One of its sizes of the end.
        end: ``raised`` or ``lowered``.
    """
    rows = table[(table["end"] == end) & (table["k"] == k)]
    rows = rows[(rows["low"] > rows["null_high"]) & (rows["low"] > 1)]
    return None if rows.empty else rows.loc[rows["multiplier"].idxmax()]


def differs_most(table: pd.DataFrame, k: int, end: str = "raised") -> pd.Series | None:
    """The group of documents that two groups of queries differ in most, beyond resampling; None if there is none.

    Args:
        table: :func:`multipliers_of_groups` of two groups.
        k: One of its sizes of the end.
        end: ``raised`` or ``lowered``.

    Returns:
        The row of the second group, with the largest difference whose interval leaves out 0.
    """
    second = table["queries"] == table["queries"].iloc[-1]
    rows = table[second & (table["end"] == end) & (table["k"] == k)]
    rows = rows[(rows["difference_low"] > 0) | (rows["difference_high"] < 0)]
    return None if rows.empty else rows.loc[rows["difference"].abs().idxmax()]


def rank_by_mean(run: Run, queries: Sequence[int], by: By = "source", group: str | None = None) -> pd.DataFrame:
    """Documents by their mean influence on a group of queries, the one that raised them most first.

    Args:
        run: The run.
        queries: Numbers of the queries.
        by: What the column ``group`` names: ``source`` or ``language``.
        group: The one whose documents are wanted; None for all.

    Returns:
        rank (among all), document, id, title, source, language, tokens, group, influence (mean over the
        queries, in the unit of the measurement), raised and lowered (how many of the queries
        it raised and lowered), raised_most and lowered_most (number of the query with the
        highest and the lowest influence).

    Raises:
        WhenceError: If there are no queries, or ``by`` is unknown.
    """
    influence, table = _scored(run, queries, by)
    numbers = np.asarray(queries)
    mean = influence.mean(0, dtype=np.float64)
    order = by_size(mean)
    rank = np.arange(1, len(order) + 1)
    if group is not None:
        inside = (table["group"] == group).to_numpy()[order]
        order, rank = order[inside], rank[inside]
    chosen = influence[:, order]
    table = table.drop(columns="windows").take(order).reset_index(drop=True)
    table = table.assign(
        influence=mean[order],
        raised=(chosen > 0).sum(0),
        lowered=(chosen < 0).sum(0),
        raised_most=numbers[chosen.argmax(0)],
        lowered_most=numbers[chosen.argmin(0)],
    )
    table.insert(0, "rank", rank)
    return table


def queries_by_kind(run: Run) -> dict[str, list[int]]:
    """Numbers of the queries of each kind, kinds by name."""
    return {str(kind): rows["query"].tolist() for kind, rows in run.queries.groupby("kind")}


def signed_mass(run: Run, queries: Sequence[int], by: By = "source", draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """How much of all influence comes from each source: what raises, what lowers, and both together.

    All are means over the queries; shares are taken per query first, so that each query counts alike
    however large its influences.

    Args:
        run: The run.
        queries: Numbers of the queries.
        by: ``source`` or ``language``.
        draws: Resamplings of the queries.
        seed: Of the resamplings.

    Returns:
        One row per mass and group: mass (``positive``, ``negative``, ``net``), group, influence
        (sum over the group's documents, in the unit of the measurement), low, high, share,
        share_low, share_high, corpus_share (of the scored documents), documents. ``share`` is
        of all positive or of all negative influence; that of ``net`` is the net influence over
        the sum of all magnitudes, from -1 to 1, because the net of the corpus may be near 0.
        The 95% intervals come from resampling queries; of a single query they are NaN.

    Raises:
        WhenceError: If there are no queries, or ``by`` is unknown.
    """
    influence, table = _scored(run, queries, by)
    groups = _groups(table, "documents")
    positive, negative = (
        np.stack([np.bincount(groups.of, row, len(groups.names)) for row in signed])
        for signed in (influence.clip(min=0), influence.clip(max=0))
    )
    masses = np.stack([positive, negative, positive + negative], 1)  # [queries, mass, groups]
    whole = np.abs(masses[:, :2].sum(2))
    whole = np.concatenate([whole, whole.sum(1, keepdims=True)], 1)[:, :, None]
    signs = np.array([1, -1, 1])[:, None]
    shares = np.divide(masses * signs, whole, out=np.zeros_like(masses), where=whole > 0)
    picks = query_draws(len(queries), draws, seed) / len(queries)
    columns: dict[str, np.ndarray] = {}
    for prefix, values in (("", masses), ("share_", shares)):
        low, high = interval(np.tensordot(picks[1:], values, 1))
        low, high = (np.where(len(queries) > 1, bound, np.nan) for bound in (low, high))
        columns |= {prefix[:-1] or "influence": values.mean(0), f"{prefix}low": low, f"{prefix}high": high}
    columns |= {"corpus_share": groups.shares, "documents": np.bincount(groups.of)}
    rows = pd.DataFrame(list(product(MASSES, groups.names)), columns=["mass", "group"])
    return rows.assign(**{name: np.broadcast_to(values, low.shape).ravel() for name, values in columns.items()})


def _scored(run: Run, queries: Sequence[int], by: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Influence ``[queries, n]`` of the scored documents, and their rows of the run's documents with ``group``."""
    if by not in UNKNOWN:
        raise WhenceError(f"by {by!r} is unknown -- choose one of {', '.join(UNKNOWN)}.")
    influence, table = scored_influence(run, queries)
    return influence, table.assign(group=_labels(run, by))


@lru_cache(maxsize=2)  # a page asks for the same ones several times
def _labels(run: Run, by: str) -> pd.Series:
    """The source or language of each document of the corpus."""
    return run.documents[by].fillna("").replace("", UNKNOWN[by])


def _groups(table: pd.DataFrame, weight: str) -> Groups:
    if weight not in get_args(Weight):
        raise WhenceError(f"weight {weight!r} is unknown -- choose one of {', '.join(get_args(Weight))}.")
    of, names = pd.factorize(table["group"], sort=True)  # sorts the names only
    mass = np.ones(len(of), dtype=np.int64) if weight == "documents" else table["tokens"].to_numpy(np.int64)
    return Groups(names.tolist(), of, mass)
