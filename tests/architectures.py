"""Random causal language models of every supported architecture, small enough for float64 and autograd."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

LLAMA = {
    "vocab_size": 300, "max_position_embeddings": 32, "hidden_size": 8, "intermediate_size": 12,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": False,
}  # fmt: skip
"""What most architectures call their sizes, after Llama."""
EXPERTS = LLAMA | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 6}

DENSE = {
    "gpt2": {"vocab_size": 300, "n_positions": 32, "n_embd": 8, "n_layer": 2, "n_head": 2},
    "llama": LLAMA | {"attention_bias": True, "mlp_bias": True},
    "gpt_neox": LLAMA | {"rotary_pct": 0.5},
    "qwen2": LLAMA | {"tie_word_embeddings": True, "use_sliding_window": True, "sliding_window": 4},
    "qwen3": LLAMA | {"head_dim": 6},
    "gemma": LLAMA | {"head_dim": 6, "tie_word_embeddings": True},
    "gemma2": LLAMA | {"head_dim": 6, "query_pre_attn_scalar": 6, "sliding_window": 4, "tie_word_embeddings": True},
    "gemma3_text": LLAMA | {"head_dim": 6, "query_pre_attn_scalar": 6, "sliding_window": 4},
    "olmo": LLAMA | {"clip_qkv": 3.0},
    "olmo2": LLAMA,
    "mistral": LLAMA | {"sliding_window": 4},
    "phi": LLAMA | {"partial_rotary_factor": 0.5},
    "phi3": LLAMA | {"original_max_position_embeddings": 32},
}
MIXTURES = {
    "mixtral": LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": EXPERTS | {"shared_expert_intermediate_size": 5},
    "qwen3_moe": EXPERTS | {"head_dim": 6},
    "olmoe": EXPERTS,
    "gpt_oss": LLAMA | {"head_dim": 6, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 4},
}
"""Fused experts in transformers: gated, with shared experts beside them, and (GPT-OSS) transposed and with bias."""


def make_network(name: str, dtype: torch.dtype = torch.float64, **settings: Any) -> PreTrainedModel:
    """A random model of an architecture; no weight is zero or one, which would hide a bias or norm that is lost."""
    torch.manual_seed(4)
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    config = AutoConfig.for_model(name, **(DENSE | MIXTURES)[name] | special | settings)
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return network


def add_lora(network: PreTrainedModel, folder: Path | None = None, **settings: Any) -> PreTrainedModel:
    """The network with a random LoRA adapter inside; if a folder is given the adapter alone is written there."""
    peft = pytest.importorskip("peft")
    targets = ["q_proj", "up_proj", "down_proj"]
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=targets, init_lora_weights=False, **settings)
    peft.inject_adapter_in_model(config, network)
    if folder is not None:
        config.base_model_name_or_path = network.name_or_path
        config.save_pretrained(folder)
        own = {name: weight for name, weight in network.state_dict().items() if "lora_" in name}
        named = {f"base_model.model.{name.replace('.default', '')}": weight for name, weight in own.items()}
        save_file(named, folder / "adapter_model.safetensors")
    return network
