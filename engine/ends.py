"""The strongest documents at both ends of each completion's ranking, found in one pass that forgets the others."""

import numpy as np

Kept = tuple[np.ndarray, np.ndarray]


class Ends:
    """The first and last documents of several rankings, by influence, equal ones by number.

    Args:
        queries: Number of rankings.
        keep: Documents kept at each end; None for all.
    """

    def __init__(self, queries: int, keep: int | None) -> None:
        self._keep, self.scored = keep, 0
        none = (np.zeros(0, dtype=np.int64), np.zeros(0))
        self._held: list[Kept] = [none] * queries

    def add(self, documents: np.ndarray, influence: np.ndarray) -> None:
        """Take some documents more, of higher numbers than those before.

        Args:
            documents: Their numbers, ``[d]``.
            influence: ``[queries, d]``.
        """
        self.scored += len(documents)
        for query, values in enumerate(influence):
            held_documents, held_values = self._held[query]
            together = np.concatenate([held_documents, documents]), np.concatenate([held_values, values])
            order = np.argsort(-together[1], kind="stable")
            if self._keep is not None and len(order) > 2 * self._keep:
                order = np.concatenate([order[: self._keep], order[len(order) - self._keep :]])
            # in the order of numbers, so that equal influences stay in it
            kept = np.sort(order)
            self._held[query] = together[0][kept], together[1][kept]

    def first(self, query: int, count: int) -> np.ndarray:
        """The first ``count`` documents of a ranking, at most as many as are kept."""
        return self._ranking(query)[:count]

    def wanted(self, keep: int | None) -> dict[int, list[int]]:
        """For each document the queries whose ranking has it among the ``keep`` at either end; None for all.

        ``keep`` is at most what is kept.
        """
        wanted: dict[int, list[int]] = {}
        for query in range(len(self._held)):
            ranking = self._ranking(query)
            if keep is not None and len(ranking) > 2 * keep:
                ranking = np.concatenate([ranking[:keep], ranking[len(ranking) - keep :]])
            for document in ranking.tolist():
                wanted.setdefault(document, []).append(query)
        return wanted

    def _ranking(self, query: int) -> np.ndarray:
        documents, values = self._held[query]
        return documents[np.argsort(-values, kind="stable")]
