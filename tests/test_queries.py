"""Gradients of the measurements against autograd, and how prompt and completion become tokens."""

import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import reference
import torch
from toys import QUERIES, documents, write_jsonl
from transformers import PreTrainedTokenizerFast

from engine import fit, query
from engine.corpus import Query, tokenize
from engine.errors import CorpusError
from engine.layers import tracked_layers
from engine.model import prepare
from engine.queries import measure, read_query_gradients, tokenize_query
from engine.settings import UNITS, FitSettings, QuerySettings
from engine.store import RunFolder

EXACT = 1e-10
"""Float64 rounding. Off by 1e-2 and more: a neighbour's target, a transposed layer, a lost bias column."""
FINITE = 1e-6
"""A central difference with a step of 1e-4, in float64."""


def asked(prompt: str, completion: str, contrast: str = "") -> Query:
    return Query("q", prompt, completion, "Fact", "en", "A question", contrast)


ONE = asked("The ferry leaves", " the grey harbour", " a storm")


@pytest.fixture(scope="module")
def startless(gpt2, tokenizer):
    """The toy GPT-2 with a tokenizer that has no start token."""
    plain = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|endoftext|>")
    return prepare("startless", gpt2.network, plain, 32)


# --- tokens -----------------------------------------------------------------------------------------------


def test_prompt_and_completion_are_tokenised_together_after_the_start_token(gpt2, tokenizer):
    sequence = tokenize_query(gpt2, ONE, ONE.completion)
    whole = tokenizer(ONE.prompt + ONE.completion)["input_ids"]
    assert sequence.input_ids.tolist() == [gpt2.start_token, *whole[:-1]]
    assert sequence.targets.tolist() == whole
    assert sequence.tokens.ids.tolist() == sequence.targets[sequence.first :].tolist()
    assert tokenizer.decode(sequence.tokens.ids) == ONE.completion
    assert not sequence.straddles


def test_without_a_start_token_the_first_token_of_the_prompt_is_never_a_target(startless, tokenizer):
    assert startless.start_token is None
    sequence = tokenize_query(startless, ONE, ONE.completion)
    whole = tokenizer(ONE.prompt + ONE.completion)["input_ids"]
    assert sequence.input_ids.tolist() == whole[:-1]
    assert sequence.targets.tolist() == whole[1:]
    assert tokenizer.decode(sequence.tokens.ids) == ONE.completion


STRADDLING = asked("Out of th", "e boats")


def test_a_token_that_straddles_the_cut_belongs_to_the_completion(gpt2, tokenizer):
    assert len(tokenizer(" the")["input_ids"]) == 1, "the toy tokenizer no longer has this token"
    sequence = tokenize_query(gpt2, STRADDLING, STRADDLING.completion)
    assert sequence.straddles
    assert (int(sequence.tokens.starts[0]), int(sequence.tokens.ends[0])) == (6, 10)
    assert tokenizer.decode(sequence.tokens.ids) == " the boats"
    assert sequence.targets[sequence.first :].tolist() == tokenizer(" the boats")["input_ids"]


def test_a_straddling_token_that_swallows_the_prompt_needs_a_start_token(gpt2, startless):
    one = asked("Th", "e")
    assert tokenize_query(gpt2, one, "e").first == 0
    with pytest.raises(CorpusError, match="swallows the whole prompt"):
        tokenize_query(startless, one, "e")


@pytest.mark.parametrize(("prompt", "completion"), [("Up goes", " 🚀 now"), ("바위 위에", " 서 있다."), ("caf", "é")])
def test_all_pieces_of_a_character_of_several_bytes_belong_to_the_completion(gpt2, tokenizer, prompt, completion):
    sequence = tokenize_query(gpt2, asked(prompt, completion), completion)
    assert tokenizer.decode(sequence.tokens.ids) == completion
    assert (sequence.tokens.ends > len(prompt)).all()
    assert int(sequence.tokens.ends[-1]) == len(prompt + completion)


