"""LoRA adapters (Hu et al. 2021, arXiv 2106.09685), read by peft: ``W a + scaling * B (A a)`` in place of ``W a``.

Nothing is merged: the gradient in the merged weights ``W + scaling * B A`` is that in ``W``, and those in A and B need
A and B as layers of their own.
"""

import json
from pathlib import Path
from typing import Any

from torch import nn
from transformers.utils import find_adapter_config_file

from engine.errors import ModelError


def base_of(name: str) -> str:
    """The model that an adapter was trained on.

    Raises:
        ModelError: If the adapter is no plain LoRA, or does not say what it belongs to.
    """
    config = json.loads(Path(find_adapter_config_file(name)).read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        raise _unread(name, f"is of the kind {config.get('peft_type')}")
    if not config.get("base_model_name_or_path"):
        raise ModelError(
            f"the adapter {name!r} names no base model -- it cannot be used alone -- write base_model_name_or_path "
            "into its adapter_config.json."
        )
    return config["base_model_name_or_path"]


def _unread(name: str, what: str) -> ModelError:
    return ModelError(
        f"the adapter {name!r} {what} -- only plain LoRA's gradients are those of linear layers -- merge it into its "
        "base model (peft: merge_and_unload, save_pretrained) and give that folder."
    )


def attach(network: Any, name: str) -> None:
    """Put an adapter's matrices into the network of its base model.

    Raises:
        ModelError: If the adapter does not fit the base, lacks weights, or is no plain LoRA.
    """
    import peft

    config, weights = peft.PeftConfig.from_pretrained(name), peft.load_peft_weights(name, device="cpu")
    peft.inject_adapter_in_model(config, network)
    loaded: Any = peft.set_peft_model_state_dict(network, weights)
    absent = [key for key in loaded.missing_keys if "lora_" in key]
    if strange := sorted(loaded.unexpected_keys or absent):
        raise ModelError(
            f"the adapter {name!r} does not fit {config.base_model_name_or_path!r}: {strange[0]!r} is only in one of "
            "them -- half of it would be missing -- give the base model that it was trained on."
        )
    for layer, module in network.named_modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            plain = isinstance(module, peft.tuners.lora.Linear | peft.tuners.lora.Embedding) and not module.lora_variant
            if not plain:  # DoRA and others; parameters without a layer of their own, as of fused experts
                raise _unread(name, f"adapts {layer!r} by more than a product of two matrices")
    for layer, parameter in network.named_parameters():
        if "lora_" in layer:
            parameter.data = parameter.data.to(network.dtype)


def scalings(network: nn.Module) -> dict[str, Any]:
    """``{adapted layer: scaling}``: what an adapter computes beside its weights; empty without one."""
    return {name: dict(module.scaling) for name, module in network.named_modules() if hasattr(module, "lora_A")}
