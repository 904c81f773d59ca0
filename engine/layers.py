"""Choose and name the tracked layers of a causal language model."""

import re
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from engine.errors import ModelError
from engine.experts import ExpertLinear
from engine.model import LanguageModel

LAYER_CHOICES = {
    "mlp": r"(^|\.)(mlp|feed_forward|ffn|block_sparse_moe|moe|experts|router)\.|(^|\.)(fc1|fc2|w1|w2|w3)$",
    "attention": r"(^|\.)(attn|attention|self_attn|self_attention)\.",
    "all": r"",
    "lora": r"(^|\.)lora_",
}
ADAPTER = re.compile(LAYER_CHOICES["lora"])


@dataclass(frozen=True)
class TrackedLayer:
    """A linear layer whose weights count as parameters of the influence.

    Attributes:
        name: Name in the model, for example ``transformer.h.0.mlp.c_fc``.
        module: ``nn.Linear``, GPT-2's ``Conv1D``, one expert's projection, or a router, which multiplies with its
            ``weight`` and goes on from there.
        outputs: o.
        inputs: i, with the column for the bias where there is one.
    """

    name: str
    module: nn.Module
    outputs: int
    inputs: int

    @property
    def is_expert(self) -> bool:
        return isinstance(self.module, ExpertLinear)

    @property
    def share_of_tokens(self) -> float:
        """Share of the tokens that it sees on average: below 1 for an expert."""
        return self.module.share if isinstance(self.module, ExpertLinear) else 1.0

    @property
    def is_router(self) -> bool:
        return not _is_linear(self.module)

    @property
    def bias(self) -> Tensor | None:
        return getattr(self.module, "bias", None)

    @property
    def has_bias(self) -> bool:
        return self.bias is not None

    @property
    def parameters(self) -> int:
        return self.outputs * self.inputs

    @property
    def matrix(self) -> Tensor:
        """Its weights with the bias as last column, ``[o, i]``."""
        weight, bias = self.module.weight, self.bias
        assert isinstance(weight, Tensor)
        matrix = weight.T if isinstance(self.module, Conv1D) else weight
        return torch.cat([matrix, bias[:, None]], 1) if isinstance(bias, Tensor) else matrix

    def assign(self, matrix: Tensor) -> None:
        """Overwrite the weights, and the bias where there is one, by those of ``matrix``, ``[o, i]``."""
        weight, bias = self.module.weight, self.bias
        assert isinstance(weight, Tensor)
        own = matrix[:, :-1] if isinstance(bias, Tensor) else matrix
        weight.copy_(own.T if isinstance(self.module, Conv1D) else own)
        if isinstance(bias, Tensor):
            bias.copy_(matrix[:, -1])


def tracked_layers(model: LanguageModel, layers: str = "mlp") -> list[TrackedLayer]:
    """The linear layers to track, in the order of the model.

    Args:
        model: The model.
        layers: ``mlp`` (default, as both papers; experts and routers included), ``attention``, ``all``, ``lora``,
            or a regular expression searched in layer names. Embedding and head are tracked only when a regular
            expression names them. Where an adapter is loaded, the first three mean the weights it adapts, as adapted:
            the gradient is the same in the base layer's and in the merged weights. ``lora`` means its own matrices.

    Raises:
        ModelError: If nothing matches, or something that matches cannot be tracked.
    """
    pattern, chosen = _pattern(layers), []
    for name, module in model.network.named_modules():
        if not pattern.search(name) or _stays_out(model, name, module, layers):
            continue
        if (_is_linear(module) or _is_router(module)) and not _is_unplaced(name, module):
            chosen.append(_tracked(name, module))
        elif _owns_matrices(module):
            raise ModelError(
                f"layer {name!r} ({type(module).__name__}) cannot be tracked -- only linear layers can whose rows are "
                "those of the text, and leaving it out silently would give wrong shares -- choose --layers so that it "
                "is not matched, for example --layers attention."
            )
    if not chosen:
        examples = [name for name, module in model.network.named_modules() if _is_linear(module)]
        raise ModelError(
            f"no layer of {model.name!r} matches --layers {layers!r} -- influence would be zero everywhere -- "
            f"its linear layers are named like {', '.join(examples[:3]) or 'nothing (it has none)'}."
        )
    _check_unshared(model, chosen)
    return chosen


def _stays_out(model: LanguageModel, name: str, module: nn.Module, layers: str) -> bool:
    """Embedding and head are not meant by a choice of layers, nor an adapter's matrices beside the layers it adapts."""
    if layers not in LAYER_CHOICES:
        return False
    embeds = isinstance(module, nn.Embedding) or module is model.network.get_output_embeddings()
    return embeds or (layers != "lora" and bool(ADAPTER.search(name)))


def _check_unshared(model: LanguageModel, layers: list[TrackedLayer]) -> None:
    """A head tied to the embedding has half of its weights' gradient; so has any layer whose weights another uses."""
    owners = Counter(id(own) for module in model.network.modules() for own in module.parameters(recurse=False))
    for layer in layers:
        if owners[id(layer.module.weight)] > 1:
            raise ModelError(
                f"the weights of layer {layer.name!r} are another layer's too, as of a head tied to the embedding -- "
                "only a part of their gradient would be seen -- choose --layers so that it is not matched."
            )


def tracked_share(model: LanguageModel, layers: list[TrackedLayer]) -> float:
    """Share of the model's parameters that the tracked layers hold, 0 to 1."""
    return sum(layer.parameters for layer in layers) / model.parameters


def _pattern(layers: str) -> re.Pattern[str]:
    try:
        return re.compile(LAYER_CHOICES.get(layers, layers))
    except re.error as error:
        raise ModelError(
            f"--layers {layers!r} is not a valid regular expression ({error}) -- use "
            f"{', '.join(LAYER_CHOICES)} or mend it."
        ) from None


def _tracked(name: str, module: nn.Module) -> TrackedLayer:
    weight: Tensor = module.weight  # type: ignore[assignment]
    inputs, outputs = weight.shape if isinstance(module, Conv1D) else reversed(weight.shape)
    return TrackedLayer(name, module, outputs, inputs + (getattr(module, "bias", None) is not None))


def _is_linear(module: nn.Module) -> bool:
    """Whether its output is a product with its weights; subclasses of ``nn.Linear`` may compute anything."""
    return isinstance(module, ExpertLinear | Conv1D) or type(module).forward is nn.Linear.forward


def _is_router(module: nn.Module) -> bool:
    """Whether it chooses experts by a product with a weight of its own, whatever it makes of it then."""
    weight = module._parameters.get("weight")
    return type(module).__name__.endswith(("Router", "Gate")) and weight is not None and weight.dim() == 2


def _is_unplaced(name: str, module: nn.Module) -> bool:
    """Whether it sees only the tokens that are routed to it, and nothing says which."""
    return bool(re.search(r"(^|\.)experts\.\d+\.", name)) and not isinstance(module, ExpertLinear)


def _owns_matrices(module: nn.Module) -> bool:
    return any(parameter.dim() >= 2 for parameter in module.parameters(recurse=False))
