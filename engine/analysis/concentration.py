"""Is a completion owed to a few documents or to many?

Measures are taken of the *amounts* of influence of one sign: what raises (``positive``), what
lowers (``negative``), or the size of either (``both``). Arrays have documents on their last
axis. A completion's measures stand beside two nulls. *Normal*: as many normal influences of the
same mean and standard deviation, of which the top 1% of the positive hold about 3.6%. *Shuffled*:
the influences on each completion token dealt out anew among the documents, then added up: as
heavy as they are on each token, but no document is strong on several tokens for a reason.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from math import nan
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from engine.analysis.tails import TailFit, fit_tail, percentiles
from engine.errors import WhenceError
from engine.run import Run

Sign = Literal["positive", "negative", "both"]
TOP = 0.01
"""Share of documents whose share of influence is reported, at least one document (Grosse et al. 2023: the top 1%)."""
FEW = 10
"""Documents that ``top_10`` is of."""
RANKS = 200
"""Ranks at most that a curve is given at."""
MEASURES = ("documents", "total", "top_10", "top_share", "top_share_of_all", "gini", "effective_number")


def amounts(influence: np.ndarray, sign: Sign = "positive") -> np.ndarray:
    """Amounts of influence of one sign, float64 as shaped as ``influence``; zero where it has another.

    Raises:
        WhenceError: If a value is not finite, there is no document, or the sign is unknown.
    """
    sides = {"positive": (0.0, np.inf), "negative": (-np.inf, 0.0), "both": (-np.inf, np.inf)}
    if sign not in sides:
        raise WhenceError(f"sign {sign!r} is unknown -- choose one of {', '.join(sides)}.")
    return np.abs(np.clip(_checked(influence, -np.inf), *sides[sign]))


def cumulative_shares(amounts: np.ndarray) -> np.ndarray:
    """Share held by the first 1, 2, ... documents, strongest first, ``[..., documents]``; nan where all are zero."""
    return _over(cumulative := np.cumsum(_descending(amounts), -1), cumulative[..., -1:])


def lorenz(amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lorenz curve: share of documents, weakest first, and of influence, ``[documents + 1]`` each, from 0 to 1."""
    cumulative = np.concatenate([[0.0], np.cumsum(np.sort(_checked(amounts)))])
    return np.linspace(0, 1, len(cumulative)), _over(cumulative, cumulative[-1:])


def gini(amounts: np.ndarray) -> np.ndarray:
    """Gini coefficient over all documents ``[...]``: 0 for equal ones, ``1 - 1/documents`` for a single one."""
    return _gini(_descending(amounts), np.asarray(np.shape(amounts)[-1]))


def top_share(amounts: np.ndarray, share: float = TOP) -> np.ndarray:
    """Share of influence ``[...]`` held by this share of all documents, rounded up to whole documents."""
    ordered = _descending(amounts)
    return _over(ordered[..., : _first(ordered.shape[-1], share)].sum(-1), ordered.sum(-1))


def effective_number(amounts: np.ndarray) -> np.ndarray:
    """``(sum I)^2 / sum I^2``, ``[...]``: as many equal documents would be as concentrated (inverse Simpson index)."""
    amounts = _checked(amounts)
    return _over(amounts.sum(-1) ** 2, np.square(amounts).sum(-1))


def measures(influence: np.ndarray, sign: Sign = "positive") -> pd.DataFrame:
    """Every measure of some completions or completion tokens.

    Args:
        influence: ``[rows, documents]``, in the unit of the measurement.
        sign: What to measure.

    Returns:
        A row each: documents (with that sign), total (their amount), top_10 (share of the ten strongest), top_share
        (of the top 1% of those documents), top_share_of_all (of as many as 1% of all), gini (among those),
        effective_number. nan where there are none.
    """
    table = pd.DataFrame(_measures(_descending(amounts(influence, sign))), columns=list(MEASURES))
    return table.astype({"documents": np.int64})


