"""Mixtures of experts: the fused weights of a block are taken apart into one linear layer per expert.

transformers keeps all experts of a block in parameters ``[experts, o, i]``. Each becomes a linear layer on a view
of its slice, so that it can be tracked like any other; what the model computes, its state dict and hash stay as
they were. An expert sees only the tokens routed to it; which these are is given along, so that its activations and
gradients find back to their windows and positions.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

APART = "whence_apart"
PROJECTIONS = ("gate_up_proj", "up_proj", "down_proj")


class ExpertLinear(nn.Linear):
    """A projection of one expert; ``places`` says where in the flattened batch the rows of the input stand.

    Attributes:
        share: Share of all tokens that an expert sees on average.
    """

    share: float

    def forward(self, input: Tensor, places: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(input)


def take_apart(network: nn.Module) -> None:
    """Replace fused experts, where transformers lets their computation be chosen, by linear layers on their weights."""
    fused: Any
    for fused in list(network.modules()):
        if isinstance(getattr(fused, "down_proj", None), nn.Parameter) and hasattr(fused, "has_gate"):
            for number in range(fused.num_experts):
                fused.add_module(str(number), _expert(fused, number))
            for name in [name for name, _ in fused.named_parameters(recurse=False) if name.startswith(PROJECTIONS)]:
                delattr(fused, name)
            fused.register_state_dict_post_hook(_fuse)
            fused.config._experts_implementation = APART


def _expert(fused: Any, number: int) -> nn.Module:
    expert, routed = nn.Module(), getattr(fused.config, "num_experts_per_tok", fused.num_experts)
    for name in PROJECTIONS:
        if (weights := getattr(fused, name, None)) is not None:
            weight = weights[number].T if fused.is_transposed else weights[number]
            linear = ExpertLinear(weight.shape[1], weight.shape[0], bias=fused.has_bias, device="meta")
            linear.weight = nn.Parameter(weight.detach(), requires_grad=False)
            if fused.has_bias:
                linear.bias = nn.Parameter(getattr(fused, f"{name}_bias")[number].detach(), requires_grad=False)
            linear.share = routed / fused.num_experts
            expert.add_module(name, linear)
    return expert


def _fuse(module: Any, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    """In a state dict the experts stand as transformers saves and loads them."""
    for name in PROJECTIONS:
        for kind, suffix in (("weight", ""), ("bias", "_bias")):
            keys = [f"{prefix}{number}.{name}.{kind}" for number in range(module.num_experts)]
            if keys[0] in state:
                parts = [state.pop(key) for key in keys]
                fused = torch.stack([part.mT if kind == "weight" and module.is_transposed else part for part in parts])
                state[f"{prefix}{name}{suffix}"] = fused


def _forward(self: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
    """What fused experts compute, expert by expert; one that no token is routed to gets none, but is called."""
    total = torch.zeros_like(hidden_states)
    for number in range(self.num_experts):
        expert, (places, choice) = self.get_submodule(str(number)), torch.where(top_k_index == number)
        up = expert.gate_up_proj if self.has_gate else expert.up_proj
        inner = up(hidden_states[places], places)
        inner = self._apply_gate(inner) if self.has_gate else self.act_fn(inner)
        outer = expert.down_proj(inner, places)
        if self.has_post_expert_norm:
            outer = self.post_expert_norm(outer)
        weighted = outer * top_k_weights[places, choice, None]
        total = total.index_add(0, places, weighted.to(total.dtype))
    return total


ALL_EXPERTS_FUNCTIONS.register(APART, _forward)
