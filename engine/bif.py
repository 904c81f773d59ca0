"""The Bayesian influence function (Kreer et al. 2025, arXiv 2509.26544): influence as a covariance over weights.

``influence = n_beta * Cov(log p(document), measurement)`` over weights sampled around the trained ones, in EK-FAC's
unit. More weight ``e`` on a document turns the exponent of the posterior into ``-n_beta * (L - e * log p(document))``
less the localisation, and the derivative of a mean by ``e`` in such a family is that covariance: plus means that more
weight on the document raises the measurement, in nats per unit of weight.

In the Gaussian limit the weights ``x`` vary by ``(n_beta * G + gamma)^-1``, the document by ``g_d . x`` and the
measurement by ``g_f . x``, so that ``influence = g_f . (G + gamma / n_beta)^-1 g_d``: exactly the damped influence with
``damping = gamma / n_beta``. ``G`` is a mean over windows, as EK-FAC's, and ``log p`` a sum over the document's tokens.
The localisation is that of a damping factor: ``gamma = n_beta * damping_factor * mean(lam)`` of each layer.

No Kronecker structure, no linear model and no blocks are assumed (EK-FAC's factors set damping and the sampler's pace
only), and tokens on both sides come with it, as each token's log-probability is read at each draw. The price is noise:
a covariance of ``N`` independent draws has the standard error ``sqrt((1 + 1/r^2) / N)`` relative to itself, ``r`` being
the correlation of the two, and ``r`` is small where many weights are free to move.

Cost: a step is a forward pass of ``2 * batch`` windows and a backward pass of ``batch``; a draw is a forward pass of
all documents, and four bytes a token on the disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata  # type: ignore[import-untyped]

from engine.langevin import effective_sample_size, split_r_hat
from engine.tensors import read_part, read_tensors


@dataclass(frozen=True)
class Readings:
    """Log-probabilities of documents' tokens and measurements of completions' tokens at each draw.

    Attributes:
        files: One per draw, a list per chain.
        start: The same at the trained weights.
        documents: Numbers of the documents that were read.
        lengths: Positions of each.
        tokens: Completion tokens of each query.
        n_beta: Inverse temperature.
        step_size: Of the walk.
        expected_rise: Rise of a window's mean loss in the Gaussian limit, nats.
    """

    files: list[list[Path]]
    start: Path
    documents: list[int]
    lengths: list[int]
    tokens: list[int]
    n_beta: float
    step_size: float
    expected_rise: float

    @cached_property
    def _all(self) -> tuple[np.ndarray, np.ndarray]:
        found = [sums(file, self.lengths) for chain in self.files for file in chain]
        return np.stack([log_prob for log_prob, _ in found]), np.stack([measured for _, measured in found])

    @property
    def log_probs(self) -> np.ndarray:
        """Of each document at each draw, chain after chain, float64 ``[n, d]``."""
        return self._all[0]

    @property
    def measured(self) -> np.ndarray:
        """Of each completion token at each draw, ``[n, c]``."""
        return self._all[1]

    @property
    def completions(self) -> np.ndarray:
        """Of each completion, ``[chains, draws, q]``."""
        summed = np.add.reduceat(self.measured, starts(self.tokens), axis=1)
        return summed.reshape(len(self.files), -1, len(self.tokens))

    @property
    def rise(self) -> float:
        """How far the draws raised the mean loss of a document, nats."""
        return float((sums(self.start, self.lengths)[0] - self.log_probs).mean())

    def token_log_probs(self, document: int) -> np.ndarray:
        """Log-probability of each position of a document at each draw, ``[n, positions]``; zero where nothing is
        predicted."""
        place = self.documents.index(document)
        first = sum(self.lengths[:place])
        part = slice(first, first + self.lengths[place])
        rows = [read_part(file, "documents", part) for chain in self.files for file in chain]
        return np.stack([row.numpy() for row in rows]).astype(np.float64)

    @cached_property
    def mixing(self) -> dict[str, np.ndarray]:
        """Of each completion's measurement ``r_hat``, 1 when the chains have mixed, and ``ess``, the effective number
        of draws, ``[q]``."""
        return {"r_hat": split_r_hat(self.completions), "ess": effective_sample_size(self.completions)}

    @property
    def halves(self) -> np.ndarray:
        """Rank correlation over documents of the influence on each completion by either half of the draws, ``[q]``; NaN
        where one does not vary."""
        measured = self.completions.reshape(-1, len(self.tokens))
        parts = slice(None, len(measured) // 2), slice(len(measured) // 2, None)
        ranks = [rankdata(covariance(measured[part], self.log_probs[part]), axis=1) for part in parts]
        return np.diag(normalized(ranks[0].T, ranks[1].T, np.nan))

    def about(self) -> dict[str, Any]:
        """What was sampled, and what came of it."""
        return {
            "documents": len(self.documents),
            "chains": len(self.files),
            "draws": len(self.files[0]),
            "n_beta": self.n_beta,
            "step_size": self.step_size,
            "rise": self.rise,
            "expected_rise": self.expected_rise,
        }


def influence(readings: Readings, places: Sequence[int] | slice = slice(None)) -> np.ndarray:
    """Influence of each document, or of those at some places among the readings', on each completion token,
    ``[c, d]``."""
    return readings.n_beta * covariance(readings.measured, readings.log_probs[:, places])


def token_influence(readings: Readings, document: int) -> np.ndarray:
    """Prediction influence of each position of a document on each completion token, ``[c, positions]``.

    Summed over positions it is the document's, since a covariance is linear.
    """
    return readings.n_beta * covariance(readings.measured, readings.token_log_probs(document))


def covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Unbiased covariance of the columns of ``[n, k]`` and ``[n, l]``: ``[k, l]``."""
    return (a - a.mean(0)).T @ (b - b.mean(0)) / (len(a) - 1)


def normalized(a: np.ndarray, b: np.ndarray, still: float = 0.0) -> np.ndarray:
    """The normalised form: correlation of the columns, ``[k, l]``; ``still`` where one does not vary."""
    spread = np.outer(a.std(0, ddof=1), b.std(0, ddof=1))
    return np.divide(covariance(a, b), spread, out=np.full_like(spread, still), where=spread > 0)


def sums(file: Path, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability of each document and measurement of each completion token, float64."""
    read = read_tensors(file)
    tokens = read["documents"].numpy().astype(np.float64)
    return np.add.reduceat(tokens, starts(lengths)), read["completions"].numpy()


def starts(lengths: Sequence[int]) -> np.ndarray:
    """Where each of some parts begins when they lie one after another."""
    return np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(int)
