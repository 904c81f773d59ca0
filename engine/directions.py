"""The directions a scoring pass multiplies gradients with: one row per completion token, one per query.

A completion token's row is its preconditioned gradient ``P``, which gives influence; a
query's row is its plain gradient, which gives the gradient-dot baseline. Each layer holds
its rows either in full or as thin factors, whichever is cheaper, and every score of a run
(bulk, per token, on demand) uses the same ones, so that they sum up exactly.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine import ekfac
from engine.ekfac import LayerFactors, LowRank
from engine.errors import RunError
from engine.estimate import format_bytes
from engine.queries import QueryGradient, read_query_gradients
from engine.store import RunFolder
from engine.tensors import read_tensors

PRODUCT_CHUNK = 1 << 22
"""Most numbers of one product of rows and tokens held at once: few enough for a processor's cache."""
CHEAPER = 4.0
"""How many times as cheap as full rows thin ones must be."""
DECOMPOSED = 24.0
"""Tokens, per number of a layer's shorter side, whose products take as long as thin rows of the highest rank that is
:data:`CHEAPER` take to decompose and to multiply; of a lower rank, fewer."""
PROBED = 16
"""Rows that are decomposed before all are, to see whether that pays."""


@dataclass
class Directions:
    """Rows of directions per layer.

    Attributes:
        tokens: Completion tokens of each query; its rows come in this order, then one row per query.
        thin: ``{layer: factors of [rows, o, i]}``, for the layers where these are cheaper per token.
        full: ``{layer: [rows, o, i]}``, for the others, and for thin layers the very same
            rows multiplied out, where that is cheaper per window and fits the memory.
    """

    tokens: list[int]
    full: dict[str, Tensor] = field(default_factory=dict)
    thin: dict[str, LowRank] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many each layer holds."""
        return len(next(iter([*self.full.values(), *(thin.u for thin in self.thin.values())])))

    def token_rows(self, query: int) -> slice:
        """Rows of the completion tokens of the query at this place."""
        first = sum(self.tokens[:query])
        return slice(first, first + self.tokens[query])

    def query_row(self, query: int) -> slice:
        """Row of the plain gradient of the query at this place."""
        first = sum(self.tokens) + query
        return slice(first, first + 1)

    def of(self, layer: str, rows: slice) -> Tensor:
        """Some rows of a layer in full, ``[q, o, i]``."""
        if layer in self.full:
            return self.full[layer][rows]
        thin = self.thin[layer]
        return thin.u[rows] @ thin.v[rows].mT

    @property
    def bytes(self) -> int:
        """Memory of all rows."""
        thin = [tensor for rows in self.thin.values() for tensor in (rows.u, rows.v)]
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self.full.values(), *thin))

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Outputs and inputs of each layer."""
        thin = {layer: (rows.u.shape[1], rows.v.shape[1]) for layer, rows in self.thin.items()}
        return thin | {layer: (rows.shape[1], rows.shape[2]) for layer, rows in self.full.items()}

    def takes_formed(self, layer: str, window_tokens: float, windows: int) -> bool:
        """Whether a layer's scores cost less from formed gradients than token by token.

        Full rows: ``o*i`` a window. Thin rows that are multiplied out for some windows at once: ``o*i*(1 + r/windows)``
        a window, against ``t*r*(o+i)`` token by token.
        """
        if layer in self.full:
            return True
        o, i, r = self.thin[layer].u.shape[1], self.thin[layer].v.shape[1], self.thin[layer].mean_rank
        return o * i * (1 + r / windows) <= window_tokens * r * (o + i)

    def window_scores(self, layer: str, window_grad: Tensor) -> Tensor:
        """Inner product of each row with each window's formed gradient, ``[rows, b]``."""
        if layer in self.full:
            return ekfac.document_influence(self.full[layer], window_grad)
        step = max(1, PRODUCT_CHUNK // window_grad[0].numel())
        parts = (slice(first, min(first + step, self.rows)) for first in range(0, self.rows, step))
        return torch.cat([ekfac.document_influence(self.of(layer, some), window_grad) for some in parts])

    def thin_scores(self, layer: str, token_grad: Tensor, activation: Tensor) -> Tensor:
        """Inner product of each row of a thin layer with each window's gradient, none formed, ``[rows, b]``."""
        return self.position_scores(layer, slice(0, self.rows), token_grad, activation).sum(-1)

    def position_scores(self, layer: str, rows: slice, token_grad: Tensor, activation: Tensor) -> Tensor:
        """Position influence of some rows, ``[q, b, t]``."""
        thin = self.thin.get(layer)
        width = min(activation.shape[2], token_grad.shape[2]) if thin is None else max(1.0, thin.mean_rank)
        step = max(1, int(PRODUCT_CHUNK / (activation.shape[0] * activation.shape[1] * width)))
        parts = []
        for first in range(rows.start, rows.stop, step):
            some = slice(first, min(first + step, rows.stop))
            if thin is None:
                parts.append(ekfac.position_influence(self.full[layer][some], token_grad, activation))
            else:
                chosen = LowRank(thin.u[some], thin.v[some], thin.error)
                parts.append(ekfac.position_influence_low_rank(chosen, token_grad, activation))
        return torch.cat(parts)


def layer_rows(gradients: Sequence[QueryGradient], layer: str, factors: LayerFactors, damping_factor: float) -> Tensor:
    """All rows of one layer in full: preconditioned per completion token, then plain per query.

    Where the query step refined the preconditioned gradients, they are as it left them.
    """
    plain = torch.stack([gradient.formed(layer).sum(0) for gradient in gradients])
    if _refined(gradients):
        return torch.cat([*(gradient.refined(layer) for gradient in gradients), plain])
    rotated = torch.cat([gradient.rotated(layer, factors) for gradient in gradients])
    preconditioned = ekfac.precondition_rotated(rotated, factors, factors.damping(damping_factor))
    return torch.cat([ekfac.rotated_back(preconditioned, factors), plain])


def _thin_rows(
    gradients: Sequence[QueryGradient],
    layer: str,
    factors: LayerFactors,
    damping: float,
    max_error: float,
    max_rank: float,
) -> LowRank | None:
    """:func:`layer_rows` as thin factors; None where they need a higher mean rank."""
    rotated = [gradient.rotated(layer, factors) for gradient in gradients]
    if _refined(gradients):
        rows = factors.q_s.T @ torch.cat([gradient.refined(layer) for gradient in gradients]) @ factors.q_a
    else:
        rows = ekfac.precondition_rotated(torch.cat(rotated), factors, damping)
    rows = torch.cat([rows, torch.stack([gradient.sum(0) for gradient in rotated])])
    probe = ekfac.compress_rotated(rows[:: max(1, len(rows) // PROBED)], factors, damping, max_error, max_rank)
    if probe is None:
        return None
    return ekfac.compress_rotated(rows, factors, damping, max_error, max_rank, probe.u.shape[2])


def _refined(gradients: Sequence[QueryGradient]) -> bool:
    return all(gradient.refined_file for gradient in gradients)


def choose_directions(
    gradients: Sequence[QueryGradient],
    factors: dict[str, LayerFactors],
    damping_factor: float,
    max_error: float,
    room: float = math.inf,
    done: Callable[[], None] = lambda: None,
    tokens: float = math.inf,
) -> Directions:
    """Thin rows for the layers whose ranks at this error make them much cheaper per token, full rows for the others.

    A position influence costs ``o*i`` multiplications with full rows and ``r*(o+i)`` with thin ones. Thin rows cost a
    decomposition of every row, an error and their place on the disk, so they must be :data:`CHEAPER` times as cheap.
    With few tokens to come a decomposition is not made up for but at a low rank, unless the memory holds no full rows.

    Args:
        gradients: The queries' gradients.
        factors: The run's factors.
        damping_factor: Damping as a multiple of each layer's mean eigenvalue.
        max_error: Bound on the relative error of thin rows (:func:`engine.ekfac.compress_rotated`).
        room: Bytes that all rows may take.
        done: Called after each layer.
        tokens: Tokens whose position influence is wanted of each row.

    Raises:
        RunError: If they would take more, as far as the layers that are done can tell.
    """
    layers = list(factors)
    weights = {name: layer.lam.numel() for name, layer in factors.items()}
    directions = Directions([len(gradient.formed(layers[0])) for gradient in gradients])
    fills = 4 * (sum(directions.tokens) + len(gradients)) * sum(weights.values()) > room
    for layer in layers:
        o, i = factors[layer].lam.shape
        pays = 1.0 if fills else min(1.0, tokens / (DECOMPOSED * min(o, i)))
        max_rank = pays * o * i / (o + i) / CHEAPER
        damping = factors[layer].damping(damping_factor)
        thin = _thin_rows(gradients, layer, factors[layer], damping, max_error, max_rank) if max_rank >= 1 else None
        if thin is None:
            directions.full[layer] = layer_rows(gradients, layer, factors[layer], damping_factor)
        else:
            directions.thin[layer] = thin
        share = sum(weights[name] for name in (*directions.full, *directions.thin)) / sum(weights.values())
        _check_room(directions, directions.bytes / share, room)
        done()
    return directions


def plain_directions(gradients: Sequence[QueryGradient], layers: Sequence[str]) -> Directions:
    """Each query's plain gradient only, for the baselines where influence comes from elsewhere."""
    rows = {layer: torch.stack([one.formed(layer).sum(0) for one in gradients]) for layer in layers}
    return Directions([0] * len(gradients), full=rows)


def full_directions(
    gradients: Sequence[QueryGradient],
    factors: dict[str, LayerFactors],
    damping_factor: float,
    room: float = math.inf,
    done: Callable[[], None] = lambda: None,
) -> Directions:
    """All rows in full, for a few queries: nothing is decomposed, and nothing approximated.

    Args:
        gradients: The queries' gradients.
        factors: The run's factors.
        damping_factor: Damping as a multiple of each layer's mean eigenvalue.
        room: Bytes that all rows may take.
        done: Called after each layer.

    Raises:
        RunError: If they would take more.
    """
    first = next(iter(factors))
    directions = Directions([sum(len(side.token_grad[first]) for side in gradient.sides) for gradient in gradients])
    numbers = sum(layer.lam.numel() for layer in factors.values())
    _check_room(directions, (sum(directions.tokens) + len(gradients)) * numbers * 4.0, room)
    for layer, of in factors.items():
        directions.full[layer] = layer_rows(gradients, layer, of, damping_factor)
        done()
    return directions


def _check_room(directions: Directions, needed: float, room: float) -> None:
    if needed > room:
        raise RunError(
            f"the gradients of {sum(directions.tokens):,} completion tokens take about {format_bytes(needed)} of "
            f"memory, {format_bytes(room)} are free -- the pass would be ended for want of memory -- study fewer "
            "completions in a run, or track fewer layers (fit --layers)."
        )


def multiply_out(directions: Directions, window_tokens: float, memory_bytes: float) -> None:
    """Multiply thin rows out where a bulk pass is cheaper with full ones: ``o*i`` a window, not ``t*r*(o+i)``.

    Args:
        directions: Rows to add to.
        window_tokens: Mean tokens of a window.
        memory_bytes: Most bytes of full rows; small layers come first.
    """
    room = memory_bytes - sum(rows.numel() * rows.element_size() for rows in directions.full.values())
    for layer, thin in sorted(directions.thin.items(), key=lambda item: item[1].u.shape[1] * item[1].v.shape[1]):
        o, i, r = thin.u.shape[1], thin.v.shape[1], thin.mean_rank
        size = directions.rows * o * i * thin.u.element_size()
        if size <= room and o * i <= window_tokens * r * (o + i):
            directions.full[layer] = thin.u @ thin.v.mT
            room -= size


def thin_tensors(directions: Directions) -> dict[str, Tensor]:
    """The thin rows as named tensors, for ``score/low_rank.safetensors``."""
    named: dict[str, Tensor] = {}
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
