"""What the hooks record, and the forward-mode pass, against autograd on the weights themselves."""

import numpy as np
import pytest
import reference
import torch
from torch.autograd import forward_ad
from toys import make_gpt2, make_llama
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from engine.batching import pad
from engine.capture import capture, directional_log_probs, run_network
from engine.corpus import Window
from engine.ekfac import window_gradients
from engine.errors import ModelError
from engine.layers import tracked_layers
from engine.losses import token_log_probs
from engine.model import prepare

EXACT = 1e-10
"""Float64 rounding. Off by 1e-2 and more: a transposed Conv1D, a lost bias column, a forgotten mask."""
CAST = 1e-6
"""Llama and GPT-NeoX compute softmax and norms in float32 whatever the dtype."""
FINITE = 1e-6
"""A central difference with a step of 1e-4 is off by about 1e-8 of the third derivative, in float64."""


def make_neox() -> GPTNeoXForCausalLM:
    """Linear layers with bias."""
    torch.manual_seed(3)
    config = GPTNeoXConfig(
        vocab_size=300, max_position_embeddings=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, bos_token_id=0, eos_token_id=0, attn_implementation="eager", initializer_range=0.3,
    )  # fmt: skip
    network = GPTNeoXForCausalLM(config).double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.2)  # zeros would hide a bias that is lost
    return network


MAKERS = {
    "GPT-2, Conv1D with bias": (lambda: make_gpt2(torch.float64), EXACT),
    "Llama, Linear without bias": (lambda: make_llama(torch.float64), CAST),
    "GPT-NeoX, Linear with bias": (make_neox, CAST),
}


@pytest.fixture(scope="module", params=list(MAKERS))
def toy(request, tokenizer):
    """(model, its layers, tolerance)."""
    make, tolerance = MAKERS[request.param]
    model = prepare(request.param, make(), tokenizer, 32)
    return model, tracked_layers(model, "all"), tolerance


def windows() -> list[Window]:
    """Windows of different lengths; the last two begin with context that carries no loss."""
    random = np.random.default_rng(0)
    made = []
    for number, (length, loss_from) in enumerate([(11, 0), (4, 0), (9, 3), (1, 0), (7, 6)]):
        tokens = random.integers(1, 300, length + 1)
        made.append(Window(number, f"w{number}", tokens[:-1], tokens[1:], loss_from, 0, True))
    return made


def recorded(model, layers, batch) -> dict:
    with capture(model, layers) as tape:
        logits, _ = run_network(model, batch.input_ids)
        return tape.gradients((token_log_probs(logits, batch.targets) * batch.loss_mask).sum())


def test_activation_and_output_gradient_make_up_the_weight_gradient_of_every_window(toy):
    model, layers, tolerance = toy
    grads = recorded(model, layers, pad(windows(), model.device))
    assert set(grads) == {layer.name for layer in layers}
    expected = [reference.document_gradient(model, layers, [window]) for window in windows()]
    for layer in layers:
        activation, token_grad = grads[layer.name]
        found = window_gradients(token_grad, activation)
        assert found.shape[1:] == (layer.outputs, layer.inputs)
        assert reference.difference(found, torch.stack([one[layer.name] for one in expected])) < tolerance


def test_the_activation_ends_in_a_column_of_ones_exactly_where_the_layer_has_a_bias(toy):
    model, layers, _ = toy
    grads = recorded(model, layers, pad(windows()[:1], model.device))
    for layer in layers:
        activation, _ = grads[layer.name]
        weight = layer.module.weight
        assert activation.shape[2] == weight.numel() // layer.outputs + (layer.module.bias is not None)
        if layer.has_bias:
            assert (activation[..., -1] == 1).all()


def test_padding_receives_no_gradient_and_changes_none(toy):
    model, layers, tolerance = toy
    batch = pad(windows(), model.device)
    together = recorded(model, layers, batch)
    assert not batch.input_mask.all()
    alone = [recorded(model, layers, pad([window], model.device)) for window in windows()]
    for name, parts in together.items():
        for part, tensor in enumerate(parts):  # activation, gradient
            real = torch.cat([tensor[row, : len(window)] for row, window in enumerate(windows())])
            assert reference.difference(real, torch.cat([one[name][part][0] for one in alone])) < tolerance
        assert (parts[1][~batch.input_mask] == 0).all()


