"""What leaving documents out is about to cost, before it begins (no torch)."""

from collections.abc import Collection

from engine.check.settings import LeaveOutSettings
from engine.run import Run

ARMS = 3
"""Trainings of each seed: with the documents, without them, without others."""
PASSES = 2
"""Passes of the fit step over its documents, forward and backward as in training: covariances, eigenvalues."""


def leave_out_seconds(run: Run, documents: Collection[int], settings: LeaveOutSettings) -> float:
    """About how long ``check leave-out`` takes, from how long the run's fit step took on its tokens.

    Args:
        run: The run.
        documents: Those that are left out.
        settings: Of the check.
    """
    tokens = run.documents.set_index("document")["tokens"]
    others = tokens.drop(list(documents))
    beside = float(others.mean()) * min(settings.beside, len(others)) if len(others) else 0.0
    trained = settings.seeds * settings.epochs * (ARMS * beside + float(tokens[list(documents)].sum()))
    fitted = run.fit["settings"].get("fit_documents") or len(tokens)
    per_token = run.fit["seconds"] / (PASSES * max(float(tokens.mean()) * min(fitted, len(tokens)), 1.0))
    return trained * per_token
