"""The two passes of step 1 over the corpus, with labels sampled from the model.

One for the covariances, one for the eigenvalue correction in their eigenbasis. Inputs stay the text. Sums are kept in
float64 and saved between units of work, so that a killed step goes on and ends with the same bits, and so does one that
a group of processes shares (:mod:`engine.group`).

The simpler estimators write factors of the same form and leave out a pass: K-FAC the second,
``diagonal`` and ``identity`` the first, as their basis is that of the weights. The factors of ``ekfac-cg``
and ``bif`` are those of EK-FAC; the query step of the one refines what they give, the score step of the other
samples weights at the pace and with the damping that they set.
"""

import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine import ekfac
from engine.batching import Batch, batches
from engine.capture import Gradients, capture, run_network
from engine.corpus import Window
from engine.errors import ModelError, WhenceError
from engine.estimate import Estimate, batch_bytes, factor_bytes, probe_windows, seconds_per_token
from engine.group import ALONE, Group
from engine.layers import TrackedLayer
from engine.losses import sampled_labels, token_log_probs, uniforms
from engine.model import LanguageModel
from engine.progress import Progress
from engine.settings import REFINED, SAMPLED, FitSettings
from engine.store import RunFolder
from engine.sums import Sums, UnitSums, add_term, cut_into_units
from engine.tensors import read_tensors, write_tensors
from engine.windows import Cutting, sample_documents, shard_numbers, shard_windows

PASSES = ("covariance", "correction")
"""Folders of what is unfinished of each pass."""


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
        trial = probe_windows(filled)

        def first_pass() -> None:
            for batch in batches(trial, self.settings.batch_tokens, self.model.device):
                self._add_covariances({}, batch)

        rate = seconds_per_token(first_pass, sum(map(len, trial)))
        size = factor_bytes(self.layers)
        memory = 4 * size + batch_bytes(self.model, self.layers, trial, self.settings.batch_tokens)  # sums are float64
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