def test_a_prompt_that_ends_in_a_character_of_several_bytes_keeps_its_pieces(gpt2, tokenizer):
    sequence = tokenize_query(gpt2, asked("Up goes 🚀", " now"), " now")
    assert len(tokenize(tokenizer, "🚀")) > 1
    assert tokenizer.decode(sequence.tokens.ids) == " now"


def test_a_query_of_exactly_the_context_is_measured_and_one_token_more_is_refused(gpt2, tokenizer):
    prompt = "qz" * 15 + "q"  # no merges: one token a letter
    assert len(tokenizer(prompt + "z")["input_ids"]) == 32
    assert len(tokenize_query(gpt2, asked(prompt, "z"), "z").input_ids) == 32
    with pytest.raises(CorpusError, match="33 tokens, more than the context of 32"):
        tokenize_query(gpt2, asked(prompt, "zq"), "zq")


def test_a_control_token_written_out_in_a_query_is_ordinary_text(gpt2):
    sequence = tokenize_query(gpt2, asked("Say", " <|endoftext|>"), " <|endoftext|>")
    assert gpt2.start_token not in sequence.targets.tolist()


# --- gradients --------------------------------------------------------------------------------------------


def completion_values(model, one: Query, completion: str, measurement: str) -> list[torch.Tensor]:
    """The measurement of each completion token from the tokens up to it alone, without the engine's functions."""
    encoded = model.tokenizer(one.prompt + completion, return_offsets_mapping=True)
    ids = [model.start_token, *encoded["input_ids"]]
    cut = next(k for k, (_, end) in enumerate(encoded["offset_mapping"]) if end > len(one.prompt))
    values = []
    for place in range(cut + 1, len(ids)):
        row = reference.logits(model, np.asarray(ids[:place]))[-1]
        target, others = row[ids[place]], torch.cat([row[: ids[place]], row[ids[place] + 1 :]])
        values.append(
            {
                "log_prob": target - row.logsumexp(0),
                "contrast": target - row.logsumexp(0),
                "logit": target,
                "margin": target - others.logsumexp(0),
            }[measurement]
        )
    return values


def expected_values(model, one: Query, measurement: str) -> list[torch.Tensor]:
    values = completion_values(model, one, one.completion, measurement)
    if measurement == "contrast":
        values += [-value for value in completion_values(model, one, one.contrast, measurement)]
    return values


@pytest.mark.parametrize("measurement", list(UNITS))
def test_the_gradient_of_every_completion_token_is_that_of_autograd(gpt2, measurement):
    layers = tracked_layers(gpt2, "all")
    result = measure(gpt2, layers, ONE, measurement)
    count = len(expected_values(gpt2, ONE, measurement))
    assert len(result.tokens) == count > 3
    for k in range(count):
        expected = reference.gradient(layers, lambda k=k: expected_values(gpt2, ONE, measurement)[k])
        for layer in layers:
            found = torch.cat([side.formed(layer.name) for side in result.sides])[k]
            assert reference.difference(found, expected[layer.name]) < EXACT


@pytest.mark.parametrize("measurement", list(UNITS))
def test_the_value_of_every_completion_token_is_the_measurement(gpt2, measurement):
    result = measure(gpt2, tracked_layers(gpt2), ONE, measurement)
    values = torch.stack(expected_values(gpt2, ONE, measurement))
    assert reference.difference([row["value"] for row in result.tokens], values) < EXACT
    sides = [row["side"] for row in result.tokens]
    log_probs = torch.stack([v for s in dict.fromkeys(sides) for v in completion_values(
        gpt2, ONE, getattr(ONE, s), "log_prob")])  # fmt: skip
    assert reference.difference([row["log_prob"] for row in result.tokens], log_probs) < EXACT


