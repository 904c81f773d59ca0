"""What each estimator says of a bench's documents, by the engine's own three steps."""

from collections.abc import Iterator

import numpy as np

from engine import bif
from engine.check.retraining import Bench
from engine.factors import fit
from engine.model import LanguageModel, load_model
from engine.queries import query
from engine.run import Run
from engine.sampling import sample
from engine.scores import score
from engine.settings import (
    ESTIMATORS,
    REFINED,
    BifSettings,
    FitSettings,
    LdsSettings,
    QuerySettings,
    RetrainingSettings,
    ScoreSettings,
)

BASELINES = {
    "gradient_dot": "gradient dot",
    "gradient_cosine": "gradient cosine",
    "bm25": "BM25",
    "hidden_similarity": "hidden states",
}
"""Columns of a run that stand beside influence, and their names."""
BIF = "BIF"
SAMPLING = BifSettings()
"""Of the Bayesian influence function."""


def estimator_run(bench: Bench, estimator: str, settings: RetrainingSettings, model: LanguageModel) -> Run:
    """The run of one estimator on the bench's documents and completions; goes on where a stopped one was."""
    said = f"{settings.layers} {settings.damping_factor:g}".replace("/", "_")
    folder = bench.folder / "runs" / f"{estimator} {said}"
    fitted = FitSettings(settings.layers, estimator, seed=settings.seed, training_windows="corpus")
    fit(folder, model, bench.folder / "corpus.jsonl", fitted, bench.progress)
    asked = QuerySettings(damping_factor=settings.damping_factor)
    query(folder, bench.folder / "queries.jsonl", asked, bench.progress, model)
    score(folder, ScoreSettings(keep_tokens=0, keep_prediction=0), bench.progress, model)
    return Run(folder)


def predictions(bench: Bench, settings: LdsSettings) -> Iterator[tuple[str, np.ndarray]]:
    """Name of each estimator and baseline, and what it says of every document for every completion, ``[q, d]``.

    Baselines that need the model, and the damping and pace of sampling, are those of the first estimator's run. Random
    numbers come last.
    """
    model = load_model(str(bench.whole))
    for place, estimator in enumerate(settings.estimators or [name for name in ESTIMATORS if name != REFINED]):
        run = estimator_run(bench, estimator, settings, model)
        tables = [run.influence(number) for number in range(len(bench.queries))]
        yield ESTIMATORS[estimator], np.stack([table["influence"] for table in tables])
        if place == 0:
            yield BIF, _sampled(bench, run, model)
            for column, said in BASELINES.items():
                yield said, np.nan_to_num(np.stack([table[column] for table in tables]).astype(float))
    shape = (len(bench.queries), len(bench.documents))
    yield "random order", np.random.default_rng(settings.seed).standard_normal(shape)


def _sampled(bench: Bench, run: Run, model: LanguageModel) -> np.ndarray:
    """Influence of each document on each completion by sampling, ``[q, d]``; 0 where there is nothing to predict."""
    documents = run.documents[run.documents["windows"] > 0]["document"].tolist()
    readings = sample(run.folder, SAMPLING, bench.folder / "bif", bench.progress, documents, model)
    found = np.zeros((len(bench.queries), len(bench.documents)))
    measured = readings.completions.reshape(-1, len(bench.queries))
    found[:, documents] = readings.n_beta * bif.covariance(measured, readings.log_probs)
    return found
