"""A run's factors fitted anew: on halves of the documents they were fitted on, and with other sampled labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.check.reranking import Variant, key_of
from engine.errors import RunError
from engine.estimate import announce
from engine.factors import run_cutting
from engine.fitting import FitData, Fitting, fit_data
from engine.live import LoadedRun
from engine.progress import Progress
from engine.run import Run
from engine.settings import FitSettings

OTHER_SEEDS = 2


@dataclass(frozen=True)
class Refit:
    """Factors fitted anew.

    Attributes:
        change: Kind of change.
        documents: Documents fitted on.
        label_seed: Seed of the label sampling.
    """

    change: str
    documents: tuple[int, ...]
    label_seed: int


def halves(run: Run, seed: int) -> Iterator[Refit]:
    """Both random halves of the documents that the run's factors were fitted on."""
    documents = fitted_documents(run)
    if len(documents) < 2:
        raise RunError(
            f"{run.path} was fitted on {len(documents)} document with something to predict -- it has no halves -- "
            "check a run that was fitted on more."
        )
    drawn = np.random.default_rng(seed).permutation(documents)
    for half in np.split(drawn, [len(drawn) // 2]):
        yield Refit("halves", tuple(sorted(half.tolist())), fit_settings(run).seed)


def other_seeds(run: Run) -> Iterator[Refit]:
    """The same documents with labels sampled by other seeds."""
    own = fit_settings(run).seed
    for further in range(1, OTHER_SEEDS + 1):
        yield Refit("seeds", tuple(fitted_documents(run)), own + further)


def fitted_documents(run: Run) -> list[int]:
    """Numbers of the documents with something to predict that the run's factors were fitted on."""
    chosen = fit_data(run.folder, run_cutting(run.folder), fit_settings(run)).documents
    filled = run.documents.loc[run.documents["windows"] > 0, "document"].tolist()
    return filled if chosen is None else [number for number in filled if number in chosen]


def fit_settings(run: Run) -> FitSettings:
    """Settings of a run's fit."""
    return FitSettings(**run.fit["settings"])


def refitted(
    loaded: LoadedRun, refits: Sequence[Refit], damping_factor: float, home: Path, progress: Progress
) -> Iterator[Variant]:
    """Fit what is not kept; the factors of each fit lie in a folder named by all that decides them."""
    fittings = [refitting(loaded, refit, home, progress) for refit in refits]
    if todo := [fitting for fitting in fittings if not fitting.file.is_file()]:
        estimates = [fitting.estimate() for fitting in todo]
        seconds, disk = (sum(getattr(one, name) for one in estimates) for name in ("seconds", "disk_bytes"))
        announce(progress, replace(estimates[0], step=f"{len(todo)} fits", seconds=seconds, disk_bytes=disk), home)
    for refit, fitting in zip(refits, fittings, strict=True):
        fitting.run()
        yield Variant(refit.change, fitting.file, damping_factor)


def refitting(loaded: LoadedRun, refit: Refit, home: Path, progress: Progress) -> Fitting:
    """A fit like the run's own on the documents and with the labels of ``refit``."""
    run = loaded.run
    key = key_of(run.fit["settings"], run.fit["inputs"], run.fit["cutting"], refit.documents, refit.label_seed)
    data = FitData(run.folder, run_cutting(run.folder), frozenset(refit.documents))
    settings = replace(fit_settings(run), seed=refit.label_seed)
    return Fitting(loaded.model, loaded.layers, data, settings, home / key / "factors.safetensors", progress)
