"""The directions a scoring pass multiplies gradients with: one row per completion token, one per query.

A completion token's row is its preconditioned gradient ``P``, which gives influence; a
query's row is its plain gradient, which gives the gradient-dot baseline. Each layer holds
its rows either in full or as thin factors, whichever is cheaper, and every score of a run
(bulk, per token, on demand) uses the same ones, so that they sum up exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine import ekfac
from engine.ekfac import LayerFactors, LowRank
from engine.queries import QueryGradient, read_query_gradients
from engine.store import RunFolder
from engine.tensors import read_tensors

THIN_CHUNK = 1 << 26
"""Most numbers of one thin product held at once."""


@dataclass
class Directions:
    """Rows of directions per layer.

    Attributes:
        tokens: Completion tokens of each query; its rows come in this order, then one row per query.
        full: ``{layer: [rows, o, i]}``.
        thin: ``{layer: factors of [rows, o, i]}``.
    """

    tokens: list[int]
    full: dict[str, Tensor] = field(default_factory=dict)
    thin: dict[str, LowRank] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(self.tokens) + len(self.tokens)

    def token_rows(self, query: int) -> slice:
        """Rows of the completion tokens of the query at this place."""
        first = sum(self.tokens[:query])
        return slice(first, first + self.tokens[query])

    def of(self, layer: str, rows: slice) -> Tensor:
        """Some rows of a layer in full, ``[q, o, i]``."""
        if layer in self.full:
            return self.full[layer][rows]
        thin = self.thin[layer]
        return thin.u[rows] @ thin.v[rows].mT

    def window_scores(self, layer: str, token_grad: Tensor, activation: Tensor, window_grad: Tensor) -> Tensor:
        """Inner product of each row with each window's gradient, ``[rows, b]``."""
        if layer in self.full:
            return ekfac.document_influence(self.full[layer], window_grad)
        thin = self.thin[layer]
        step = max(1, THIN_CHUNK // (token_grad.shape[0] * token_grad.shape[1] * thin.u.shape[2]))
        parts = [
            ekfac.position_influence_low_rank(
                LowRank(thin.u[row : row + step], thin.v[row : row + step], thin.error), token_grad, activation
            ).sum(-1)
            for row in range(0, self.rows, step)
        ]
        return torch.cat(parts)

    def position_scores(self, layer: str, rows: slice, token_grad: Tensor, activation: Tensor) -> Tensor:
        """Position influence of some rows, ``[q, b, t]``."""
        if layer in self.full:
            return ekfac.position_influence(self.full[layer][rows], token_grad, activation)
        thin = self.thin[layer]
        chosen = LowRank(thin.u[rows], thin.v[rows], thin.error)
        return ekfac.position_influence_low_rank(chosen, token_grad, activation)


def layer_rows(gradients: Sequence[QueryGradient], layer: str, factors: LayerFactors, damping_factor: float) -> Tensor:
    """All rows of one layer in full: preconditioned per completion token, then plain per query."""
    formed = [gradient.formed(layer) for gradient in gradients]
    damping = damping_factor * float(factors.lam.mean())
    preconditioned = ekfac.precondition(torch.cat(formed), factors, damping)
    return torch.cat([preconditioned, torch.stack([gradient.sum(0) for gradient in formed])])


@dataclass(frozen=True)
class Choice:
    """What decides between full and thin rows.

    Attributes:
        max_error: Bound on the relative error of thin rows.
        memory_bytes: Most bytes of full rows.
        window_tokens: Mean tokens of a window.
        kept: Share of (query, window) pairs whose token influences are kept.
    """

    max_error: float
    memory_bytes: float
    window_tokens: float
    kept: float


def choose_directions(
    gradients: Sequence[QueryGradient], factors: dict[str, LayerFactors], damping_factor: float, choice: Choice
) -> Directions:
    """Decide layer by layer, the largest last: full rows if they are cheaper and fit the memory, else thin.

    A layer whose bound takes a rank at which thin products cost more stays full, unless
    the memory forbids it.
    """
    layers = list(factors)
    directions = Directions([len(gradient.formed(layers[0])) for gradient in gradients])
    room = choice.memory_bytes
    for layer in sorted(layers, key=lambda name: factors[name].lam.numel()):
        rows = layer_rows(gradients, layer, factors[layer], damping_factor)
        break_even = ekfac.break_even_rank(*factors[layer].lam.shape, choice.window_tokens, choice.kept)
        fits = rows.numel() * rows.element_size() <= room
        thin = ekfac.compress(rows, choice.max_error, break_even if fits else float("inf"))
        if thin is None:
            directions.full[layer] = rows
            room -= rows.numel() * rows.element_size()
        else:
            directions.thin[layer] = thin
    return directions


def thin_tensors(directions: Directions) -> dict[str, Tensor]:
    """The thin rows as named tensors, for ``score/low_rank.safetensors``."""
    named = {}
    for layer, thin in directions.thin.items():
        named |= {f"{layer}.u": thin.u, f"{layer}.v": thin.v, f"{layer}.error": torch.tensor(thin.error)}
    return named


def read_directions(
    folder: RunFolder,
    numbers: Sequence[int],
    tokens: Sequence[int],
    factors: dict[str, LayerFactors],
    device: str = "cpu",
) -> Directions:
    """The directions a run was scored with, for some of its queries.

    Args:
        folder: The run, its thin rows written.
        numbers: The queries wanted.
        tokens: Completion tokens of each query of the run.
        factors: The run's factors.
        device: Where to put them.
    """
    damping_factor = folder.step("query")["settings"]["damping_factor"]
    stored = read_tensors(folder.low_rank, device=device) if folder.low_rank.is_file() else {}
    gradients = list(read_query_gradients(folder, numbers, device))
    starts = [sum(tokens[:number]) for number in range(len(tokens))]
    rows = [row for number in numbers for row in range(starts[number], starts[number] + tokens[number])]
    rows += [sum(tokens) + number for number in numbers]
    directions = Directions([tokens[number] for number in numbers])
    for layer in factors:
        if f"{layer}.u" in stored:
            u, v = stored[f"{layer}.u"][rows], stored[f"{layer}.v"][rows]
            directions.thin[layer] = LowRank(u, v, float(stored[f"{layer}.error"]))
        else:
            directions.full[layer] = layer_rows(gradients, layer, factors[layer], damping_factor)
    return directions
