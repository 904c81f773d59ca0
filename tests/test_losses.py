"""Measurements against their definitions; labels against the distribution they are drawn from."""

import math

import numpy as np
import pytest
import reference
import torch
from scipy import stats

from engine.losses import SAMPLED_AT_ONCE, sampled_labels, token_log_probs, token_measurements, uniforms
from engine.settings import UNITS

EXACT = 1e-12
"""Float64 rounding; a wrong target, axis or normaliser is off by 0.1 and more."""

V = 7


def some_logits(batch: int = 2, tokens: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = 3 * torch.randn(batch, tokens, V, generator=generator, dtype=torch.float64)
    return values, torch.randint(V, (batch, tokens), generator=generator)


def defined(measurement: str, row: list[float], target: int) -> float:
    """A measurement from the probabilities of one position, in plain Python."""
    weights = [math.exp(value) for value in row]
    probability = weights[target] / sum(weights)
    return {
        "log_prob": math.log(probability),
        "contrast": math.log(probability),
        "logit": row[target],
        "margin": math.log(probability / (1 - probability)),
    }[measurement]


@pytest.mark.parametrize("measurement", list(UNITS))
def test_each_measurement_is_its_definition_at_every_position(measurement):
    logits, targets = some_logits()
    expected = [
        [defined(measurement, row.tolist(), int(target)) for row, target in zip(rows, chosen, strict=True)]
        for rows, chosen in zip(logits, targets, strict=True)
    ]
    found = token_measurements(logits, targets, measurement)
    assert reference.difference(found, torch.tensor(expected, dtype=torch.float64)) < EXACT


def test_log_probabilities_of_all_tokens_sum_to_one():
    logits, _ = some_logits()
    every = torch.stack([token_log_probs(logits, torch.full(logits.shape[:2], v)) for v in range(V)])
    assert reference.difference(every.exp().sum(0), torch.ones(2, 3, dtype=torch.float64)) < EXACT


def test_log_probabilities_of_huge_logits_do_not_overflow():
    logits = torch.tensor([[[1e4, 0.0], [-1e4, 0.0]]])
    assert token_log_probs(logits, torch.tensor([[0, 0]])).tolist() == [[0.0, -1e4]]


@pytest.mark.parametrize(("measurement", "moves"), [("log_prob", 0.0), ("margin", 0.0), ("logit", 2.5)])
def test_only_the_logit_changes_when_all_logits_are_shifted(measurement, moves):
    logits, targets = some_logits()
    change = token_measurements(logits + 2.5, targets, measurement) - token_measurements(logits, targets, measurement)
    assert float((change - moves).abs().max()) < EXACT


def test_a_margin_has_a_finite_gradient():
    logits, targets = some_logits()
    logits.requires_grad_()
    token_measurements(logits, targets, "margin").sum().backward()
    chosen = logits.grad.gather(-1, targets[..., None])
    # the target's logit counts once, the others share minus one
    assert reference.difference(chosen, torch.ones_like(chosen)) < EXACT
    assert float(logits.grad.sum(-1).abs().max()) < EXACT


def test_an_unknown_measurement_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'loss' is unknown -- choose one of log_prob, logit, margin, contrast"):
        token_measurements(*some_logits(), "loss")


# --- the uniforms behind sampled labels -------------------------------------------------------------------


def test_uniforms_depend_on_seed_and_key_only():
    first = uniforms(0, "document\x1f0", 50)
    assert np.array_equal(first, uniforms(0, "document\x1f0", 50))
    for other in (uniforms(1, "document\x1f0", 50), uniforms(0, "document\x1f1", 50), uniforms(0, "documenu\x1f0", 50)):
        assert not np.isclose(first, other).any()


def test_uniforms_ignore_the_global_random_state():
    np.random.seed(0)
    torch.manual_seed(0)
    first = uniforms(3, "a", 5)
    np.random.seed(1)
    torch.manual_seed(1)
    assert np.array_equal(first, uniforms(3, "a", 5))


def test_a_longer_window_begins_with_the_uniforms_of_a_shorter_one():
    assert np.array_equal(uniforms(0, "a", 9)[:4], uniforms(0, "a", 4))


def test_seed_and_key_are_kept_apart():
    assert not np.array_equal(uniforms(1, "1", 5), uniforms(11, "", 5))


def test_uniforms_over_many_windows_are_uniform():
    drawn = np.concatenate([uniforms(0, f"d\x1f{n}", 3) for n in range(2000)])
    assert drawn.dtype == np.float64
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert stats.kstest(drawn, "uniform").pvalue > 0.01
    # neighbouring windows share nothing: |r| of 6000 independent pairs is below 0.04
    assert abs(np.corrcoef(drawn[:-3], drawn[3:])[0, 1]) < 0.04


# --- sampled labels ---------------------------------------------------------------------------------------


def test_labels_follow_the_models_own_distribution():
    logits = torch.tensor([1.0, 0.0, -2.0, 0.5, -1.0, 2.0, -0.5])
    count = 20_000
    uniform = torch.from_numpy(uniforms(0, "labels", count))[None]
    labels = sampled_labels(logits.expand(1, count, V), uniform)[0]
    expected = count * torch.softmax(logits.double(), -1).numpy()
    observed = np.bincount(labels.numpy(), minlength=V)
    # drawn from another distribution (greedy, uniform, a neighbour's) the p-value is below 1e-100
    assert stats.chisquare(observed, expected).pvalue > 0.01


def test_each_position_draws_from_its_own_distribution():
    tokens = SAMPLED_AT_ONCE + 1  # more than are drawn at once
    logits, _ = some_logits(tokens=tokens)
    uniform = torch.from_numpy(uniforms(0, "own", 2 * tokens)).view(2, tokens)
    found = sampled_labels(logits, uniform)
    for b in range(2):
        for t in range(tokens):
            cumulative = np.cumsum(torch.softmax(logits[b, t], -1).numpy())
            label = int(found[b, t])
            assert (cumulative[label - 1] if label else 0) <= float(uniform[b, t]) < cumulative[label]
    assert len(found.unique()) > 1


@pytest.mark.parametrize("drawn", [0.0, math.nextafter(1.0, 0.0)])
def test_a_token_without_probability_is_never_drawn_even_at_the_ends(drawn):
    logits = torch.tensor([[[-math.inf, 0.0, 1.0, -math.inf]]])
    label = int(sampled_labels(logits, torch.tensor([[drawn]], dtype=torch.float64)))
    assert label == (1 if drawn == 0 else 2)


def test_labels_carry_no_gradient():
    logits, _ = some_logits()
    assert not sampled_labels(logits.requires_grad_(), torch.full((2, 3), 0.5, dtype=torch.float64)).requires_grad
