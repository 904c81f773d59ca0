"""Step 1 of 3, fit: corpus -> EK-FAC factors of each tracked layer.

Two passes with labels sampled from the model: one for the covariances, one for the
eigenvalue correction in their eigenbasis. Inputs stay the text. Sums are kept in float64
and saved between units of work, so that a killed step goes on and ends with the same bits,
and so does one that a group of processes shares (:mod:`engine.group`).

The simpler estimators write factors of the same form and leave out a pass: K-FAC the second,
``diagonal`` and ``identity`` the first, as their basis is that of the weights. The factors of ``ekfac-cg``
and ``bif`` are those of EK-FAC; the query step of the one refines what they give, the score step of the other
samples weights at the pace and with the damping that they set.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine import ekfac
from engine.batching import Batch, batches, pad
from engine.capture import Gradients, capture, run_network
from engine.corpus import Counted, Window, corpus_hash, read_corpus
from engine.errors import ModelError, RunError, WhenceError
from engine.estimate import Estimate, announce, batch_bytes, factor_bytes, probe_windows, seconds_per_token
from engine.group import ALONE, Group, this_group
from engine.layers import TrackedLayer, tracked_layers, tracked_share
from engine.loading import load_model
from engine.losses import sampled_labels, token_log_probs, uniforms
from engine.model import LanguageModel
from engine.progress import Progress
from engine.readers.files import Skipped, skipped_note
from engine.readers.settings import ReadingSettings
from engine.settings import REFINED, SAMPLED, FitSettings
from engine.store import RunFolder
from engine.sums import Sums, UnitSums, add_term, cut_into_units
from engine.tensors import read_tensors, write_tensors
from engine.windows import Cutting, sample_documents, shard_numbers, shard_windows, write_corpus

PASSES = ("covariance", "correction")
"""Folders of what is unfinished of each pass."""


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
    same_device = torch.device(settings.device).type == model.device.type
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


@dataclass(frozen=True)
class FitData:
    """What factors are fitted on.

    Attributes:
        folder: The run whose corpus it is.
        cutting: How its documents are cut.
        documents: Documents of the corpus; None for all.
    """

    folder: RunFolder
    cutting: Cutting
    documents: Collection[int] | None

    @property
    def shards(self) -> range:
        return shard_numbers(self.folder)

    def windows(self, shard: int) -> list[Window]:
        return shard_windows(self.folder, shard, self.cutting, self.documents)


def fit_data(folder: RunFolder, cutting: Cutting, settings: FitSettings) -> FitData:
    """What a run's own factors are fitted on."""
    return FitData(folder, cutting, sample_documents(folder, settings.fit_documents, settings.seed))


