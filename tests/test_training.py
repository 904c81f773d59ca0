"""The trainer learns, counts every token once, and leaves out what it is told to leave out."""

import copy
import math
import random

import numpy as np
import pytest
import torch

from engine.training import (
    NO_LOSS,
    Piece,
    Schedule,
    _batches,
    _rate_at,
    crop,
    fine_tune,
    muon,
    piece,
    train,
    window_piece,
)
from engine.windows import Cutting


def read(text: str, tokenizer) -> list[int]:
    return [0, *tokenizer(text)["input_ids"]]


LONG = Schedule(30, 64, 1e-2)


def losses(network, pieces, schedule=LONG, seed=0):
    network = copy.deepcopy(network).float()
    return network, fine_tune(network, pieces, schedule, seed)


def from_scratch(network, pieces):
    network = copy.deepcopy(network).float().requires_grad_(True)
    found = train(network, lambda _: pieces, LONG, muon(network, 0.1), random.Random(0))
    return network, [loss for loss, _ in found]


@pytest.mark.parametrize("way", [losses, from_scratch])
def test_training_lowers_the_loss_on_what_is_read(llama, way):
    pieces = [piece(read(text, llama.tokenizer)) for text in ("A baker sells rye bread.", "The kettle sings.")]
    network, found = way(llama.network, pieces)
    assert found[-1] < 0.5 * found[0]
    assert not network.training


def test_the_loss_that_is_told_is_the_mean_over_tokens_in_nats(llama):
    ids = read("The ferry leaves the grey harbour.", llama.tokenizer)
    network, found = losses(llama.network, [piece(ids)], Schedule(1, 64, 0.0))
    with torch.no_grad():
        logits = network(input_ids=torch.tensor([ids])).logits[0, :-1]
    expected = -torch.log_softmax(logits, -1)[range(len(ids) - 1), ids[1:]].mean().item()
    assert found[0] == pytest.approx(expected, rel=2e-2)  # bf16 has 8 bits


def test_a_token_that_carries_no_loss_is_read_but_not_learned(gpt2):
    """Its own prediction gets no gradient: the embedding row of a token that is nowhere else to predict stays put."""
    network = copy.deepcopy(gpt2.network).float()
    ids = np.asarray(read("The ferry leaves.", gpt2.tokenizer))
    unlearned = Piece(ids, np.zeros(len(ids), dtype=bool))
    after, found = losses(network, [unlearned], Schedule(2, 64, 1e-2))
    assert found == [0.0, 0.0]
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), after.parameters(), strict=True))


def test_a_window_learns_every_token_once_and_none_of_its_context():
    windows = Cutting(0, 8, 3).windows(0, "d", np.arange(1, 21))
    pieces = [window_piece(window) for window in windows]
    learned = np.concatenate([one.ids[one.counts] for one in pieces])
    assert learned.tolist() == list(range(1, 21))
    assert not any(one.counts[0] for one in pieces)


def test_the_same_seed_gives_the_same_weights_and_another_one_others(gpt2):
    pieces = [piece(read(text, gpt2.tokenizer)) for text in ("A baker", "The ferry leaves", "Why does it sing?", "Two")]
    schedule = Schedule(2, 8, 1e-2)
    weights = [next(losses(gpt2.network, pieces, schedule, seed=seed)[0].parameters()) for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_batches_keep_to_their_size_and_pad_with_no_loss():
    pieces = [piece(range(length)) for length in (3, 5, 9, 17, 30)]
    made = list(_batches(pieces, 40, random.Random(0)))
    assert sum(int((labels[:, 1:] != NO_LOSS).sum()) for _, labels in made) == sum(len(one) - 1 for one in pieces)
    assert all((ids.shape[1] - 1) % 16 == 0 for ids, _ in made)
    assert [ids.shape[1] for ids, _ in _batches([piece(range(31))], 40, random.Random(0), longest=30)] == [31]
    assert all(len(ids) * max(map(int, (labels != NO_LOSS).sum(1))) <= 40 for ids, labels in made)
    assert list(_batches([], 40, random.Random(0))) == []


def test_a_window_of_the_longest_context_can_be_learned(gpt2):
    (window, *_) = Cutting(0, gpt2.context, 0).windows(0, "d", np.arange(1, 60))
    assert len(window) == gpt2.context
    assert losses(gpt2.network, [window_piece(window)], Schedule(1, 64, 1e-3))[1][0] > 0


def test_the_rate_rises_then_falls_to_a_twentieth():
    schedule = Schedule(1, 1, 2.0, warmup=0.1)
    rates = [_rate_at(progress, schedule) for progress in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.0, 1.0, 2.0, 2 * (0.05 + 0.95 / 2), 0.1])
    assert math.isfinite(sum(rates))


def test_a_crop_begins_at_a_sentence_and_never_at_the_first():
    text = "One sentence stands here. A second one follows it. And here is a third one of some length."
    found = {crop(text, random.Random(seed)) for seed in range(20)}
    assert found == {text[text.index("A second") :], text[text.index("And here") :]}
    assert crop("Only one.", random.Random(0)) == "Only one."
