"""The mathematics of EK-FAC influence: tensors in, tensors out, no model in sight.

Index letters everywhere, einsum included: q query, b window in the batch, t token,
o output, i input (with the column for the bias where the layer has one), r rank.

Sources: EK-FAC, George et al. 2018 (arXiv 1806.03884); its use for language models
and the position influence, Grosse et al. 2023 (arXiv 2308.03296), eqs. 15-20 and 31.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

FIRST_RANK = 8
SMALL = 64
"""Up to this size all singular vectors cost little more than a few."""
SINGLE = 0.01
"""From this bound on float32 is enough to decompose: it loses about a millionth of a row's square, the bound 1e-4."""
OVERSAMPLING = 8
"""Extra columns of the randomised range finder beyond the rank asked for."""
SYMMETRIC_BLOCKS = 3
"""Blocks of rows of a symmetric product, of which a third need not be computed; more are too thin to be quick."""


@dataclass(frozen=True)
class LayerFactors:
    """EK-FAC factors of one tracked layer: ``G = (Q_S kron Q_A) diag(lam) (Q_S kron Q_A)^T``.

    Attributes:
        q_a: Eigenvectors of the activation covariance, ``[i, i]``.
        q_s: Eigenvectors of the pseudo-gradient covariance, ``[o, o]``.
        lam: Eigenvalue correction, ``[o, i]``, in nats squared per unit of weight squared.
    """

    q_a: Tensor
    q_s: Tensor
    lam: Tensor

    def damping(self, factor: float) -> float:
        """Damping that is a multiple of the mean eigenvalue, in the units of ``lam``."""
        return factor * float(self.lam.mean())


@dataclass(frozen=True)
class LowRank:
    """A matrix per query as thin factors: ``P ~ u @ v^T``.

    Attributes:
        u: ``[q, o, r]``, singular values included. A query of a lower rank than r has zeros in its last columns.
        v: ``[q, i, r]``, the same.
        error: Largest relative Frobenius error over the queries.
    """

    u: Tensor
    v: Tensor
    error: float

    @cached_property
    def used(self) -> Tensor:
        """Columns that are not zero, bool ``[q, r]``."""
        return self.u.any(1)

    @cached_property
    def mean_rank(self) -> float:
        """Columns in use of a query, on average."""
        return float(self.used.sum()) / len(self.used)


