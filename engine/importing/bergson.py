"""Score folders of bergson 2.5: ``info.json`` and ``scores.bin``, an array of records; with tokens ``offsets.npy``.

A record holds ``score_<query>`` and ``written_<query>`` of one document, or with ``attribute_tokens`` of one token:
those of document i are the records ``offsets[i]`` to ``offsets[i + 1]``, one for each token but the last.
``candidates.npy``, where it is, names the documents that were scored. bergson itself is not needed.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import CorpusError
from engine.importing.part import Part, check_shape, spans

INFO, SCORES, OFFSETS, CANDIDATES = "info.json", "scores.bin", "offsets.npy", "candidates.npy"


class BergsonScores:
    """A folder that ``bergson score`` wrote.

    Args:
        path: The folder.
        queries: Number of queries.
        documents: Number of documents.

    Raises:
        CorpusError: If it cannot be read, is not finished, or is of other queries or documents.
    """

    def __init__(self, path: Path, queries: int, documents: int) -> None:
        self.path, self.queries = path, queries
        try:
            info = json.loads((path / INFO).read_text(encoding="utf-8"))
            self.has_tokens = bool(info.get("attribute_tokens"))
            self._records = np.memmap(path / SCORES, _record(info["dtype"]), "r", shape=(info["num_rows"],))
            self._offsets = np.load(path / OFFSETS) if self.has_tokens else None
            chosen = np.load(path / CANDIDATES) if (path / CANDIDATES).is_file() else None
            found = (int(info["num_scores"]), int(info["num_items"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorpusError(
                f"{path} cannot be read as scores of bergson ({type(error).__name__}: {error}) -- there is nothing to "
                f"import -- give the folder that holds {INFO} and {SCORES}."
            ) from None
        check_shape(path, found, queries, documents if chosen is None else len(chosen))
        self._numbers = np.arange(documents) if chosen is None else np.asarray(chosen, dtype=np.int64)
        self._check_numbers(documents)
        if self._offsets is not None and len(self._offsets) != len(self._numbers) + 1:
            raise CorpusError(
                f"{path / OFFSETS} has {len(self._offsets)} entries for {len(self._numbers)} documents -- which rows "
                "are whose is unknown -- give the folder as bergson wrote it."
            )
        lengths = np.diff(self._offsets) if self._offsets is not None else np.zeros(1, dtype=np.int64)
        self.longest = int(lengths.max(initial=1))

    def parts(self, documents: Path) -> Iterator[Part]:
        """All scores (:class:`engine.importing.part.ScoreFile`)."""
        order = np.argsort(self._numbers)
        for low, high in spans(len(order), self.queries * max(self.longest, 1)):
            rows = order[low:high]
            if self._offsets is None:
                yield Part(self._numbers[rows], self._read(rows))
            else:
                tokens = [self._read(slice(*self._offsets[row : row + 2])) for row in rows]
                yield Part(self._numbers[rows], np.stack([values.sum(1) for values in tokens], 1), tokens)

    def _read(self, rows: np.ndarray | slice) -> np.ndarray:
        """Scores of some records, ``[queries, records]``."""
        records = self._records[rows]
        if not all(records[f"written_{query}"].all() for query in range(self.queries)):
            raise CorpusError(
                f"{self.path}: some scores were never written -- bergson was stopped before its end, and they would "
                "pass for zeros -- let it finish."
            )
        return np.stack([_float(records[f"score_{query}"]) for query in range(self.queries)])

    def _check_numbers(self, documents: int) -> None:
        numbers = self._numbers
        if len(np.unique(numbers)) < len(numbers) or not ((numbers >= 0) & (numbers < documents)).all():
            raise CorpusError(
                f"{self.path / CANDIDATES} names documents twice, or other numbers than 0 to {documents - 1} -- scores "
                "and texts would not belong together -- give the corpus that they were computed for."
            )


def _record(spec: dict[str, Any]) -> np.dtype:
    """The records' type; numbers in bfloat16, which numpy does not know, are read as the 16 bits that they are."""
    return np.dtype(spec | {"formats": ["<u2" if one == "bfloat16" else one for one in spec["formats"]]})  # type: ignore[call-overload, no-any-return]


def _float(values: np.ndarray) -> np.ndarray:
    """Scores as float64; the 16 bits of a bfloat16 are the upper half of a float32's."""
    if values.dtype == np.uint16:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float64)
