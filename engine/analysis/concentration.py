"""Is a completion of a run owed to a few documents or to many?

Its measures (:mod:`.amounts`) stand beside what chance alone gives (:mod:`.chance`).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, get_args

import numpy as np
import pandas as pd

from engine.analysis.amounts import MEASURES, Sign, Steps, amounts, cumulative_shares, lorenz, measures
from engine.analysis.chance import normal_draws, resamples, shuffled_draws
from engine.analysis.matrix import influence_matrix
from engine.analysis.tails import TailFit, fit_tail, percentiles
from engine.run import Run

RANKS = 200
"""Ranks at most that a curve is given at."""


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


def influence_of_tokens(run: Run, rows: pd.DataFrame) -> np.ndarray:
    """Influence of each scored document on some completion tokens, float64 ``[tokens, documents]``.

    Args:
        run: The run.
        rows: Rows of :attr:`engine.run.Run.query_tokens`.
    """
    names = [f"influence.{query}.{token}" for query, token in zip(rows["query"], rows["token"], strict=True)]
    found = run.scores(list(dict.fromkeys(names)))
    return np.stack([found[name] for name in names]).astype(np.float64)


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
        shuffled_low, shuffled_high (:func:`.chance.shuffled_draws`).
    """
    tables = [concentration_and_curve(run, query, tokens, sign, draws, seed)[0] for sign in signs]
    return pd.concat(tables, ignore_index=True)


def cumulative_curve(
    run: Run, query: int, tokens: Sequence[int] | None = None, sign: Sign = "positive", draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Cumulative share at up to :data:`RANKS` ranks, evenly spaced in their logarithm.

    Returns:
        rank, share, low, high (bootstrap over documents), null_low, null_high, shuffled_low, shuffled_high.
    """
    return concentration_and_curve(run, query, tokens, sign, draws, seed)[1]


def concentration_and_curve(
    run: Run,
    query: int,
    tokens: Sequence[int] | None = None,
    sign: Sign = "positive",
    draws: int = 200,
    seed: int = 0,
    shuffled: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """:func:`concentration_of` one sign and :func:`cumulative_curve`, from the same draws; shuffles if wanted."""
    influence = _influence(run, query, tokens)
    rank = np.unique(np.geomspace(1, len(influence), RANKS).round().astype(np.int64))
    table = measures(influence[None], sign).T.set_axis(["value"], axis=1)
    curve = pd.DataFrame({"rank": rank, "share": cumulative_shares(amounts(influence, sign))[rank - 1]})
    for prefix, draw in _SOURCES_OF_CHANCE.items():
        shuffles = prefix == "shuffled_"
        if shuffles and not shuffled:
            continue
        drawn = draw(_influence_of_each(run, query, tokens) if shuffles else influence, sign, draws, seed)
        table = table.join(_intervals(drawn).add_prefix(prefix))
        curve = curve.join(_bands(drawn.shares(rank)).add_prefix(prefix))
    return table.rename_axis("measure").reset_index().assign(sign=sign)[["sign", "measure", *table.columns]], curve


_SOURCES_OF_CHANCE = {"": resamples, "null_": normal_draws, "shuffled_": shuffled_draws}
"""What bands rest on, by the beginning of their columns' names."""


def lorenz_curve(run: Run, query: int, tokens: Sequence[int] | None = None, sign: Sign = "positive") -> pd.DataFrame:
    """Lorenz curve among the documents of a sign, at up to :data:`RANKS` places: documents, share (both from 0 to 1).

    Empty where no document has the sign.
    """
    side = amounts(_influence(run, query, tokens), sign)
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
    side = amounts(_influence(run, query, tokens), sign)
    side = -np.sort(-side[side > 0])
    rank = np.unique(np.geomspace(1, len(side), RANKS).round().astype(np.int64)) if len(side) else np.zeros(0, int)
    return pd.DataFrame({"amount": side[rank - 1], "share": rank / max(len(side), 1)})


def tail_of(
    run: Run, query: int, tokens: Sequence[int] | None = None, sign: Sign = "positive", draws: int = 100, **fit: Any
) -> TailFit:
    """Power-law tail of the amounts of influence on a completion; more in :func:`engine.analysis.tails.fit_tail`."""
    return fit_tail(amounts(_influence(run, query, tokens), sign), draws, **fit)


def _influence(run: Run, query: int, tokens: Sequence[int] | None) -> np.ndarray:
    """Influence on a completion, ``[documents]``."""
    return _read_influence(run, query, None if tokens is None else tuple(tokens))


@lru_cache(maxsize=2)  # measures, curves and tail of a completion are asked for in a row
def _read_influence(run: Run, query: int, tokens: tuple[int, ...] | None) -> np.ndarray:
    if tokens is None:
        of_all = influence_matrix(run, [query])[0]
        found = of_all[np.isfinite(of_all)].astype(np.float64)
    else:
        found = run.influence(query, tokens, baselines=False)["influence"].to_numpy()
    found.setflags(write=False)
    return found


def _influence_of_each(run: Run, query: int, tokens: Sequence[int] | None) -> np.ndarray:
    """Influence on each token of a completion, ``[tokens, documents]``."""
    rows = run.tokens_of_query(query)
    return influence_of_tokens(run, rows if tokens is None else rows[rows["token"].isin(tokens)])


def _intervals(drawn: Steps) -> pd.DataFrame:
    """Interval of each measure over some draws: rows as :data:`MEASURES`, columns low and high."""
    return _bands(drawn.measures(), list(MEASURES))


def _bands(drawn: np.ndarray, index: list[str] | None = None) -> pd.DataFrame:
    """Interval of each column of draws ``[draws, columns]``: a row each, columns low and high."""
    return pd.DataFrame([percentiles(column) for column in drawn.T], index, ["low", "high"])
