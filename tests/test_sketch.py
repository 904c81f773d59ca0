"""Sketches keep inner products: exactly where they are as long as the gradients, else with the noise they state."""

import numpy as np
import pytest
import torch
from reference import difference

from engine.index.sketch import PLANES, Sketch, pack, products

SHAPES = {"wide": (12, 20), "tall": (30, 7)}
NUMBERS = sum(o * i for o, i in SHAPES.values())


def gradients(count: int, seed: int, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, *shape, generator=generator, dtype=dtype) for name, shape in SHAPES.items()}


def flat(grads: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([grad.flatten(1) for grad in grads.values()], 1)


def sketched(sketch: Sketch, grads: dict[str, torch.Tensor]) -> torch.Tensor:
    total = torch.zeros(len(next(iter(grads.values()))), sketch.bits, dtype=torch.float64)
    for name, grad in grads.items():
        sketch.add(total, name, grad)
    return sketch.spread(total)


def test_a_layer_that_fits_keeps_its_inner_products_exactly():
    """Signs, turns and the Hadamard transform are orthogonal: nothing is lost before signs alone are kept."""
    sketch = Sketch({"wide": SHAPES["wide"]}, 256, seed=0)
    left, right = ({"wide": gradients(5, seed)["wide"]} for seed in (1, 2))
    assert difference(sketched(sketch, left) @ sketched(sketch, right).T, flat(left) @ flat(right).T) < 1e-12


def test_sketches_of_the_parts_of_a_document_add_up_to_its_own():
    sketch, parts = Sketch(SHAPES, 64, seed=0), gradients(6, 1)
    whole = {name: grad.sum(0, keepdim=True) for name, grad in parts.items()}
    assert difference(sketched(sketch, parts).sum(0, keepdim=True), sketched(sketch, whole)) < 1e-12


@pytest.mark.parametrize(("packed", "factor"), [(False, 1.0), (True, np.sqrt(np.pi / 2))])
def test_estimates_are_right_on_average_with_the_noise_that_is_stated(packed, factor):
    left, right = gradients(1, 1), gradients(1, 2)
    right = {name: grad + left[name] for name, grad in right.items()}  # else there is nothing to find
    exact, bits, draws = float(flat(left) @ flat(right).T), 64, 200
    found = []
    for seed in range(draws):
        sketch = Sketch(SHAPES, bits, seed)
        one, other = sketched(sketch, left), sketched(sketch, right)
        found.append(float(products(one, pack(other)) if packed else one @ other.T))
    noise = factor * float(flat(left).norm() * flat(right).norm()) / bits**0.5
    assert abs(np.mean(found) - exact) < 0.03 * exact + 4 * noise / draws**0.5  # always zero would be 1.0 * exact off
    assert (
        0.6 * noise < np.std(found) < 1.4 * noise
    )  # parallel parts are less noisy than the bound, orthogonal ones not


def test_products_are_those_of_signs_but_for_the_rounding_of_the_question():
    generator = torch.Generator().manual_seed(0)
    questions, documents = (torch.randn(count, 512, generator=generator) for count in (3, 70))
    questions[1] *= 1e-6
    packed = pack(documents)
    exact = (questions @ torch.where(documents >= 0, 1.0, -1.0).T) * packed.scale
    step = (questions.amax(1) - questions.amin(1)) / (2**PLANES - 1)
    spread = step[:, None] * packed.scale * (512 / 12) ** 0.5  # of 512 roundings, each even within a step
    found = ((products(questions, packed) - exact) / spread).abs()
    assert found.max() < 5 and 0.3 < found.median() < 1.1


def test_the_same_seed_makes_the_same_sketch_and_another_one_another():
    grads = gradients(2, 3)
    first, same, other = (sketched(Sketch(SHAPES, 64, seed), grads) for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)


def test_a_document_of_nothing_has_a_score_of_nothing():
    packed = pack(torch.zeros(3, 64))
    assert products(torch.randn(2, 64), packed).eq(0).all()
