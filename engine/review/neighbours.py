"""Which documents are nearly the same? By the words they share: TF-IDF and cosine, over the run's corpus."""

import numpy as np
import pandas as pd

from engine.document_map import word_vectors
from engine.progress import Progress, SilentProgress
from engine.run import Run


class Neighbours:
    """The documents of a run by their words; made once, then asked for one document after the other.

    Args:
        run: The run.
        progress: Where reading the corpus is reported.
    """

    def __init__(self, run: Run, progress: Progress | None = None) -> None:
        self._vectors = word_vectors(run, np.arange(len(run.documents)), progress or SilentProgress())

    def of(self, document: int, alike: float = 0.5) -> pd.DataFrame:
        """Documents like one document, the most alike first, itself not among them.

        Args:
            document: Number of the document.
            alike: Least cosine, 0 to 1; the same words in the same numbers give 1.

        Returns:
            document, similarity (the cosine).
        """
        if self._vectors is None:
            return pd.DataFrame({"document": np.array([], dtype=int), "similarity": np.array([], dtype=float)})
        cosines = (self._vectors @ self._vectors[document].T).toarray().ravel().astype(float)
        cosines[document] = -1.0
        found = np.flatnonzero(cosines >= alike)
        found = found[np.argsort(-cosines[found], kind="stable")]
        return pd.DataFrame({"document": found, "similarity": np.minimum(cosines[found], 1.0)})