def bootstrap_intervals(influence: np.ndarray, sign: Sign, draws: int = 200, seed: int = 0) -> pd.DataFrame:
    """95% intervals over documents: columns low and high, a row for each of :data:`MEASURES`.

    They say how far the measures depend on which documents of their kind are in the corpus. Too narrow
    where the tail's exponent is small: below 2 for shares, below 4 for the effective number.

    Args:
        influence: ``[documents]``.
        sign: What to measure.
        draws: Resamples of all documents.
        seed: Of the resamples.
    """
    return _intervals(resamples(influence, sign, draws, seed))


def measured(influence: np.ndarray, sign: Sign, draws: int = 200, seed: int = 0) -> pd.DataFrame:
    """Every measure of one completion beside chance.

    Arguments as of :func:`bootstrap_intervals`.

    Returns:
        A row for each of :data:`MEASURES`: value, low, high (bootstrap over documents), null_low, null_high (normal
        influences of the same mean and standard deviation).
    """
    table = bootstrap_intervals(influence, sign, draws, seed)
    table.insert(0, "value", measures(influence[None], sign).iloc[0])
    return table.join(_intervals(normal_draws(influence, sign, draws, seed)).add_prefix("null_"))


def resamples(influence: np.ndarray, sign: Sign, draws: int = 200, seed: int = 0) -> Iterator[np.ndarray]:
    """Amounts ``[documents]``, largest first, of as many documents drawn with replacement.

    Arguments as of :func:`bootstrap_intervals`.
    """
    ordered, random, count = _descending(amounts(influence, sign)), np.random.default_rng(seed), len(influence)
    for _ in range(draws):  # repeating sorted values leaves them sorted: one sort serves all draws
        yield np.repeat(ordered, np.bincount(random.integers(count, size=count), minlength=count))


def normal_draws(influence: np.ndarray, sign: Sign, draws: int = 100, seed: int = 0) -> Iterator[np.ndarray]:
    """The null: amounts ``[documents]``, largest first, of normal influences of the same mean and standard deviation.

    Arguments as of :func:`bootstrap_intervals`.
    """
    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield _descending(amounts(random.normal(np.mean(influence), np.std(influence), len(influence)), sign))


def shuffled_draws(of_tokens: np.ndarray, sign: Sign, draws: int = 100, seed: int = 0) -> Iterator[np.ndarray]:
    """The other null: amounts ``[documents]``, largest first, of each token's influences shuffled, then added up.

    A completion's influences are concentrated beyond it where the same documents are strong on several
    of its tokens. One token alone keeps its amounts, so that for it the null says nothing.

    Args:
        of_tokens: Influence on each completion token, ``[tokens, documents]``.
        sign: What to measure.
        draws: Shuffles.
        seed: Of the shuffles.
    """
    random = np.random.default_rng(seed)
    if len(of_tokens) == 1:
        yield from repeat(_descending(amounts(of_tokens[0], sign)), draws)
        return
    for _ in range(draws):
        yield _descending(amounts(random.permuted(of_tokens, axis=1).sum(0), sign))


def influence_of_tokens(run: Run, rows: pd.DataFrame) -> np.ndarray:
    """Influence of each scored document on some completion tokens, float64 ``[tokens, documents]``.

    Args:
        run: The run.
        rows: Rows of :attr:`engine.run.Run.query_tokens`.
    """
    files = run.folder.shard_files("documents")
    names = [f"influence.{query}.{token}" for query, token in zip(rows["query"], rows["token"], strict=True)]
    columns = pq.read_table(files, columns=names)
    return np.stack([columns[name].to_numpy() for name in names]).astype(np.float64)