def covariance_sum(rows: Tensor, mask: Tensor) -> Tensor:
    """Sum of ``row row^T`` over the positions in ``mask``.

    The product runs in the dtype of ``rows``; the result is float64, so that a sum over
    batches neither drifts nor depends on their number.

    Args:
        rows: Activations or pseudo-gradients, ``[b, t, d]``.
        mask: Positions that count, bool ``[b, t]``.

    Returns:
        ``[d, d]`` in float64.
    """
    kept = rows[mask]
    step = -(-kept.shape[1] // SYMMETRIC_BLOCKS)
    product = kept.new_zeros(kept.shape[1], kept.shape[1])
    for first in range(0, kept.shape[1], step):  # the part on and above the diagonal is enough
        product[first : first + step, first:] = kept[:, first : first + step].T @ kept[:, first:]
    return (product.triu() + product.triu(1).T).double()


def eigenvectors(covariance: Tensor) -> Tensor:
    """Eigenvectors of a covariance in the columns, computed in float64, ``[d, d]``.

    Raises:
        ValueError: If the covariance is not finite.
    """
    if not torch.isfinite(covariance).all():
        raise ValueError(
            "a covariance holds NaN or infinity -- its eigenvectors do not exist -- "
            "check the model's weights and dtype (float32 is the safe choice)."
        )
    symmetric = (covariance + covariance.T).double() / 2
    return torch.linalg.eigh(symmetric).eigenvectors


def kfac_eigenvalues(covariance_a: Tensor, covariance_s: Tensor, q_a: Tensor, q_s: Tensor, tokens: float) -> Tensor:
    """``lam`` of K-FAC (Martens & Grosse 2015, arXiv 1503.05671): activations and pseudo-gradients are taken as
    independent, and so are the tokens of a window.

    Args:
        covariance_a: Mean over tokens, ``[i, i]``.
        covariance_s: Mean over tokens, ``[o, o]``.
        q_a: Eigenvectors of ``covariance_a``.
        q_s: Eigenvectors of ``covariance_s``.
        tokens: Mean number of tokens of a window.

    Returns:
        ``[o, i]`` in float64.
    """
    of_a, of_s = (
        torch.einsum("dk,de,ek->k", vectors.double(), covariance.double(), vectors.double()).clamp_min(0)
        for vectors, covariance in ((q_a, covariance_a), (q_s, covariance_s))
    )
    return tokens * torch.outer(of_s, of_a)


def window_gradients(token_grad: Tensor, activation: Tensor, out: Tensor | None = None) -> Tensor:
    """Gradient of each window: ``sum_t token_grad_t activation_t^T``, ``[b, o, i]``, in ``out`` if it is given."""
    return torch.bmm(token_grad.mT, activation, out=out)


def squared_norms(window_grad: Tensor) -> Tensor:
    """Squared norm of each window's gradient, ``[b]`` in float64, from ``[b, o, i]``; summed over rows in float64."""
    return torch.linalg.vector_norm(window_grad, dim=2).double().square().sum(1)


def rotated_gradients(token_grad: Tensor, activation: Tensor, q_a: Tensor, q_s: Tensor) -> Tensor:
    """Gradient of each window in the eigenbasis: ``Q_S^T (sum_t token_grad_t activation_t^T) Q_A``, ``[b, o, i]``.

    It is rotated after the sum over tokens, or its tokens before it, whichever costs less.

    Args:
        token_grad: ``[b, t, o]``, zero at positions that do not count.
        activation: ``[b, t, i]``.
        q_a: ``[i, i]``.
        q_s: ``[o, o]``.
    """
    t, o, i = token_grad.shape[1], token_grad.shape[2], activation.shape[2]
    if o * i * (o + i) < t * (o * o + i * i):
        return q_s.T @ window_gradients(token_grad, activation) @ q_a
    return window_gradients(token_grad @ q_s, activation @ q_a)


def squared_rotated_gradients(pseudo_grad: Tensor, activation: Tensor, q_a: Tensor, q_s: Tensor) -> Tensor:
    """Sum over windows of ``(Q_S^T (sum_t pseudo_grad_t activation_t^T) Q_A)^2``.

    The window's gradient is summed over its tokens *before* squaring. Squares of one batch are added up in the dtype of
    the gradients: all are positive, so nothing cancels.

    Args:
        pseudo_grad: ``[b, t, o]``, zero at positions that do not count.
        activation: ``[b, t, i]``.
        q_a: ``[i, i]``.
        q_s: ``[o, o]``.

    Returns:
        ``[o, i]`` in float64.
    """
    return rotated_gradients(pseudo_grad, activation, q_a, q_s).square_().sum(0).double()


def whitened_gradients(token_grad: Tensor, activation: Tensor, factors: LayerFactors, damping: float) -> Tensor:
    """Gradient of each window as ``(G + damping I)^(-1/2) g`` in the eigenbasis, ``[b, o, i]``.

    Inner products of two of them are influence: ``<(G + damping I)^-1 f, g>``.

    Args:
        token_grad: ``[b, t, o]``, zero at positions that do not count.
        activation: ``[b, t, i]``.
        factors: The layer's factors.
        damping: Damping in the units of ``lam``, > 0.
    """
    return rotated_gradients(token_grad, activation, factors.q_a, factors.q_s) / (factors.lam + damping).sqrt()


def precondition(grad: Tensor, factors: LayerFactors, damping: float) -> Tensor:
    """Solve ``(G + damping * I) v = grad`` for one layer.

    ``G = (Q_S kron Q_A) diag(lam) (Q_S kron Q_A)^T``, so the solve is a rotation, a
    division and the rotation back; the ``[o*i, o*i]`` matrix is never formed.

    Args:
        grad: Gradients of the measurement, ``[q, o, i]``.
        factors: The layer's factors.
        damping: Damping in the units of ``lam``, > 0.

    Returns:
        Preconditioned gradients, ``[q, o, i]``.

    Raises:
        ValueError: If ``damping`` is not positive.
    """
    return rotated_back(precondition_rotated(factors.q_s.T @ grad @ factors.q_a, factors, damping), factors)


def precondition_rotated(rotated: Tensor, factors: LayerFactors, damping: float) -> Tensor:
    """:func:`precondition` within the eigenbasis: the division alone."""
    if not damping > 0:
        raise ValueError(
            f"damping is {damping} -- lam has zeros for directions the corpus never used, and they "
            "need a floor -- use a positive damping factor; the usual one is 0.1."
        )
    return rotated / (factors.lam + damping)


def rotated_back(rotated: Tensor, factors: LayerFactors) -> Tensor:
    """Rows of the eigenbasis in the layer's own: ``Q_S v Q_A^T``, ``[q, o, i]``."""
    return factors.q_s @ rotated @ factors.q_a.T


def compress_rotated(
    rotated: Tensor,
    factors: LayerFactors,
    damping: float,
    max_error: float,
    max_rank: float = float("inf"),
    first_rank: int = FIRST_RANK,
) -> LowRank | None:
    """Thin factors of rows given in the eigenbasis that keep their *influence* on the corpus rather than their numbers.

    What is left out of a row counts by how large the corpus's gradients are there: its square is weighed with
    ``lam + damping``, as near as the outer product of its two marginals comes to it. Of the mean square of influence
    over the corpus no thin factors of the same rank keep more, where K-FAC holds.

    Args:
        rotated: ``[q, o, i]``.
        factors: The layer's factors.
        damping: Damping in the units of ``lam``, > 0.
        max_error: As in :func:`compress`, in that weighted norm.
        max_rank: As in :func:`compress`.
        first_rank: As in :func:`compress`.

    Returns:
        As :func:`compress`, in the layer's own basis.
    """
    weights = factors.lam + damping
    of_outputs, of_inputs = (weights.mean(1) / weights.mean()).sqrt().to(rotated), weights.mean(0).sqrt().to(rotated)
    thin = compress(of_outputs[:, None] * rotated * of_inputs, max_error, max_rank, first_rank)
    if thin is None:
        return None
    u, v = factors.q_s @ (thin.u / of_outputs[:, None]), factors.q_a @ (thin.v / of_inputs[:, None])
    return LowRank(u, v, thin.error)


def compress(
    matrix: Tensor, max_error: float, max_rank: float = float("inf"), first_rank: int = FIRST_RANK
) -> LowRank | None:
    """Each row, a matrix, at the smallest rank whose relative Frobenius error stays below ``max_error``.

    The rank is doubled until the bound holds for all, each time by a randomised SVD with a fixed
    seed (Halko et al. 2011, arXiv 0909.4061); its error is known, since the
    approximation is a projection: ``|P|^2 - |sigma|^2``, which cancels far less than a bound of :data:`SINGLE` leaves
    in float32, and in float64 for a smaller one.
    On a flat spectrum the randomised rank may be one more than the smallest.

    Args:
        matrix: ``[q, o, i]``.
        max_error: Bound on ``|P - u v^T| / |P|``, > 0.
        max_rank: Give up where the rows' mean rank is above this.
        first_rank: Rank tried first; a good guess saves the lower ones.

    Returns:
        Factors with ranks of at most ``min(o, i)``; None if their mean exceeds ``max_rank``.
    """
    dtype = matrix.dtype
    matrix = matrix.to(torch.float64 if max_error < SINGLE else torch.promote_types(dtype, torch.float32))
    smallest = min(matrix.shape[1:])
    norm_squared = squared_norms(matrix)
    rank = first_rank
    while True:
        whole = smallest <= SMALL or 3 * (rank + OVERSAMPLING) >= smallest
        left, right, energy = _gram_factors(matrix) if whole else _range_factors(matrix, rank + OVERSAMPLING)
        missing = (norm_squared[:, None] - energy.double().cumsum(1)).clamp_min(0)
        error = (missing / norm_squared.clamp_min(1e-300)[:, None]).sqrt()  # [q, r]
        ranks = 1 + (error > max_error).sum(1)  # of a query that needs more than was tried, one more than that
        if float(ranks.double().mean()) > max_rank:
            return None
        if whole or int(ranks.max()) <= error.shape[1]:
            ranks = ranks.clamp_max(error.shape[1])
            used = torch.arange(int(ranks.max()), device=ranks.device) < ranks[:, None]
            u, v = ((of[:, :, : used.shape[1]] * used[:, None]).to(dtype) for of in (left, right))
            return LowRank(u, v, float(error.gather(1, ranks[:, None] - 1).max()))
        rank *= 2


def _gram_factors(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``matrix = left right^T`` by singular vectors, and their energy, from the smaller Gram matrix.

    Much faster than an SVD, and as good for what is left out: the rounding is that of the largest singular value.

    Args:
        matrix: ``[q, o, i]``.

    Returns:
        ``[q, o, r]``, ``[q, i, r]`` and squared singular values ``[q, r]``, the largest first.
    """
    tall = matrix if matrix.shape[1] >= matrix.shape[2] else matrix.mT
    with one_thread():
        energy, vectors = torch.linalg.eigh(tall.mT @ tall)
    energy, vectors = energy.flip(1).clamp_min(0), vectors.flip(2)
    return (tall @ vectors, vectors, energy) if tall is matrix else (vectors, tall @ vectors, energy)


@contextmanager
def one_thread() -> Iterator[None]:
    """LAPACK's threads wait for each other longer than a small matrix takes: five times as slow with two of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _range_factors(matrix: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`_gram_factors`, for the projection of the matrix on a random range of ``width`` columns."""
    generator = torch.Generator(matrix.device).manual_seed(0)
    probe = torch.randn(matrix.shape[2], width, generator=generator, dtype=matrix.dtype, device=matrix.device)
    basis = torch.linalg.qr(matrix @ probe).Q
    for _ in range(2):
        basis = torch.linalg.qr(matrix @ (matrix.mT @ basis)).Q
    left, right, energy = _gram_factors(basis.mT @ matrix)
    return basis @ left, right, energy


def document_influence(preconditioned_grad: Tensor, window_grad: Tensor) -> Tensor:
    """Inner products ``<P_q, grad_b>``, ``[q, b]``, from formed gradients ``[b, o, i]``."""
    return preconditioned_grad.flatten(1) @ window_grad.flatten(1).T


def position_influence(preconditioned_grad: Tensor, token_grad: Tensor, activation: Tensor) -> Tensor:
    """Influence through each position: ``token_grad_t^T P_q activation_t``, ``[q, b, t]``.

    Summed over t it is the window's influence. It lights up the token *before* the
    predicted one (Grosse et al. 2023, eq. 31). The product that is held is that of the shorter side.
    """
    if activation.shape[2] <= token_grad.shape[2]:
        return torch.einsum("bto,qoi->qbti", token_grad, preconditioned_grad).mul_(activation).sum(-1)
    return torch.einsum("bti,qoi->qbto", activation, preconditioned_grad).mul_(token_grad).sum(-1)


def position_influence_low_rank(low_rank: LowRank, token_grad: Tensor, activation: Tensor) -> Tensor:
    """:func:`position_influence` from thin factors:
    ``sum_r (token_grad_t . u_r) (activation_t . v_r)``, ``[q, b, t]``; the columns of all queries are one product."""
    used = low_rank.used
    left, right = token_grad @ low_rank.u.mT[used].T, activation @ low_rank.v.mT[used].T
    of_queries = torch.eye(len(used), dtype=left.dtype, device=left.device).repeat_interleave(used.sum(1), 0)
    return (left.mul_(right) @ of_queries).permute(2, 0, 1)
