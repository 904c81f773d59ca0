"""The sampler stays where a known Gaussian is, and its diagnostics say what is known of known series."""

import numpy as np
import pytest
import torch

from engine.langevin import Posterior, Sampler, Schedule, effective_sample_size, largest_curvature, split_r_hat, walk

N_BETA, WEIGHTS = 50.0, 40
CURVATURE = torch.logspace(-2, 1, WEIGHTS, dtype=torch.float64)
LOCALISATION = torch.full((WEIGHTS,), 0.5, dtype=torch.float64)
PRECISION = N_BETA * CURVATURE + LOCALISATION
SCHEDULE = Schedule(burn_in=20, draws=1500, every=2)


def quadratic(x, draw):
    return CURVATURE * x


def drawn(step_size=1.0, chains=2, gradient=quadratic, schedule=SCHEDULE, preconditioner=1 / PRECISION) -> np.ndarray:
    """Places of all chains, ``[chains, draws, p]``."""
    sampler = Sampler(Posterior(gradient, N_BETA, LOCALISATION), preconditioner, step_size)
    x = torch.zeros(WEIGHTS, dtype=torch.float64)
    return np.stack([np.stack([at.numpy() for _, at in walk(sampler, schedule, c, x)]) for c in range(chains)])


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    return drawn()


def test_variance_times_precision_is_one_whatever_the_step_size(places):
    """Fresh noise in each step would give 1.33 at this step size, no localisation up to 2 in the flat directions."""
    product = (places.reshape(-1, WEIGHTS) ** 2).mean(0) * PRECISION.numpy()
    error = np.sqrt(2 / effective_sample_size(places**2))  # of a variance, relative
    assert np.abs((product - 1) / error).max() < 4.5  # of 40 normal numbers
    assert product.mean() == pytest.approx(1, abs=4 * np.sqrt((error**2).mean() / WEIGHTS))


def test_covariance_of_two_linear_losses_is_the_closed_form(places):
    a, b = np.random.default_rng(0).standard_normal((2, WEIGHTS))
    values = np.stack([places @ a, places @ b], -1)
    exact = (a / PRECISION.numpy()) @ b
    spread = np.sqrt((a**2 / PRECISION.numpy()).sum() * (b**2 / PRECISION.numpy()).sum())
    found = np.cov(values.reshape(-1, 2).T)[0, 1]
    standard_error = np.sqrt((spread**2 + exact**2) / effective_sample_size(values).min())
    assert abs(found - exact) < 4 * standard_error
    assert standard_error < 0.05 * spread


def test_covariance_of_two_quadratic_losses_is_the_closed_form(places):
    """``Cov(x'Ax/2, x'Bx/2) = tr(A S B S) / 2`` for diagonal A, B and covariance S."""
    a, b = np.random.default_rng(1).random((2, WEIGHTS))
    values = np.stack([places**2 @ a / 2, places**2 @ b / 2], -1)
    exact = (a * b / PRECISION.numpy() ** 2).sum() / 2
    found = np.cov(values.reshape(-1, 2).T)[0, 1]
    assert found == pytest.approx(exact, rel=5 * np.sqrt(8 / effective_sample_size(values).min()))


def test_without_preconditioning_the_walk_comes_to_the_same_place_only_slower():
    plain = torch.full_like(PRECISION, float(1 / PRECISION.max()))
    stiff = drawn(preconditioner=plain)[:, :, -5:]
    product = (stiff**2).mean((0, 1)) * PRECISION[-5:].numpy()
    assert product == pytest.approx(np.ones(5), abs=5 * np.sqrt(2 / effective_sample_size(stiff**2).min()))
    flat = drawn(preconditioner=plain, schedule=Schedule(0, 100, 2))[:, :, :1]
    assert effective_sample_size(flat).item() < 0.2 * effective_sample_size(drawn(schedule=Schedule(0, 100, 2))).min()


