"""Influence per training token: position influence in bulk, prediction influence by forward mode."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
import torch

from engine.batching import batches, pad
from engine.capture import batch_gradients, directional_log_probs
from engine.corpus import Window
from engine.directions import Directions
from engine.layers import TrackedLayer
from engine.model import LanguageModel
from engine.progress import Progress

TOKENS_SCHEMA = pa.schema(
    [
        ("query", pa.int32()),
        ("document", pa.int32()),
        ("positions", pa.int32()),
        ("influence", pa.list_(pa.float32())),
    ]
)
Found = Iterator[tuple[int, int, np.ndarray]]
TokenCompute = Callable[[Mapping[int, Sequence[int]], list[Window], Mapping[int, int], Progress], Found]
DIRECTION_NUMBERS = 1 << 27
"""Most numbers of the directions that move at once in a forward-mode pass."""


@dataclass(frozen=True)
class Scorer:
    """Model, layers and directions of a token pass.

    Attributes:
        model: The model.
        layers: Its tracked layers.
        directions: The run's directions.
        place: ``{query number: its place among the directions}``.
        batch_tokens: Tokens per batch.
    """

    model: LanguageModel
    layers: Sequence[TrackedLayer]
    directions: Directions
    place: Mapping[int, int]
    batch_tokens: int

    def position(
        self,
        wanted: Mapping[int, Sequence[int]],
        windows: list[Window],
        positions: Mapping[int, int],
        progress: Progress,
    ) -> Found:
        """Position influence of (query, document) pairs: ``(query, document, [c, positions])``.

        Args:
            wanted: Queries wanted of each document.
            windows: Windows of those documents, in order.
            positions: Positions of each document.
            progress: Advanced by the tokens of each batch.
        """
        scores = self._empty(wanted, positions)
        for query, picked, of_layers in self._split(wanted, windows, progress):
            found = sum(of_layers.values())
            assert isinstance(found, torch.Tensor)
            values = found.double().cpu().numpy()
            for place, window in enumerate(picked):
                target = scores[query, window.document]
                target[:, window.first : window.first + len(window)] += values[:, place, : len(window)]
        for (query, document), values in scores.items():
            yield query, document, values

    def layers_of_documents(
        self, wanted: Mapping[int, Sequence[int]], windows: list[Window], progress: Progress, plain: bool = False
    ) -> dict[tuple[int, int], dict[str, float]]:
        """Influence of (query, document) pairs by layer; over the layers it adds up to the document's influence.

        Args:
            wanted: Queries wanted of each document.
            windows: Windows of those documents, in order.
            progress: Advanced by the tokens of each batch.
            plain: Along the query's plain gradient instead, which gives the gradient dot by layer.
        """
        pairs = [(query, document) for document, queries in wanted.items() for query in queries]
        scores = {pair: dict.fromkeys((layer.name for layer in self.layers), 0.0) for pair in pairs}
        for query, picked, of_layers in self._split(wanted, windows, progress, plain):
            for layer, found in of_layers.items():
                for window, value in zip(picked, found.double().sum((0, 2)).tolist(), strict=True):
                    scores[query, window.document][layer] += value
        return scores

    def _split(
        self, wanted: Mapping[int, Sequence[int]], windows: list[Window], progress: Progress, plain: bool = False
    ) -> Iterator[tuple[int, list[Window], dict[str, torch.Tensor]]]:
        """Of each batch and query the windows wanted of it, w of them, and by layer ``[rows, w, t]``."""
        rows_of = self.directions.query_row if plain else self.directions.token_rows
        for batch in batches(windows, self.batch_tokens, self.model.device):
            grads = batch_gradients(self.model, self.layers, batch)
            for queries, picked in self._together(wanted, batch.windows):
                parts = [rows_of(self.place[query]) for query in queries]
                first, found = parts[0].start, {}
                for name, (activation, token_grad) in grads.items():
                    if len(picked) < len(batch.windows):
                        activation, token_grad = activation[picked], token_grad[picked]
                    rows = slice(first, parts[-1].stop)
                    found[name] = self.directions.position_scores(name, rows, token_grad, activation)
                chosen = [batch.windows[row] for row in picked]
                for query, part in zip(queries, parts, strict=True):
                    own = slice(part.start - first, part.stop - first)
                    yield query, chosen, {name: values[own] for name, values in found.items()}
            progress.advance(batch.tokens)

    def _together(
        self, wanted: Mapping[int, Sequence[int]], windows: list[Window]
    ) -> Iterator[tuple[list[int], list[int]]]:
        """Queries whose rows follow each other and that want the same windows, and the places of these.

        One product for all of them takes a sixth of the time of one for each.
        """
        wanting: dict[int, list[int]] = {}
        for row, window in enumerate(windows):
            for query in wanted[window.document]:
                wanting.setdefault(query, []).append(row)
        ordered = enumerate(sorted(wanting, key=lambda query: self.place[query]))
        for _, run in groupby(ordered, lambda one: (self.place[one[1]] - one[0], wanting[one[1]])):
            queries = [query for _, query in run]
            yield queries, wanting[queries[0]]

    def prediction(
        self,
        wanted: Mapping[int, Sequence[int]],
        windows: list[Window],
        positions: Mapping[int, int],
        progress: Progress,
    ) -> Found:
        """Prediction influence of (query, document) pairs, as :meth:`position`.

        The value at a position is that of the loss term which predicts the token there;
        a start token has none.
        """
        scores = self._empty(wanted, positions)
        moves = [
            (window, query, token)
            for window in windows
            for query in wanted[window.document]
            for token in range(self.directions.tokens[self.place[query]])
        ]
        numbers = sum(layer.parameters for layer in self.layers)
        for group in _groups(moves, max(1, DIRECTION_NUMBERS // numbers), self.batch_tokens):
            batch = pad([window for window, _, _ in group], self.model.device)
            chosen = [self.directions.token_rows(self.place[query]).start + token for _, query, token in group]
            direction = {
                layer.name: torch.cat([self.directions.of(layer.name, slice(row, row + 1)) for row in chosen])
                for layer in self.layers
            }
            values = directional_log_probs(self.model, self.layers, direction, batch).double().cpu().numpy()
            for row, (window, query, token) in enumerate(group):
                target = scores[query, window.document]
                target[token, window.first + 1 : window.first + 1 + len(window)] += values[row, : len(window)]
            progress.advance(batch.tokens)
        for (query, document), found in scores.items():
            yield query, document, found

    def _empty(
        self, wanted: Mapping[int, Sequence[int]], positions: Mapping[int, int]
    ) -> dict[tuple[int, int], np.ndarray]:
        return {
            (query, document): np.zeros((self.directions.tokens[self.place[query]], positions[document]))
            for document, queries in wanted.items()
            for query in queries
        }


def _groups(
    moves: list[tuple[Window, int, int]], most: int, batch_tokens: int
) -> Iterator[list[tuple[Window, int, int]]]:
    """Groups of at most ``most`` rows and ``batch_tokens`` tokens, padding included."""
    held: list[tuple[Window, int, int]] = []
    longest = 0
    for move in moves:
        longest = max(longest, len(move[0]))
        if held and (len(held) == most or longest * (len(held) + 1) > batch_tokens):
            yield held
            held, longest = [], len(move[0])
        held.append(move)
    if held:
        yield held


def token_table(found: Found) -> pa.Table:
    """Token influences as a table; the matrix (completion token x position) is flattened row by row."""
    rows = [
        {
            "query": query,
            "document": document,
            "positions": values.shape[1],
            "influence": values.astype(np.float32).ravel(),
        }
        for query, document, values in found
    ]
    return pa.Table.from_pylist(rows, schema=TOKENS_SCHEMA)
