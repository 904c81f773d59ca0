"""LoRA adapters: loaded on their base, tracked as adapted weights or as matrices of their own."""

import json
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from architectures import add_lora, make_network

from engine import FitSettings, ModelError, load_model
from engine.batching import pad
from engine.capture import batch_gradients
from engine.corpus import Window
from engine.ekfac import window_gradients
from engine.layers import tracked_layers
from engine.loading import load_tokenizer

CAST = 2e-6
"""Norms and softmax are float32 whatever the dtype. Gradients in the base's own weights, unadapted: off by 0.3."""
WINDOW = Window(0, "w", np.array([0, 5, 9, 40, 5]), np.array([5, 9, 40, 5, 7]), 1, 0, True)


@pytest.fixture(scope="module")
def base(tokenizer, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    make_network("llama").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_adapter(base: Path, folder: Path, **settings) -> str:
    network = make_network("llama")
    network.name_or_path = str(base)
    add_lora(network, folder, **settings)
    return str(folder)


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory) -> str:
    return write_adapter(base, tmp_path_factory.mktemp("adapter"))


def gradients(model, choice: str) -> dict[str, torch.Tensor]:
    grads = batch_gradients(model, tracked_layers(model, choice), pad([WINDOW], model.device))
    return {name: window_gradients(token_grad, activation)[0] for name, (activation, token_grad) in grads.items()}


@pytest.mark.parametrize("choice", ["mlp", "attention", "all"])
def test_adapted_layers_are_tracked_as_if_the_adapter_were_merged(choice, base, adapter):
    found = gradients(load_model(adapter, dtype="float64"), choice)
    merged = load_model(str(base), dtype="float64")
    adapted = dict(load_model(adapter, dtype="float64").network.named_modules())
    for name, module in merged.network.named_modules():
        if hasattr(adapted[name], "lora_A"):
            a, b = adapted[name].lora_A["default"].weight, adapted[name].lora_B["default"].weight
            module.weight += 5 / 3 * b @ a
    layers = tracked_layers(merged, choice)
    expected = reference.document_gradient(merged, layers, [WINDOW])
    assert {name.removesuffix(".base_layer") for name in found} == set(expected)
    for name, grad in found.items():
        assert reference.difference(grad, expected[name.removesuffix(".base_layer")]) < CAST


def test_lora_tracks_nothing_but_the_adapters_own_matrices(adapter):
    model = load_model(adapter, dtype="float64")
    layers = tracked_layers(model, "lora")
    assert len(layers) == 2 * 3 * 2
    assert {layer.name.split(".")[-2] for layer in layers} == {"lora_A", "lora_B"}
    expected = reference.document_gradient(model, layers, [WINDOW])
    for name, grad in gradients(model, "lora").items():
        assert reference.difference(grad, expected[name]) < CAST


def test_what_a_run_depends_on_includes_the_adapter_and_its_scaling(base, adapter, tmp_path):
    hashes = {load_model(str(base)).hash, load_model(adapter).hash}
    other = tmp_path / "other"
    other.mkdir()
    for file in Path(adapter).iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    assert load_model(str(other)).hash in hashes
    config = json.loads((other / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 6}))
    assert len(hashes | {load_model(str(other)).hash}) == 3


def test_the_tokenizer_is_the_adapters_where_it_has_one(base, adapter, tmp_path):
    assert load_tokenizer(adapter).name_or_path == str(base)
    own = write_adapter(base, tmp_path)
    load_tokenizer(str(base)).save_pretrained(own)
    assert load_tokenizer(own).name_or_path == own


def test_a_model_without_an_adapter_has_no_lora_layers(base):
    with pytest.raises(ModelError, match="no layer of .* matches --layers 'lora' -- influence would be zero"):
        tracked_layers(load_model(str(base)), FitSettings(layers="lora").layers)


def changed(folder: Path, **settings) -> str:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | settings))
    return str(folder)


@pytest.mark.parametrize(
    ("settings", "refusal"),
    [
        ({"use_dora": True}, r"adapts 'model\.layers\.0\.self_attn\.q_proj' by more than a product .* merge it into"),
        ({"peft_type": "IA3"}, "is of the kind IA3 -- only plain LoRA"),
        ({"base_model_name_or_path": None}, "names no base model .* write base_model_name_or_path"),
        ({"target_modules": ["q_proj"]}, "does not fit .* is only in one of them"),
        ({"target_modules": ["q_proj", "k_proj", "up_proj", "down_proj"]}, "does not fit .* is only in one of them"),
    ],
)
def test_an_adapter_that_is_no_plain_lora_of_its_base_is_refused(settings, refusal, base, tmp_path):
    write_adapter(base, tmp_path, use_dora="use_dora" in settings)
    with pytest.raises(ModelError, match=refusal):
        load_model(changed(tmp_path, **settings))


def test_without_peft_the_refusal_says_how_to_install_it(adapter, monkeypatch):
    monkeypatch.setattr("engine.loading.find_spec", lambda package: None)
    with pytest.raises(
        ModelError, match=r"the adapter '.*' cannot be loaded without the package peft -- pip install peft"
    ):
        load_model(adapter)
