"""Step 1 of 3, fit: corpus -> EK-FAC factors of each tracked layer, made in :mod:`engine.fitting`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from engine import ekfac
from engine.corpus import Counted, corpus_hash, read_corpus
from engine.errors import ModelError, RunError, WhenceError
from engine.estimate import announce
from engine.fitting import Fitting, fit_data
from engine.group import this_group
from engine.layers import TrackedLayer, tracked_layers, tracked_share
from engine.loading import SPREAD, load_model
from engine.model import LanguageModel
from engine.progress import Progress
from engine.readers.files import Skipped, skipped_note
from engine.readers.settings import ReadingSettings
from engine.settings import FitSettings
from engine.store import RunFolder
from engine.tensors import read_tensors
from engine.windows import Cutting, write_corpus


def fit(
    run: str | Path,
    model: str | LanguageModel,
    corpus: str | Path,
    settings: FitSettings | None = None,
    progress: Progress | None = None,
    reading: ReadingSettings | None = None,
) -> None:
    """Write the run's corpus tables and EK-FAC factors; goes on where a killed run stopped.

    Under torchrun each process calls it, and they share the work.

    Args:
        run: Folder of the run; created if it is not there.
        model: Name or folder of a Hugging Face causal language model, or a loaded one.
        corpus: File, folder or dataset (:func:`engine.corpus.read_corpus`).
        settings: Settings; None for the defaults. ``device`` and ``dtype`` are for loading: of a
            loaded model the manifest records its own.
        progress: Where progress is reported.
        reading: How the corpus is read; None for what is seen from it. Runs differ by what was read, not by how.

    Raises:
        WhenceError: If an input cannot be used, or the run holds results of other inputs.
    """
    group = this_group()
    settings, progress, folder = settings or FitSettings(), group.progress(progress), RunFolder(Path(run))
    if isinstance(model, str):
        model = load_model(model, settings.device, settings.dtype, settings.context)
    elif settings.context not in (None, model.context):
        raise WhenceError(
            f"context is {settings.context}, but the model was loaded with {model.context} -- the setting would be "
            "ignored -- load it with load_model(..., context=...), or give its name."
        )
    settings = _as_loaded(settings, model)
    layers = tracked_layers(model, settings.layers)
    _check_estimator(settings, layers)
    cutting = _cutting(model, settings)
    documents = Counted(read_corpus(corpus, reading))
    inputs = {"model_hash": model.hash, "corpus_hash": corpus_hash(documents)}
    with group.step(folder, "fit", asdict(settings), inputs) as entry:
        # no input: a model that was moved is the same model; whole, since the worker runs in another folder
        entry["model"] = str(Path(model.name).resolve()) if Path(model.name).exists() else model.name
        if entry["state"] == "finished":
            progress.note(f"{folder.path}: the fit step is finished; there is nothing to do.")
            return
        entry["cutting"] = asdict(cutting)
        entry["tracked"] = describe_layers(model, layers)
        if group.leads and not ("corpus" in entry and folder.tokens.is_file() and folder.documents.is_file()):
            progress.start("Reading the corpus", documents.count, "documents")
            entry["corpus"] = _read(corpus, reading or ReadingSettings(), folder, model, cutting, progress)
            progress.finish()
        entry["corpus"] = group.agree(lambda: entry["corpus"])
        _note_corpus(entry["corpus"], progress)
        tracked = entry["tracked"]
        progress.note(
            f"Tracking {len(layers)} layers ({settings.layers}): {tracked['tracked_parameters']:,} of "
            f"{tracked['parameters']:,} parameters ({tracked['share']:.0%})."
        )
        data = fit_data(folder, cutting, settings)
        fitting = Fitting(model, layers, data, settings, folder.factors, progress, group)
        if group.leads and not fitting.begun:
            announce(progress, fitting.estimate(), folder.path, group.size)
        fitting.run()


def _as_loaded(settings: FitSettings, model: LanguageModel) -> FitSettings:
    """Settings that say what the model really runs in, so that later steps load it the same way."""
    same_device = settings.device == SPREAD or torch.device(settings.device).type == model.device.type
    return replace(
        settings,
        device=settings.device if same_device else str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
    )


def _check_estimator(settings: FitSettings, layers: Sequence[TrackedLayer]) -> None:
    experts = [layer.name for layer in layers if layer.is_expert]
    if experts and settings.estimator == "kfac":
        raise ModelError(
            f"expert {experts[0]!r} sees only the tokens routed to it, and K-FAC takes the tokens of a window as all "
            "seen -- its eigenvalues would be too small -- use --estimator ekfac, or --layers attention."
        )


def describe_layers(model: LanguageModel, layers: Sequence[TrackedLayer]) -> dict:
    """What is tracked, for the manifest: parameters, share, and each layer's shape."""
    return {
        "parameters": model.parameters,
        "tracked_parameters": sum(layer.parameters for layer in layers),
        "share": tracked_share(model, list(layers)),
        "layers": {layer.name: [layer.outputs, layer.inputs] for layer in layers},
    }


