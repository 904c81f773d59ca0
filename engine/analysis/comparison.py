"""Do two rankings of the same documents agree: of two completions, or of one completion in two runs?

Documents of two runs are matched by id; one whose text differs is another document and is left
out. Ranks count the matched documents only, so that both rankings are of the same n documents
and chance is known: two rankings that have nothing to do with each other share ``k^2 / n`` of
their first k on average (hypergeometric).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import nan, sqrt

import numpy as np
import pandas as pd
from scipy.stats import hypergeom  # type: ignore[import-untyped]

from engine.analysis.matrix import influence_matrix
from engine.analysis.order import by_size
from engine.analysis.resampling import FEW_ENOUGH
from engine.analysis.tails import percentiles, rank_correlation
from engine.errors import WhenceError
from engine.run import Run
from engine.tables import open_tables

ENDS = ("raised", "lowered")
TOPS = (10, 30, 100)
FINGERPRINT = 8
"""Characters of a hash that tell two files of one name apart."""
HASHED = (("Model", "model_hash", "Weights of the model"), ("Corpus", "corpus_hash", "Texts of the corpus"))
"""Settings whose content may differ under the same name."""


@dataclass(frozen=True)
class Pairs:
    """Documents that both sides scored.

    Attributes:
        table: One row per document: id, title, source, language, document and other_document (its number in
            each run), rank and other_rank (1 raised most, among these documents), influence and
            other_influence (each in its own run's unit).
        documents: Documents that each side scored.
        changed: Documents left out because their texts differ.
    """

    table: pd.DataFrame
    documents: tuple[int, int]
    changed: int


def pair_documents(left: Run, left_query: int, right: Run, right_query: int) -> Pairs:
    """Influence on two completions, document by document.

    Args:
        left: A run.
        left_query: Number of its query.
        right: A run, maybe the same.
        right_query: Number of its query.
    """
    matched, changed = _match(left, right)
    found, scored = [], []
    for run, query, name in ((left, left_query, "document"), (right, right_query, "other_document")):
        of_all = influence_matrix(run, [query])[0]
        found.append(of_all[matched[name]].astype(np.float64))
        scored.append(int(np.isfinite(of_all).sum()))
    both = ~np.isnan(found).any(0)
    influence, other_influence = (values[both] for values in found)
    matched = matched[both]
    about = left.documents[["id", "title", "source", "language"]]
    table = about if len(matched) == len(about) else about.take(matched["document"])
    table = table.reset_index(drop=True).assign(
        document=matched["document"].to_numpy(),
        other_document=matched["other_document"].to_numpy(),
        rank=ranks(influence),
        other_rank=ranks(other_influence),
        influence=influence,
        other_influence=other_influence,
    )
    return Pairs(table, (scored[0], scored[1]), changed)


def _match(left: Run, right: Run) -> tuple[pd.DataFrame, int]:
    """Documents of equal id and text, document and other_document, in order; how many differ in text alone."""
    same = left.fit["inputs"].get("corpus_hash")
    if left.path == right.path or (same is not None and same == right.fit["inputs"].get("corpus_hash")):
        numbers = left.documents[["document"]]
        return numbers.assign(other_document=numbers["document"]), 0
    with open_tables(a=left.folder.documents, b=right.folder.documents) as tables:
        found = tables.execute(
            "SELECT a.document, b.document AS other_document, a.text = b.text AS same "
            "FROM a JOIN b USING (id) ORDER BY document"
        ).df()
    equal = found["same"].to_numpy(bool)
    return found.loc[equal, ["document", "other_document"]], int((~equal).sum())


def ranks(influence: np.ndarray) -> np.ndarray:
    """Rank of each document, 1 for the largest influence; equal ones in the order given, ``[n]``."""
    order = by_size(influence)
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.arange(1, len(order) + 1)
    return found


def shared_curve(rank: np.ndarray, other_rank: np.ndarray, end: str = "raised") -> np.ndarray:
    """Documents that are among the first k of both rankings, for k from 1 to n, ``[n]``.

    Args:
        rank: Ranks from 1 to n, ``[n]``.
        other_rank: The other side's, ``[n]``.
        end: ``raised``: counted from rank 1; ``lowered``: from rank n.

    Raises:
        WhenceError: If the end is unknown.
    """
    if end not in ENDS:
        raise WhenceError(f"end {end!r} is unknown -- choose one of {', '.join(ENDS)}.")
    later = np.maximum(rank, other_rank) if end == "raised" else len(rank) + 1 - np.minimum(rank, other_rank)
    return np.cumsum(np.bincount(later, minlength=len(rank) + 1)[1:])


def top_overlap(rank: np.ndarray, other_rank: np.ndarray, tops: Sequence[int] = TOPS) -> pd.DataFrame:
    """How many documents two rankings share at their ends, beside what chance gives.

    Args:
        rank: Ranks from 1 to n, ``[n]``.
        other_rank: The other side's, ``[n]``.
        tops: Numbers of documents k; more than there are mean all.

    Returns:
        One row per end and k: end, k, shared, chance (mean, ``k^2 / n``), chance_low, chance_high (95%).
    """
    n, rows = len(rank), []
    for end in ENDS if n else ():
        shared = shared_curve(rank, other_rank, end)
        for k in sorted({min(top, n) for top in tops}):
            low, high = hypergeom.ppf([0.025, 0.975], n, k, k)
            rows.append((end, k, int(shared[k - 1]), k * k / n, int(low), int(high)))
    return pd.DataFrame(rows, columns=["end", "k", "shared", "chance", "chance_low", "chance_high"])


def overlap_curve(rank: np.ndarray, other_rank: np.ndarray, points: int = 200) -> pd.DataFrame:
    """Share of the first k documents that two rankings have in common, at numbers k even on a log axis.

    Args:
        rank: Ranks from 1 to n, ``[n]``, n at least 1.
        other_rank: The other side's, ``[n]``.
        points: Numbers k at most.

    Returns:
        k; raised and lowered (share of k that both have at that end); chance, chance_low, chance_high (95%).
    """
    n = len(rank)
    k = np.unique(np.geomspace(1, n, points).round().astype(np.int64))
    columns = {end: shared_curve(rank, other_rank, end)[k - 1] / k for end in ENDS}
    low, high = hypergeom.ppf(np.array([[0.025], [0.975]]), n, k, k) / k
    return pd.DataFrame({"k": k} | columns | {"chance": k / n, "chance_low": low, "chance_high": high})


def to_draw(rank: np.ndarray, other_rank: np.ndarray, strongest: int = 500, most: int = 5000) -> np.ndarray:
    """Which documents a picture shows, bool ``[n]``: the strongest at either end of either side, and a random sample.

    Args:
        rank: Ranks from 1 to n, ``[n]``.
        other_rank: The other side's, ``[n]``.
        strongest: Documents kept at each end of each side.
        most: Documents in all; no fewer than the strongest.
    """
    n = len(rank)
    ends = np.minimum(np.minimum(rank, other_rank), n + 1 - np.maximum(rank, other_rank)) <= strongest
    rest = np.random.default_rng(0).permutation(np.flatnonzero(~ends))
    ends[rest[: max(0, most - int(ends.sum()))]] = True
    return ends


@dataclass(frozen=True)
class Agreement:
    """Spearman correlation of two rankings with its 95% bootstrap interval over documents; nan where undefined."""

    spearman: float
    low: float
    high: float


def agreement(influence: np.ndarray, other_influence: np.ndarray, draws: int = 200, seed: int = 0) -> Agreement:
    """Rank correlation of two columns of influences.

    A resample is a weight on each document: how often it was drawn. The mean rank of a group of equal
    values is then a cumulative sum over the groups, so that a draw takes no sorting. Of very many documents
    :data:`FEW_ENOUGH` are resampled, and the interval is narrowed to the number there are.

    Args:
        influence: ``[n]``.
        other_influence: ``[n]``.
        draws: Resamples of documents.
        seed: Of the resamples.
    """
    count, random, found = len(influence), np.random.default_rng(seed), []
    columns, dot = np.stack([influence, other_influence]), np.dot
    if count > FEW_ENOUGH:
        # A product of 20,000 numbers is shared among threads, which wait for one another a hundred times as long.
        dot = partial(np.einsum, "i,i")
        columns = columns[:, random.choice(count, FEW_ENOUGH, replace=False)]
    n = columns.shape[1]
    groups = [np.unique(column, return_inverse=True)[1] for column in columns]
    for _ in range(draws if n > 1 else 0):
        weights = np.bincount(random.integers(n, size=n), minlength=n).astype(np.float64)
        first, second = (_weighted_ranks(group, weights) for group in groups)
        spread = dot(weights, first**2) * dot(weights, second**2)
        found.append(dot(weights * first, second) / sqrt(spread) if spread > 0 else nan)
    middle = rank_correlation(influence, other_influence) if n > 1 else nan
    if count > n:
        around = rank_correlation(*columns)
        found = [middle + (one - around) * sqrt(n / count) for one in found]
    return Agreement(middle, *percentiles(np.array(found)))


def _weighted_ranks(group: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean rank of each item where it stands ``weights`` times, less their mean, ``[n]``.

    Args:
        group: Place of the item's value among the different values, ``[n]``.
        weights: Whole numbers that add up to n, ``[n]``.
    """
    held = np.bincount(group, weights)
    return (np.cumsum(held) - held / 2)[group] - len(group) / 2


def differing_settings(left: Run, right: Run) -> pd.DataFrame:
    """What was set otherwise in two runs, by their manifests: setting, left, right, all readable."""
    first, second = _settings(left), _settings(right)
    shared = [name for name in first if name in second]  # of an imported run little is known
    rows = [(name, first[name], second[name]) for name in shared if first[name] != second[name]]
    for name, key, label in HASHED:
        one, other = (str(run.fit["inputs"].get(key, "unknown"))[:FINGERPRINT] for run in (left, right))
        if first[name] == second[name] and one != other:
            rows.append((label, f"fingerprint {one}", f"fingerprint {other}"))
    return pd.DataFrame(rows, columns=["setting", "left", "right"])


def _settings(run: Run) -> dict[str, str]:
    corpus = run.fit["corpus"]
    name = str(corpus["path"]).replace("\\", "/").rsplit("/", 1)[-1]
    known = {"Model": run.model_name, "Corpus": f"{name}, {corpus['documents']:,} documents"}
    if run.imported:  # no more is known
        return known | {"Curvature": run.estimator}
    fit, query, score = (step["settings"] for step in (run.fit, run.query, run.score))
    tracked, cutting = run.fit["tracked"], run.fit["cutting"]
    return known | {
        "Model": f"{run.model_name}, {tracked['parameters']:,} parameters",
        "Layers": f"{fit['layers']}, {tracked['share']:.0%} of the parameters",
        "Curvature": run.estimator,
        "Damping factor": f"{query['damping_factor']:g}",
        "Measurement": f"{str(query['measurement']).replace('_', ' ')}, in {run.unit}",
        "Documents the factors were fitted on": _count(fit.get("fit_documents"), "all"),
        "Seed of the sampled labels": str(fit.get("seed", 0)),
        "Longest window": f"{cutting['context']:,} tokens, {cutting['overlap']:,} repeated",
        "Number format": str(fit.get("dtype", "float32")),
        "Windows of the training set": _count(run.training_windows, "unknown"),
        "Documents scored": "candidates by words only" if score.get("prefilter") else "all",
        "Bound on the low-rank error": f"{score.get('rank_error', 0.0):g}",
    }


def _count(number: int | None, none: str) -> str:
    return none if number is None else f"{number:,}"
