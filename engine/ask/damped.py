"""Influence of the documents shown at every damping offered and through each layer, so that a page answers at once.

A document's influence is ``sum_j a_j / (lam_j + damping)`` over the coordinates of the eigenbasis, where ``a_j`` is the
product of both gradients: the damping comes last, and one pass over a few documents gives the answer at any.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine import ekfac
from engine.ask.answer import Damped
from engine.batching import batches
from engine.capture import batch_gradients
from engine.corpus import Window
from engine.ekfac import LayerFactors
from engine.live import LoadedRun
from engine.progress import Progress
from engine.queries import QueryGradient

FACTORS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Damping factors offered; the run's own is always among them."""


def damped(
    loaded: LoadedRun,
    gradients: Sequence[QueryGradient],
    wanted: Sequence[Sequence[int]],
    windows: list[Window],
    progress: Progress,
) -> list[Damped]:
    """Influence of each question's documents by damping factor and layer.

    Args:
        loaded: The run with its model.
        gradients: The questions' gradients.
        wanted: Documents wanted of each.
        windows: All windows of those documents.
        progress: Advanced by the tokens of each batch; may cancel.
    """
    own = float(loaded.run.query["settings"]["damping_factor"])
    factors, names = sorted({*FACTORS, own}), [layer.name for layer in loaded.layers]
    asked = {
        name: torch.stack([gradient.rotated(name, of).sum(0) for gradient in gradients])
        for name, of in loaded.factors.items()
    }
    found = [{document: np.zeros((len(factors), len(names))) for document in documents} for documents in wanted]
    progress.start("Other damping and layers", sum(map(len, windows)))
    for batch in batches(windows, loaded.run.score["settings"]["batch_tokens"], loaded.model.device):
        grads = batch_gradients(loaded.model, loaded.layers, batch)
        for place, name in enumerate(names):
            values = _at_each(factors, asked[name], grads[name], loaded.factors[name])
            for row, window in enumerate(batch.windows):
                for question, documents in enumerate(found):
                    if window.document in documents:
                        documents[window.document][:, place] += values[:, question, row]
        progress.advance(batch.tokens)
    progress.finish()
    return [Damped(own, factors, names, of) for of in found]


def _at_each(
    damping_factors: Sequence[float], asked: Tensor, grads: tuple[Tensor, Tensor], factors: LayerFactors
) -> np.ndarray:
    """Influence of the windows of a batch through one layer, ``[damping factors, q, b]``."""
    activation, token_grad = grads
    rotated = ekfac.rotated_gradients(token_grad, activation, factors.q_a, factors.q_s)
    dampings = [factors.damping(factor) for factor in damping_factors]
    each = [ekfac.document_influence(asked / (factors.lam + damping), rotated) for damping in dampings]
    return torch.stack(each).double().cpu().numpy()
