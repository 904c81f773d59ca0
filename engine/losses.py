"""What is differentiated: log-likelihood of a text, sampled-label loss, measurements of a completion."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from engine.settings import UNITS

SAMPLED_AT_ONCE = 32
"""Tokens whose distributions are summed up at once, in memory that the processor keeps near: three times as quick."""


def token_log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """``log p(target_t | before)`` in nats, ``[b, t]``, from logits ``[b, t, v]``."""
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return -losses.view(targets.shape)  # one fused pass over the logits each way, not four


def divergences(before: Tensor, after: Tensor) -> Tensor:
    """Kullback-Leibler divergence ``KL(before || after)`` of each token, nats, from log-probabilities ``[..., v]``."""
    return (before.exp() * (before - after)).sum(-1)


def token_measurements(logits: Tensor, targets: Tensor, measurement: str) -> Tensor:
    """The measurement of each token, ``[b, t]``; a completion's is the sum over its tokens.

    * ``log_prob`` (and each side of ``contrast``): log-probability, nats.
    * ``logit``: the target's logit. Shifting all logits changes it, so it has no unit.
    * ``margin``: the target's logit minus the logsumexp of all others: its log-odds, nats.
    """
    if measurement in ("log_prob", "contrast"):
        return token_log_probs(logits, targets)
    chosen = logits.gather(-1, targets[..., None]).squeeze(-1)
    if measurement == "logit":
        return chosen
    if measurement == "margin":
        others = logits.scatter(-1, targets[..., None], float("-inf"))
        return chosen - torch.logsumexp(others, dim=-1)
    raise ValueError(f"measurement {measurement!r} is unknown -- choose one of {', '.join(UNITS)}.")


def uniforms(seed: int, key: str, length: int) -> np.ndarray:
    """``length`` numbers in [0, 1) that depend on seed and key only, float64.

    Keyed by the window's name, so that neither batching nor sharding nor the order of
    documents changes which labels a window draws.
    """
    digest = hashlib.sha256(f"{seed}\x1f{key}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little")).random(length)


def sampled_labels(logits: Tensor, uniform: Tensor) -> Tensor:
    """Labels drawn from the model's own distribution by inversion, ``[b, t]``.

    Args:
        logits: ``[b, t, v]``.
        uniform: Numbers in [0, 1), float64 ``[b, t]``.
    """
    rows, numbers = logits.detach().flatten(0, -2), uniform.flatten()
    labels = []
    for few, of_few in zip(rows.split(SAMPLED_AT_ONCE), numbers.split(SAMPLED_AT_ONCE), strict=True):
        cumulative = torch.softmax(few.double(), dim=-1).cumsum(-1)
        labels.append(torch.searchsorted(cumulative, (of_few * cumulative[:, -1])[:, None], right=True))
    return torch.cat(labels).clamp_max(logits.shape[-1] - 1).view(uniform.shape)
