"""Linear datamodeling score: does the sum of influences over a random half tell what training on that half does?

Park et al. 2023 (arXiv 2303.14186), as used for language models by Bae et al. 2024 (arXiv 2405.12186).
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata  # type: ignore[import-untyped]

from engine.analysis.tails import percentiles
from engine.check.predicting import predictions
from engine.check.result import Tables
from engine.check.retraining import Bench, Reading
from engine.progress import Progress
from engine.settings import LdsSettings

DRAWS = 2_000


def check_lds(settings: LdsSettings, progress: Progress, work: Path) -> Tables:
    """Fine-tune on random halves of the documents and hold predictions against what each model says.

    Args:
        settings: Settings.
        progress: Where progress is reported.
        work: Folder of this check; retrainings are kept beside it, where other checks find them too.

    Returns:
        ``estimators``: one row each with ``lds``, the mean over completions of the rank correlation over masks, its
        95% interval over completions, and ``of_ceiling``, its share of the ceiling. ``queries``: the same for each
        completion. ``ceiling``: what a perfect prediction would come to, as seeds of one half differ too.
        ``bench``: mean log-probability of the completions before, after half and after all of the documents.

    Raises:
        WhenceError: If corpus or queries are too small.
    """
    bench = Bench(settings, work.parent / "retraining", progress)
    masks = draw_masks(len(bench.documents), settings.masks, settings.seed)
    readings = [Reading(tuple(np.flatnonzero(mask).tolist()), seed) for mask in masks for seed in range(settings.seeds)]
    found = bench.measured(readings, "Training on random halves").reshape(len(masks), settings.seeds, -1)
    measured, ceilings = found.mean(1), ceiling(found)
    rows: list[dict[str, Any]] = []
    queries: list[dict[str, Any]] = []
    for name, influence in predictions(bench, settings, progress):
        scores = lds(influence, masks, measured)
        low, high = percentiles(np.random.default_rng(0).choice(scores, (DRAWS, len(scores))).mean(1))
        mean = float(scores.mean())
        rows.append({"estimator": name, "lds": mean, "lds_low": low, "lds_high": high})
        rows[-1]["of_ceiling"] = mean / ceilings.mean() if ceilings.mean() > 0 else None
        for query, value, most in zip(bench.queries, scores, ceilings, strict=True):
            about = {"id": query.id, "completion": query.title, "kind": query.kind}
            queries.append({"estimator": name} | about | {"lds": value, "ceiling": most})
    low, high = percentiles(np.random.default_rng(0).choice(ceilings, (DRAWS, len(ceilings))).mean(1))
    most = {"ceiling": float(ceilings.mean()), "ceiling_low": low, "ceiling_high": high}
    return {"estimators": rows, "queries": queries, "ceiling": [most], "bench": [_about(bench, found)]}


def draw_masks(documents: int, masks: int, seed: int) -> np.ndarray:
    """Random halves, bool ``[masks, d]``."""
    draw = np.random.default_rng([seed, documents])
    order = np.argsort(draw.random((masks, documents)), axis=1)
    return order < documents // 2


def lds(influence: np.ndarray, masks: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Rank correlation over masks of the summed influence with the measurement, ``[q]``.

    Args:
        influence: ``[q, d]``.
        masks: Documents read, bool ``[m, d]``.
        measured: Measurement after reading them, ``[m, q]``.

    Returns:
        Zero where one of the two does not vary.
    """
    return _correlation(rankdata(masks @ influence.T, axis=0), rankdata(measured, axis=0))


def ceiling(found: np.ndarray) -> np.ndarray:
    """Rank correlation that predicting each half's expected measurement exactly would have, ``[q]``.

    The mean over ``s`` seeds has reliability ``s r / (1 + (s - 1) r)`` (Spearman-Brown), ``r`` being the correlation of
    two seeds over masks; the noiseless value correlates with it by the square root.

    Args:
        found: Measurements ``[m, s, q]``.
    """
    seeds = found.shape[1]
    ranks = rankdata(found, axis=0)
    pairs = [(a, b) for a in range(seeds) for b in range(a)]
    r = np.mean([_correlation(ranks[:, a], ranks[:, b]) for a, b in pairs], axis=0).clip(0)
    return np.sqrt(seeds * r / (1 + (seeds - 1) * r))


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation of columns; zero where one is constant."""
    a, b = a - a.mean(0), b - b.mean(0)
    size = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return np.divide((a * b).sum(0), size, out=np.zeros_like(size), where=size > 0)


def _about(bench: Bench, found: np.ndarray) -> dict[str, Any]:
    before = bench.measured([Reading(())], "Before any of them").mean()
    after = bench.measured([bench.all_read()], "After all of them").mean()
    return {
        "documents": len(bench.documents),
        "completions": len(bench.queries),
        "log_prob_before": float(before),
        "log_prob_after_half": float(found.mean()),
        "log_prob_after_all": float(after),
        "spread_over_masks": float(found.mean(1).std(0).mean()),
        "spread_over_seeds": float(found.std(1, ddof=1).mean()),
    }
