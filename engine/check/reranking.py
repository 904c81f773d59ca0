"""Documents ranked again: for all completions and for meaningless directions, preconditioned in several ways.

One row per completion (its gradient summed over its tokens) and per random direction, for each variant. Rows are exact,
never thin. As many as fit the memory share a pass over the corpus; each pass is kept shard by shard.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from engine.corpus import Window
from engine.directions import Directions
from engine.document_pass import score_documents
from engine.ekfac import LayerFactors, precondition
from engine.errors import RunError
from engine.estimate import Estimate, announce, batch_bytes, probe_windows, seconds_per_token
from engine.factors import factors_in, run_cutting
from engine.live import LoadedRun
from engine.losses import uniforms
from engine.progress import Progress, SilentProgress
from engine.queries import QueryGradient, read_query_gradients
from engine.store import STEPS
from engine.tensors import read_tensors, write_tensors
from engine.windows import shard_numbers, shard_windows


def key_of(*made_from: Any) -> str:
    """Names what is kept by everything it depends on."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Variant:
    """One way to precondition.

    Attributes:
        change: Kind of change; empty for the run's own way.
        factors: File of the factors, named by all that they depend on.
        damping_factor: Damping as a multiple of each layer's own mean eigenvalue.
    """

    change: str
    factors: Path
    damping_factor: float

    def preconditioned(self, layer: str, grad: Tensor) -> Tensor:
        """Rows of one layer, ``[n, o, i]``."""
        factors = factors_in(self.factors, [layer], str(grad.device))[layer]
        return precondition(grad, factors, factors.damping(self.damping_factor))


def with_random_signs(grad: Tensor, factors: LayerFactors, seed: int, key: str) -> Tensor:
    """A gradient whose entries in the eigenbasis have random signs: ``Q_S ((Q_S^T g Q_A) * s) Q_A^T``.

    It keeps its size along every eigen-direction, and so what preconditioning makes of each.

    Args:
        grad: ``[o, i]``.
        factors: The layer's factors.
        seed: Of the signs.
        key: Names the direction and the layer.
    """
    drawn = torch.from_numpy(uniforms(seed, key, grad.numel()) < 0.5).view(grad.shape).to(grad.device)
    rotated = factors.q_s.T @ grad @ factors.q_a
    return factors.q_s @ torch.where(drawn, rotated, -rotated) @ factors.q_a.T


class Rows:
    """The gradients that are preconditioned: of the completions first, then of the random directions.

    Args:
        loaded: The run.
        directions: Random directions; spread over the completions that they are made of.
        seed: Of the random directions.
    """

    def __init__(self, loaded: LoadedRun, directions: int, seed: int) -> None:
        self.loaded, self.seed, self.completions = loaded, seed, len(loaded.run.queries)
        order = np.random.default_rng(seed).permutation(self.completions)
        self.made_of: list[int] = np.resize(order, directions).tolist()

    def __len__(self) -> int:
        return self.completions + len(self.made_of)

    @cached_property
    def _gradients(self) -> list[QueryGradient]:
        device = str(self.loaded.model.device)
        return list(read_query_gradients(self.loaded.run.folder, range(self.completions), device))

    def of(self, layer: str) -> Tensor:
        """All of them in one layer, ``[n, o, i]``."""
        grads = torch.stack([gradient.formed(layer).sum(0) for gradient in self._gradients])
        factors = self.loaded.factors[layer]
        drawn = [
            with_random_signs(grads[query], factors, self.seed, f"{layer}\x1f{number}")
            for number, query in enumerate(self.made_of)
        ]
        return torch.cat([grads, torch.stack(drawn)])


