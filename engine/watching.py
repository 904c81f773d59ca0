"""The only hooks: when a tracked layer has computed, and where in the batch the rows stand that it saw.

Most layers see ``[b, t, i]``. Layers of a mixture of experts see the tokens of all windows in one row, and an expert
only those that are routed to it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from engine.errors import ModelError
from engine.layers import TrackedLayer

See = Callable[[TrackedLayer, tuple[Tensor, ...], Tensor], Tensor | None]
"""Of a layer, its arguments and its output; what is returned takes the output's place."""


@dataclass(frozen=True)
class Rows:
    """Where the rows that a layer saw stand in a batch.

    Attributes:
        shape: b windows of t positions.
        places: Places in the flattened batch, int64 ``[n]``; None where all stand in order.
    """

    shape: torch.Size
    places: Tensor | None = None

    def spread(self, rows: Tensor) -> Tensor:
        """The rows as ``[b, t, d]``, zero where there is none."""
        if self.places is None:
            return rows.view(*self.shape, -1)
        spread = rows.new_zeros(self.shape.numel(), rows.shape[-1])
        return spread.index_copy(0, self.places, rows).view(*self.shape, -1)

    def pick(self, spread: Tensor, like: Tensor) -> Tensor:
        """Those rows of ``[b, t, d]``, in the shape of ``like``."""
        rows = spread.flatten(0, 1)
        return (rows if self.places is None else rows[self.places]).view(like.shape)


def rows_of(layer: TrackedLayer, args: tuple[Tensor, ...], output: Tensor, shape: torch.Size) -> Rows:
    """Where the rows of a layer's output stand in a batch of ``shape``.

    Raises:
        ModelError: If that cannot be told.
    """
    if layer.is_expert:
        return Rows(shape, args[1])
    if output.shape[:-1] in (shape, (shape.numel(),)):
        return Rows(shape)
    raise ModelError(
        f"layer {layer.name!r} gives rows of shape {list(output.shape)}, not one per window and position -- "
        "its gradients could not be told apart -- choose --layers so that it is left out."
    )


@contextmanager
def watching(layers: Sequence[TrackedLayer], see: See) -> Iterator[None]:
    """Call ``see`` whenever one of the layers has computed inside the block."""

    def hook(layer: TrackedLayer) -> Callable[..., Tensor | None]:
        return lambda module, args, output: see(layer, args, output)

    routers = {id(layer.module.weight): layer for layer in layers if layer.is_router}
    handles = [layer.module.register_forward_hook(hook(layer)) for layer in layers if not layer.is_router]
    try:
        with _Products(routers, see) if routers else nullcontext():
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Products(TorchFunctionMode):
    """Sees products with given weights inside modules that compute more than a product, as routers do."""

    def __init__(self, layers: dict[int, TrackedLayer], see: See) -> None:
        super().__init__()
        self._layers, self._see = layers, see

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is not nn.functional.linear or (layer := self._layers.get(id(args[1]))) is None:
            return output
        if (len(args) > 2 and args[2] is not None) != layer.has_bias:
            raise ModelError(
                f"layer {layer.name!r} does not use its bias as linear layers do -- its gradient would be another's -- "
                "choose --layers so that it is left out."
            )
        replaced = self._see(layer, args, output)
        return output if replaced is None else replaced
