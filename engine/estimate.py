"""Before long work: what it will take in time, memory and disk."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import torch
from torch import Tensor, UntypedStorage
from torch.autograd.graph import saved_tensors_hooks

from engine.batching import Batch, pad
from engine.capture import capture, run_network
from engine.corpus import Window
from engine.errors import RunError
from engine.layers import TrackedLayer
from engine.losses import token_log_probs
from engine.machine import free_disk
from engine.model import LanguageModel
from engine.progress import Progress, format_seconds

PROBE_TOKENS = 2048
BYTES_PER_LOGIT = 12
"""Logits, their gradient and that of their log-probabilities in float32."""


@dataclass(frozen=True)
class Estimate:
    """What a step is about to take.

    Attributes:
        step: ``fit`` or ``score``.
        seconds: Time of all its passes.
        memory_bytes: Memory beyond the model.
        disk_bytes: What it writes.
    """

    step: str
    seconds: float
    memory_bytes: float
    disk_bytes: float


def announce(progress: Progress, estimate: Estimate, folder: Path, processes: int = 1) -> None:
    """Tell the user what a step will take.

    Args:
        progress: Where to tell it.
        estimate: Of all processes together; memory of one.
        folder: Where the step writes.
        processes: How many share the work.

    Raises:
        RunError: If the disk has less room than the step needs.
    """
    disk, free = format_bytes(estimate.disk_bytes), free_disk(folder)
    each = f" for each of {processes} processes" if processes > 1 else ""
    progress.note(
        f"Estimate for {estimate.step}: about {format_seconds(estimate.seconds)}, "
        f"{format_bytes(estimate.memory_bytes)} of memory beyond the model{each}, {disk} on disk."
    )
    if free < estimate.disk_bytes:
        raise RunError(
            f"{folder} has {format_bytes(free)} free, the {estimate.step} step writes about {disk} -- it would "
            "stop half way -- make room or choose another --run folder."
        )


def seconds_per_token(work: Callable[[], object], tokens: int) -> float:
    """Time of a trial of a pass per token: the better of two, since the first one warms up."""
    elapsed = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        elapsed.append(time.perf_counter() - started)
    return min(elapsed) / max(tokens, 1)


def probe_windows(windows: Sequence[Window]) -> list[Window]:
    """A few whole documents for a trial, about ``PROBE_TOKENS`` tokens, from the middle of those given."""
    chosen: list[Window] = []
    for window in islice(windows, len(windows) // 2, None):
        starts_document = not chosen or chosen[-1].ends_document
        if starts_document and sum(map(len, chosen)) >= PROBE_TOKENS:
            break
        if chosen or window.first == 0:
            chosen.append(window)
    return chosen or list(windows[:1])


def factor_bytes(layers: Sequence[TrackedLayer]) -> int:
    """Bytes of the factors of these layers in float32."""
    return 4 * sum(layer.parameters + layer.inputs**2 + layer.outputs**2 for layer in layers)


def batch_bytes(
    model: LanguageModel, layers: Sequence[TrackedLayer], windows: Sequence[Window], batch_tokens: int
) -> int:
    """Memory of one batch: what the graph keeps of every block it runs through, logits, and the gradients asked for.

    What the graph keeps is measured, on the longest of the windows: it depends on the model's attention, its
    activation functions and which block is the first one tracked.
    """
    batch = pad([max(windows, key=len)], model.device)
    gradients = 4 * sum(layer.share_of_tokens * (layer.inputs + layer.outputs) for layer in layers)
    kept = _kept_bytes(model, layers, batch) / batch.targets.numel()
    return int(batch_tokens * (kept + BYTES_PER_LOGIT * model.vocabulary + gradients))


def _kept_bytes(model: LanguageModel, layers: Sequence[TrackedLayer], batch: Batch) -> int:
    """Bytes that are alive between the forward and the backward pass of a batch, the model's own left out."""
    own = {one.untyped_storage().data_ptr() for one in chain(model.network.parameters(), model.network.buffers())}
    kept: dict[int, UntypedStorage] = {}  # held, so that none is counted twice

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor), capture(model, layers) as tape:
        logits, _ = run_network(model, batch.input_ids)
        token_log_probs(logits, batch.targets)
        for seen in tape.seen.values():
            note(seen.input)
    return sum(storage.nbytes() for storage in kept.values())


def free_memory(device: torch.device) -> float:
    """Bytes of memory that are free on a device; infinity where the system does not tell."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        told = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:  # not Linux
        return math.inf
    return 1024.0 * int(told.split("MemAvailable:")[1].split()[0])


def format_bytes(count: float) -> str:
    """``1500000`` -> ``1.5 MB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
