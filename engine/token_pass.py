"""Influence per training token: position influence in bulk, prediction influence by forward mode."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
import torch

from engine import ekfac
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
        for query, picked, found in self._split(wanted, windows, progress):
            values = found.double().cpu().numpy()
            for place, window in enumerate(picked):
                target = scores[query, window.document]
                target[:, window.first : window.first + len(window)] += values[:, place, : len(window)]
        for (query, document), values in scores.items():
            yield query, document, values

    def layers_of_documents(
        self, wanted: Mapping[int, Sequence[int]], windows: list[Window], progress: Progress
    ) -> dict[tuple[int, int], dict[str, tuple[float, float]]]:
        """Influence and gradient dot of (query, document) pairs by layer; over layers they add up to the document's.

        Each window's gradient is formed once and serves both: token by token it would take as many
        products as a completion has tokens.

        Args:
            wanted: Queries wanted of each document.
            windows: Windows of those documents, in order.
            progress: Advanced by the tokens of each batch.
        """
        queries = sorted(set().union(*wanted.values()))
        along = {
            layer.name: torch.stack([row for query in queries for row in self._whole(layer.name, query)])
            for layer in self.layers
        }
        scores = {
            (query, document): {layer.name: np.zeros(2) for layer in self.layers}
            for document, of_document in wanted.items() for query in of_document
        }  # fmt: skip
        for batch in batches(windows, self.batch_tokens, self.model.device):
            for name, (activation, token_grad) in batch_gradients(self.model, self.layers, batch).items():
                found = ekfac.document_influence(along[name], ekfac.window_gradients(token_grad, activation))
                of_queries = found.double().cpu().numpy().reshape(len(queries), 2, -1)
                for at, window in enumerate(batch.windows):
                    for query in wanted[window.document]:
                        scores[query, window.document][name] += of_queries[queries.index(query), :, at]
            progress.advance(batch.tokens)
        return {pair: {name: (float(two[0]), float(two[1])) for name, two in of.items()} for pair, of in scores.items()}

    def _whole(self, layer: str, query: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The directions of influence on a whole completion, and of gradient dot, ``[o, i]`` each."""
        place = self.place[query]
        of_tokens = self.directions.of(layer, self.directions.token_rows(place)).sum(0)
        return of_tokens, self.directions.of(layer, self.directions.query_row(place))[0]

    def _split(
        self, wanted: Mapping[int, Sequence[int]], windows: list[Window], progress: Progress
    ) -> Iterator[tuple[int, list[Window], torch.Tensor]]:
        """Of each batch and query the windows wanted of it, w of them, and their scores ``[rows, w, t]``."""
        for batch in batches(windows, self.batch_tokens, self.model.device):
            grads = batch_gradients(self.model, self.layers, batch)
            for queries, picked in self._together(wanted, batch.windows):
                parts = [self.directions.token_rows(self.place[query]) for query in queries]
                first, found = parts[0].start, []
                for name, (activation, token_grad) in grads.items():
                    if len(picked) < len(batch.windows):
                        activation, token_grad = activation[picked], token_grad[picked]
                    rows = slice(first, parts[-1].stop)
                    found.append(self.directions.position_scores(name, rows, token_grad, activation))
                chosen = [batch.windows[row] for row in picked]
                for query, part in zip(queries, parts, strict=True):
                    own = slice(part.start - first, part.stop - first)
                    values = sum(of_layer[own] for of_layer in found)
                    assert isinstance(values, torch.Tensor)
                    yield query, chosen, values
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
