"""The bulk pass over the corpus: every document against every query, one shard at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from engine import ekfac
from engine.batching import Batch, batches
from engine.capture import Gradients, capture, run_network
from engine.corpus import Window
from engine.directions import Directions
from engine.layers import TrackedLayer
from engine.losses import token_log_probs
from engine.model import LanguageModel
from engine.progress import Progress

HELD_NUMBERS = 1 << 27
"""Most numbers of batches that wait, and of a layer's formed gradients; one batch may go beyond."""


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
    waiting = _Waiting(directions, scores)
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
        waiting.add(grads, at, batch)
        progress.advance(batch.tokens)
    waiting.finish()
    return scores


class _Waiting:
    """Batches whose gradients wait to be formed, one layer's at a time, and multiplied with the directions.

    Reading full directions, or multiplying thin ones out, takes longer than multiplying a few gradients with them, so
    several batches wait for one product. They wait unformed, as formed gradients of all layers would fill the memory.
    """

    def __init__(self, directions: Directions, scores: ShardScores) -> None:
        self._directions, self._rows, self._norms = directions, scores.rows, _Norms(scores.norm_squared)
        self._held: list[tuple[Gradients, Tensor]] = []
        self._goes_on = -1
        self._buffer = torch.empty(0)

    def add(self, grads: Gradients, at: Tensor, batch: Batch) -> None:
        """Take a batch; ``at`` are the places of its windows' documents, ``[b]``."""
        self._held.append((grads, at))
        self._goes_on = -1 if batch.windows[-1].ends_document else int(at[-1])
        formed = max(layer[0] * layer[1] for layer in self._directions.shapes.values())
        windows = sum(len(places) for _, places in self._held)
        if max(sum(one.numbers for one, _ in self._held), windows * formed) >= HELD_NUMBERS:
            self.finish()

    def finish(self) -> None:
        """Form, multiply and measure what waits."""
        for layer in self._directions.shapes:
            held = [(*grads[layer], at) for grads, at in self._held if layer in grads]  # an expert may see nothing
            if held:
                self._layer(layer, held)
        self._held = []

    def _layer(self, layer: str, held: list[tuple[Tensor, Tensor, Tensor]]) -> None:
        at = torch.cat([places for _, _, places in held])
        formed, first = self._room(len(at), held[0]), 0
        for activation, token_grad, places in held:
            ekfac.window_gradients(token_grad, activation, out=formed[first : first + len(places)])
            first += len(places)
        tokens = sum(activation.shape[:2].numel() for activation, _, _ in held) / len(at)
        if self._directions.takes_formed(layer, tokens, len(at)):
            found = self._directions.window_scores(layer, formed)
        else:
            thin = [self._directions.thin_scores(layer, grad, activation) for activation, grad, _ in held]
            found = torch.cat(thin, 1)
        self._rows.index_add_(1, at, found.cpu().double())
        self._norms.add(layer, formed, at, self._goes_on)

    def _room(self, windows: int, like: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Room for a layer's formed gradients ``[windows, o, i]``, the same memory each time: new pages are slow."""
        activation, token_grad, _ = like
        shape = torch.Size((windows, token_grad.shape[2], activation.shape[2]))
        if self._buffer.numel() < shape.numel():
            self._buffer = activation.new_empty(shape.numel())
        return self._buffer[: shape.numel()].view(shape)


class _Norms:
    """Squared norms of documents' gradients, whose windows may come in several calls, but in a row."""

    def __init__(self, norm_squared: Tensor) -> None:
        self._norm_squared = norm_squared
        self._open: dict[str, tuple[int, Tensor]] = {}

    def add(self, layer: str, window_grad: Tensor, at: Tensor, goes_on: int) -> None:
        """Take windows' gradients ``[b, o, i]`` of documents ``at``; windows of ``goes_on`` are yet to come.

        May change the gradients.
        """
        unique, slot = torch.unique_consecutive(at, return_inverse=True)
        summed = window_grad
        if len(unique) < len(at):
            summed = window_grad.new_zeros(len(unique), *window_grad.shape[1:])
            summed = summed.index_add(0, slot.to(window_grad.device), window_grad)
        place, before = self._open.pop(layer, (-1, None))
        if before is not None and place == int(unique[0]):
            # |a + b|^2 replaces the |a|^2 that the call before added for this document
            self._norm_squared[place] -= ekfac.squared_norms(before[None])[0].cpu()
            summed[0] += before
        self._norm_squared.index_add_(0, unique, ekfac.squared_norms(summed).cpu())
        if int(unique[-1]) == goes_on:
            self._open[layer] = (goes_on, summed[-1].clone())


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