def test_noise_of_batches_widens_the_walk_as_step_size_over_batch_says():
    """Noise of variance ``v`` in the gradient adds ``step_size * n_beta^2 * v * M / 4 / (1 - step_size/4)`` to 1."""
    variance = (0.4 * PRECISION / N_BETA**2).sqrt()

    def noisy(x, draw):
        return CURVATURE * x + variance * torch.from_numpy(draw.standard_normal(WEIGHTS))

    places = drawn(gradient=noisy)
    product = (places**2).mean((0, 1)) * PRECISION.numpy()
    assert product.mean() == pytest.approx(1 + 0.1 / 0.75, abs=0.03)


def test_the_largest_curvature_is_found_and_bounds_the_step():
    posterior = Posterior(quadratic, N_BETA, LOCALISATION)
    assert largest_curvature(posterior, 1 / PRECISION) == pytest.approx(1)
    some = torch.ones_like(PRECISION)
    largest = largest_curvature(posterior, some, iterations=60)
    assert largest == pytest.approx(float(PRECISION.max()), rel=0.01)
    short = Schedule(300, 1, 1)
    assert np.abs(drawn(3.9 / largest, schedule=short, preconditioner=some)).max() < 100
    assert np.abs(drawn(4.3 / largest, schedule=short, preconditioner=some)).max() > 1e5


def test_a_chain_goes_on_where_it_was_stopped_with_the_same_bits():
    whole = drawn(chains=1, schedule=Schedule(3, 12, 2))[0]
    sampler = Sampler(Posterior(quadratic, N_BETA, LOCALISATION), 1 / PRECISION, 1.0)
    rest = [at.numpy() for _, at in walk(sampler, Schedule(3, 12, 2), 0, torch.from_numpy(whole[4]), done=5)]
    assert np.array_equal(np.stack(rest), whole[5:])


def test_chains_and_seeds_differ():
    sampler = Sampler(Posterior(quadratic, N_BETA, LOCALISATION), 1 / PRECISION, 1.0)
    other = Sampler(sampler.posterior, sampler.preconditioner, 1.0, seed=1)
    x = torch.zeros(WEIGHTS, dtype=torch.float64)
    assert not torch.equal(sampler.step(x, 0, 0), sampler.step(x, 1, 0))
    assert not torch.equal(sampler.step(x, 0, 0), other.step(x, 0, 0))


def autoregressive(correlation: float, chains=4, draws=4000) -> np.ndarray:
    noise = np.random.default_rng(5).standard_normal((chains, draws, 3)) * np.sqrt(1 - correlation**2)
    values = noise.copy()
    values[:, 0] /= np.sqrt(1 - correlation**2)
    for draw in range(1, draws):
        values[:, draw] += correlation * values[:, draw - 1]
    return values


@pytest.mark.parametrize("correlation", [-0.3, 0.0, 0.5, 0.9])
def test_effective_sample_size_of_a_series_of_known_autocorrelation(correlation):
    values = autoregressive(correlation)
    expected = values[..., 0].size * (1 - correlation) / (1 + correlation)
    assert effective_sample_size(values) == pytest.approx(np.full(3, expected), rel=0.2)


def test_r_hat_is_one_for_mixed_chains_and_large_for_chains_that_stay_apart_or_drift():
    mixed = autoregressive(0.5)
    assert split_r_hat(mixed) == pytest.approx(np.ones(3), abs=0.01)
    assert (split_r_hat(mixed + 3 * np.arange(4)[:, None, None]) > 2).all()
    drifting = mixed + np.linspace(0, 6, mixed.shape[1])[:, None]
    assert (split_r_hat(drifting) > 1.5).all()
    assert (effective_sample_size(drifting) < 20).all()


def test_what_does_not_vary_has_no_diagnostics():
    assert np.isnan(split_r_hat(np.ones((2, 10, 1)))).all()
    assert np.isnan(effective_sample_size(np.ones((2, 10, 1)))).all()
