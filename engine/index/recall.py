"""What does a run's index find? Recall of the exact ranking of the run's own completions, beside cheaper rankings."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.analysis.matrix import influence_matrix
from engine.analysis.resampling import mean_with_interval
from engine.corpus import tokenize
from engine.index.fusion import by_tokens, fused
from engine.index.search import Index
from engine.live import LoadedRun
from engine.progress import Progress
from engine.queries import read_query_gradients

TOPS = (10, 100)
"""How many of the strongest documents are looked for."""
SHARES = (0.005, 0.01, 0.025, 0.05, 0.1)
"""Shares of the corpus among which they are looked for."""
SIZES = 4
"""Sizes of a document's sketch that are compared, each half the one before."""
QUICK, INDEX, TOKENS = "index and shared tokens", "index", "shared tokens"
"""The quick order of a question in a run with an index, its part by the index, and the order in a run without one."""
BASELINES = {"bm25": "BM25", "gradient_dot": "gradient dot", "hidden_similarity": "hidden states"}
"""Rankings stored by the score step."""


def recall_rows(loaded: LoadedRun, index: Index, progress: Progress) -> list[dict[str, Any]]:
    """Mean recall over the run's completions, with 95% intervals over them.

    Args:
        loaded: The run with its model.
        index: Its index.
        progress: Advanced by each completion.

    Returns:
        One row per ranking, bytes of a document, share of the corpus and top: ``ranking``, ``document_bytes`` (None
        where it is no matter of bytes), ``share``, ``candidates``, ``top``, ``recall``, ``recall_low``,
        ``recall_high``. No rows for a run whose documents were not all scored.
    """
    run = loaded.run
    if run.scored_documents < len(run.documents):
        return []
    numbers = run.queries["query"].tolist()
    exact = influence_matrix(run, numbers)
    rows: list[dict[str, Any]] = []
    for ranking, size, scores in _rankings(loaded, index, numbers, progress):
        rows += [{"ranking": ranking, "document_bytes": size, **row} for row in _recalls(exact, scores)]
    return rows


def _rankings(
    loaded: LoadedRun, index: Index, numbers: list[int], progress: Progress
) -> Iterator[tuple[str, int | None, np.ndarray]]:
    """Name, bytes of a document and scores ``[completions, documents]`` of each ranking."""
    tokens = _by_tokens(loaded, numbers)
    sketches = index.sketches(_counted(loaded, numbers, progress))
    for halved in range(SIZES):
        size = index.settings.document_bytes >> halved
        if size:
            scores = index.scores(sketches, document_bytes=size)
            yield QUICK, size, fused(scores, *tokens)
            yield INDEX, size, scores
    yield TOKENS, None, fused(*tokens)
    found = [loaded.run.influence(number)[list(BASELINES)].fillna(0.0).to_numpy() for number in numbers]
    for name, scores in zip(BASELINES.values(), np.stack(found).transpose(2, 0, 1), strict=True):
        yield name, None, scores


def _by_tokens(loaded: LoadedRun, numbers: list[int]) -> list[np.ndarray]:
    rows = loaded.run.queries.set_index("query").loc[numbers]
    texts = (rows["prompt"] + rows["completion"]).tolist()
    completion = loaded.run.query_tokens[loaded.run.query_tokens["side"] == "completion"]
    said = completion.groupby("query").size().loc[numbers].tolist()
    return by_tokens(loaded.run.folder, [tokenize(loaded.model.tokenizer, text).ids for text in texts], said)


def _counted(loaded: LoadedRun, numbers: list[int], progress: Progress) -> Iterator[Any]:
    progress.start("Measuring recall", len(numbers), "completions")
    for gradient in read_query_gradients(loaded.run.folder, numbers, str(loaded.model.device)):
        yield gradient
        progress.advance(1)
    progress.finish()


def _recalls(exact: np.ndarray, scores: np.ndarray) -> Iterator[dict[str, Any]]:
    """Recall at each share and top. Where fewer documents are taken than are looked for there is none."""
    order, best = (np.argsort(-values, axis=1, kind="stable") for values in (scores, exact))
    for share in SHARES:
        candidates = int(np.ceil(share * exact.shape[1]))
        for top in TOPS:
            if top <= candidates and top < exact.shape[1]:
                found = [
                    np.isin(first[:top], taken[:candidates]).mean() for first, taken in zip(best, order, strict=True)
                ]
                told = mean_with_interval("recall", np.array(found))
                yield {"share": share, "candidates": candidates, "top": top, **told}
