"""Before long work: what it will take in time, memory and disk."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.capture import capture, run_network
from engine.errors import RunError
from engine.losses import token_log_probs
from engine.model import LanguageModel, TrackedLayer
from engine.progress import Progress, format_seconds
from engine.store import free_disk

PROBE_TOKENS = 256
PASSES = {"fit": 2.0, "score": 1.0}
"""Passes over the corpus of each step."""
OVERHEAD = {"fit": 1.6, "score": 1.8}
"""Time of a pass over that of a bare forward and backward pass; measured on the sample."""


BYTES_PER_LOGIT = 24
"""Logits and their gradient in float32, probabilities and their sums in float64."""


@dataclass(frozen=True)
class Work:
    """What a step is about to do.

    Attributes:
        step: ``fit`` or ``score``.
        tokens: Tokens of one pass.
        batch_tokens: Tokens per batch.
        held_bytes: Memory it holds throughout: factors, directions.
        disk_bytes: What it writes.
    """

    step: str
    tokens: int
    batch_tokens: int
    held_bytes: int
    disk_bytes: int


def factor_bytes(layers: Sequence[TrackedLayer]) -> int:
    """Bytes of the factors of these layers in float32."""
    return 4 * sum(layer.parameters + layer.inputs**2 + layer.outputs**2 for layer in layers)


def announce(
    progress: Progress, work: Work, model: LanguageModel, layers: Sequence[TrackedLayer], folder: Path
) -> None:
    """Tell the user what a step will take, from one timed forward and backward pass.

    Raises:
        RunError: If the disk has less room than the step needs.
    """
    seconds = work.tokens * seconds_per_token(model, layers) * PASSES[work.step] * OVERHEAD[work.step]
    vocabulary = model.network.get_output_embeddings().weight.shape[0]
    per_token = BYTES_PER_LOGIT * vocabulary + 4 * 3 * sum(layer.inputs + layer.outputs for layer in layers)
    memory = work.held_bytes + work.batch_tokens * per_token
    progress.note(
        f"Estimate for {work.step}: {work.tokens:,} tokens, about {format_seconds(seconds)}, "
        f"{format_bytes(memory)} memory beyond the model, {format_bytes(work.disk_bytes)} on disk."
    )
    free = free_disk(folder)
    if free < work.disk_bytes:
        raise RunError(
            f"{folder} has {format_bytes(free)} free, the {work.step} step writes about "
            f"{format_bytes(work.disk_bytes)} -- it would stop half way -- make room or choose another --run folder."
        )


def seconds_per_token(model: LanguageModel, layers: Sequence[TrackedLayer]) -> float:
    """Seconds of one forward and activation-only backward pass per token, the best of three tries."""
    length = min(PROBE_TOKENS, model.context)
    ids = torch.zeros(4, length, dtype=torch.int64, device=model.device)
    elapsed = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        with capture(layers) as tape:
            logits, _ = run_network(model, ids)
            tape.gradients(token_log_probs(logits, ids).sum())
        elapsed = min(elapsed, time.perf_counter() - started)
    return elapsed / ids.numel()


def format_bytes(count: float) -> str:
    """``1500000`` -> ``1.5 MB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
