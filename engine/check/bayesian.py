"""Does influence by sampling agree with a run's own? The Bayesian influence function beside the run's estimator."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata  # type: ignore[import-untyped]

from engine import bif
from engine.analysis.matrix import influence_matrix
from engine.analysis.resampling import mean_with_interval
from engine.bif import Readings
from engine.check.effects import correlation, slope
from engine.check.lds import ceiling
from engine.check.result import Tables
from engine.check.settings import CheckBifSettings
from engine.errors import RunError
from engine.progress import Progress
from engine.run import Run
from engine.sampling import sample

FORMS = ("covariance", "normalised")


def check_bif(settings: CheckBifSettings, progress: Progress, work: Path) -> Tables:
    """Sample weights around the run's model and hold covariances against the run's influences.

    Args:
        settings: Settings.
        progress: Where progress is reported.
        work: Folder for what was read at each draw; a stopped check goes on from there.

    Returns:
        ``agreement``: of the covariance and of its normalised form, means over completions with 95% intervals over
        completions: ``correlation`` and ``rank_correlation`` over documents with the run's influence; ``ceiling``, the
        rank correlation that a perfect agreement would come to, as two halves of the draws differ too; of the
        covariance ``slope``, influence by sampling per influence of the run, which noise does not lower.
        ``completions``: the same of each, with ``r_hat`` and ``ess`` of its measurement. ``chains``: what was sampled.

    Raises:
        RunError: If the run is not there or not finished, was itself sampled, or has too few documents.
    """
    run = Run(settings.run)
    if run.is_sampled:
        raise RunError(
            f"{run.path} was itself computed by sampling -- it would be held against its own draws -- check a run that "
            "was fitted with another estimator."
        )
    documents = _draw(run, settings)
    readings = sample(run.folder, settings, work, progress, documents)
    exact = influence_matrix(run, run.queries["query"].tolist())[:, documents].astype(np.float64)
    found = {form: _scores(readings, form, exact) for form in FORMS}
    agreement = [
        {"form": form} | _summary(scores, ("correlation", "rank_correlation", "ceiling", "slope"))
        for form, scores in found.items()
    ]
    completions = [
        {"id": row.id, "completion": row.title, "kind": row.kind}
        | {name: float(values[row.query]) for name, values in (found["covariance"] | readings.mixing).items()}
        for row in run.queries.itertuples()
    ]
    return {"agreement": agreement, "completions": completions, "chains": [_chains(run, readings)]}


def _draw(run: Run, settings: CheckBifSettings) -> list[int]:
    """Documents with anything to predict that were scored, at random."""
    filled = run.documents[run.documents["windows"] > 0]["document"].to_numpy()
    scored = run.influence(0)["document"].to_numpy()
    known = np.random.default_rng(settings.seed).permutation(np.intersect1d(filled, scored))
    if len(known) < 3:
        raise RunError(f"{run.path} has {len(known)} scored documents -- a correlation needs 3 -- score more.")
    return np.sort(known[: settings.documents]).tolist()


def _scores(readings: Readings, form: str, exact: np.ndarray) -> dict[str, np.ndarray]:
    """How one form agrees, of each completion."""
    measured = readings.completions.reshape(-1, exact.shape[0])
    half = len(measured) // 2
    parts = (slice(None), slice(None, half), slice(half, None))
    whole, first, second = (_form(measured[part], readings.log_probs[part], form) for part in parts)
    found = {
        "correlation": correlation(whole, exact),
        "rank_correlation": correlation(rankdata(whole, axis=1), rankdata(exact, axis=1)),
        "ceiling": ceiling(np.stack([first.T, second.T], 1)),
    }
    return found | ({"slope": slope(exact, readings.n_beta * whole)} if form == "covariance" else {})


def _form(measured: np.ndarray, log_probs: np.ndarray, form: str) -> np.ndarray:
    return bif.covariance(measured, log_probs) if form == "covariance" else bif.normalized(measured, log_probs)


def _summary(scores: dict[str, np.ndarray], names: tuple[str, ...]) -> dict[str, float | None]:
    row: dict[str, float | None] = {}
    for name in names:
        missing = dict.fromkeys((name, f"{name}_low", f"{name}_high"))
        row |= mean_with_interval(name, scores[name]) if name in scores else missing
    return row


def _chains(run: Run, readings: Readings) -> dict[str, Any]:
    r_hat, ess = readings.mixing["r_hat"], readings.mixing["ess"]
    worst = {"largest_r_hat": float(r_hat.max()), "smallest_ess": float(ess.min()), "median_ess": float(np.median(ess))}
    return {"estimator": run.estimator} | readings.about() | worst
