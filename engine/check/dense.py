"""The exact answers that estimators are held against, on models small enough for a dense matrix, in float64.

A model's tracked weights are one vector ``[p]``: layer after layer, each ``[o, i]`` with the bias as last column,
row by row, as in :mod:`engine.ekfac`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, jvp, vjp
from transformers.pytorch_utils import Conv1D

from engine.batching import Batch
from engine.errors import WhenceError
from engine.layers import TrackedLayer
from engine.losses import divergences, token_log_probs
from engine.model import LanguageModel

MOST_PARAMETERS = 6_000
"""Of a dense matrix: 288 MB in float64, and one pass over the corpus for each."""
LBFGS_STEPS = 200


class TrackedWeights:
    """The tracked weights of a model as one vector, and what the model computes at other values of it.

    Attributes:
        start: The weights as they are, float64 ``[p]``.
        sizes: Parameters of each layer, in order.
    """

    def __init__(self, model: LanguageModel, layers: Sequence[TrackedLayer]) -> None:
        """Take a float64 model.

        Raises:
            WhenceError: If the model is not in float64, or its tracked layers are too large.
        """
        count = sum(layer.parameters for layer in layers)
        if model.dtype != torch.float64:
            raise WhenceError(f"the model is in {model.dtype} -- the exact answer would not be exact -- use float64.")
        if count > MOST_PARAMETERS:
            raise WhenceError(
                f"{count:,} tracked parameters -- a dense matrix of them is out of reach -- choose a model or layers "
                f"with at most {MOST_PARAMETERS:,}."
            )
        self.model, self.layers = model, list(layers)
        self.sizes = [layer.parameters for layer in layers]
        self.start = torch.cat([layer.matrix.flatten() for layer in layers])

    def of_layers(self, vector: Tensor) -> dict[str, Tensor]:
        """A vector's matrix of each layer, ``[o, i]``."""
        parts = vector.split(self.sizes)
        return {layer.name: part.view(layer.outputs, -1) for layer, part in zip(self.layers, parts, strict=True)}

    def logits(self, vector: Tensor, input_ids: Tensor) -> Tensor:
        """Logits ``[b, t, v]`` of the model with these weights."""
        weights = {}
        for layer, matrix in zip(self.layers, self.of_layers(vector).values(), strict=True):
            weight = matrix[:, :-1] if layer.has_bias else matrix
            weights[f"{layer.name}.weight"] = weight.T if isinstance(layer.module, Conv1D) else weight
            if layer.has_bias:
                weights[f"{layer.name}.bias"] = matrix[:, -1]
        return functional_call(self.model.network, weights, kwargs={"input_ids": input_ids, "use_cache": False}).logits

    def log_likelihoods(self, vector: Tensor, batch: Batch) -> Tensor:
        """Summed log-likelihood of each window, ``[b]``."""
        return (token_log_probs(self.logits(vector, batch.input_ids), batch.targets) * batch.loss_mask).sum(1)

    def gradients(self, total: Callable[[Tensor], Tensor]) -> Tensor:
        """Gradient of each entry of ``total(weights)``, ``[entries, p]``."""
        values, back = vjp(total, self.start)  # type: ignore[misc]
        return torch.stack([back(row)[0] for row in torch.eye(len(values), dtype=torch.float64)])


def gauss_newton(weights: TrackedWeights, batch: Batch, advance: Callable[[int], None]) -> Tensor:
    """The Gauss-Newton Hessian of the loss: the mean over windows of ``sum_t J_t^T (diag(p_t) - p_t p_t^T) J_t``.

    Its expectation over labels is taken exactly; estimators sample them.

    Args:
        weights: The weights.
        batch: All windows.
        advance: Called with the number of columns that are done.

    Returns:
        ``[p, p]``, in nats squared per unit of weight squared, per window.
    """

    def outputs(vector: Tensor) -> Tensor:
        return weights.logits(vector, batch.input_ids)

    logits, back = vjp(outputs, weights.start)  # type: ignore[misc]
    probabilities = torch.softmax(logits, -1) * batch.loss_mask[..., None]
    columns = []
    for basis in torch.eye(len(weights.start), dtype=torch.float64):
        _, moved = jvp(outputs, (weights.start,), (basis,))  # type: ignore[misc]
        turned = probabilities * (moved - (probabilities * moved).sum(-1, keepdim=True))
        columns.append(back(turned)[0] / len(batch.windows))
        advance(1)
    found = torch.stack(columns)
    return (found + found.T) / 2


def proximal_response(weights: TrackedWeights, batch: Batch, document: Batch, damping: Tensor, weight: float) -> Tensor:
    """Where the weights go when a document counts more and the model otherwise keeps what it says.

    Minimises the proximal Bregman objective (Bae et al. 2022, arXiv 2209.05364; Grosse et al. 2023, eq. 10): the mean
    over windows of ``KL(p_start || p)``, minus ``weight`` times the document's log-likelihood, plus half the damped
    square distance from the start. For a small weight its change is ``weight * (G + damping)^-1 gradient``.

    Args:
        weights: The weights.
        batch: All windows.
        document: The document's windows.
        damping: Of each parameter, ``[p]``.
        weight: The weight that the document gains, in documents per window.

    Returns:
        The change of the weights, ``[p]``.
    """
    with torch.no_grad():
        before = torch.log_softmax(weights.logits(weights.start, batch.input_ids), -1)
    change = torch.zeros_like(weights.start, requires_grad=True)
    scale = 1 / weight  # of the objective, so that its tolerances do not depend on the weight
    optimizer = torch.optim.LBFGS(
        [change], max_iter=LBFGS_STEPS, history_size=50, line_search_fn="strong_wolfe", tolerance_grad=1e-7,
        tolerance_change=1e-12,
    )  # fmt: skip

    def objective() -> Tensor:
        optimizer.zero_grad()
        vector = weights.start + change
        after = torch.log_softmax(weights.logits(vector, batch.input_ids), -1)
        apart = divergences(before, after) * batch.loss_mask
        kept = apart.sum() / len(batch.windows) + (damping * change.square()).sum() / 2
        total = scale * kept - weights.log_likelihoods(vector, document).sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(objective)
    return change.detach()
