"""Load a causal language model; choose and name its tracked layers."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as transformers_logging

from engine.errors import ModelError

transformers_logging.disable_progress_bar()

LAYER_CHOICES = {
    "mlp": r"(^|\.)(mlp|feed_forward|ffn)\.|(^|\.)(fc1|fc2|w1|w2|w3)$",
    "attention": r"(^|\.)(attn|attention|self_attn|self_attention)\.",
    "all": r"",
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
LOADING_ERRORS = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError)
UNHASHED_SETTINGS = {"_name_or_path", "transformers_version", "use_cache"}
"""Settings that say where a model came from, not what it computes."""


@dataclass(frozen=True)
class TrackedLayer:
    """A linear layer whose weights count as parameters of the influence.

    Attributes:
        name: Name in the model, for example ``transformer.h.0.mlp.c_fc``.
        module: ``nn.Linear`` or GPT-2's ``Conv1D``.
        outputs: o.
        inputs: i, with the column for the bias where there is one.
    """

    name: str
    module: nn.Module
    outputs: int
    inputs: int

    @property
    def has_bias(self) -> bool:
        return self.module.bias is not None

    @property
    def parameters(self) -> int:
        return self.outputs * self.inputs

    @property
    def matrix(self) -> Tensor:
        """Its weights with the bias as last column, ``[o, i]``."""
        weight, bias = self.module.weight, self.module.bias
        assert isinstance(weight, Tensor)
        matrix = weight.T if isinstance(self.module, Conv1D) else weight
        return torch.cat([matrix, bias[:, None]], 1) if isinstance(bias, Tensor) else matrix

    def assign(self, matrix: Tensor) -> None:
        """Overwrite the weights, and the bias where there is one, by those of ``matrix``, ``[o, i]``."""
        weight, bias = self.module.weight, self.module.bias
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


def load_model(name: str, device: str = "cpu", dtype: str = "float32", context: int | None = None) -> LanguageModel:
    """Load a Hugging Face causal language model by hub name or local folder.

    Attention is eager: fused kernels give gradients that depend on what else is in the batch.

    Args:
        name: Hub name or folder.
        device: ``cpu``, ``cuda``, ``cuda:0``, ...
        dtype: ``float32``, ``bfloat16`` or ``float64``.
        context: Longest input in tokens; None for the model's own, at most 512 as in the papers.

    Raises:
        ModelError: If the model cannot be loaded, its weights are not finite, or it cannot be used.
    """
    if dtype not in DTYPES:
        raise ModelError(f"dtype {dtype!r} is unknown -- choose one of {', '.join(DTYPES)}.")
    _check_device(device)
    try:
        config = AutoConfig.from_pretrained(name)
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True)
        network, loading = AutoModelForCausalLM.from_pretrained(
            name, dtype=DTYPES[dtype], attn_implementation="eager", output_loading_info=True
        )
    except LOADING_ERRORS as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"no causal language model could be loaded from {name!r} ({first_line}) -- give a folder "
            "with config.json, model.safetensors and tokenizer.json, or a name on the Hugging Face hub."
        ) from error
    if missing := sorted(loading["missing_keys"]):
        raise ModelError(
            f"{name!r} has no weights for {', '.join(missing[:3])}{' and others' * (len(missing) > 3)} -- they "
            "would be random numbers -- use a complete checkpoint."
        )
    _check_tokenizer(name, tokenizer)
    _check_embedded(name, tokenizer, network)
    return prepare(name, network.to(device), tokenizer, _context(name, config, context))


def load_tokenizer(name: str) -> Any:
    """The fast tokenizer of a Hugging Face model, without its weights.

    Raises:
        ModelError: If it cannot be loaded, or is not fast.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True)
    except LOADING_ERRORS as error:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"no tokenizer could be loaded from {name!r} ({first_line}) -- tokens cannot be counted -- give a folder "
            "with tokenizer.json, or a name on the Hugging Face hub."
        ) from error
    _check_tokenizer(name, tokenizer)
    return tokenizer


