"""Search a run's index: every document's score for the gradients of a question."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.index.gradients import FORMAT, add_gradients, index_key, sketch_of
from engine.index.settings import IndexSettings
from engine.index.sketch import Packed, products
from engine.live import LoadedRun
from engine.progress import Progress, SilentProgress
from engine.queries import QueryGradient
from engine.tensors import read_tensors
from engine.windows import shard_numbers


class Index:
    """A run's index in use.

    Args:
        loaded: The run with its model.
        settings: Those it was built with.
    """

    def __init__(self, loaded: LoadedRun, settings: IndexSettings) -> None:
        self._loaded, self.settings = loaded, settings
        self._key = index_key(loaded.run.folder, settings)
        self._sketch = sketch_of(loaded.factors, settings)

    def sketches(self, gradients: Iterable[QueryGradient]) -> Tensor:
        """Sketches of whole questions, ``[questions, bits]``."""
        return torch.cat([self._sketched(gradient) for gradient in gradients])

    def scores(
        self, sketches: Tensor, progress: Progress | None = None, document_bytes: int | None = None
    ) -> np.ndarray:
        """Estimates of influence with the index's own, larger damping, ``[questions, documents]``.

        Their order is what counts: the noise is about as large as the influence of most documents.

        Args:
            sketches: The questions', ``[questions, bits]``.
            progress: Advanced by each shard.
            document_bytes: How many of each document's bytes to look at; None for all. Any part of a sketch is a
                sketch, with more noise.
        """
        progress, taken = progress or SilentProgress(), document_bytes or self.settings.document_bytes
        folder, shards = self._loaded.run.folder, shard_numbers(self._loaded.run.folder)
        progress.start("Searching the index", len(shards), "shards")
        found = []
        for shard in shards:
            stored = read_tensors(folder.index_shard(self._key, shard))
            packed = Packed(stored["signs"][:, :taken].contiguous(), stored["scale"])
            found.append(products(sketches[:, : 8 * taken], packed))
            progress.advance(1)
        progress.finish()
        return torch.cat(found, 1).double().numpy()

    def _sketched(self, gradient: QueryGradient) -> Tensor:
        """``[1, bits]``."""
        total = torch.zeros(1, self.settings.bits, device=gradient.hidden.device)
        for side in gradient.sides:
            grads = {
                layer: (activation[None], side.token_grad[layer].sum(0)[None])
                for layer, activation in side.activation.items()
            }
            add_gradients(total, self._sketch, self._loaded.factors, self.settings, grads)
        return self._sketch.spread(total)


def read_index(loaded: LoadedRun) -> Index | None:
    """The run's index; None if it has none that belongs to it and that this version reads."""
    noted = noted_index(loaded)
    return None if noted is None else Index(loaded, IndexSettings(**noted["settings"]))


def noted_index(loaded: LoadedRun) -> dict[str, Any] | None:
    """What is noted of the run's index: ``key``, ``settings``, ``recall``; None as in :func:`read_index`."""
    file = loaded.run.folder.index
    if not file.is_file():
        return None
    noted: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    known = noted.get("format") == FORMAT
    return noted if known and index_key(loaded.run.folder, IndexSettings(**noted["settings"])) == noted["key"] else None
