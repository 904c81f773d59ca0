"""The posterior over a model's tracked weights that the Bayesian influence function samples.

``exp(-n_beta * L(w) - gamma/2 |w - w*|^2)`` with ``w*`` the trained weights, all other weights fixed. ``L`` is the mean
over the corpus's windows of ``KL(p_w* || p_w)``, summed over a window's tokens: the loss of the proximal Bregman
objective (Bae et al. 2022, arXiv 2209.05364). Kreer et al. 2025 (arXiv 2509.26544) take the training loss itself. With
this one ``w*`` is the optimum that influence presumes, even where training stopped early, and the Hessian there is
exactly ``G``, the Gauss-Newton that EK-FAC approximates. Every window's gradient vanishes at ``w*``, so that batches
add little noise near it: with the training loss their noise would be ``step_size * n_beta / (4 * batch)`` times the
sampler's own, some hundredfold where the answer is a local one.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from engine.batching import Batch, batches
from engine.capture import capture, run_network
from engine.corpus import Window
from engine.ekfac import LayerFactors
from engine.layers import TrackedLayer
from engine.losses import divergences
from engine.model import LanguageModel


class MovedModel:
    """A copy of a model whose tracked weights move.

    Displacements are vectors ``[p]``: layer after layer, each ``[o, i]`` in the eigenbasis of its factors, row by row.

    Attributes:
        still: The model as it was trained.
        model: The copy.
        curvature: ``lam`` of each displacement, ``[p]``.
        damping: ``damping_factor`` times the mean ``lam`` of its layer, ``[p]``.
    """

    def __init__(
        self,
        model: LanguageModel,
        layers: Sequence[TrackedLayer],
        factors: dict[str, LayerFactors],
        damping_factor: float,
    ) -> None:
        self.still, self.factors = model, factors
        self.model = replace(model, network=copy.deepcopy(model.network).to(model.working_dtype))
        self.layers = [replace(one, module=self.model.network.get_submodule(one.name)) for one in layers]
        self._start = {layer.name: layer.matrix.to(model.device, copy=True) for layer in self.layers}
        lam = [factors[layer.name].lam for layer in layers]
        self.curvature = torch.cat([one.flatten() for one in lam])
        self.damping = torch.cat([(damping_factor * one.mean()).expand(one.numel()) for one in lam])

    def move(self, x: Tensor) -> None:
        """Put the tracked weights ``x`` away from where training left them."""
        parts = x.split([layer.parameters for layer in self.layers])
        for layer, part in zip(self.layers, parts, strict=True):
            one = self.factors[layer.name]
            layer.assign(self._start[layer.name] + one.q_s @ part.view(layer.outputs, layer.inputs) @ one.q_a.T)

    def gradient(self, x: Tensor, windows: Sequence[Window], batch_tokens: int) -> Tensor:
        """Gradient of the mean over some windows of ``KL(p_w* || p_w)`` at a displacement, ``[p]``."""
        self.move(x)
        total = torch.zeros_like(x)
        for batch in batches(windows, batch_tokens, self.model.device):
            total += self._gradient_sum(batch)
        return total / len(windows)

    def _gradient_sum(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            before = torch.log_softmax(run_network(self.still, batch.input_ids)[0], -1)
        with capture(self.model, self.layers) as tape:
            after = torch.log_softmax(run_network(self.model, batch.input_ids)[0], -1)
            grads = tape.gradients((divergences(before, after) * batch.loss_mask).sum())
        rows = []
        for name, (activation, grad) in grads.items():
            one = self.factors[name]
            formed = grad.flatten(0, 1).T @ activation.flatten(0, 1)
            rows.append((one.q_s.T @ formed @ one.q_a).flatten())
        return torch.cat(rows)


def draw_windows(windows: Sequence[Window], count: int, draw: np.random.Generator) -> list[Window]:
    """So many windows at random, none twice; all where there are no more."""
    return [windows[place] for place in np.sort(draw.permutation(len(windows))[:count])]
