"""Influence by our own passes is autograd's in the same preconditioner, whatever the architecture of the model."""

from dataclasses import dataclass
from functools import cache
from inspect import signature

import numpy as np
import pytest
import reference
import torch
from architectures import DENSE, MIXTURES, add_lora, make_network
from torch import nn
from toys import QUERIES, documents, write_jsonl
from transformers import DynamicCache
from transformers.pytorch_utils import Conv1D

from engine import FitSettings, fit
from engine.batching import pad
from engine.capture import batch_gradients
from engine.corpus import Query, Window
from engine.directions import Directions, choose_directions
from engine.document_pass import score_documents
from engine.ekfac import LayerFactors, window_gradients
from engine.errors import ModelError
from engine.factors import read_factors, run_cutting
from engine.layers import TrackedLayer, tracked_layers
from engine.loading import load_model
from engine.machine import repository_folder
from engine.model import LanguageModel, prepare
from engine.progress import SilentProgress
from engine.queries import QueryGradient, measure
from engine.store import RunFolder
from engine.token_pass import Scorer
from engine.windows import shard_windows

EXACT = 1e-10
"""Float64 rounding."""
CAST = 2e-6
"""Most architectures compute norms, softmax and routing in float32 whatever the dtype. Off by 1e-2 and more: a lost
bias, tokens of an expert at the wrong place, a matrix transposed, a mask without the sliding window."""
DAMPING, CONTEXT, LORA = 0.1, 18, "LoRA on "


@dataclass
class Studied:
    """A model, its factors fitted on a few documents, and the directions of two completions."""

    model: LanguageModel
    layers: list[TrackedLayer]
    windows: list[Window]
    factors: dict[str, LayerFactors]
    gradients: list[QueryGradient]
    directions: Directions
    tolerance: float

    @property
    def numbers(self) -> list[int]:
        return sorted({window.document for window in self.windows})

    def of(self, document: int) -> list[Window]:
        return [window for window in self.windows if window.document == document]

    def scorer(self) -> Scorer:
        places = {number: number for number in range(len(QUERIES))}
        return Scorer(self.model, self.layers, self.directions, places, 40)


@pytest.fixture(scope="module")
def study(tokenizer, tmp_path_factory):
    @cache
    def of(name: str) -> Studied:
        network, choice = make_network(name.removeprefix(LORA)), "lora" if name.startswith(LORA) else "all"
        network, run = add_lora(network) if choice == "lora" else network, tmp_path_factory.mktemp("run")
        model = prepare(name, network, tokenizer, CONTEXT)
        corpus = write_jsonl(run / "corpus.jsonl", documents(3))
        fit(run, model, corpus, FitSettings(layers=choice, batch_tokens=40))
        folder, layers = RunFolder(run), tracked_layers(model, choice)
        factors = read_factors(folder)
        measured = [measure(model, layers, Query(**one), "log_prob") for one in QUERIES]
        gradients = [QueryGradient(one.sides, one.hidden) for one in measured]
        directions = choose_directions(gradients, factors, DAMPING, 1e-9)
        tolerance = EXACT if name == "gpt2" else CAST
        windows = shard_windows(folder, 0, run_cutting(folder))
        return Studied(model, layers, windows, factors, gradients, directions, tolerance)

    return of


def test_the_readme_names_them_all():
    readme = (repository_folder() / "README.md").read_text(encoding="utf-8")
    assert [name for name in [*DENSE, *MIXTURES] if f"`{name}`" not in readme] == []


every_architecture = pytest.mark.parametrize("name", [*DENSE, *MIXTURES, f"{LORA}mistral"])


@pytest.mark.parametrize("name", [*DENSE, *MIXTURES])
def test_mlp_and_attention_layers_are_all_there_are_besides_embedding_and_head(name, study):
    model = study(name).model
    mlp, attention, every = (
        {layer.name for layer in tracked_layers(model, of)} for of in ("mlp", "attention", "all")
    )  # fmt: skip
    assert mlp and attention
    assert not mlp & attention
    assert mlp | attention == every
    rest = {name for name, weight in model.network.named_parameters() if weight.dim() == 2} - {
        f"{name}.weight" for name in every
    }
    assert {name.split(".")[-2] for name in rest} <= {"wte", "wpe", "embed_in", "embed_out", "embed_tokens", "lm_head"}


@every_architecture
def test_factors_are_those_of_autograds_gradients_with_sampled_labels(name, study):
    studied = study(name)
    squared = {layer.name: torch.zeros(layer.outputs, layer.inputs, dtype=torch.float64) for layer in studied.layers}
    for window in studied.windows:
        labels = reference.sampled(studied.model, window, 0)
        term = lambda w=window, to=labels: reference.window_log_probs(studied.model, w, to).sum()  # noqa: E731
        for layer, grad in reference.gradient(studied.layers, term).items():
            of = studied.factors[layer]
            squared[layer] += (of.q_s.T @ grad @ of.q_a).square() / len(studied.windows)
    for layer, expected in squared.items():
        assert reference.difference(studied.factors[layer].lam, expected) < studied.tolerance, layer


