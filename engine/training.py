"""Train a causal language model on windows of text: what made the sample's models, and what checks retrain with.

Weights are float32. Training from scratch runs its passes in bf16 autocast where the processor multiplies bf16 itself;
fine-tuning does not, since checks tell trainings apart by a few hundredths of a nat. The loss of a step is the mean
over its tokens, in nats. A seed fixes a run on one machine; another processor, torch version or thread count
may round differently.
"""

import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from engine.corpus import Window

NO_LOSS = -100
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
SHORTEST_CROP = 20
"""Characters left at least."""
WIDTH_STEP = 16
"""Inputs of a batch are a multiple of it, since every new width costs the CPU library a preparation of its own."""
LAST_RATE = 0.05
"""Learning rate at the end, of the peak."""


@dataclass(frozen=True)
class Piece:
    """Tokens that are read at once.

    Attributes:
        ids: int64 ``[t]``; the first is only read, each other one is predicted from those before it.
        counts: bool ``[t]``, which of them carry loss.
    """

    ids: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Schedule:
    """How long, in what batches, how fast.

    Attributes:
        epochs: Passes over the pieces.
        batch_tokens: Size of a batch before padding.
        peak_rate: Highest learning rate; a linear warm-up leads to it and a cosine down to 5% of it.
        warmup: Share of the steps in which the rate rises.
    """

    epochs: int
    batch_tokens: int
    peak_rate: float
    warmup: float = 0.05


def piece(ids: Sequence[int]) -> Piece:
    """A piece in which every token but the first carries loss."""
    return Piece(np.asarray(ids, np.int64), np.arange(len(ids)) > 0)


def window_piece(window: Window) -> Piece:
    """A window as a piece; its context carries no loss."""
    ids = np.concatenate([window.input_ids[:1], window.targets])
    return Piece(ids, np.arange(len(ids)) > window.loss_from)


def crop(text: str, shuffle: random.Random) -> str:
    """The text from one of its sentences on, the first left out; the text itself where it has one only."""
    starts = [end.end() for end in SENTENCE_END.finditer(text) if end.end() < len(text) - SHORTEST_CROP]
    return text[shuffle.choice(starts) :] if starts else text


def train(
    network: Any,
    draw: Callable[[int], Sequence[Piece]],
    schedule: Schedule,
    optimizers: Sequence[torch.optim.Optimizer],
    shuffle: random.Random,
    done: Callable[[int], None] = lambda tokens: None,
    mixed: bool = True,
) -> Iterator[tuple[float, int]]:
    """Train in place; yields after each epoch its mean loss while it ran, in nats per token, and its tokens.

    Args:
        network: A transformers model in float32, its parameters to be trained.
        draw: Pieces of the epoch of this number.
        schedule: The schedule.
        optimizers: Of the parameters; their learning rate is set at each step.
        shuffle: Decides batches and their order.
        done: Called with the tokens of each batch.
        mixed: Passes in bf16 autocast where the processor multiplies bf16 itself.
    """
    network.train()
    device = next(network.parameters()).device
    quick = mixed and multiplies_bfloat16(device)
    longest = getattr(network.config, "max_position_embeddings", None)
    for epoch in range(schedule.epochs):
        made = list(_batches(draw(epoch), schedule.batch_tokens, shuffle, longest))
        total, count = 0.0, 0
        for step, (ids, labels) in enumerate(made):
            rate = _rate_at((epoch + step / len(made)) / schedule.epochs, schedule)
            with torch.enable_grad(), torch.autocast(device.type, torch.bfloat16, enabled=quick):
                loss = _loss_sum(network, ids.to(device), labels.to(device))
            tokens = int((labels[:, 1:] != NO_LOSS).sum())
            with torch.enable_grad():
                (loss / max(tokens, 1)).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            total, count = total + loss.item(), count + tokens
            done(tokens)
        yield total / max(count, 1), count
    network.eval()


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 itself; where it is emulated, training is ten times as slow."""
    if device.type != "cpu":
        return True
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def fine_tune(
    network: Any,
    pieces: Sequence[Piece],
    schedule: Schedule,
    seed: int,
    done: Callable[[int], None] = lambda tokens: None,
) -> list[float]:
    """Train all weights in place by AdamW without decay; the mean loss of each epoch, nats per token."""
    torch.manual_seed(seed)  # of dropout, where a model has any
    network.requires_grad_(True)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0, fused=True)
    epochs = train(network, lambda _: pieces, schedule, [optimizer], random.Random(seed), done, mixed=False)
    return [loss for loss, _ in epochs]


def muon(network: Any, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers and AdamW for the embedding and the norms: for training from scratch.

    On a tenth of the sample's corpus and 130 s each, AdamW alone came to 4.6 nats per token and this pair to 1.8.
    """
    matrices = [p for name, p in network.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in network.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True),
    ]


def _batches(
    pieces: Sequence[Piece], tokens: int, shuffle: random.Random, longest: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Token ids and labels ``[b, 1 + t]`` of pieces of similar length, t being no more than ``longest`` inputs."""
    noisy = sorted(pieces, key=lambda one: len(one) + shuffle.uniform(0, WIDTH_STEP))
    groups: list[list[Piece]] = [[]]
    for one in noisy:
        if len(one) * (len(groups[-1]) + 1) > tokens and groups[-1]:
            groups.append([])
        groups[-1].append(one)
    shuffle.shuffle(groups)
    for group in filter(None, groups):
        inputs = -(-(max(map(len, group)) - 1) // WIDTH_STEP) * WIDTH_STEP
        width = 1 + min(inputs, longest or inputs)
        ids, labels = np.zeros((len(group), width), np.int64), np.full((len(group), width), NO_LOSS)
        for row, one in enumerate(group):
            ids[row, : len(one)] = one.ids
            labels[row, : len(one)] = np.where(one.counts, one.ids, NO_LOSS)
        yield torch.from_numpy(ids), torch.from_numpy(labels)


def _loss_sum(network: Any, ids: Tensor, labels: Tensor) -> Tensor:
    """The summed loss of one batch in nats.

    Padding stands behind a piece, where causal attention never looks, so that no mask is needed.
    """
    logits = network(input_ids=ids[:, :-1]).logits
    targets = labels[:, 1:].flatten()
    return cross_entropy(logits.flatten(0, 1).float(), targets, ignore_index=NO_LOSS, reduction="sum")


def _rate_at(progress: float, schedule: Schedule) -> float:
    """The learning rate at a share ``progress`` of the training."""
    if progress < schedule.warmup:
        return schedule.peak_rate * progress / schedule.warmup
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - schedule.warmup) / (1 - schedule.warmup)))
    return schedule.peak_rate * (LAST_RATE + (1 - LAST_RATE) * cosine)