class Fitting:
    """The two passes of one fit; what is unfinished lies beside its file, so that a killed one goes on.

    Args:
        model: The model.
        layers: Its tracked layers.
        data: What to fit on.
        settings: Settings; ``seed`` is that of the label sampling, as the documents are chosen.
        file: Where the factors are written; in a folder of its own.
        progress: Where progress is reported.
        group: The processes that share it.

    Raises:
        WhenceError: If the documents hold nothing to predict.
    """

    def __init__(
        self,
        model: LanguageModel,
        layers: list[TrackedLayer],
        data: FitData,
        settings: FitSettings,
        file: Path,
        progress: Progress,
        group: Group = ALONE,
    ) -> None:
        self.model, self.layers, self.data = model, layers, data
        self.settings, self.file, self.progress, self.group = settings, file, progress, group
        self.stage = file.with_name("eigenvectors.safetensors")
        self.units = cut_into_units(data.shards)
        self.tokens = [self._count(unit) for unit in self.units]
        self.total = sum(self.tokens)
        if self.total == 0:
            raise WhenceError(
                f"none of the {settings.fit_documents} documents drawn to fit on has a token to predict -- the "
                "factors would be empty -- raise fit_documents or change the seed."
            )

    @property
    def begun(self) -> bool:
        """Whether a part of it is finished."""
        return self.stage.is_file() or self.file.is_file()

    def run(self) -> None:
        """Write the factors; those that are there are not computed again."""
        if not self.group.agree(lambda: self.begun):
            self._write(self._basis, self._covariances(), self.stage)
        if not self.group.agree(self.file.is_file):
            basis = read_tensors(self.stage, device=str(self.model.device))
            self._write(partial(self._factors, basis), self._corrections(basis), self.file)
        if self.group.leads:
            self.stage.unlink(missing_ok=True)
            for name in PASSES:
                shutil.rmtree(self.file.with_name(name), ignore_errors=True)

    def _write(self, make: Callable[[Sums], Sums], means: Sums, file: Path) -> None:
        """The first process makes a file of the means of a pass, while the others wait."""
        if self.group.leads:
            write_tensors(make(means), file)
        self.group.wait()

    def _covariances(self) -> Sums:
        """Means of the first pass, in the first process; nothing for an estimator that leaves it out."""
        if self.settings.estimator in ("diagonal", "identity"):
            return {}
        return self._pass("Fitting covariances", "covariance", self._add_covariances)

    def _basis(self, means: Sums) -> Sums:
        """The basis in which the curvature is taken as diagonal; of K-FAC the eigenvalues too."""
        if not means:
            sides = [(f"{layer.name}.q_a", layer.inputs) for layer in self.layers]
            sides += [(f"{layer.name}.q_s", layer.outputs) for layer in self.layers]
            return {name: torch.eye(size, dtype=self.model.working_dtype) for name, size in sides}
        found = {name: ekfac.eigenvectors(mean) for name, mean in means.items()}
        if self.settings.estimator == "kfac":
            windows = sum(len(self.data.windows(shard)) for shard in self.data.shards)
            for layer in self.layers:
                a, s = f"{layer.name}.q_a", f"{layer.name}.q_s"
                lam = ekfac.kfac_eigenvalues(means[a], means[s], found[a], found[s], self.total / windows)
                found[f"{layer.name}.lam"] = lam
        return self._working(found)

    def _corrections(self, basis: Sums) -> Sums:
        """Means of the second pass, in the first process; nothing for K-FAC, which leaves it out."""
        if self.settings.estimator == "kfac":
            return {}
        return self._pass("Correcting eigenvalues", "correction", partial(self._add_corrections, basis))

    def _factors(self, basis: Sums, lam: Sums) -> Sums:
        if self.settings.estimator == "identity":
            lam = {name: mean.mean().expand_as(mean) for name, mean in lam.items()}
        return basis | self._working(lam)

    def _working(self, tensors: Sums) -> Sums:
        return {name: tensor.to(self.model.working_dtype) for name, tensor in tensors.items()}

    def estimate(self) -> Estimate:
        """A trial of the first pass; the second costs about as much."""
        filled = next(windows for shard in self.data.shards if (windows := self.data.windows(shard)))
        trial = pad(probe_windows(filled), self.model.device)
        rate = seconds_per_token(lambda: self._add_covariances({}, trial), trial.tokens)
        size = factor_bytes(self.layers)
        memory = 4 * size + batch_bytes(self.model, self.layers, self.settings.batch_tokens)  # sums are float64
        passes = 2 if self.settings.estimator in ("ekfac", REFINED, SAMPLED) else 1
        seconds = passes * rate * self.total / self.group.size
        return Estimate("fit", seconds, memory, 2 * size * self.group.size)

    def _count(self, shards: Iterable[int]) -> int:
        return sum(len(window) for shard in shards for window in self.data.windows(shard))

    def _pass(self, title: str, name: str, add: Callable[[Sums, Batch], None]) -> Sums:
        """Means over all batches, in the first process; nothing in the others."""
        sums = UnitSums(self.file.with_name(name), len(self.units), self.group.leads)
        self.progress.start(title, sum(self.tokens[unit] for unit in self.group.agree(sums.unfinished)))
        for unit in self.group.share(sums.unfinished, sums.home, lambda unit: self.progress.advance(self.tokens[unit])):
            sums.add(unit, self._sums(self.units[unit], add))
        self.progress.finish()
        if not self.group.leads:
            return {}
        total = sums.whole()
        means = {name: tensor / total["count"] for name, tensor in total.items() if name != "count"}
        self._check(means)
        return means

    def _sums(self, shards: Iterable[int], add: Callable[[Sums, Batch], None]) -> Sums:
        sums: Sums = {}
        for shard in shards:
            for batch in batches(self.data.windows(shard), self.settings.batch_tokens, self.model.device):
                add(sums, batch)
                self.progress.advance(batch.tokens)
        return sums

    def _check(self, means: Sums) -> None:
        for tensor_name, mean in means.items():
            if not torch.isfinite(mean).all():
                raise ModelError(
                    f"the factors of layer {tensor_name.rsplit('.', 1)[0]!r} hold NaN or infinity -- the model "
                    f"overflows in {self.model.dtype} on this corpus -- use --dtype float32."
                )
        seen = {tensor_name.rsplit(".", 1)[0] for tensor_name in means}
        zero = {tensor_name.rsplit(".", 1)[0] for tensor_name, mean in means.items() if not mean.any()}
        unused = [layer for layer in self.layers if layer.name not in seen - zero]
        if unused and unused[0].is_expert:
            raise ModelError(
                f"none of the tokens fitted on is routed to expert {unused[0].name!r} -- its curvature is unknown -- "
                "raise --fit-documents, or choose --layers so that it is left out."
            )
        if unused:
            raise ModelError(
                f"layer {unused[0].name!r} takes no part in what the model computes on this corpus -- its curvature is "
                "zero and cannot be inverted -- choose --layers so that it is left out."
            )

    def _pseudo_gradients(self, batch: Batch) -> Gradients:
        """``{layer: (activation, pseudo_grad)}`` with labels sampled from the model."""
        uniform = np.zeros(batch.targets.shape)
        for row, window in enumerate(batch.windows):
            uniform[row, : len(window)] = uniforms(self.settings.seed, window.key, len(window))
        with capture(self.model, self.layers) as tape:
            logits, _ = run_network(self.model, batch.input_ids)
            labels = sampled_labels(logits, torch.from_numpy(uniform).to(logits.device))
            return tape.gradients((token_log_probs(logits, labels) * batch.loss_mask).sum())

    def _add_covariances(self, sums: Sums, batch: Batch) -> None:
        for name, (activation, pseudo_grad) in self._pseudo_gradients(batch).items():
            add_term(sums, f"{name}.q_a", ekfac.covariance_sum(activation, batch.input_mask))
            add_term(sums, f"{name}.q_s", ekfac.covariance_sum(pseudo_grad, batch.input_mask))
        add_term(sums, "count", batch.input_mask.sum())

    def _add_corrections(self, vectors: dict[str, Tensor], sums: Sums, batch: Batch) -> None:
        for name, (activation, pseudo_grad) in self._pseudo_gradients(batch).items():
            q_a, q_s = vectors[f"{name}.q_a"], vectors[f"{name}.q_s"]
            squared = ekfac.squared_rotated_gradients(pseudo_grad, activation, q_a, q_s)
            add_term(sums, f"{name}.lam", squared)
        add_term(sums, "count", torch.tensor(len(batch.windows)))


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
