"""Windows -> padded batches of similar length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from engine.corpus import Window


@dataclass(frozen=True)
class Batch:
    """Windows padded on the right; a causal model never looks there, so no attention mask is needed.

    Attributes:
        windows: The windows, b of them.
        input_ids: int64 ``[b, t]``.
        targets: int64 ``[b, t]``.
        input_mask: bool ``[b, t]``, inputs that are no padding: each reaches a loss term, context through attention.
        loss_mask: bool ``[b, t]``, targets that carry loss.
    """

    windows: list[Window]
    input_ids: Tensor
    targets: Tensor
    input_mask: Tensor
    loss_mask: Tensor

    @property
    def tokens(self) -> int:
        """Inputs without padding."""
        return sum(len(window) for window in self.windows)


def pad(windows: Sequence[Window], device: torch.device) -> Batch:
    """One batch of the given windows."""
    shape = (len(windows), max(len(window) for window in windows))
    input_ids, targets = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    input_mask, loss_mask = np.zeros(shape, bool), np.zeros(shape, bool)
    for row, window in enumerate(windows):
        input_ids[row, : len(window)] = window.input_ids
        targets[row, : len(window)] = window.targets
        input_mask[row, : len(window)] = True
        loss_mask[row, window.loss_from : len(window)] = True
    tensors = (torch.from_numpy(array).to(device) for array in (input_ids, targets, input_mask, loss_mask))
    return Batch(list(windows), *tensors)


def batches(windows: Sequence[Window], batch_tokens: int, device: torch.device) -> Iterator[Batch]:
    """Batches of at most ``batch_tokens`` tokens with padding, at least one window each.

    Documents of one window come first, by length, so that little is padding. The windows
    of a longer document stay together and in order, so that its gradient can be summed
    up without holding more than one unfinished document.
    """
    documents = [list(group) for _, group in groupby(windows, key=lambda window: window.document)]
    single = sorted((group[0] for group in documents if len(group) == 1), key=lambda w: (len(w), w.key))
    several = [window for group in documents if len(group) > 1 for window in group]
    for ordered in (single, several):
        held: list[Window] = []
        longest = 0
        for window in ordered:
            longest = max(longest, len(window))
            if held and longest * (len(held) + 1) > batch_tokens:
                yield pad(held, device)
                held, longest = [], len(window)
            held.append(window)
        if held:
            yield pad(held, device)
