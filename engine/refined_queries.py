"""The query step of the estimator ``ekfac-cg``: preconditioned gradients refined and kept, one file a query."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from engine.corpus import Window
from engine.errors import WhenceError
from engine.estimate import Estimate, announce, batch_bytes, probe_windows, seconds_per_token
from engine.factors import read_factors, run_cutting
from engine.layers import TrackedLayer
from engine.model import LanguageModel
from engine.progress import Progress
from engine.refine import Rows, conjugate_gradients, gauss_newton_product
from engine.settings import FitSettings, QuerySettings, deciding
from engine.store import RunFolder
from engine.tensors import read_tensors, write_tensors
from engine.windows import sample_documents, shard_numbers, shard_windows

ITERATIONS, DOCUMENTS = 10, 200
RESIDUAL = "residual"
SOLVED = 0.1
UNSOLVED = " It is not solved yet: more --cg-documents make it easier to solve, more --cg-iterations bring it closer."
HELD = 5
"""Vectors that a row needs at once: solution, residual, search direction, its product, preconditioned residual."""
HELD_NUMBERS = 1 << 28
"""Most numbers of all of them; beyond, a query's tokens are solved for in several blocks."""


class Refiner:
    """Refines the queries of a run, one file each; those that a killed step left are not refined again.

    Attributes:
        key: Names the files by all that they depend on.
    """

    def __init__(
        self,
        folder: RunFolder,
        model: LanguageModel,
        layers: Sequence[TrackedLayer],
        settings: QuerySettings,
        queries_hash: str,
        progress: Progress,
    ) -> None:
        fitted = folder.step("fit")
        self._fit = FitSettings(**fitted["settings"])
        self._folder, self._model, self._layers, self._progress = folder, model, layers, progress
        self._factors = read_factors(folder, str(model.device))
        factor = settings.damping_factor
        assert factor is not None  # the query step has put the usual one in
        self._damping = {name: layer.damping(factor) for name, layer in self._factors.items()}
        self._iterations = settings.cg_iterations or ITERATIONS
        given = (settings.cg_documents or DOCUMENTS, self._fit.fit_documents, fitted["corpus"]["documents"])
        self._documents = min(count for count in given if count is not None)
        self._windows = self._draw()
        told = [
            deciding("fit", fitted["settings"]),
            fitted["inputs"],
            deciding("query", asdict(settings)),
            queries_hash,
        ]
        said = json.dumps([*told, self._iterations, self._documents], sort_keys=True)
        self.key = hashlib.sha256(said.encode()).hexdigest()[:16]

    def run(self, tokens: Sequence[int], read: Callable[[int], Rows]) -> dict[str, Any]:
        """Refine what is not yet refined.

        Args:
            tokens: Completion tokens of each query.
            read: Gives a query's gradients, a row for each completion token.

        Returns:
            For the manifest: ``key``, ``iterations``, ``documents``, ``windows``; ``residual_median`` and
            ``residual_max``, the relative residual over completion tokens at EK-FAC's answer and after each iteration.
        """
        files = [self._folder.refined(self.key, number) for number in range(len(tokens))]
        todo = [number for number, file in enumerate(files) if not file.is_file()]
        if todo:
            self._announce(sum(tokens[number] for number in todo))
            work = (self._iterations + 1) * sum(map(len, self._windows))
            self._progress.start("Refining by conjugate gradients", work * sum(tokens[number] for number in todo))
            for number in todo:
                write_tensors(self._refined(read(number)), files[number])
            self._progress.finish()
        for other in files[0].parents[1].iterdir():
            if other.name != self.key:
                shutil.rmtree(other)  # of settings that an unfinished step was begun with
        return self._report([read_tensors(file, RESIDUAL)[""] for file in files])

    def _draw(self) -> list[Window]:
        """Windows of some of the documents that were fitted on: both are drawn by the same keys."""
        chosen, cutting = sample_documents(self._folder, self._documents, self._fit.seed), run_cutting(self._folder)
        shards = (shard_windows(self._folder, shard, cutting, chosen) for shard in shard_numbers(self._folder))
        windows = [window for shard in shards for window in shard]
        if not windows:
            raise WhenceError(
                f"none of the {self._documents} documents drawn for conjugate gradients has a token to predict -- "
                "there is no curvature to solve with -- raise cg_documents."
            )
        return windows

    def _product(self, rows: Rows) -> Rows:
        return gauss_newton_product(
            self._model, self._layers, self._windows, self._fit.batch_tokens, rows, self._progress.advance
        )

    def _refined(self, grad: Rows) -> Rows:
        """A query's refined gradients and their residuals as named tensors, solved block by block."""
        step = max(1, HELD_NUMBERS // (HELD * sum(layer.parameters for layer in self._layers)))
        blocks = zip(*(rows.split(step) for rows in grad.values()), strict=True)
        solved = [
            conjugate_gradients(
                self._product, dict(zip(grad, block, strict=True)), self._factors, self._damping, self._iterations
            )
            for block in blocks
        ]
        named = {f"{name}.preconditioned": torch.cat([rows[name] for rows, _ in solved]) for name in grad}
        return named | {RESIDUAL: torch.cat([residual for _, residual in solved], 1)}

    def _announce(self, rows: int) -> None:
        """A trial of one product for two rows."""
        trial = probe_windows(self._windows)
        tokens = sum(map(len, trial))
        two = {layer.name: torch.ones(2, layer.outputs, layer.inputs) for layer in self._layers}
        two = {name: ones.to(self._model.device, self._model.working_dtype) for name, ones in two.items()}
        rate = seconds_per_token(
            lambda: gauss_newton_product(self._model, self._layers, trial, self._fit.batch_tokens, two), 2 * tokens
        )
        seconds = rate * rows * (self._iterations + 1) * sum(map(len, self._windows))
        size = 4 * sum(layer.parameters for layer in self._layers)
        memory = min(4 * HELD_NUMBERS, HELD * rows * size) + 2 * batch_bytes(
            self._model, self._layers, trial, self._fit.batch_tokens
        )
        announce(self._progress, Estimate("query", seconds, memory, rows * size), self._folder.path)

    def _report(self, residuals: list[Tensor]) -> dict[str, Any]:
        every = torch.cat(residuals, 1)
        median, largest = every.median(1).values.tolist(), every.amax(1).tolist()
        self._progress.note(
            f"Conjugate gradients over {len(self._windows):,} windows of {self._documents:,} documents: the relative "
            f"residual fell from {median[0]:.2g} to {median[-1]:.2g} (median over completion tokens; "
            f"the largest is {largest[-1]:.2g})." + UNSOLVED * (median[-1] > SOLVED)
        )
        return {
            "key": self.key,
            "iterations": self._iterations,
            "documents": self._documents,
            "windows": len(self._windows),
            "residual_median": median,
            "residual_max": largest,
        }