def _check_device(device: str) -> None:
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ModelError(f"device {device!r} is unknown -- use cpu, cuda or cuda:0.") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device {device!r} was asked for, but torch finds no GPU here -- use --device cpu.")
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # cuda:7 of one GPU; mps, meta
        why = str(error).strip().splitlines()[0].split(". ")[0]
        raise ModelError(f"device {device!r} cannot be used ({why}) -- use cpu, cuda or cuda:0.") from None


def _check_tokenizer(name: str, tokenizer: Any) -> None:
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{name!r} has no fast tokenizer -- tokens could not be placed in the text -- add a tokenizer.json."
        )
    if not tokenizer("a", add_special_tokens=False)["input_ids"]:
        raise ModelError(f"the tokenizer of {name!r} knows no letters -- nothing could be read -- add tokenizer.json.")


def _check_embedded(name: str, tokenizer: Any, network: Any) -> None:
    rows = network.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"the tokenizer of {name!r} has {len(tokenizer)} tokens, the model embeds {rows} -- they do not belong "
            "together -- use the tokenizer that the model was trained with."
        )


def prepare(name: str, network: Any, tokenizer: Any, context: int) -> LanguageModel:
    """A :class:`LanguageModel` of a network already in memory; freezes its parameters.

    Raises:
        ModelError: If a weight is NaN or infinite.
    """
    network.eval().requires_grad_(False)
    for weight_name, weight in network.named_parameters():
        if not torch.isfinite(weight).all():
            raise ModelError(
                f"weight {weight_name!r} of {name!r} holds NaN or infinity -- every influence would be "
                "NaN -- use a checkpoint that trained without overflow."
            )
    return LanguageModel(name, network, tokenizer, context, _hash(network, tokenizer))


def _context(name: str, config: Any, asked: int | None) -> int:
    longest = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if asked is None:
        return min(longest or 512, 512)
    if asked < 2 or (longest and asked > longest):
        raise ModelError(f"context {asked} is out of range -- {name!r} takes 2 to {longest} tokens -- choose within.")
    return asked


def _hash(network: Any, tokenizer: Any) -> str:
    config = {k: v for k, v in network.config.to_diff_dict().items() if k not in UNHASHED_SETTINGS}
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
        layers: ``mlp`` (default, as both papers), ``attention``, ``all``, or a regular
            expression searched in layer names. Embedding and head are tracked only when
            a regular expression names them.

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
        if isinstance(module, nn.Linear | Conv1D):
            chosen.append(_tracked(name, module))
        elif _owns_matrices(module) and (by_name or not isinstance(module, nn.Embedding)):
            raise ModelError(
                f"layer {name!r} ({type(module).__name__}) cannot be tracked -- only linear layers can, and "
                "leaving it out silently would give wrong shares -- choose --layers so that it is not matched."
            )
    if not chosen:
        examples = [name for name, module in model.network.named_modules() if isinstance(module, nn.Linear | Conv1D)]
        raise ModelError(
            f"no layer of {model.name!r} matches --layers {layers!r} -- influence would be zero everywhere -- "
            f"its linear layers are named like {', '.join(examples[:3]) or 'nothing (it has none)'}."
        )
    return chosen


def tracked_share(model: LanguageModel, layers: list[TrackedLayer]) -> float:
    """Share of the model's parameters that the tracked layers hold, 0 to 1."""
    return sum(layer.parameters for layer in layers) / model.parameters


def _pattern(layers: str) -> re.Pattern[str]:
    try:
        return re.compile(LAYER_CHOICES.get(layers, layers))
    except re.error as error:
        raise ModelError(
            f"--layers {layers!r} is not a valid regular expression ({error}) -- use mlp, attention, all or mend it."
        ) from None


def _tracked(name: str, module: nn.Module) -> TrackedLayer:
    weight: Tensor = module.weight  # type: ignore[assignment]
    inputs, outputs = weight.shape if isinstance(module, Conv1D) else reversed(weight.shape)
    return TrackedLayer(name, module, outputs, inputs + (module.bias is not None))


def _owns_matrices(module: nn.Module) -> bool:
    return any(parameter.dim() >= 2 for parameter in module.parameters(recurse=False))