def test_the_backward_pass_stops_at_the_first_tracked_layer(gpt2):
    layers = [layer for layer in tracked_layers(gpt2) if ".h.1." in layer.name]
    seen = {}
    blocks = gpt2.network.transformer.h
    handles = [
        block.register_forward_hook(lambda m, a, out, n=n: seen.update({n: out[0] if isinstance(out, tuple) else out}))
        for n, block in enumerate(blocks)
    ]
    grads = recorded(gpt2, layers, pad(windows(), gpt2.device))
    for handle in handles:
        handle.remove()
    assert not seen[0].requires_grad
    assert seen[1].requires_grad
    assert len(grads) == 2


def test_no_weight_gradient_is_computed(gpt2):
    recorded(gpt2, tracked_layers(gpt2, "all"), pad(windows(), gpt2.device))
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in gpt2.network.parameters())


def test_hooks_are_gone_after_the_block_even_after_an_error(gpt2):
    layers = tracked_layers(gpt2)

    def fails() -> None:
        with capture(gpt2, layers):
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    with pytest.raises(KeyError):
        directional_log_probs(gpt2, layers, {}, pad(windows(), gpt2.device))
    assert not any(layer.module._forward_hooks for layer in layers)


def test_a_layer_that_runs_twice_in_one_pass_is_refused_by_name(gpt2):
    layers = tracked_layers(gpt2)
    batch = pad(windows(), gpt2.device)
    with capture(gpt2, layers), pytest.raises(ModelError, match=r"'transformer.h.0.mlp.c_fc' runs twice"):
        run_network(gpt2, batch.input_ids)
        run_network(gpt2, batch.input_ids)


# --- forward mode -----------------------------------------------------------------------------------------


def directions(layers, rows: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        layer.name: torch.randn(rows, layer.outputs, layer.inputs, generator=generator, dtype=torch.float64)
        for layer in layers
    }


def test_prediction_influence_is_the_gradient_of_each_loss_term_times_the_direction_of_its_row(toy):
    model, layers, tolerance = toy
    batch = pad(windows(), model.device)
    along = directions(layers, len(windows()))
    found = directional_log_probs(model, layers, along, batch)
    for row, window in enumerate(windows()):
        own = {name: rows[row] for name, rows in along.items()}
        expected = torch.zeros(batch.targets.shape[1], dtype=torch.float64)
        for place in range(len(window) - window.loss_from):
            term = reference.gradient(layers, lambda w=window, place=place: reference.window_log_probs(model, w)[place])
            expected[window.loss_from + place] = reference.inner(own, term)
        assert reference.difference(found[row], expected) < tolerance
        assert (found[row][expected == 0] == 0).all()  # context and padding


def test_prediction_influence_is_the_finite_difference_of_log_probabilities_along_the_direction(gpt2):
    layers, window, step = tracked_layers(gpt2, "all"), windows()[2], 1e-4
    along = {name: 0.1 * rows for name, rows in directions(layers, 1).items()}
    own = {name: rows[0] for name, rows in along.items()}
    with reference.moved(layers, own, step):
        above = reference.window_log_probs(gpt2, window)
    with reference.moved(layers, own, -step):
        below = reference.window_log_probs(gpt2, window)
    found = directional_log_probs(gpt2, layers, along, pad([window], gpt2.device))[0]
    assert reference.difference(found[window.loss_from :], (above - below) / (2 * step)) < FINITE


def test_forward_mode_leaves_the_model_as_it_was(gpt2):
    layers, batch = tracked_layers(gpt2, "all"), pad(windows(), gpt2.device)
    before = gpt2.network(input_ids=batch.input_ids).logits
    directional_log_probs(gpt2, layers, directions(layers, len(windows())), batch)
    assert torch.equal(gpt2.network(input_ids=batch.input_ids).logits, before)


def test_a_norm_that_gives_a_float32_tangent_for_bfloat16_stops_nothing(tokenizer):
    """What layer norms do on a GPU, done here by a hook."""
    model = prepare("toy", make_gpt2(torch.bfloat16), tokenizer, 32)
    layers = tracked_layers(model, "mlp")
    direction = {layer.name: torch.ones(1, layer.outputs, layer.inputs) for layer in layers}
    batch = pad(windows()[:1], "cpu")
    expected = directional_log_probs(model, layers, direction, batch)

    def widen(module, args, output):
        primal, tangent = forward_ad.unpack_dual(output)
        return output if tangent is None else forward_ad.make_dual(primal, tangent.float())

    for block in model.network.transformer.h:
        block.ln_2.register_forward_hook(widen)
    assert torch.equal(directional_log_probs(model, layers, direction, batch), expected)
