"""Gradients in a few thousand bits, such that inner products survive on average (tensors in, tensors out).

A sketch adds up signed coordinates: all numbers of a gradient get random signs, are cut into pieces as long as the
sketch, and the pieces, each turned round by a random number of places, are added up (a count sketch: Charikar, Chen and
Farach-Colton 2002). The signs make unlike coordinates cancel, so the inner product of two sketches is that of the
gradients plus noise of about ``|q| |d| / sqrt(bits)``. A Hadamard transform spreads each coordinate over the whole
sketch; then one bit a number, its sign, is worth more than fewer numbers in more bits: the noise grows by
``sqrt(pi / 2)`` only (as in RaBitQ, Gao and Long 2024, arXiv 2405.12497). The question's sketch keeps eight
bits a number, so that a document is compared by counting bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import simsimd
import torch
from torch import Tensor

PLANES = 8
"""Bits to which a number of a question's sketch is rounded: it errs by about a hundredth of the numbers' spread, a
document's one bit by three quarters."""


@dataclass(frozen=True)
class Packed:
    """Sketches of documents, a bit a number.

    Attributes:
        signs: Eight signs a byte, uint8 ``[d, bits / 8]``.
        scale: What a sign is worth, ``[d]``: the product of its signs with its sketch is the sketch's square.
    """

    signs: Tensor
    scale: Tensor


class Sketch:
    """One random sketch; whoever makes it with the same arguments makes the same.

    Args:
        shapes: ``{layer: (o, i)}``, in order.
        bits: Numbers of a sketch, a power of two.
        seed: Of signs and turns.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, int]], bits: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.bits = bits
        self._signs = {name: _signs(random, o * i).view(o, i) for name, (o, i) in shapes.items()}
        self._turns = {name: random.integers(bits, size=-(-o * i // bits)).tolist() for name, (o, i) in shapes.items()}
        self._spread = _signs(random, bits)

    def add(self, total: Tensor, layer: str, grad: Tensor) -> None:
        """Add a layer's part to unfinished sketches.

        Args:
            total: ``[b, bits]``, zero before the first layer.
            layer: Name of the layer.
            grad: Gradients in any fixed basis, ``[b, o, i]``.
        """
        signed = (grad * self._signs[layer].to(grad)).flatten(1)
        for place, turn in enumerate(self._turns[layer]):
            piece = signed[:, place * self.bits : (place + 1) * self.bits]
            head = min(piece.shape[1], self.bits - turn)
            total[:, turn : turn + head] += piece[:, :head]
            total[:, : piece.shape[1] - head] += piece[:, head:]

    def spread(self, total: Tensor) -> Tensor:
        """The finished sketches: signed once more and Hadamard-transformed, ``[b, bits]``."""
        return _hadamard(total * self._spread.to(total))


def pack(sketches: Tensor) -> Packed:
    """Keep the signs of sketches ``[d, bits]``."""
    signs = np.packbits((sketches >= 0).cpu().numpy(), axis=1)
    absolute = sketches.double().abs().sum(1)
    scale = sketches.double().square().sum(1) / absolute.clamp_min(torch.finfo(torch.float64).tiny)
    return Packed(torch.from_numpy(signs), scale.float().cpu())


def products(questions: Tensor, packed: Packed) -> Tensor:
    """Estimated inner products of questions ``[q, bits]`` with packed documents, ``[q, d]``.

    A question's numbers are rounded to :data:`PLANES` bits, and each of these planes of bits is compared with the
    documents' bits as they are stored.
    """
    questions = questions.double().cpu()
    if not len(packed.signs):
        return questions.new_zeros(len(questions), 0)
    low, high = questions.aminmax(dim=1, keepdim=True)
    step = (high - low).clamp_min(torch.finfo(torch.float64).tiny) / (2**PLANES - 1)
    rounded = ((questions - low) / step).round().to(torch.uint8).numpy()
    planes = np.packbits(rounded >> np.arange(PLANES, dtype=np.uint8)[:, None, None] & 1, axis=2)  # [planes, q, bytes]
    rows = planes.reshape(-1, planes.shape[2])
    rows = np.concatenate([rows, np.zeros_like(rows[:1])])  # what differs from zeros is a document's ones
    threads = torch.get_num_threads()
    differing = np.asarray(simsimd.cdist(rows, packed.signs.numpy(), "hamming", dtype="bin8", threads=threads))
    ones = differing[-1]
    common = (np.bitwise_count(rows[:-1]).sum(1, keepdims=True) + ones - differing[:-1]) / 2
    of_planes = torch.from_numpy(common).view(PLANES, len(questions), -1)
    counts = torch.einsum("p,pqd->qd", 2.0 ** torch.arange(PLANES, dtype=torch.float64), of_planes)
    above = low * torch.from_numpy(ones) + step * counts
    return ((2 * above - questions.sum(1, keepdim=True)) * packed.scale).float()


def _signs(random: np.random.Generator, count: int) -> Tensor:
    """Random signs, int8 ``[count]``."""
    bits = np.unpackbits(np.frombuffer(random.bytes(-(-count // 8)), dtype=np.uint8))[:count]
    return torch.from_numpy(bits.astype(np.int8) * 2 - 1)


def _hadamard(rows: Tensor) -> Tensor:
    """Walsh-Hadamard transform of rows whose length is a power of two; it keeps lengths."""
    length, half = rows.shape[1], 1
    while half < length:
        pairs = rows.view(len(rows), -1, 2, half)
        rows = torch.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], 2).view(len(rows), -1)
        half *= 2
    return rows / length**0.5
