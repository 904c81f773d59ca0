"""Several rankings of the same documents as one (no torch)."""

from collections.abc import Sequence

import numpy as np

from engine import lexical
from engine.store import RunFolder


def by_tokens(folder: RunFolder, tokens: Sequence[np.ndarray], said: Sequence[int]) -> list[np.ndarray]:
    """Scores by tokens that a document shares with a question, and by pairs of the completion's tokens.

    Args:
        folder: The run, for its token table.
        tokens: Token ids of prompt and completion of each question.
        said: How many of them are the completion; the one before makes a pair with its first.

    Returns:
        Two arrays ``[questions, documents]``.
    """
    ends = [one[max(0, len(one) - count - 1) :] for one, count in zip(tokens, said, strict=True)]
    return [lexical.tfidf(folder, tokens), lexical.shared_pairs(folder, ends)]


def fused(*scores: np.ndarray) -> np.ndarray:
    """Sum of the standard scores of each question's documents, ``[questions, documents]``."""
    return np.asarray(np.sum([_standard(one.astype(np.float64)) for one in scores], axis=0))


def _standard(scores: np.ndarray) -> np.ndarray:
    spread = scores.std(1, keepdims=True)
    return np.asarray((scores - scores.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1.0))
