"""The mathematics of refinement: preconditioned gradients by conjugate gradients on the curvature itself.

EK-FAC takes the curvature as block-diagonal, and each layer's block as diagonal in a Kronecker basis. Here
``(G + damping) v = grad`` is solved over all tracked layers together, preconditioned by EK-FAC and begun at its answer.
``G`` is the Gauss-Newton Hessian of the loss, in the units of ``lam``,

    ``G = mean over windows of sum_t J_t^T (diag(p_t) - p_t p_t^T) J_t``,

where ``J_t`` is the derivative of the logits at t by the tracked weights and ``p_t`` the model's distribution there:
the expectation over labels is taken exactly, where factors sample them. No matrix is formed: ``G P`` is a forward-mode
pass, ``J P``, and a backward pass, ``J^T``, over some windows.

Sources: Grosse et al. 2023 (arXiv 2308.03296), sections 2.1 and 3.2 (the Gauss-Newton Hessian, iterative inversion);
conjugate gradients, Hestenes and Stiefel 1952, in the form of Saad 2003, algorithm 9.1.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine import ekfac
from engine.batching import batches
from engine.capture import capture, directional_logits, run_network
from engine.corpus import Window
from engine.ekfac import LayerFactors
from engine.layers import TrackedLayer
from engine.model import LanguageModel

Rows = dict[str, Tensor]
"""Vectors over all tracked weights, one a row: ``{layer: [q, o, i]}``."""


def gauss_newton_product(
    model: LanguageModel,
    layers: Sequence[TrackedLayer],
    windows: Sequence[Window],
    batch_tokens: int,
    direction: Rows,
    advance: Callable[[int], None] = lambda _: None,
) -> Rows:
    """``G P`` for each row of a block.

    The rows share each batch's graph but move one by one, so that no row's result depends on the others.

    Args:
        model: The model.
        layers: Its tracked layers.
        windows: Windows that ``G`` is the mean over.
        batch_tokens: Tokens per batch.
        direction: ``P``.
        advance: Called with the tokens of each batch, once per row.

    Returns:
        As ``direction``.
    """
    total = {name: torch.zeros_like(rows) for name, rows in direction.items()}
    for batch in batches(windows, batch_tokens, model.device):
        with capture(model, layers) as tape:
            logits, _ = run_network(model, batch.input_ids)
        probabilities = torch.softmax(logits.detach(), -1)
        for row in range(len(next(iter(direction.values())))):
            along = {name: rows[row : row + 1] for name, rows in direction.items()}
            moved = directional_logits(model, layers, along, batch.input_ids)
            turned = _output_curvature(probabilities, moved) * batch.loss_mask[..., None]
            for name, (activation, grad) in tape.gradients((logits * turned).sum(), again=True).items():
                total[name][row] += grad.flatten(0, 1).T @ activation.flatten(0, 1)
            advance(batch.tokens)
    return {name: rows / len(windows) for name, rows in total.items()}


def _output_curvature(probabilities: Tensor, moved: Tensor) -> Tensor:
    """``(diag(p) - p p^T) u``: the Hessian of the cross-entropy by the logits, ``[b, t, v]``."""
    return probabilities * (moved - (probabilities * moved).sum(-1, keepdim=True))


def conjugate_gradients(
    product: Callable[[Rows], Rows],
    grad: Rows,
    factors: dict[str, LayerFactors],
    damping: dict[str, float],
    iterations: int,
) -> tuple[Rows, Tensor]:
    """Solve ``(G + damping) v = grad`` for each row, preconditioned by EK-FAC and begun at its answer.

    ``v += a p``, ``r -= a (G + damping) p`` with ``a = <r, z> / <p, (G + damping) p>``, ``z = M^-1 r`` and
    ``p = z + (<r', z'> / <r, z>) p``: each step lessens the error in the norm of ``G + damping``.

    Args:
        product: ``G P``.
        grad: Gradients of the measurement.
        factors: EK-FAC factors of each layer.
        damping: Damping of each layer, in the units of ``lam``.
        iterations: Steps; each takes one product, as does the first residual.

    Returns:
        The solution, and ``|grad - (G + damping) v| / |grad|`` at the beginning and after each step,
        float64 ``[1 + iterations, q]``.
    """

    def damped(rows: Rows) -> Rows:
        return {name: found + damping[name] * rows[name] for name, found in product(rows).items()}

    def preconditioned(rows: Rows) -> Rows:
        return {name: ekfac.precondition(one, factors[name], damping[name]) for name, one in rows.items()}

    solution = preconditioned(grad)
    residual = {name: grad[name] - found for name, found in damped(solution).items()}
    search = rest = preconditioned(residual)
    norms, energy = [_dot(residual, residual)], _dot(residual, rest)
    for _ in range(iterations):
        turned = damped(search)
        step = _ratio(energy, _dot(search, turned))
        solution, residual = _plus(solution, step, search), _plus(residual, -step, turned)
        rest = preconditioned(residual)
        norms.append(_dot(residual, residual))
        before, energy = energy, _dot(residual, rest)
        search = _plus(rest, _ratio(energy, before), search)
    return solution, _ratio(torch.stack(norms), _dot(grad, grad)).sqrt()


def _dot(left: Rows, right: Rows) -> Tensor:
    """Inner product of each row over all layers, in float64, ``[q]``."""
    return torch.stack([(rows.double() * right[name]).sum((1, 2)) for name, rows in left.items()]).sum(0)


def _plus(rows: Rows, factor: Tensor, others: Rows) -> Rows:
    """``rows + factor * others``, a factor for each row."""
    return {name: one + factor[:, None, None].to(one.dtype) * others[name] for name, one in rows.items()}


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Zero where nothing is left to divide by: the row is solved."""
    return torch.where(below > 0, above / below.clamp_min(1e-300), 0.0)
