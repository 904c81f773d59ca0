"""Slow, plain references for the engine's formulas: loops, dense matrices and autograd.

Nothing here uses the engine's mathematics; from the engine come only what is compared
elsewhere (windows, uniforms) and the containers.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from engine.corpus import Window
from engine.ekfac import LayerFactors
from engine.layers import TrackedLayer
from engine.losses import uniforms
from engine.model import LanguageModel

Gradient = dict[str, Tensor]


def gradient(layers: Sequence[TrackedLayer], total: Callable[[], Tensor]) -> Gradient:
    """Autograd's gradient of ``total()`` in the tracked weights, ``[o, i]``, the bias as last column."""
    owned = [[p for p in (layer.module.weight, layer.bias) if p is not None] for layer in layers]
    parameters = [parameter for pair in owned for parameter in pair]
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():
            grads = iter(torch.autograd.grad(total(), parameters))
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)
    found = {}
    for layer, pair in zip(layers, owned, strict=True):
        weight = next(grads)
        columns = [weight.T if isinstance(layer.module, Conv1D) else weight]  # Conv1D keeps [i, o]
        columns += [next(grads)[:, None]] if len(pair) == 2 else []
        found[layer.name] = torch.cat(columns, dim=1)
    return found


@contextmanager
def moved(layers: Sequence[TrackedLayer], direction: Gradient, step: float) -> Iterator[None]:
    """The model with ``step * direction`` added to its tracked weights inside the block."""
    before = []
    for layer in layers:
        weight, bias, by = layer.module.weight, layer.bias, step * direction[layer.name]
        inputs = by.shape[1] - (bias is not None)
        before += [(weight, weight.clone())] + ([(bias, bias.clone())] if bias is not None else [])
        weight += by[:, :inputs].T if isinstance(layer.module, Conv1D) else by[:, :inputs]
        if bias is not None:
            bias += by[:, inputs]
    try:
        yield
    finally:
        for parameter, value in before:
            parameter.copy_(value)


def logits(model: LanguageModel, input_ids: np.ndarray) -> Tensor:
    """Logits ``[t, v]`` of one sequence alone, without padding."""
    return model.network(input_ids=torch.from_numpy(np.asarray(input_ids, np.int64))[None]).logits[0]


def window_log_probs(model: LanguageModel, window: Window, labels: Sequence[int] | None = None) -> Tensor:
    """Log-probabilities of the window's targets that carry loss, or of other labels there."""
    chosen = window.targets.tolist() if labels is None else list(labels)
    every = torch.log_softmax(logits(model, window.input_ids), dim=-1)
    return torch.stack([every[t, chosen[t]] for t in range(window.loss_from, len(chosen))])


def document_gradient(model: LanguageModel, layers: Sequence[TrackedLayer], windows: Sequence[Window]) -> Gradient:
    """Autograd's gradient of a document's summed log-likelihood."""
    return gradient(layers, lambda: sum(window_log_probs(model, window).sum() for window in windows))


def sampled(model: LanguageModel, window: Window, seed: int) -> list[int]:
    """Labels of a window by inversion, one position at a time."""
    probabilities = torch.softmax(logits(model, window.input_ids).double(), dim=-1).numpy()
    drawn = uniforms(seed, window.key, len(window))
    return [int((np.cumsum(row) <= u).sum()) for row, u in zip(probabilities, drawn, strict=True)]


def inner(left: Gradient, right: Gradient) -> float:
    """Inner product over all layers."""
    return sum(float((left[name].double() * right[name].double()).sum()) for name in right)


def dense(factors: LayerFactors) -> Tensor:
    """``G`` of one layer as a matrix ``[o*i, o*i]``, rows and columns in the order of a flattened ``[o, i]``."""
    basis = torch.kron(factors.q_s.contiguous(), factors.q_a.contiguous())
    return basis @ torch.diag(factors.lam.flatten()) @ basis.T


def dense_solve(factors: dict[str, LayerFactors], grad: Gradient, damping_factor: float) -> Gradient:
    """``(G + damping I)^-1 grad`` of gradients ``[n, o, i]``, with the damping of each layer its own."""
    solved = {}
    for name, layer in factors.items():
        matrix = dense(layer)
        matrix += damping_factor * layer.lam.mean() * torch.eye(len(matrix), dtype=matrix.dtype)
        solved[name] = torch.linalg.solve(matrix, grad[name].flatten(1).T).T.view_as(grad[name])
    return solved


def difference(found: Tensor | np.ndarray | list | float, expected: Tensor | np.ndarray | list | float) -> float:
    """Largest difference, relative to the largest expected magnitude."""
    found, expected = (torch.from_numpy(np.array(values, dtype=np.float64)) for values in (found, expected))
    assert found.shape == expected.shape, f"{tuple(found.shape)} against {tuple(expected.shape)}"
    assert float(expected.abs().max()) > 0, "nothing to compare with"
    return float((found - expected).abs().max() / expected.abs().max())


def spearman(left: np.ndarray, right: np.ndarray) -> float:
    """Rank correlation."""
    return float(stats.spearmanr(left, right).statistic)
