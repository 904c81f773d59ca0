"""Linear datamodeling score: does the sum of influences over a random half tell what training on that half does?

Park et al. 2023 (arXiv 2303.14186), as used for language models by Bae et al. 2024 (arXiv 2405.12186).
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata  # type: ignore[import-untyped]

from engine.analysis.resampling import mean_with_interval
from engine.check.effects import correlation
from engine.check.predicting import predictions
from engine.check.result import Tables
from engine.check.retraining import Bench, Reading
from engine.check.settings import LdsSettings
from engine.progress import Progress


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
    for name, influence in predictions(bench, settings):
        scores = lds(influence, masks, measured)
        rows.append({"estimator": name, **mean_with_interval("lds", scores)})
        rows[-1]["of_ceiling"] = float(scores.mean() / ceilings.mean()) if ceilings.any() else None
        for query, value, limit in zip(bench.queries, scores, ceilings, strict=True):
            about = {"id": query.id, "completion": query.title, "kind": query.kind}
            queries.append({"estimator": name} | about | {"lds": float(value), "ceiling": float(limit)})
    most = mean_with_interval("ceiling", ceilings)
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
    return correlation(rankdata(influence @ masks.T, axis=1), rankdata(measured.T, axis=1))


def ceiling(found: np.ndarray) -> np.ndarray:
    """Rank correlation that predicting each half's expected measurement exactly would have, ``[q]``.

    The mean over ``s`` seeds has reliability ``s r / (1 + (s - 1) r)`` (Spearman-Brown), ``r`` being the correlation of
    two seeds over masks; the noiseless value correlates with it by the square root.

    Args:
        found: Measurements ``[m, s, q]``.
    """
    seeds = found.shape[1]
    ranks = rankdata(found.transpose(1, 2, 0), axis=2)  # [s, q, m]
    pairs = [(a, b) for a in range(seeds) for b in range(a)]
    r = np.mean([correlation(ranks[a], ranks[b]) for a, b in pairs], axis=0).clip(0)
    return np.sqrt(seeds * r / (1 + (seeds - 1) * r))


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
