"""What each estimator says of a bench's documents, by the engine's own three steps."""

from collections.abc import Iterator

import numpy as np

from engine.check.retraining import Bench
from engine.check.settings import LdsSettings, RetrainingSettings
from engine.factors import fit
from engine.loading import load_model
from engine.model import LanguageModel
from engine.queries import query
from engine.run import Run
from engine.scores import score
from engine.settings import ESTIMATORS, REFINED, SAMPLED, FitSettings, QuerySettings, ScoreSettings

BASELINES = {
    "gradient_dot": "gradient dot",
    "gradient_cosine": "gradient cosine",
    "bm25": "BM25",
    "hidden_similarity": "hidden states",
}
"""Columns of a run that stand beside influence, and their names."""
GPU_BATCH_TOKENS = 16_384
"""Tokens per batch on a GPU, which small batches of a small model leave idle."""


def estimator_run(
    bench: Bench, estimator: str, settings: RetrainingSettings, model: LanguageModel, draws: int | None = None
) -> Run:
    """The run of one estimator on the bench's documents and completions; goes on where a stopped one was.

    Args:
        bench: Documents and completions.
        estimator: Its name.
        settings: Of the check.
        model: The model that has read all documents.
        draws: Of ``bif``: draws of a chain; None for the usual.
    """
    asked = QuerySettings(damping_factor=None if estimator == SAMPLED else settings.damping_factor)
    said = f"{settings.layers} {asked.for_estimator(estimator).damping_factor:g}".replace("/", "_")
    said += f" {draws}" if draws else ""
    batch_tokens = GPU_BATCH_TOKENS if model.device.type == "cuda" else FitSettings.batch_tokens
    folder = bench.folder / "runs" / f"{estimator} {said}"
    fitted = FitSettings(
        settings.layers, estimator, seed=settings.seed, training_windows="corpus", batch_tokens=batch_tokens
    )
    fit(folder, model, bench.folder / "corpus.jsonl", fitted, bench.progress)
    query(folder, bench.folder / "queries.jsonl", asked, bench.progress, model)
    asked_scores = ScoreSettings(keep_tokens=0, keep_prediction=0, batch_tokens=batch_tokens, draws=draws)
    score(folder, asked_scores, bench.progress, model)
    return Run(folder)


def predictions(bench: Bench, settings: LdsSettings) -> Iterator[tuple[str, np.ndarray]]:
    """Name of each estimator and baseline, and what it says of every document for every completion, ``[q, d]``.

    Baselines that need the model are those of the first estimator's run. Random numbers come last.
    """
    model = load_model(str(bench.whole), settings.device)
    for place, estimator in enumerate(settings.estimators or [name for name in ESTIMATORS if name != REFINED]):
        run = estimator_run(bench, estimator, settings, model, settings.draws if estimator == SAMPLED else None)
        tables = [run.influence(number) for number in range(len(bench.queries))]
        yield ESTIMATORS[estimator], np.stack([table["influence"] for table in tables])
        if place == 0:
            for column, said in BASELINES.items():
                yield said, np.nan_to_num(np.stack([table[column] for table in tables]).astype(float))
    shape = (len(bench.queries), len(bench.documents))
    yield "random order", np.random.default_rng(settings.seed).standard_normal(shape)
