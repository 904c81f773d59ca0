"""A causal language model in memory, ready for influence."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch

from engine.adapters import scalings
from engine.errors import ModelError
from engine.experts import take_apart

UNHASHED_SETTINGS = {"_name_or_path", "transformers_version", "use_cache"}
"""Settings that say where a model came from, not what it computes."""


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