class Reranking:
    """Influence of all documents that the run scored on all rows, for each variant.

    Args:
        rows: The gradients.
        variants: Ways to precondition.
        memory_bytes: Memory for rows that share a pass.
        work: Where finished shards are kept.
        progress: Where progress is reported.
    """

    def __init__(
        self, rows: Rows, variants: Sequence[Variant], memory_bytes: float, work: Path, progress: Progress
    ) -> None:
        self.rows, self.variants, self.work, self.progress = rows, variants, work, progress
        self.run, self.model, self.layers = rows.loaded.run, rows.loaded.model, rows.loaded.layers
        self.bytes_per_row = self.model.working_dtype.itemsize * sum(layer.parameters for layer in self.layers)
        self.passes = _parts(len(rows) * len(variants), max(1, int(memory_bytes // self.bytes_per_row)))
        self.cutting = run_cutting(self.run.folder)
        self.batch_tokens = self.run.score["settings"]["batch_tokens"]
        self.members = {
            shard: pq.read_table(self.run.folder.shard("documents", shard), columns=["document"])[0].to_pylist()
            for shard in shard_numbers(self.run.folder)
        }

    def influence(self) -> np.ndarray:
        """Influence, float32 ``[variants, rows, documents]``, documents in the order of the run's own table.

        Raises:
            RunError: If one is not finite, or the disk is too small.
        """
        todo = {part: [one for one in self.members if not self._file(part, one).is_file()] for part in self.passes}
        todo = {part: shards for part, shards in todo.items() if shards}
        for place, (part, shards) in enumerate(todo.items()):
            directions = self._directions(part)
            if place == 0:
                self._begin(directions, [shard for shards in todo.values() for shard in shards])
            for shard in shards:
                self._score(directions, part, shard)
            del directions  # before the next ones take as much memory
        self.progress.finish()
        parts = [
            np.concatenate([read_tensors(self._file(part, shard))["influence"].numpy() for shard in self.members], 1)
            for part in self.passes
        ]
        return np.concatenate(parts).reshape(len(self.variants), len(self.rows), -1)

    def _windows(self, shard: int) -> list[Window]:
        return shard_windows(self.run.folder, shard, self.cutting, set(self.members[shard]))

    def _directions(self, part: range) -> Directions:
        """The rows of one pass, counted over all variants."""
        count, full = len(self.rows), {}
        for layer in (layer.name for layer in self.layers):
            grads, held = self.rows.of(layer), []
            for place, variant in enumerate(self.variants):
                first, last = (min(max(end - place * count, 0), count) for end in (part.start, part.stop))
                if first < last:
                    held.append(variant.preconditioned(layer, grads[first:last]))
            full[layer] = torch.cat(held)
        return Directions([], full)

    def _score(self, directions: Directions, part: range, shard: int) -> None:
        documents, windows = self.members[shard], self._windows(shard)
        scores = score_documents(
            self.model, self.layers, directions, documents, windows, self.batch_tokens, self.progress
        )
        if not torch.isfinite(scores.rows).all():
            raise RunError(
                f"{self.run.path}: an influence came out as NaN or infinity under a change -- it cannot be ranked -- "
                "fit a new run with --dtype float32."
            )
        write_tensors({"influence": scores.rows.float()}, self._file(part, shard))

    def _file(self, part: range, shard: int) -> Path:
        return self.work / f"{self._key}-{part.start}-{part.stop}" / f"{shard:05}.safetensors"

    @cached_property
    def _key(self) -> str:
        steps = self.run.folder.manifest()["steps"]
        made_from = [[steps[step]["settings"], steps[step]["inputs"]] for step in STEPS]
        ways = [[variant.factors.parent.name, variant.damping_factor] for variant in self.variants]
        return key_of(made_from, ways, self.rows.made_of, self.rows.seed)

    def _begin(self, directions: Directions, shards: Sequence[int]) -> None:
        """A trial of the first pass; the others cost about as much."""
        work = {shard: sum(map(len, self._windows(shard))) for shard in self.members}
        tokens = sum(work[shard] for shard in shards)
        trial = next(windows for shard in self.members if (windows := probe_windows(self._windows(shard))))
        here = sorted({window.document for window in trial})
        count, silent = sum(map(len, trial)), SilentProgress()
        rate = seconds_per_token(
            lambda: score_documents(self.model, self.layers, directions, here, trial, self.batch_tokens, silent), count
        )
        memory = directions.rows * self.bytes_per_row + batch_bytes(self.model, self.layers, trial, self.batch_tokens)
        disk = 4 * len(self.rows) * len(self.variants) * sum(map(len, self.members.values()))
        announce(self.progress, Estimate("ranking again", rate * tokens, memory, disk), self.work)
        self.progress.start("Ranking documents again", tokens)


def _parts(count: int, most: int) -> list[range]:
    """``0 .. count`` in as few parts of at most ``most`` as there can be, of about the same size."""
    size = -(-count // -(-count // most))
    return [range(first, min(first + size, count)) for first in range(0, count, size)]
