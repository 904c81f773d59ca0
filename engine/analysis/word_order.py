"""What is left when the order is gone, over many completions? Tables of :func:`engine.ablations.ablate_top` summed up.

A completion counts once, however many of its documents were scored: those of one completion are alike.
Intervals are bootstraps over completions.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

ALL_KINDS = "All kinds"
DRAWS = 2000
INTERVAL = (0.025, 0.975)


def effects(table: pd.DataFrame, kinds: pd.Series) -> pd.DataFrame:
    """What each variant leaves of a completion's documents.

    Args:
        table: Of :func:`engine.ablations.ablate_top`.
        kinds: Kind of each query, by its number.

    Returns:
        One row per query, variant and group: query, kind, variant, control, documents, left, change. ``left`` is
        a ratio of sums: the variant's influence over the original's, over documents that stand above noise, means
        over draws; NaN for controls, whose sums hardly differ from zero, and where no document stands above.
        ``change`` is the mean of the difference in units of the noise level, without unit.
    """
    if table.empty:
        return pd.DataFrame(columns=["query", "kind", "variant", "control", "documents", "left", "change"])
    keys = ["query", "variant", "control"]
    each = table.groupby([*keys, "document"], sort=False, as_index=False).agg(
        original=("original", "first"), influence=("influence", "mean"), noise=("noise", "first")
    )
    each["change"] = (each["influence"] - each["original"]) / each["noise"].where(each["noise"] > 0)
    above = (each["original"].abs() > each["noise"]) & ~each["control"]
    each["kept"], each["whole"] = each["influence"].where(above, 0.0), each["original"].where(above, 0.0)
    found = each.groupby(keys, sort=False, as_index=False).agg(
        documents=("document", "size"), kept=("kept", "sum"), whole=("whole", "sum"), change=("change", "mean")
    )
    found["left"] = found["kept"] / found["whole"].where(found["whole"] != 0)
    found.insert(1, "kind", found["query"].map(kinds))
    return found[["query", "kind", "variant", "control", "documents", "left", "change"]]


def spread(found: pd.DataFrame, measure: str, seed: int = 0) -> pd.DataFrame:
    """Median over completions of each variant, for every kind and all together.

    Args:
        found: Of :func:`effects`.
        measure: ``left`` or ``change``.
        seed: Of the bootstrap.

    Returns:
        One row per variant, kind and group: variant, kind (:data:`ALL_KINDS` first), control, completions, median,
        low and high (95% bootstrap interval over completions; NaN for fewer than three), quarter and three_quarters.
    """
    known = found.dropna(subset=[measure])
    rows = []
    for (variant, control), group in known.groupby(["variant", "control"], sort=False):
        parts = [(ALL_KINDS, group), *group.groupby("kind", sort=False)]
        for kind, part in parts if group["kind"].nunique() > 1 else parts[:1]:
            values = part[measure].to_numpy(dtype=float)
            low, high = median_interval(values, seed)
            quarters = np.quantile(values, (0.25, 0.75))
            rows.append((variant, kind, control, len(values), float(np.median(values)), low, high, *quarters))
    names = ["variant", "kind", "control", "completions", "median", "low", "high", "quarter", "three_quarters"]
    return pd.DataFrame(rows, columns=names)


def median_interval(values: Sequence[float] | np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Bootstrap interval of the median, 95%; NaN for fewer than three values."""
    drawn_from = np.asarray(values, dtype=float)
    if len(drawn_from) < 3:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(0, len(drawn_from), (DRAWS, len(drawn_from)))
    low, high = np.quantile(np.median(drawn_from[drawn], axis=1), INTERVAL)
    return float(low), float(high)