def concentration_of(
    run: Run,
    query: int,
    tokens: Sequence[int] | None = None,
    draws: int = 200,
    seed: int = 0,
    signs: Sequence[Sign] = get_args(Sign),
) -> pd.DataFrame:
    """How concentrated the influence on a completion is, or on some of its tokens.

    Returns:
        One row for each sign and each of :data:`MEASURES`: sign, measure, value, low, high (bootstrap
        over documents), null_low, null_high (normal influences of the same mean and standard deviation),
        shuffled_low, shuffled_high (:func:`shuffled_draws`).
    """
    tables = [concentration_and_curve(run, query, tokens, sign, draws, 0, seed)[0] for sign in signs]
    return pd.concat(tables, ignore_index=True)


def cumulative_curve(
    run: Run, query: int, tokens: Sequence[int] | None = None, sign: Sign = "positive", draws: int = 100, seed: int = 0
) -> pd.DataFrame:
    """Cumulative share at up to :data:`RANKS` ranks, evenly spaced in their logarithm.

    Returns:
        rank, share, low, high (bootstrap over documents), null_low, null_high, shuffled_low, shuffled_high.
    """
    return concentration_and_curve(run, query, tokens, sign, 0, draws, seed)[1]


def concentration_and_curve(
    run: Run,
    query: int,
    tokens: Sequence[int] | None = None,
    sign: Sign = "positive",
    draws: int = 200,
    draws_of_curve: int = 100,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """:func:`concentration_of` one sign and :func:`cumulative_curve`, whose draws are then the same, made once."""
    influence, of_tokens = _influences(run, query, tokens)
    rank = np.unique(np.geomspace(1, len(influence), RANKS).round().astype(np.int64))
    table = measures(influence[None], sign).T.set_axis(["value"], axis=1)
    curve = pd.DataFrame({"rank": rank, "share": cumulative_shares(amounts(influence, sign))[rank - 1]})
    for prefix, draw in _SOURCES_OF_CHANCE.items():
        drawn = draw(of_tokens if prefix == "shuffled_" else influence, sign, max(draws, draws_of_curve), seed)
        rows, shares = [], []
        for number, ordered in enumerate(drawn):
            if number < draws:
                rows.append(_measures(ordered[None])[0])
            if number < draws_of_curve:
                shares.append(cumulative_shares(ordered)[rank - 1])
        table = table.join(_bands(np.array(rows).reshape(-1, len(MEASURES)), list(MEASURES)).add_prefix(prefix))
        curve = curve.join(_bands(np.array(shares).reshape(-1, len(rank))).add_prefix(prefix))
    return table.rename_axis("measure").reset_index().assign(sign=sign)[["sign", "measure", *table.columns]], curve


_SOURCES_OF_CHANCE = {"": resamples, "null_": normal_draws, "shuffled_": shuffled_draws}
"""What bands rest on, by the beginning of their columns' names."""


def lorenz_curve(run: Run, query: int, tokens: Sequence[int] | None = None, sign: Sign = "positive") -> pd.DataFrame:
    """Lorenz curve among the documents of a sign, at up to :data:`RANKS` places: documents, share (both from 0 to 1).

    Empty where no document has the sign.
    """
    side = amounts(_influences(run, query, tokens)[0], sign)
    if not side.any():
        return pd.DataFrame({"documents": [], "share": []})
    place, share = lorenz(side[side > 0])
    # Most of the curve's bend is at its end: places get closer towards the strongest document.
    kept = len(place) - 1 - np.unique(np.geomspace(1, len(place), RANKS).round().astype(np.int64) - 1)[::-1]
    return pd.DataFrame({"documents": place[kept], "share": share[kept]})


def tail_curve(run: Run, query: int, tokens: Sequence[int] | None = None, sign: Sign = "positive") -> pd.DataFrame:
    """Complementary distribution among the documents of a sign, at up to :data:`RANKS` of them.

    Returns:
        amount (unit of the measurement per unit of weight), share of those documents with as much or more.
    """
    side = -np.sort(-amounts(_influences(run, query, tokens)[0], sign))
    side = side[side > 0]
    rank = np.unique(np.geomspace(1, len(side), RANKS).round().astype(np.int64)) if len(side) else np.zeros(0, int)
    return pd.DataFrame({"amount": side[rank - 1], "share": rank / max(len(side), 1)})


def tail_of(
    run: Run, query: int, tokens: Sequence[int] | None = None, sign: Sign = "positive", draws: int = 100, **fit: Any
) -> TailFit:
    """Power-law tail of the amounts of influence on a completion; more in :func:`engine.analysis.tails.fit_tail`."""
    return fit_tail(amounts(_influences(run, query, tokens)[0], sign), draws, **fit)


def _influences(run: Run, query: int, tokens: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Influence on a completion ``[documents]``, and on each of its tokens ``[tokens, documents]``."""
    return _read_influences(run, query, None if tokens is None else tuple(tokens))


@lru_cache(maxsize=2)  # measures, curves and tail of a completion are asked for in a row
def _read_influences(run: Run, query: int, tokens: tuple[int, ...] | None) -> tuple[np.ndarray, np.ndarray]:
    rows = run.tokens_of_query(query)
    found = (
        run.influence(query, tokens)["influence"].to_numpy(),
        influence_of_tokens(run, rows if tokens is None else rows[rows["token"].isin(tokens)]),
    )
    for array in found:
        array.setflags(write=False)
    return found


def _checked(values: np.ndarray, lowest: float = 0.0) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise WhenceError("no influences -- nothing can be concentrated -- give one for each document.")
    if not (np.isfinite(values) & (values >= lowest)).all():
        what = "not finite" if np.isneginf(lowest) else "not finite, or below zero"
        raise WhenceError(f"influences are {what} -- their shares have no meaning -- check the run's scores.")
    return values


def _descending(amounts: np.ndarray) -> np.ndarray:
    return -np.sort(-_checked(amounts), axis=-1)


def _over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, nan where the whole is zero."""
    return np.divide(part, whole, out=np.full(np.shape(part), nan), where=np.asarray(whole) > 0)[()]


def _first(count: np.ndarray, share: float) -> np.ndarray:
    """This share of some documents, rounded up; a rounding error above a whole number does not add one."""
    return np.maximum(np.ceil(count * share - 1e-9), 1).astype(np.int64)


def _gini(ordered: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Gini coefficient of the ``count`` first; those after them must be zero."""
    by_rank = ordered @ np.arange(1, ordered.shape[-1] + 1)
    return np.maximum((count + 1 - 2 * _over(by_rank, ordered.sum(-1))) / np.maximum(count, 1), 0)


def _measures(ordered: np.ndarray) -> np.ndarray:
    """:data:`MEASURES` of amounts that are sorted, largest first: ``[rows, measures]``."""
    held, documents, total = (ordered > 0).sum(-1), ordered.shape[-1], ordered.sum(-1)
    cumulative = np.cumsum(ordered[..., : _first(documents, TOP)], -1)
    of_held = _over(np.take_along_axis(cumulative, _first(held, TOP)[..., None] - 1, -1)[..., 0], total)
    of_few, of_all = _over(ordered[..., :FEW].sum(-1), total), _over(cumulative[..., -1], total)
    return np.stack([held, total, of_few, of_held, of_all, _gini(ordered, held), effective_number(ordered)], -1)


def _intervals(draws: Iterable[np.ndarray]) -> pd.DataFrame:
    """Interval of each measure over amounts that are sorted: rows as :data:`MEASURES`, columns low and high."""
    found = np.concatenate([np.zeros((0, len(MEASURES))), *(_measures(ordered[None]) for ordered in draws)])
    return _bands(found, list(MEASURES))


def _bands(drawn: np.ndarray, index: list[str] | None = None) -> pd.DataFrame:
    """Interval of each column of draws ``[draws, columns]``: a row each, columns low and high."""
    return pd.DataFrame([percentiles(column) for column in drawn.T], index, ["low", "high"])