@every_architecture
def test_influence_is_the_dense_solve_times_autograds_gradient_by_document_and_layer(name, study):
    studied = study(name)
    rows = score_documents(
        studied.model, studied.layers, studied.directions, studied.numbers, studied.windows, 40, SilentProgress()
    ).rows
    wanted = {document: list(range(len(QUERIES))) for document in studied.numbers}
    by_layer = studied.scorer().layers_of_documents(wanted, studied.windows, SilentProgress())
    formed = {layer: torch.cat([one.formed(layer) for one in studied.gradients]) for layer in studied.factors}
    solved = reference.dense_solve(studied.factors, formed, DAMPING)
    for place, document in enumerate(studied.numbers):
        own = reference.document_gradient(studied.model, studied.layers, studied.of(document))
        parts = {layer: (solved[layer] * own[layer]).sum((1, 2)) for layer in own}
        assert (
            reference.difference(rows[: sum(studied.directions.tokens), place], sum(parts.values())) < studied.tolerance
        )
        for query in range(len(QUERIES)):
            tokens = studied.directions.token_rows(query)
            expected = [float(part[tokens].sum()) for part in parts.values()]
            found = [influence for influence, _ in by_layer[query, document].values()]
            assert reference.difference(found, expected) < studied.tolerance
            plain = [float((formed[layer][tokens].sum(0) * own[layer]).sum()) for layer in own]  # the identity
            found = float(rows[studied.directions.query_row(query), place])
            assert abs(found - sum(plain)) < studied.tolerance * np.abs(plain).sum()


@every_architecture
def test_query_gradients_are_autograds(name, study):
    studied = study(name)
    for gradient, query, count in zip(studied.gradients, QUERIES, studied.directions.tokens, strict=True):
        tokens = studied.model.tokenizer(query["prompt"] + query["completion"])["input_ids"]
        ids = np.array([0, *tokens])
        window = Window(0, "q", ids[:-1], ids[1:], len(tokens) - count, 0, True)
        own = reference.document_gradient(studied.model, studied.layers, [window])
        for layer, expected in own.items():
            found = gradient.formed(layer).sum(0)
            if expected.any() or found.any():  # no token of it may be routed to an expert
                assert reference.difference(found, expected) < studied.tolerance, layer


def by_position(studied: Studied, direction: reference.Gradient, window: Window) -> list[float]:
    """Position influence with weights of their own for every position: read one by one, the past kept in a cache."""
    network = studied.model.network
    past, terms, leaves = DynamicCache(config=network.config), [], []
    remembers = "cache" if "cache" in signature(network.forward).parameters else "past_key_values"
    for place, token in enumerate(window.input_ids):
        own = {}
        for layer in studied.layers:
            for kind, weight in (("weight", layer.module.weight), ("bias", layer.bias)):
                own |= {f"{layer.name}.{kind}": weight.clone().requires_grad_()} if weight is not None else {}
        leaves.append(own)
        inputs = {"input_ids": torch.tensor([[int(token)]]), remembers: past, "use_cache": True}
        with torch.enable_grad():
            logits = torch.func.functional_call(network, own, (), inputs).logits[0, 0]
            if place >= window.loss_from:
                terms.append(torch.log_softmax(logits, -1)[window.targets[place]])
    grads = iter(torch.autograd.grad(sum(terms), [leaf for own in leaves for leaf in own.values()]))
    return [_along(studied.layers, direction, {name: next(grads) for name in own}) for own in leaves]


def _along(layers: list[TrackedLayer], direction: reference.Gradient, grads: dict[str, torch.Tensor]) -> float:
    influence = 0.0
    for layer in layers:
        weight, bias = grads[f"{layer.name}.weight"], grads.get(f"{layer.name}.bias")
        along = direction[layer.name][:, : layer.inputs - layer.has_bias]
        influence += float((weight * (along.T if isinstance(layer.module, Conv1D) else along)).sum())
        influence += float((bias * direction[layer.name][:, -1]).sum()) if bias is not None else 0.0
    return influence


@every_architecture
def test_position_influence_is_that_of_weights_of_its_own_for_every_position(name, study):
    studied = study(name)
    window = max(studied.windows, key=len)
    direction = {layer: studied.directions.of(layer, slice(0, 1))[0] for layer in studied.factors}
    ((_, _, found),) = studied.scorer().position(
        {window.document: [0]}, [window], {window.document: 60}, SilentProgress()
    )
    expected = by_position(studied, direction, window)
    assert reference.difference(found[0, window.first : window.first + len(window)], expected) < studied.tolerance