def test_contrast_is_the_completion_minus_the_other_one_with_any_number_of_tokens(gpt2):
    layers = tracked_layers(gpt2)
    both = measure(gpt2, layers, ONE, "contrast")
    one, other = (measure(gpt2, layers, replace(ONE, completion=c), "log_prob") for c in (ONE.completion, ONE.contrast))
    assert len(one.tokens) != len(other.tokens)
    for layer in layers:
        found = sum(side.formed(layer.name).sum(0) for side in both.sides)
        expected = one.sides[0].formed(layer.name).sum(0) - other.sides[0].formed(layer.name).sum(0)
        assert reference.difference(found, expected) < EXACT


@pytest.mark.parametrize("measurement", ["margin", "contrast"])
def test_the_gradient_predicts_the_finite_difference_of_the_measurement(gpt2, measurement):
    layers, step = tracked_layers(gpt2, "all"), 1e-4
    result = measure(gpt2, layers, ONE, measurement)
    grad = {layer.name: sum(side.formed(layer.name).sum(0) for side in result.sides) for layer in layers}
    generator = torch.Generator().manual_seed(0)
    along = {name: 0.1 * torch.randn(g.shape, generator=generator, dtype=g.dtype) for name, g in grad.items()}
    with reference.moved(layers, along, step):
        above = sum(expected_values(gpt2, ONE, measurement))
    with reference.moved(layers, along, -step):
        below = sum(expected_values(gpt2, ONE, measurement))
    assert reference.difference(reference.inner(grad, along), float(above - below) / (2 * step)) < FINITE


def test_a_contrast_without_the_other_completion_is_refused_with_the_title(gpt2):
    with pytest.raises(CorpusError, match="'A question' has no `contrast`"):
        measure(gpt2, tracked_layers(gpt2), replace(ONE, contrast=""), "contrast")


def test_a_straddling_token_is_measured_as_part_of_the_completion(gpt2):
    one = STRADDLING
    result = measure(gpt2, tracked_layers(gpt2), one, "log_prob")
    assert [row["straddles"] for row in result.tokens] == [True] + [False] * (len(result.tokens) - 1)
    values = torch.stack(completion_values(gpt2, one, one.completion, "log_prob"))
    assert reference.difference([row["value"] for row in result.tokens], values) < EXACT


# --- what the step stores ---------------------------------------------------------------------------------


@pytest.mark.parametrize("measurement", ["log_prob", "contrast"])
def test_stored_gradients_norms_and_values_are_those_of_autograd(gpt2, tmp_path, measurement):
    corpus = write_jsonl(tmp_path / "corpus.jsonl", documents(2))
    file = write_jsonl(tmp_path / "queries.jsonl", QUERIES)
    fit(tmp_path / "run", gpt2, corpus, FitSettings(layers="all"))
    query(tmp_path / "run", file, QuerySettings(measurement=measurement), model=gpt2)
    folder, layers = RunFolder(tmp_path / "run"), tracked_layers(gpt2, "all")
    stored = list(read_query_gradients(folder, [1, 0]))[::-1]
    rows = pq.read_table(folder.queries).to_pylist()
    for number, one in enumerate(QUERIES):
        as_query = Query(**one)
        expected = reference.gradient(layers, lambda q=as_query: sum(expected_values(gpt2, q, measurement)))
        for layer in layers:
            assert reference.difference(stored[number].formed(layer.name).sum(0), expected[layer.name]) < EXACT
        norm = math.sqrt(sum(float(grad.square().sum()) for grad in expected.values()))
        assert reference.difference(rows[number]["gradient_norm"], norm) < EXACT
        value = float(sum(expected_values(gpt2, as_query, measurement)))
        assert reference.difference(rows[number]["value"], value) < EXACT
        assert reference.difference(stored[number].hidden, mean_hidden(gpt2, as_query)) < EXACT


def mean_hidden(model, one: Query) -> torch.Tensor:
    ids = [model.start_token, *model.tokenizer(one.prompt + one.completion)["input_ids"]][:-1]
    states = model.network(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
    return torch.stack(list(states)).mean(0)
