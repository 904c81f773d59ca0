"""A causal language model in memory; choose and name its tracked layers."""

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from engine.adapters import scalings
from engine.errors import ModelError
from engine.experts import ExpertLinear, take_apart

LAYER_CHOICES = {
    "mlp": r"(^|\.)(mlp|feed_forward|ffn|block_sparse_moe|moe|experts|router)\.|(^|\.)(fc1|fc2|w1|w2|w3)$",
    "attention": r"(^|\.)(attn|attention|self_attn|self_attention)\.",
    "all": r"",
    "lora": r"(^|\.)lora_",
}
ADAPTER = re.compile(LAYER_CHOICES["lora"])
UNHASHED_SETTINGS = {"_name_or_path", "transformers_version", "use_cache"}
"""Settings that say where a model came from, not what it computes."""


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


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model ready for influence: evaluation mode, no parameter gradients.

    Attributes:
        name: Name or folder it was loaded from.
        network: The transformers model.
        tokenizer: Its fast tokenizer.
        context: Longest input it may see, in tokens.
        hash: SHA-256 of configuration, weights and tokenizer.
    """

    name: str
    network: Any
    tokenizer: Any
    context: int
    hash: str

    @property
    def start_token(self) -> int | None:
        """The token put before every text, or None where the tokenizer has none."""
        return self.tokenizer.bos_token_id

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    @property
    def working_dtype(self) -> torch.dtype:
        """What influence is computed in: the model's dtype, but never below float32."""
        return torch.promote_types(self.dtype, torch.float32)

    @property
    def vocabulary(self) -> int:
        """Token ids that the model embeds: where ids have gaps, more than the tokenizer has tokens."""
        return self.network.get_input_embeddings().weight.shape[0]

    @property
    def parameters(self) -> int:
        """Number of distinct parameters; tied ones count once."""
        return sum(parameter.numel() for parameter in self.network.parameters())


def prepare(name: str, network: Any, tokenizer: Any, context: int) -> LanguageModel:
    """A :class:`LanguageModel` of a network already in memory; freezes its parameters, takes fused experts apart.

    Raises:
        ModelError: If a weight is NaN or infinite.
    """
    take_apart(network)
    network.eval().requires_grad_(False)
    for weight_name, weight in network.named_parameters():
        if not torch.isfinite(weight).all():
            raise ModelError(
                f"weight {weight_name!r} of {name!r} holds NaN or infinity -- every influence would be "
                "NaN -- use a checkpoint that trained without overflow."
            )
    return LanguageModel(name, network, tokenizer, context, _hash(network, tokenizer))


def _hash(network: Any, tokenizer: Any) -> str:
    config = {k: v for k, v in network.config.to_diff_dict().items() if k not in UNHASHED_SETTINGS}
    if adapted := scalings(network):
        config["adapter"] = adapted
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    return digest.hexdigest()


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
    pattern = _pattern(layers)
    by_name = layers not in LAYER_CHOICES
    head = model.network.get_output_embeddings()
    chosen = []
    for name, module in model.network.named_modules():
        if not name or not pattern.search(name) or (module is head and not by_name):
            continue
        if ADAPTER.search(name) and not by_name and layers != "lora":
            continue
        if (_is_linear(module) or _is_router(module)) and not _is_unplaced(name, module):
            chosen.append(_tracked(name, module))
        elif _owns_matrices(module) and (by_name or not isinstance(module, nn.Embedding)):
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


def _check_unshared(model: LanguageModel, layers: list[TrackedLayer]) -> None:
    """A head tied to the embedding has half of its weights' gradient; so has any layer whose weights another uses."""
    owners = Counter(id(weight) for _, weight in model.network.named_parameters(remove_duplicate=False))
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
            f"--layers {layers!r} is not a valid regular expression ({error}) -- mend it, or use one of "
            f"{', '.join(LAYER_CHOICES)}."
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
