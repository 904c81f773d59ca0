"""What the model makes of a document, as one vector: its mean last hidden state, or its whitened gradient."""

from collections.abc import Sequence
from math import isqrt

import numpy as np
import torch
from torch import Tensor

from engine.batching import Batch, batches
from engine.capture import batch_gradients, run_network
from engine.ekfac import LayerFactors, whitened_gradients
from engine.factors import run_cutting
from engine.live import LoadedRun
from engine.progress import Progress
from engine.settings import BATCH_TOKENS
from engine.windows import windows_by_shard


def document_features(
    loaded: LoadedRun, documents: Sequence[int] | np.ndarray, kind: str, size: int, seed: int, progress: Progress
) -> np.ndarray:
    """A vector for each of some documents, float32 ``[n, d]``; zero for one without a window.

    Args:
        loaded: The run with its model.
        documents: Numbers of the documents, in order.
        kind: ``hidden`` for the sum of the last hidden states over the document, whose direction is that of
            the mean; ``gradients`` for the whitened gradient of its log-likelihood, projected at random.
        size: Numbers that a gradient is projected to at most, over all layers.
        seed: Of the projection.
        progress: Advanced by the tokens of each batch.
    """
    folder, place = loaded.run.folder, {int(document): row for row, document in enumerate(documents)}
    lengths = loaded.run.documents["tokens"].to_numpy()[np.asarray(documents)]
    progress.start("Running the model", int(lengths.sum()))
    whitening = _Whitening(loaded, size, seed) if kind == "gradients" else None
    found: Tensor | None = None
    cutting, batch_tokens = run_cutting(folder), loaded.run.score["settings"].get("batch_tokens", BATCH_TOKENS)
    for windows in windows_by_shard(folder, place, cutting):
        for batch in batches(windows, batch_tokens, loaded.model.device):
            rows = whitening.of(batch) if whitening is not None else _hidden(loaded, batch)
            if found is None:
                found = torch.zeros(len(place), rows.shape[1], dtype=torch.float64)
            at = torch.tensor([place[window.document] for window in batch.windows])
            found.index_add_(0, at, rows.cpu().double())
            progress.advance(batch.tokens)
    progress.finish()
    return np.zeros((len(place), 1), np.float32) if found is None else found.numpy().astype(np.float32)


@torch.no_grad()
def _hidden(loaded: LoadedRun, batch: Batch) -> Tensor:
    """Sum of each window's last hidden states, ``[b, d]``."""
    hidden = run_network(loaded.model, batch.input_ids)[1]
    return (hidden * batch.input_mask[..., None]).sum(1)


class _Whitening:
    """``G^(-1/2) g`` of windows, projected: of each layer ``R_S^T ((Q_S^T g Q_A) / sqrt(lam + damping)) R_A``.

    The projections have independent normal entries, so that inner products are kept on average
    (Johnson and Lindenstrauss); before whitening they would lose what the inverse curvature raises.
    """

    def __init__(self, loaded: LoadedRun, size: int, seed: int) -> None:
        self._loaded = loaded
        self._factors: dict[str, LayerFactors] = loaded.factors
        self._damping_factor = loaded.run.query["settings"]["damping_factor"]
        self._side = max(2, isqrt(size // max(1, len(self._factors))))
        generator = torch.Generator().manual_seed(seed)
        self._projections = {
            name: (self._random(rows.q_s, generator), self._random(rows.q_a, generator))
            for name, rows in self._factors.items()
        }

    def _random(self, like: Tensor, generator: torch.Generator) -> Tensor:
        values = torch.randn(like.shape[0], self._side, generator=generator) / self._side**0.5
        return values.to(like)

    def of(self, batch: Batch) -> Tensor:
        """Each window's part of its document's vector, ``[b, layers * side^2]``."""
        grads = batch_gradients(self._loaded.model, self._loaded.layers, batch)
        parts = []
        for name, (activation, token_grad) in grads.items():
            rows, (left, right) = self._factors[name], self._projections[name]
            damping = rows.damping(self._damping_factor)
            whitened = whitened_gradients(token_grad, activation, rows, damping)
            parts.append((left.T @ whitened @ right).flatten(1))
        return torch.cat(parts, 1)