@every_architecture
def test_prediction_influence_is_the_gradient_of_each_loss_term_times_the_direction(name, study):
    studied = study(name)
    window = max(studied.windows, key=len)
    direction = {layer: studied.directions.of(layer, slice(0, 1))[0] for layer in studied.factors}
    wanted, places = {window.document: [0]}, {window.document: 60}
    ((_, _, found),) = studied.scorer().prediction(wanted, [window], places, SilentProgress())
    for place in range(0, len(window) - window.loss_from, 5):
        term = reference.gradient(studied.layers, lambda p=place: reference.window_log_probs(studied.model, window)[p])
        expected = reference.inner(direction, term)
        at = window.first + 1 + window.loss_from + place
        assert abs(found[0, at] - expected) < studied.tolerance * np.abs(found[0]).max()


# --- what cannot be tracked, and what may not change --------------------------------------------------------


def test_a_head_is_tracked_by_name_where_it_has_weights_of_its_own(tokenizer):
    model = prepare("toy", make_network("llama"), tokenizer, CONTEXT)
    layers = tracked_layers(model, "lm_head")
    window = Window(0, "w", np.array([0, 5, 9]), np.array([5, 9, 7]), 0, 0, True)
    grads = batch_gradients(model, layers, pad([window], model.device))
    expected = reference.document_gradient(model, layers, [window])
    activation, token_grad = grads["lm_head"]
    assert reference.difference(window_gradients(token_grad, activation)[0], expected["lm_head"]) < CAST
    tied = prepare("toy", make_network("gpt2"), tokenizer, CONTEXT)
    with pytest.raises(ModelError, match="'lm_head' are another layer's too, as of a head tied to the embedding"):
        tracked_layers(tied, "lm_head")


@pytest.mark.parametrize("name", MIXTURES)
def test_experts_taken_apart_compute_save_and_hash_as_before(name, tokenizer, tmp_path):
    network, ids = make_network(name, torch.float32).eval(), torch.arange(1, 25).view(2, 12)
    network.config._experts_implementation = "eager"
    loaded = load_model(write_model(network, tokenizer, tmp_path / "fused"))
    assert tracked_layers(loaded, r"experts\.3\.down_proj")
    assert reference.difference(loaded.network(input_ids=ids).logits, network(input_ids=ids).logits.detach()) < 1e-6
    again = load_model(write_model(loaded.network, tokenizer, tmp_path / "again"))
    assert again.hash == loaded.hash
    assert torch.equal(again.network(input_ids=ids).logits, loaded.network(input_ids=ids).logits)


def write_model(network, tokenizer, folder) -> str:
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_an_expert_that_no_fitted_token_is_routed_to_is_refused_by_name(tokenizer, tmp_path):
    network = make_network("mixtral")
    network.model.layers[0].mlp.gate.weight.data[2] = -50 * network.model.layers[0].mlp.gate.weight.data[1]
    corpus = write_jsonl(tmp_path / "corpus.jsonl", [{"id": "d", "text": "The"}])
    with pytest.raises(ModelError, match=r"none of the tokens fitted on is routed to expert 'model\.layers"):
        fit(tmp_path / "run", prepare("toy", network, tokenizer, CONTEXT), corpus)


def test_kfac_of_experts_is_refused(tokenizer, tmp_path):
    model = prepare("toy", make_network("olmoe"), tokenizer, CONTEXT)
    corpus = write_jsonl(tmp_path / "corpus.jsonl", documents(2))
    with pytest.raises(ModelError, match=r"'model\.layers\.0\.mlp\.experts\.0\.gate_up_proj' sees only .* use --est"):
        fit(tmp_path / "run", model, corpus, FitSettings(estimator="kfac"))
    fit(tmp_path / "run", model, corpus, FitSettings(estimator="kfac", layers="attention"))


class Fused(nn.Module):
    """Experts of a shape that transformers keeps for a few old models."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 8, 8))


class Squared(nn.Linear):
    """A linear layer only by name, like those of quantised models."""

    def forward(self, input):
        return super().forward(input).square()


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("experts", Fused()),
        ("experts", nn.ModuleList([nn.Sequential(nn.Linear(8, 8))])),
        ("act_fn", Squared(8, 8)),
    ],
)
def test_a_layer_that_cannot_be_tracked_is_refused_by_name_with_what_to_choose(name, module, tokenizer):
    network = make_network("llama")
    network.model.layers[1].mlp.add_module(name, module)
    model = prepare("toy", network, tokenizer, CONTEXT)
    with pytest.raises(
        ModelError, match=rf"'model\.layers\.1\.mlp\.{name}\S*' .* cannot be tracked .* --layers attention"
    ):
        tracked_layers(model, "mlp")
    assert tracked_layers(model, "attention")
