"""Build a run's index: one pass over the corpus, a file per shard of documents, so that a killed one goes on.

At its end what the index finds of the run's own completions is measured and noted beside it.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from engine.batching import batches
from engine.capture import batch_gradients
from engine.corpus import Window
from engine.errors import RunError
from engine.estimate import Estimate, announce, batch_bytes, probe_windows, seconds_per_token
from engine.factors import run_cutting
from engine.index.gradients import FORMAT, add_gradients, index_key, sketch_of
from engine.index.recall import recall_rows
from engine.index.search import Index
from engine.index.settings import IndexSettings
from engine.index.sketch import pack
from engine.live import LoadedRun
from engine.progress import Progress, SilentProgress
from engine.tensors import write_tensors
from engine.windows import shard_documents, shard_numbers, shard_windows
from engine.writing import write_json


def build_index(
    loaded: LoadedRun, settings: IndexSettings | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Write the run's index in place of any other; goes on where a killed one stopped.

    Args:
        loaded: The run with its model.
        settings: Settings; None for the defaults.
        progress: Where progress is reported; may cancel between batches.

    Returns:
        What is noted of it: ``key``, ``settings`` and ``recall``, the rows of :func:`engine.index.recall.recall_rows`.

    Raises:
        WhenceError: If the run cannot answer live questions, or another process writes to it.
    """
    settings, progress = settings or IndexSettings(), progress or SilentProgress()
    loaded.run.need_live()
    with loaded.run.folder.locked():
        return _Build(loaded, settings, progress).run()


class _Build:
    """The pass of one index."""

    def __init__(self, loaded: LoadedRun, settings: IndexSettings, progress: Progress) -> None:
        self.loaded, self.settings, self.progress = loaded, settings, progress
        self.folder, self.key = loaded.run.folder, index_key(loaded.run.folder, settings)
        self.cutting, self.shards = run_cutting(self.folder), shard_numbers(self.folder)
        self.members = shard_documents(self.folder)
        self.sketch = sketch_of(loaded.factors, settings)

    def run(self) -> dict[str, Any]:
        todo = [shard for shard in self.shards if not self.folder.index_shard(self.key, shard).is_file()]
        total = sum(len(window) for shard in todo for window in self._windows(shard))
        if total:
            self._announce(next(windows for shard in todo if (windows := self._windows(shard))), total)
        self.progress.start("Indexing documents", total)
        for shard in todo:
            self._write(shard, self._windows(shard))
        self.progress.finish()
        rows = recall_rows(self.loaded, Index(self.loaded, self.settings), self.progress)
        noted = {"format": FORMAT, "key": self.key, "settings": asdict(self.settings), "recall": rows}
        write_json(noted, self.folder.index)
        for other in self.folder.index.parent.iterdir():
            if other.is_dir() and other.name != self.key:
                shutil.rmtree(other)
        return noted

    def _windows(self, shard: int) -> list[Window]:
        return shard_windows(self.folder, shard, self.cutting)

    def _announce(self, windows: list[Window], total: int) -> None:
        """A trial on a few documents."""
        trial = probe_windows(windows)
        tokens = sum(map(len, trial))
        sketches = torch.zeros(len(trial), self.settings.bits)
        at = {window.document: place for place, window in enumerate(trial)}
        rate = seconds_per_token(lambda: self._add(sketches, at, trial, SilentProgress()), tokens)
        memory = 4 * len(self.members[0]) * self.settings.bits
        memory += batch_bytes(self.loaded.model, self.loaded.layers, trial, self.settings.batch_tokens)
        disk = len(self.loaded.run.documents) * (self.settings.document_bytes + 4)
        announce(self.progress, Estimate("index", rate * total, memory, disk), self.folder.path)

    def _write(self, shard: int, windows: list[Window]) -> None:
        at = {document: place for place, document in enumerate(self.members[shard])}
        sketches = torch.zeros(len(at), self.settings.bits)
        self._add(sketches, at, windows, self.progress)
        if not torch.isfinite(sketches).all():
            raise RunError(
                f"{self.folder.path}: a gradient came out as NaN or infinity -- the model overflows in "
                f"{self.loaded.model.dtype} -- fit a new run with --dtype float32."
            )
        packed = pack(self.sketch.spread(sketches))
        write_tensors({"signs": packed.signs, "scale": packed.scale}, self.folder.index_shard(self.key, shard))

    def _add(self, sketches: Tensor, at: Mapping[int, int], windows: list[Window], progress: Progress) -> None:
        """Add the windows' gradients to the sketches of their documents, which lie at ``at``."""
        model = self.loaded.model
        for batch in batches(windows, self.settings.batch_tokens, model.device):
            found = torch.zeros(len(batch.windows), self.settings.bits, device=model.device)
            grads = batch_gradients(model, self.loaded.layers, batch)
            add_gradients(found, self.sketch, self.loaded.factors, self.settings, grads)
            places = torch.tensor([at[window.document] for window in batch.windows])
            sketches.index_add_(0, places, found.cpu())
            progress.advance(batch.tokens)