def load_fitted(folder: RunFolder, model: LanguageModel | None = None) -> tuple[LanguageModel, list[TrackedLayer]]:
    """The model of a finished fit and its tracked layers.

    Args:
        folder: The run.
        model: The model if it is already loaded; None to load it from where fit found it.

    Raises:
        RunError: If the fit step is not finished, the run was imported, or the model is not the one it used.
    """
    entry = folder.step("fit")
    folder.need_model()
    settings, inputs = FitSettings(**entry["settings"]), entry["inputs"]
    if model is None:
        model = load_model(entry["model"], settings.device, settings.dtype, settings.context)
    if model.hash != inputs["model_hash"]:
        raise RunError(
            f"{model.name!r} is not the model that {folder.path} was fitted with (hash {model.hash[:12]}, "
            f"not {inputs['model_hash'][:12]}) -- factors and gradients would not belong together -- put the old "
            "model back, or use another --run folder."
        )
    return model, tracked_layers(model, settings.layers)


def run_cutting(folder: RunFolder) -> Cutting:
    """How the run cuts documents into windows."""
    return Cutting(**folder.step("fit")["cutting"])


def _cutting(model: LanguageModel, settings: FitSettings) -> Cutting:
    overlap = model.context // 8 if settings.overlap is None else settings.overlap
    if overlap > model.context - 2:
        raise WhenceError(
            f"overlap {overlap} leaves no new token in a window of {model.context} -- the corpus would "
            f"never end -- choose at most {model.context - 2}."
        )
    return Cutting(model.start_token, model.context, overlap)


def _read(
    corpus: str | Path,
    reading: ReadingSettings,
    folder: RunFolder,
    model: LanguageModel,
    cutting: Cutting,
    progress: Progress,
) -> dict:
    """The corpus as tables of the run; for the manifest where it comes from, how it was read, and its counts."""
    skipped: Skipped = Counter()
    counts = write_corpus(folder, read_corpus(corpus, reading, skipped), model.tokenizer, cutting, progress)
    return {"path": str(corpus), "reading": asdict(reading), "skipped": dict(skipped)} | counts


def _note_corpus(corpus: dict, progress: Progress) -> None:
    if corpus["windows"] == 0:
        raise WhenceError(
            f"none of the {corpus['documents']} documents has a token to predict -- influence would be zero "
            "everywhere -- give longer texts."
        )
    if skipped := skipped_note(Counter(corpus.get("skipped", {}))):
        progress.note(skipped)
    if corpus["nothing_to_predict"]:
        progress.note(
            f"{corpus['nothing_to_predict']} of {corpus['documents']} documents hold no token to predict "
            "(empty or too short); they stay in the tables with influence 0."
        )


def read_factors(folder: RunFolder, device: str = "cpu") -> dict[str, ekfac.LayerFactors]:
    """``{layer: factors}`` of a finished fit.

    Raises:
        RunError: If the fit step is not finished.
    """
    return factors_in(folder.factors, folder.step("fit")["tracked"]["layers"], device)


def factors_in(file: Path, layers: Iterable[str], device: str = "cpu") -> dict[str, ekfac.LayerFactors]:
    """``{layer: factors}`` of some layers of a file of factors."""
    found = {}
    for name in layers:
        tensors = read_tensors(file, f"{name}.", device)
        found[name] = ekfac.LayerFactors(tensors["q_a"], tensors["q_s"], tensors["lam"])
    return found
