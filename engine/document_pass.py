"""The bulk pass over the corpus: every document against every query, one shard at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from engine import ekfac
from engine.batching import Batch, batches
from engine.capture import capture, run_network
from engine.corpus import Window
from engine.directions import Directions
from engine.layers import TrackedLayer
from engine.losses import token_log_probs
from engine.model import LanguageModel
from engine.progress import Progress

HELD_NUMBERS = 1 << 27
"""Numbers of gradients that wait for a product with the directions; a batch may go beyond."""


@dataclass
class ShardScores:
    """Scores of a shard's documents, d of them.

    Attributes:
        documents: Their numbers, ``[d]``.
        rows: Inner product of each direction with each document's gradient, ``[rows, d]``.
        norm_squared: Squared norm of each document's gradient, ``[d]``.
        log_prob: Log-probability of each document's tokens, nats, ``[d]``.
        hidden: Sum of the last hidden states, ``[d, h]``.
    """

    documents: list[int]
    rows: Tensor
    norm_squared: Tensor
    log_prob: Tensor
    hidden: Tensor | None = None


def score_documents(
    model: LanguageModel,
    layers: Sequence[TrackedLayer],
    directions: Directions,
    documents: list[int],
    windows: list[Window],
    batch_tokens: int,
    progress: Progress,
) -> ShardScores:
    """One forward and one activation-only backward pass over the windows of some documents.

    Args:
        model: The model.
        layers: Its tracked layers.
        directions: What to multiply gradients with.
        documents: Numbers of the documents; those without windows keep scores of zero.
        windows: Their windows, in order.
        batch_tokens: Tokens per batch.
        progress: Advanced by the tokens of each batch.
    """
    place = {document: index for index, document in enumerate(documents)}
    dtype = torch.float64
    scores = ShardScores(
        documents,
        torch.zeros(directions.rows, len(documents), dtype=dtype),
        torch.zeros(len(documents), dtype=dtype),
        torch.zeros(len(documents), dtype=dtype),
    )
    norms, products = _Norms(scores.norm_squared), _Products(directions, scores.rows)
    for batch in batches(windows, batch_tokens, model.device):
        with capture(model, layers) as tape:
            logits, hidden = run_network(model, batch.input_ids)
            log_probs = token_log_probs(logits, batch.targets) * batch.loss_mask
            grads = tape.gradients(log_probs.sum())
        at = torch.tensor([place[window.document] for window in batch.windows])
        scores.log_prob.index_add_(0, at, log_probs.detach().sum(1).cpu().double())
        pooled = (hidden.detach() * batch.input_mask[..., None]).sum(1).cpu().double()
        if scores.hidden is None:
            scores.hidden = torch.zeros(len(documents), pooled.shape[1], dtype=dtype)
        scores.hidden.index_add_(0, at, pooled)
        for name, (activation, token_grad) in grads.items():
            window_grad = ekfac.window_gradients(token_grad, activation)
            products.add(name, token_grad, activation, window_grad, at)
            norms.add(name, window_grad, at)
        norms.end_batch(batch)
        products.end_batch()
        progress.advance(batch.tokens)
    products.flush()
    return scores


class _Products:
    """Inner products of directions and windows' gradients.

    Reading full directions, or multiplying thin ones out, takes longer than multiplying a few gradients with them,
    so the gradients of several batches wait for one product.
    """

    def __init__(self, directions: Directions, rows: Tensor) -> None:
        self._directions, self._rows = directions, rows
        self._held: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def add(self, layer: str, token_grad: Tensor, activation: Tensor, window_grad: Tensor, at: Tensor) -> None:
        """Take the gradients of a batch; ``at`` are the places of its windows' documents, ``[b]``."""
        windows = max(len(at), HELD_NUMBERS // self._directions.parameters)
        if self._directions.takes_formed(layer, token_grad.shape[1], windows):
            self._held.setdefault(layer, []).append((window_grad, at))
        else:
            self._add(at, self._directions.thin_scores(layer, token_grad, activation))

    def end_batch(self) -> None:
        """Multiply where enough waits."""
        if sum(grad.numel() for held in self._held.values() for grad, _ in held) >= HELD_NUMBERS:
            self.flush()

    def flush(self) -> None:
        """Multiply what waits."""
        for layer, held in self._held.items():
            found = self._directions.window_scores(layer, torch.cat([grad for grad, _ in held]))
            self._add(torch.cat([at for _, at in held]), found)
        self._held = {}

    def _add(self, at: Tensor, found: Tensor) -> None:
        self._rows.index_add_(1, at, found.cpu().double())


class _Norms:
    """Squared norms of documents' gradients, whose windows may lie in several batches.

    Windows of one document come in a row, so at most one document is open between batches.
    """

    def __init__(self, norm_squared: Tensor) -> None:
        self._norm_squared = norm_squared
        self._open: dict[str, Tensor] = {}
        self._open_at = -1
        self._next: dict[str, Tensor] = {}
        self._last_at = -1

    def add(self, layer: str, window_grad: Tensor, at: Tensor) -> None:
        unique, slot = torch.unique_consecutive(at, return_inverse=True)
        summed = window_grad
        if len(unique) < len(at):
            summed = window_grad.new_zeros(len(unique), *window_grad.shape[1:])
            summed = summed.index_add(0, slot.to(window_grad.device), window_grad)
        if int(unique[0]) == self._open_at:
            # |a + b|^2 replaces the |a|^2 that the batch before added for this document
            before = self._open[layer]
            self._norm_squared[self._open_at] -= ekfac.squared_norms(before[None])[0].cpu()
            summed = torch.cat([summed[:1] + before, summed[1:]])
        self._norm_squared.index_add_(0, unique, ekfac.squared_norms(summed).cpu())
        self._next[layer], self._last_at = summed[-1], int(unique[-1])

    def end_batch(self, batch: Batch) -> None:
        goes_on = not batch.windows[-1].ends_document
        self._open, self._open_at = (self._next, self._last_at) if goes_on else ({}, -1)
        self._next = {}


def shard_table(scores: ShardScores, directions: Directions, query_hidden: Tensor, numbers: Sequence[int]) -> pa.Table:
    """The shard as columns ``influence.<query>.<token>``, ``gradient_dot.<query>``, ``hidden.<query>``, ..."""
    columns: dict[str, np.ndarray] = {
        "document": np.asarray(scores.documents, np.int32),
        "log_prob": scores.log_prob.numpy(),
        "gradient_norm": scores.norm_squared.clamp_min(0).sqrt().numpy().astype(np.float32),
    }
    rows = scores.rows.numpy().astype(np.float32)
    row = 0
    for number, count in zip(numbers, directions.tokens, strict=True):
        for token in range(count):
            columns[f"influence.{number}.{token}"] = rows[row]
            row += 1
    for number in numbers:
        columns[f"gradient_dot.{number}"] = rows[row]
        row += 1
    similarity = _cosine(query_hidden, scores.hidden, len(scores.documents))
    for place, number in enumerate(numbers):
        columns[f"hidden.{number}"] = similarity[place]
    return pa.table(columns)


def _cosine(query_hidden: Tensor, hidden: Tensor | None, documents: int) -> np.ndarray:
    if hidden is None:
        return np.zeros((len(query_hidden), documents), dtype=np.float32)
    normal = torch.nn.functional.normalize
    return (normal(query_hidden.double().cpu(), dim=1) @ normal(hidden, dim=1).T).numpy().astype(np.float32)
