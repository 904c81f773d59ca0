"""Stochastic-gradient Langevin dynamics around a point, and whether its chains have mixed: tensors in, tensors out.

Sources: SGLD, Welling & Teh 2011; split R-hat and effective sample size, Gelman et al., Bayesian Data Analysis
(3rd ed., section 11.4-11.5), with the autocorrelations cut off where Geyer 1992 does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ITERATIONS = 10
"""Gradients that the largest curvature takes."""
Gradient = Callable[[Tensor, np.random.Generator], Tensor]
"""From a place ``[p]`` and a source of random batches to an estimate of the loss's gradient there, ``[p]``."""


@dataclass(frozen=True)
class Posterior:
    """``exp(-n_beta * L(x) - sum(localisation * x^2) / 2)`` over displacements ``x`` from the trained weights.

    Attributes:
        gradient: Of ``L``.
        n_beta: Inverse temperature, times the number of windows if ``L`` is a mean over windows.
        localisation: Pull back to the trained weights, gamma, of each weight ``[p]``, > 0.
    """

    gradient: Gradient
    n_beta: float
    localisation: Tensor


@dataclass(frozen=True)
class Sampler:
    """SGLD whose noise is shared between neighbouring steps (Leimkuhler & Matthews 2013, arXiv 1203.5428):

    ``x <- x - step_size/2 * M * (n_beta * gradient + localisation * x) + sqrt(step_size * M) * (noise + next)/2``

    On a Gaussian its variance is exact at every stable step size; with fresh noise it would be too large by
    ``1 / (1 - step_size/4)`` where the precision is ``1/M``. There a deviation fades by ``1 - step_size/2`` a step; the
    walk runs off from a step size of 4 over :func:`largest_curvature`. ``M`` is a fixed diagonal, so it changes how
    fast the walk goes and not where it stays. Noise of the batches widens it; that falls as ``step_size / batch``.

    Attributes:
        posterior: Where to stay.
        preconditioner: ``M``, ``[p]``.
        step_size: Without a unit.
        seed: Noise and batches of step ``s`` of chain ``c`` depend on seed, ``c`` and ``s`` only.
    """

    posterior: Posterior
    preconditioner: Tensor
    step_size: float
    seed: int = 0

    def step(self, x: Tensor, chain: int, number: int) -> Tensor:
        """One step of a chain."""
        draw = np.random.default_rng([self.seed, chain, number])
        drift = self.posterior.n_beta * self.posterior.gradient(x, draw) + self.posterior.localisation * x
        scale = self.step_size * self.preconditioner
        noise = (self._noise(x, chain, number) + self._noise(x, chain, number + 1)) / 2
        return x - scale / 2 * drift + scale.sqrt() * noise

    def _noise(self, x: Tensor, chain: int, number: int) -> Tensor:
        seed = np.random.SeedSequence([self.seed, chain, number, 1]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(seed >> 1))
        return torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)


def largest_curvature(
    posterior: Posterior,
    preconditioner: Tensor,
    seed: int = 0,
    iterations: int = ITERATIONS,
    advance: Callable[[int], None] = lambda steps: None,
) -> float:
    """Largest eigenvalue of ``M^1/2 (n_beta * Hessian of a batch + localisation) M^1/2``, by power iteration.

    The Hessian is that at the trained weights, where the gradient of ``L`` must vanish: one standard deviation away it
    is the product with the Hessian.
    """
    root, size = preconditioner.sqrt(), 0.0
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(root.shape, generator=generator, dtype=root.dtype).to(root.device)
    for _ in range(iterations):
        x = root * direction / direction.norm()
        draw = np.random.default_rng(seed)  # the same batch each time
        direction = root * (posterior.n_beta * posterior.gradient(x, draw) + posterior.localisation * x)
        size = float(direction.norm())
        advance(1)
    return size


@dataclass(frozen=True)
class Schedule:
    """Which steps of a chain count.

    Attributes:
        burn_in: Steps before the first that may.
        draws: Places kept.
        every: Steps from one to the next.
    """

    burn_in: int
    draws: int
    every: int

    def after(self, draws: int) -> int:
        """Steps that have been made when so many draws are kept."""
        return self.burn_in + draws * self.every if draws else 0


def walk(
    sampler: Sampler,
    schedule: Schedule,
    chain: int,
    x: Tensor,
    done: int = 0,
    advance: Callable[[int], None] = lambda steps: None,
) -> Iterator[tuple[int, Tensor]]:
    """Places of a chain as they are drawn, with their numbers.

    Args:
        sampler: The sampler.
        schedule: Which places are kept.
        chain: Number of the chain.
        x: Where to begin: the place of the last draw that is done, zeros if none is.
        done: Draws that are done; the chain goes on as if it had not been stopped.
        advance: Called with 1 after each step.
    """
    for number in range(done, schedule.draws):
        for step in range(schedule.after(number), schedule.after(number + 1)):
            x = sampler.step(x, chain, step)
            advance(1)
        yield number, x


def split_r_hat(values: np.ndarray) -> np.ndarray:
    """How much wider all chains spread than each half of one: 1 when they have mixed, more when they stay apart.

    Args:
        values: ``[chains, draws, k]``, at least four draws each.

    Returns:
        ``[k]``; NaN of what does not vary.
    """
    within, total = _variances(_halves(values))
    return np.sqrt(np.divide(total, within, out=np.full_like(total, np.nan), where=within > 0))


def effective_sample_size(values: np.ndarray) -> np.ndarray:
    """Independent draws that would tell as much of the mean, ``[k]``, from ``[chains, draws, k]``.

    ``draws / (1 + 2 * sum of autocorrelations)``. Sums of neighbouring autocorrelations are taken as long as they are
    positive, and none larger than the one before.
    """
    halves = _halves(values)
    chains, draws, _ = halves.shape
    within, total = _variances(halves)
    covariance = _autocovariances(halves).mean(0)
    safe = np.where(total > 0, total, 1)
    correlation = 1 - (within - covariance) / safe  # [draws, k]
    correlation[0] = 1
    pairs = correlation[: draws // 2 * 2].reshape(draws // 2, 2, -1).sum(1)
    pairs = np.minimum.accumulate(np.where(np.logical_and.accumulate(pairs > 0), pairs, 0))
    time = np.maximum(
        2 * pairs.sum(0) - 1, 1 / np.log10(chains * draws)
    )  # alternating chains tell more than their size
    return np.where(total > 0, chains * draws / time, np.nan)


def _halves(values: np.ndarray) -> np.ndarray:
    """Each chain as two, ``[2 * chains, draws // 2, k]``; the middle draw of an odd number is left out."""
    half = values.shape[1] // 2
    return np.concatenate([values[:, :half], values[:, -half:]]).astype(np.float64)


def _variances(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance within chains, and that of all draws as within and between chains tell it, ``[k]`` each."""
    draws = values.shape[1]
    within = values.var(1, ddof=1).mean(0)
    return within, within * (draws - 1) / draws + values.mean(1).var(0, ddof=1)


def _autocovariances(values: np.ndarray) -> np.ndarray:
    """Of each chain at each lag, ``[chains, draws, k]``."""
    draws = values.shape[1]
    spectrum = np.fft.rfft(values - values.mean(1, keepdims=True), 2 * draws, axis=1)
    return np.fft.irfft(spectrum * spectrum.conj(), axis=1)[:, :draws] / draws
