"""Pairwise scores of kronfluence 1.0: ``pairwise_scores.safetensors``, queries by documents, maybe by positions.

One tensor ``all_modules``, or one for each module (``compute_per_module_scores``), which are added up. With
``compute_per_token_scores`` a third axis holds positions, padded on the right.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from engine.errors import CorpusError
from engine.importing.part import Part, check_shape, spans

NAME = "pairwise_scores.safetensors"


class KronfluenceScores:
    """A file that ``Analyzer.compute_pairwise_scores`` wrote, or its folder.

    Args:
        path: File or folder.
        queries: Number of queries.
        documents: Number of documents.

    Raises:
        CorpusError: If it cannot be read, or is of other queries or documents.
    """

    def __init__(self, path: Path, queries: int, documents: int) -> None:
        self.file = path / NAME if path.is_dir() else path
        try:
            self._opened: Any = safe_open(self.file, framework="pt")  # numpy has no bfloat16
        except (OSError, SafetensorError) as error:
            raise CorpusError(
                f"{self.file} cannot be read as a safetensors file ({error}) -- there are no scores -- give the "
                f"{NAME} of one `compute_pairwise_scores`, its partitions joined."
            ) from None
        self.modules = sorted(self._opened.keys())
        shapes = {tuple(self._opened.get_slice(module).get_shape()) for module in self.modules}
        if len(shapes) != 1 or len(shape := shapes.pop()) not in (2, 3):
            raise CorpusError(
                f"{self.file}: its tensors have shapes {sorted(shapes) or [shape]} -- pairwise scores are queries x "
                "documents, or queries x documents x positions, alike for all modules -- give such a file."
            )
        check_shape(self.file, shape[:2], queries, documents)
        self.shape, self.has_tokens, self.longest = shape, len(shape) == 3, int(shape[-1])

    def parts(self, documents: Path) -> Iterator[Part]:
        """All scores (:class:`engine.importing.part.ScoreFile`)."""
        for low, high in spans(self.shape[1], int(np.prod(self.shape)) // self.shape[1]):
            values = sum(self._slice(module, low, high) for module in self.modules)
            assert isinstance(values, np.ndarray)
            numbers = np.arange(low, high)
            if self.has_tokens:
                yield Part(numbers, values.sum(2), list(values.swapaxes(0, 1)))
            else:
                yield Part(numbers, values)

    def _slice(self, module: str, low: int, high: int) -> np.ndarray:
        found: np.ndarray = self._opened.get_slice(module)[:, low:high].double().numpy()
        return found
