"""The only hooks: a batch -> what went into each tracked layer and the gradient at what came out.

A layer's weight gradient is ``sum_t grad_t activation_t^T``, so activation and output
gradient are all that influence needs; no weight gradient is ever computed. The graph
begins at the first tracked layer's output, so the backward pass stops there.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from engine.batching import Batch
from engine.errors import ModelError
from engine.losses import token_log_probs
from engine.model import LanguageModel, TrackedLayer


@dataclass
class Tape:
    """What the tracked layers saw in one forward pass."""

    layers: Sequence[TrackedLayer]
    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)

    def gradients(self, total: Tensor, again: bool = False) -> dict[str, tuple[Tensor, Tensor]]:
        """``{layer: (activation [b, t, i], gradient of total at the output [b, t, o])}``.

        The activation has the column of ones where the layer has a bias. Both are at least
        float32, whatever the model runs in. ``again`` keeps the graph for another total.
        """
        names = [layer.name for layer in self.layers if layer.name in self.outputs]
        outputs = [self.outputs[name] for name in names]
        grads = torch.autograd.grad(total, outputs, materialize_grads=True, retain_graph=again)
        by_name = {layer.name: layer for layer in self.layers}
        return {
            name: (with_ones(_working(self.inputs[name]), by_name[name].has_bias), _working(grad))
            for name, grad in zip(names, grads, strict=True)
        }


@contextmanager
def capture(layers: Sequence[TrackedLayer]) -> Iterator[Tape]:
    """Record the tracked layers during one forward pass inside the block."""
    tape = Tape(layers)

    def hook(name: str) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            if name in tape.outputs:
                raise ModelError(
                    f"layer {name!r} runs twice in one forward pass -- its two gradients would be mixed "
                    "up -- choose --layers so that shared layers are left out."
                )
            if output.dim() != 3:
                raise ModelError(
                    f"layer {name!r} gives rows of shape {list(output.shape)}, not one per window and position -- "
                    "its gradients could not be told apart -- choose --layers so that it is left out."
                )
            if not output.requires_grad:
                output.requires_grad_()  # the graph begins here
            tape.inputs[name], tape.outputs[name] = args[0].detach(), output

        return record

    handles = [layer.module.register_forward_hook(hook(layer.name)) for layer in layers]
    try:
        with torch.enable_grad():
            yield tape
    finally:
        for handle in handles:
            handle.remove()


def batch_gradients(
    model: LanguageModel, layers: Sequence[TrackedLayer], batch: Batch
) -> dict[str, tuple[Tensor, Tensor]]:
    """As :meth:`Tape.gradients`, of the log-probability of each window's tokens."""
    with capture(layers) as tape:
        logits, _ = run_network(model, batch.input_ids)
        return tape.gradients((token_log_probs(logits, batch.targets) * batch.loss_mask).sum())


def run_network(model: LanguageModel, input_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Logits ``[b, t, v]`` and last hidden states ``[b, t, d]``."""
    output = model.network(input_ids=input_ids, use_cache=False, output_hidden_states=True)
    return _working(output.logits), _working(output.hidden_states[-1])


def _working(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def directional_log_probs(
    model: LanguageModel, layers: Sequence[TrackedLayer], direction: dict[str, Tensor], batch: Batch
) -> Tensor:
    """``J log p(target_t | before) . P``: how each token's log-probability changes along ``P``.

    Args:
        model: The model.
        layers: Its tracked layers.
        direction: Preconditioned gradients per layer, ``[b, o, i]``: each window moves along one of its own.
        batch: b windows.

    Returns:
        ``[b, t]``, zero where there is no loss.
    """
    with _moving(model, layers, direction):
        logits = _working(model.network(input_ids=batch.input_ids, use_cache=False).logits)
        tangent = forward_ad.unpack_dual(token_log_probs(logits, batch.targets)).tangent
        return tangent * batch.loss_mask


def directional_logits(
    model: LanguageModel, layers: Sequence[TrackedLayer], direction: dict[str, Tensor], input_ids: Tensor
) -> Tensor:
    """``J P``: how the logits change along ``P``, ``[b, t, v]``, from one direction per layer, ``[1, o, i]``."""
    with _moving(model, layers, direction):
        logits = _working(model.network(input_ids=input_ids, use_cache=False).logits)
        return forward_ad.unpack_dual(logits).tangent


@contextmanager
def _moving(model: LanguageModel, layers: Sequence[TrackedLayer], direction: dict[str, Tensor]) -> Iterator[None]:
    """Forward mode inside the block: the output ``W a`` of a layer gains the tangent ``P a``, as a weight tangent does.

    Directions are ``[q, o, i]``; q divides the windows of a batch, whose first ``b/q`` move along the first direction.
    """

    def hook(layer: TrackedLayer) -> Callable[..., Tensor]:
        def perturb(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            activation = with_ones(_working(forward_ad.unpack_dual(args[0]).primal), layer.has_bias)
            primal, tangent = forward_ad.unpack_dual(output)
            along = direction[layer.name]
            moved = activation.reshape(len(along), -1, activation.shape[-1]) @ along.mT
            moved = moved.view(primal.shape).to(primal.dtype)
            return forward_ad.make_dual(primal, moved if tangent is None else tangent + moved)

        return perturb

    tracked = {layer.module for layer in layers}
    others = [module for module in model.network.modules() if module not in tracked and not any(module.children())]
    handles = [layer.module.register_forward_hook(hook(layer)) for layer in layers]
    handles += [module.register_forward_hook(_same_dtype) for module in others]
    try:
        with torch.no_grad(), forward_ad.dual_level():
            yield
    finally:
        for handle in handles:
            handle.remove()


def _same_dtype(module: nn.Module, args: tuple[Tensor, ...], output: Any) -> Any:
    """On a GPU the norms give a float32 tangent for a bfloat16 output, which the next product would refuse."""
    if not isinstance(output, Tensor):
        return output
    primal, tangent = forward_ad.unpack_dual(output)
    if tangent is None or tangent.dtype == primal.dtype:
        return output
    return forward_ad.make_dual(primal, tangent.to(primal.dtype))


def with_ones(activation: Tensor, has_bias: bool) -> Tensor:
    """The activation with a column of ones where the layer has a bias, ``[..., i]``."""
    return nn.functional.pad(activation, (0, 1), value=1.0) if has_bias else activation
