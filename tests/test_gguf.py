"""GGUF files: read like the checkpoint they were made from, dequantised."""

import json
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from architectures import make_network
from toys import documents, write_jsonl

from engine import ModelError, fit, load_model
from engine.batching import pad
from engine.capture import batch_gradients, run_network
from engine.corpus import Window
from engine.ekfac import window_gradients
from engine.factors import load_fitted
from engine.layers import tracked_layers
from engine.loading import find_source, load_tokenizer
from engine.store import RunFolder

gguf = pytest.importorskip("gguf")
Q8_0 = gguf.GGMLQuantizationType.Q8_0
WIDE = {"hidden_size": 32, "intermediate_size": 64}
"""Blocks of Q8_0 are 32 numbers wide."""
NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "model.layers.": "blk.",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of queries and keys in the order of llama.cpp, whose rotary embedding turns neighbours."""
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(
    network, tokenizer, file: Path, quantised: bool = False, architecture: str = "llama", left_out: str = "nothing"
) -> None:
    """A network as llama.cpp's converter writes it; quantised weights are put back into the network."""
    config, writer = network.config, gguf.GGUFWriter(file, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    add_tokenizer(writer, tokenizer)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, parameter in network.named_parameters():
        if name.startswith(left_out):
            continue
        weight, heads = (
            parameter.detach().numpy(),
            {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads},
        )
        packed = quantised and weight.ndim == 2
        if packed:
            weight = gguf.quants.dequantize(gguf.quants.quantize(weight, Q8_0), Q8_0)
            parameter.data.copy_(torch.from_numpy(weight))
        if (kind := name.split(".")[-2]) in heads:
            weight = interleaved(weight, heads[kind])
        weight = gguf.quants.quantize(weight, Q8_0) if packed else weight
        for ours, theirs in NAMES.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name, weight, raw_dtype=Q8_0 if packed else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer, tokenizer) -> None:
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    kinds = [gguf.TokenType.CONTROL if token.startswith("<|") else gguf.TokenType.NORMAL for token in tokens]
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


@pytest.fixture(scope="module", params=[False, True], ids=["F32", "Q8_0"])
def both(request, tokenizer, tmp_path_factory):
    """The same model as GGUF and as safetensors."""
    folder = tmp_path_factory.mktemp("gguf")
    network = make_network("llama", torch.float32, attention_bias=False, mlp_bias=False, **WIDE)
    write_gguf(network, tokenizer, folder / "model.gguf", request.param)
    network.save_pretrained(folder / "safetensors")
    tokenizer.save_pretrained(folder / "safetensors")
    return str(folder / "model.gguf"), str(folder / "safetensors")


def gradients(model) -> dict[str, torch.Tensor]:
    window = Window(0, "w", np.array([0, 5, 9, 40, 5]), np.array([5, 9, 40, 5, 7]), 1, 0, True)
    batch = pad([window], model.device)
    grads = batch_gradients(model, tracked_layers(model, "all"), batch)
    formed = {name: window_gradients(token_grad, activation) for name, (activation, token_grad) in grads.items()}
    return {"logits": run_network(model, batch.input_ids)[0].detach()} | formed


def test_logits_and_gradients_are_those_of_the_same_weights_in_safetensors(both):
    found, expected = (gradients(load_model(name)) for name in both)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert reference.difference(found[name], values) < 1e-5  # the file keeps epsilon in float32; transposed q: 0.5


def test_its_tokenizer_is_fast_and_the_same(both):
    found, expected = (load_tokenizer(name) for name in both)
    text = "The ferry leaves 🚀 등대 <|endoftext|>  é"
    assert found(text, return_offsets_mapping=True) == expected(text, return_offsets_mapping=True)
    assert found.bos_token_id == expected.bos_token_id


def test_it_is_dequantised_to_the_dtype_asked_for_and_hashed_by_weights_not_by_name(both, tmp_path):
    model = load_model(both[0], dtype="float64")
    assert {parameter.dtype for parameter in model.network.parameters()} == {torch.float64}
    moved = tmp_path / "other.gguf"
    moved.write_bytes(Path(both[0]).read_bytes())
    assert load_model(str(moved), dtype="float64").hash == model.hash
    assert load_model(both[0]).network.float().dtype == torch.float32  # checks copy and train it like any other


def test_a_run_finds_the_file_again(both, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(both[0]).parent)
    fit(tmp_path / "run", "model.gguf", write_jsonl(tmp_path / "corpus.jsonl", documents(2)))
    monkeypatch.chdir(tmp_path)
    model, layers = load_fitted(RunFolder(tmp_path / "run"))
    assert model.name == both[0]
    assert len(layers) == 6


def test_a_file_on_the_hub_is_named_after_its_repository():
    source = find_source("maker/model-GGUF/model.Q8_0.gguf")
    assert source.place == {"pretrained_model_name_or_path": "maker/model-GGUF", "gguf_file": "model.Q8_0.gguf"}


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (
            {"architecture": "mamba9"},
            "no causal language model could be loaded .*mamba9.* a GGUF file of an arch",
        ),
        ({"left_out": "model.layers.1.mlp"}, "model.gguf' has no weights for model.layers.1.mlp.down_proj.weight, "),
    ],
)
def test_a_file_that_is_no_whole_model_is_refused(change, refusal, tokenizer, tmp_path):
    network = make_network("llama", torch.float32, attention_bias=False, mlp_bias=False)
    write_gguf(network, tokenizer, tmp_path / "model.gguf", **change)
    with pytest.raises(ModelError, match=refusal):
        load_model(str(tmp_path / "model.gguf"))


def test_a_file_that_is_not_there_or_no_gguf_is_refused(tmp_path):
    (tmp_path / "text.gguf").write_text("no GGUF")
    for name in ("text.gguf", "nowhere.gguf"):
        with pytest.raises(ModelError, match=f"no causal language model could be loaded from '.*{name}'"):
            load_model(str(tmp_path / name))


def test_without_its_packages_the_refusal_says_how_to_install_them(both, monkeypatch):
    monkeypatch.setattr("engine.loading.find_spec", lambda package: None)
    with pytest.raises(
        ModelError, match="model.gguf' cannot be loaded without the packages gguf and accelerate -- pip"
    ):
        load_model(both[0])
