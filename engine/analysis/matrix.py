"""Influence of every document on many completions at once, and how much a result owes to the choice of completions."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from engine.errors import RunError
from engine.run import COLUMNS, Run

INTERVAL = (0.025, 0.975)
"""Quantiles of every band: 95%."""
KEPT = 2**25
"""Bytes up to which each of the last four matrices is kept: a page asks for the same ones several times."""


def influence_matrix(run: Run, queries: Sequence[int]) -> np.ndarray:
    """Influence of each document on each whole completion: the ``influence`` of :meth:`Run.influence`, in bulk.

    100 completions of ten tokens on 25,600 documents take 2.5 s.

    Args:
        run: The run.
        queries: Numbers of the queries, in the order wanted.

    Returns:
        float32 ``[queries, documents of the corpus]``, in the unit of the measurement; NaN
        where a document was not scored (``score --prefilter``), for all queries alike. Not to be written into.

    Raises:
        RunError: If there are no queries, or one of them is not in the run.
    """
    if len(queries) == 0:
        raise RunError("no queries were chosen -- there is nothing to rank documents by -- choose at least one.")
    unknown = [int(query) for query in queries if query not in run.query_tokens["query"].array]
    if unknown:
        raise RunError(f"query {unknown[0]} is not in this run -- it has queries 0 to {len(run.queries) - 1}.")
    small = 4 * len(queries) * run.corpus_documents <= KEPT
    return (_kept if small else _read)(run, tuple(map(int, queries)))


def _read(run: Run, queries: tuple[int, ...]) -> np.ndarray:
    """:func:`influence_matrix`, not to be written into."""
    counts = run.query_tokens.groupby("query").size()
    columns = [(place, f"influence.{query}.{n}") for place, query in enumerate(queries) for n in range(counts[query])]
    matrix = np.zeros((len(queries), run.corpus_documents), dtype=np.float32)
    scored = np.zeros(run.corpus_documents, dtype=bool)
    rows = run.scores(["document"])["document"]
    at = slice(None) if np.array_equal(rows, np.arange(len(scored))) else rows  # a tenth of the time
    scored[at] = True
    for start in range(0, len(columns), COLUMNS):
        batch = columns[start : start + COLUMNS]
        found = run.scores(list(dict.fromkeys(name for _, name in batch)))
        for place, name in batch:  # token after token in float32, as Run.influence adds them: both must rank alike
            matrix[place, at] += found[name]
    matrix[:, ~scored] = np.nan
    matrix.setflags(write=False)
    return matrix


_kept = lru_cache(maxsize=4)(_read)


def scored_influence(run: Run, queries: Sequence[int]) -> tuple[np.ndarray, pd.DataFrame]:
    """:func:`influence_matrix` of the documents that were scored, ``[queries, n]``, and their n rows of the run's.

    Raises:
        RunError: If there are no queries, one of them is not in the run, or no document was scored.
    """
    influence = influence_matrix(run, queries)
    scored = np.isfinite(influence).all(0)
    if not scored.any():
        raise RunError(
            f"{run.path} has no scored documents -- there is nothing to rank -- score it without --prefilter."
        )
    return (influence, run.documents) if scored.all() else (influence[:, scored], run.documents[scored])


def query_draws(queries: int, draws: int, seed: int | Sequence[int]) -> np.ndarray:
    """How often each query is drawn, float64 ``[1 + draws, queries]``: once each, then with replacement.

    Raises:
        RunError: If there is not a single draw.
    """
    if draws < 1:
        raise RunError(f"{draws} draws -- a band needs some -- ask for 200.")
    drawn = np.random.default_rng(seed).multinomial(queries, np.full(queries, 1 / queries), draws)
    return np.concatenate([np.ones((1, queries)), drawn])


def interval(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The quantiles :data:`INTERVAL` over the first axis, of the values that are not NaN; NaN where all are."""
    known = ~np.isnan(draws).all(0)
    low, high = np.where(known, np.nanquantile(np.where(known, draws, 0), INTERVAL, 0), np.nan)
    return low, high
