"""A batch -> what went into each tracked layer and the gradient at what came out.

A layer's weight gradient is ``sum_t grad_t activation_t^T``, so activation and output
gradient are all that influence needs; no weight gradient is ever computed. The graph
begins at the first tracked layer's output, so the backward pass stops there.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.autograd.graph import GradientEdge, get_gradient_edge

from engine.batching import Batch
from engine.errors import ModelError
from engine.layers import TrackedLayer
from engine.losses import token_log_probs
from engine.model import LanguageModel
from engine.watching import Rows, rows_of, watching


class Gradients(Mapping[str, tuple[Tensor, Tensor]]):
    """``{layer: (activation [b, t, i], gradient at the output [b, t, o])}``, each layer's made when it is asked for.

    The activation has the column of ones where the layer has a bias. Both are at least float32, whatever the model
    runs in, and zero at positions that the layer did not see: an expert sees only what is routed to it.
    """

    def __init__(self, tape: "Tape", grads: dict[str, Tensor]) -> None:
        self._tape, self._grads = tape, grads

    def __getitem__(self, name: str) -> tuple[Tensor, Tensor]:
        seen = self._tape.seen[name]
        activation = with_ones(_working(seen.input), seen.has_bias)
        found = seen.rows.spread(activation), seen.rows.spread(_working(self._grads[name]))
        return found[0].to(self._tape.device), found[1].to(self._tape.device)  # of a model that is spread

    def __iter__(self) -> Iterator[str]:
        return iter(self._grads)

    def __len__(self) -> int:
        return len(self._grads)

    @property
    def numbers(self) -> int:
        """Numbers held for all layers together."""
        return sum(grad.numel() + self._tape.seen[name].input.numel() for name, grad in self._grads.items())


@dataclass(frozen=True)
class Seen:
    """What a layer saw in one forward pass, and the place of its output in the graph, which may change in place."""

    rows: Rows
    has_bias: bool
    input: Tensor
    edge: GradientEdge
    shape: torch.Size


@dataclass
class Tape:
    """What the tracked layers saw in one forward pass."""

    layers: Sequence[TrackedLayer]
    device: torch.device
    seen: dict[str, Seen] = field(default_factory=dict)

    def gradients(self, total: Tensor, again: bool = False) -> Gradients:
        """What went into each layer and the gradient of ``total`` at what came out.

        ``again`` keeps the graph for another total.
        """
        found = {layer.name: self.seen[layer.name] for layer in self.layers if layer.name in self.seen}
        edges = [seen.edge for seen in found.values()]
        grads = torch.autograd.grad(total, edges, allow_unused=True, retain_graph=again)
        filled = (
            seen.input.new_zeros(seen.shape) if grad is None else grad
            for seen, grad in zip(found.values(), grads, strict=True)
        )
        return Gradients(self, dict(zip(found, filled, strict=True)))


@contextmanager
def capture(model: LanguageModel, layers: Sequence[TrackedLayer]) -> Iterator[Tape]:
    """Record the tracked layers during one forward pass inside the block."""
    tape, shape = Tape(layers, model.device), []  # type: tuple[Tape, list[torch.Size]]

    def record(layer: TrackedLayer, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if layer.name in tape.seen:
            raise ModelError(
                f"layer {layer.name!r} runs twice in one forward pass -- its two gradients would be mixed "
                "up -- choose --layers so that shared layers are left out."
            )
        rows = rows_of(layer, args, output, shape[-1])
        begins = not output.requires_grad  # the graph begins here
        edge = get_gradient_edge(output.requires_grad_())
        tape.seen[layer.name] = Seen(rows, layer.has_bias, args[0].detach(), edge, output.shape)
        return output.clone() if begins else None  # what a graph begins with may not change in place

    def note_shape(network: nn.Module, args: tuple, kwargs: dict[str, Tensor]) -> None:
        shape.append(kwargs["input_ids"].shape)

    handle = model.network.register_forward_pre_hook(note_shape, with_kwargs=True)
    try:
        with torch.enable_grad(), watching(layers, record):
            yield tape
    finally:
        handle.remove()


def batch_gradients(model: LanguageModel, layers: Sequence[TrackedLayer], batch: Batch) -> Gradients:
    """As :meth:`Tape.gradients`, of the log-probability of each window's tokens."""
    with capture(model, layers) as tape:
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
    with _moving(model, layers, direction, batch.input_ids.shape):
        logits = _working(model.network(input_ids=batch.input_ids, use_cache=False).logits)
        tangent = forward_ad.unpack_dual(token_log_probs(logits, batch.targets)).tangent
        return tangent * batch.loss_mask


def directional_logits(
    model: LanguageModel, layers: Sequence[TrackedLayer], direction: dict[str, Tensor], input_ids: Tensor
) -> Tensor:
    """``J P``: how the logits change along ``P``, ``[b, t, v]``, from one direction per layer, ``[1, o, i]``."""
    with _moving(model, layers, direction, input_ids.shape):
        logits = _working(model.network(input_ids=input_ids, use_cache=False).logits)
        return forward_ad.unpack_dual(logits).tangent


@contextmanager
def _moving(
    model: LanguageModel, layers: Sequence[TrackedLayer], direction: dict[str, Tensor], shape: torch.Size
) -> Iterator[None]:
    """Forward mode inside the block: the output ``W a`` of a layer gains the tangent ``P a``, as a weight tangent does.

    Directions are ``[q, o, i]``; q divides the windows of a batch, whose first ``b/q`` move along the first direction.
    """

    def perturb(layer: TrackedLayer, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        primal, tangent = forward_ad.unpack_dual(output)
        rows, along = rows_of(layer, args, primal, shape), direction[layer.name].to(primal.device)
        seen = forward_ad.unpack_dual(args[0]).primal.to(primal.device)
        activation = rows.spread(with_ones(_working(seen), layer.has_bias))
        moved = activation.reshape(len(along), -1, activation.shape[-1]) @ along.mT
        moved = rows.pick(moved.reshape(*shape, -1), primal).to(primal.dtype)
        return forward_ad.make_dual(primal, moved if tangent is None else tangent + moved)

    tracked = {layer.module for layer in layers}
    others = [module for module in model.network.modules() if module not in tracked and not any(module.children())]
    handles = [module.register_forward_hook(_same_dtype) for module in others]
    try:
        with torch.no_grad(), forward_ad.dual_level(), watching(layers, perturb):
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
