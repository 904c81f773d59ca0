"""The mathematics of EK-FAC against loops, the dense matrix and autograd, all in float64."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import reference
import torch
from toys import documents, write_jsonl

from engine import ekfac, fit
from engine.ekfac import LayerFactors
from engine.factors import read_factors, run_cutting
from engine.layers import tracked_layers
from engine.settings import FitSettings
from engine.store import RunFolder
from engine.windows import shard_windows

EXACT = 1e-10
"""Float64 rounding stays below 1e-12 here. Wrong by at least 1e-2: a swapped or unrotated
eigenbasis, a lost bias column, squaring before the sum over tokens, a padded position that counts."""

WINDOWS, TOKENS, OUTPUTS, INPUTS = 3, 5, 4, 6
LAYERS = r"h\.0\.attn|h\.1\.mlp"


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_factors(outputs: int = OUTPUTS, inputs: int = INPUTS) -> LayerFactors:
    """Eigenvectors of random covariances; some directions were never used."""
    lam = normal(outputs, inputs, seed=3).square()
    lam[0, 1] = lam[2, 2] = 0
    q_a = ekfac.eigenvectors(normal(inputs, inputs, seed=1))
    return LayerFactors(q_a, ekfac.eigenvectors(normal(outputs, outputs, seed=2)), lam)


# --- covariances and eigenvectors -------------------------------------------------------------------------


def test_a_covariance_is_the_sum_over_the_positions_of_the_mask_and_no_others():
    rows, mask = (
        normal(WINDOWS, TOKENS, INPUTS),
        torch.rand(WINDOWS, TOKENS, generator=torch.Generator().manual_seed(1)) < 0.6,
    )
    expected = torch.zeros(INPUTS, INPUTS, dtype=torch.float64)
    for b in range(WINDOWS):
        for t in range(TOKENS):
            if mask[b, t]:
                expected += torch.outer(rows[b, t], rows[b, t])
    found = ekfac.covariance_sum(rows, mask)
    assert 0 < int(mask.sum()) < mask.numel()
    assert found.dtype == torch.float64
    assert reference.difference(found, expected) < EXACT


def test_a_covariance_of_float32_rows_is_added_up_in_float64():
    assert (
        ekfac.covariance_sum(
            normal(WINDOWS, TOKENS, INPUTS).float(), torch.ones(WINDOWS, TOKENS, dtype=torch.bool)
        ).dtype
        == torch.float64
    )


def test_eigenvectors_are_columns_that_make_the_covariance_diagonal():
    covariance = ekfac.covariance_sum(normal(WINDOWS, TOKENS, INPUTS), torch.ones(WINDOWS, TOKENS, dtype=torch.bool))
    vectors = ekfac.eigenvectors(covariance)
    rotated = vectors.T @ covariance @ vectors
    assert reference.difference(rotated, torch.diag(rotated.diagonal())) < EXACT
    assert reference.difference(vectors.T @ vectors, torch.eye(INPUTS, dtype=torch.float64)) < EXACT


def test_eigenvectors_of_a_float32_covariance_are_computed_in_float64():
    # in float32 the columns are orthonormal to 1e-6 only
    vectors = ekfac.eigenvectors(normal(40, 40).float())
    assert reference.difference(vectors.T @ vectors, torch.eye(40, dtype=torch.float64)) < EXACT


def test_rounding_that_makes_a_covariance_lopsided_is_averaged_away():
    covariance = normal(INPUTS, INPUTS)
    symmetric = (covariance + covariance.T) / 2
    assert torch.equal(ekfac.eigenvectors(covariance), ekfac.eigenvectors(symmetric))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_covariance_that_is_not_finite_is_refused(bad):
    covariance = torch.eye(INPUTS, dtype=torch.float64)
    covariance[1, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        ekfac.eigenvectors(covariance)


# --- the eigenvalue correction ----------------------------------------------------------------------------


def test_a_windows_gradient_is_the_sum_of_outer_products_output_by_input():
    token_grad, activation = normal(WINDOWS, TOKENS, OUTPUTS, seed=1), normal(WINDOWS, TOKENS, INPUTS, seed=2)
    expected = torch.stack(
        [sum(torch.outer(token_grad[b, t], activation[b, t]) for t in range(TOKENS)) for b in range(WINDOWS)]
    )
    assert reference.difference(ekfac.window_gradients(token_grad, activation), expected) < EXACT


def rotated_and_squared(pseudo_grad, activation, factors) -> torch.Tensor:
    """The definition, window by window: sum over tokens, rotate, square, sum over windows."""
    total = torch.zeros(OUTPUTS, INPUTS, dtype=torch.float64)
    for b in range(len(activation)):
        summed = sum(torch.outer(p, a) for p, a in zip(pseudo_grad[b], activation[b], strict=True))
        for o in range(OUTPUTS):
            for i in range(INPUTS):
                total[o, i] += (factors.q_s[:, o] @ summed @ factors.q_a[:, i]) ** 2
    return total


@pytest.mark.parametrize("tokens", [2, 40])
def test_the_eigenvalue_correction_squares_the_rotated_gradient_of_each_window(tokens):
    # 2 tokens rotate first, 40 after the sum: o i (o + i) = 240 against t (o^2 + i^2) = 104 and 2080
    pseudo_grad, activation, factors = (
        normal(WINDOWS, tokens, OUTPUTS, seed=1),
        normal(WINDOWS, tokens, INPUTS, seed=2),
        random_factors(),
    )
    found = ekfac.squared_rotated_gradients(pseudo_grad, activation, factors.q_a, factors.q_s)
    assert reference.difference(found, rotated_and_squared(pseudo_grad, activation, factors)) < EXACT


def test_rotating_first_and_rotating_after_give_the_same():
    pseudo_grad, activation, factors = (
        normal(WINDOWS, 2, OUTPUTS, seed=1),
        normal(WINDOWS, 2, INPUTS, seed=2),
        random_factors(),
    )
    first = ekfac.squared_rotated_gradients(pseudo_grad, activation, factors.q_a, factors.q_s)
    # tokens without gradient change nothing but the cheaper order
    longer = [torch.nn.functional.pad(tensor, (0, 0, 0, 38)) for tensor in (pseudo_grad, activation)]
    after = ekfac.squared_rotated_gradients(*longer, factors.q_a, factors.q_s)
    assert reference.difference(after, first) < EXACT


def test_float32_corrections_are_added_up_in_float64():
    q_a, q_s = torch.eye(INPUTS), torch.eye(OUTPUTS)
    for tokens in (2, 40):
        found = ekfac.squared_rotated_gradients(
            normal(WINDOWS, tokens, OUTPUTS).float(), normal(WINDOWS, tokens, INPUTS).float(), q_a, q_s
        )
        assert found.dtype == torch.float64


# --- the damped solve -------------------------------------------------------------------------------------


@pytest.mark.parametrize("damping", [1e-3, 0.1, 10.0])
def test_preconditioning_solves_the_dense_damped_system(damping):
    factors, grad = random_factors(), normal(2, OUTPUTS, INPUTS, seed=5)
    matrix = reference.dense(factors) + damping * torch.eye(OUTPUTS * INPUTS, dtype=torch.float64)
    expected = torch.stack([torch.linalg.solve(matrix, one.flatten()).view(OUTPUTS, INPUTS) for one in grad])
    assert reference.difference(ekfac.precondition(grad, factors, damping), expected) < EXACT


@pytest.mark.parametrize("damping", [0.0, -0.1, float("nan")])
def test_damping_that_is_not_positive_is_refused_with_its_value(damping):
    with pytest.raises(ValueError, match=f"damping is {damping}"):
        ekfac.precondition(normal(1, OUTPUTS, INPUTS), random_factors(), damping)


# --- inner products ---------------------------------------------------------------------------------------


def test_document_influence_is_the_inner_product_with_the_formed_gradient():
    directions, window_grad = normal(2, OUTPUTS, INPUTS, seed=1), normal(WINDOWS, OUTPUTS, INPUTS, seed=2)
    expected = [[float((p * g).sum()) for g in window_grad] for p in directions]
    found = ekfac.document_influence(directions, window_grad)
    assert reference.difference(found, torch.tensor(expected, dtype=torch.float64)) < EXACT


def test_position_influence_is_its_definition_at_every_position():
    directions, token_grad, activation = (
        normal(2, OUTPUTS, INPUTS, seed=1),
        normal(WINDOWS, TOKENS, OUTPUTS, seed=2),
        normal(WINDOWS, TOKENS, INPUTS, seed=3),
    )
    found = ekfac.position_influence(directions, token_grad, activation)
    assert found.shape == (2, WINDOWS, TOKENS)
    for q in range(2):
        for b in range(WINDOWS):
            expected = torch.stack([token_grad[b, t] @ directions[q] @ activation[b, t] for t in range(TOKENS)])
            assert reference.difference(found[q, b], expected) < EXACT


def test_low_rank_position_influence_is_that_of_the_multiplied_out_matrix():
    u = normal(2, OUTPUTS, 3, seed=1)
    u[0, :, 1:] = 0  # of a lower rank than the other
    thin = ekfac.LowRank(u, normal(2, INPUTS, 3, seed=2), 0.0)
    assert thin.mean_rank == 2
    token_grad, activation = normal(WINDOWS, TOKENS, OUTPUTS, seed=3), normal(WINDOWS, TOKENS, INPUTS, seed=4)
    expected = ekfac.position_influence(thin.u @ thin.v.mT, token_grad, activation)
    assert reference.difference(ekfac.position_influence_low_rank(thin, token_grad, activation), expected) < EXACT


# --- low rank ---------------------------------------------------------------------------------------------


def with_spectra(*spectra: torch.Tensor, outputs: int, inputs: int) -> torch.Tensor:
    """Matrices ``[q, o, i]`` with the given singular values."""
    small = min(outputs, inputs)
    made = []
    for seed, spectrum in enumerate(spectra):
        left = torch.linalg.qr(normal(outputs, small, seed=10 + seed)).Q
        right = torch.linalg.qr(normal(inputs, small, seed=20 + seed)).Q
        made.append((left * spectrum) @ right.T)
    return torch.stack(made)


def true_errors(matrices: torch.Tensor, thin: ekfac.LowRank) -> torch.Tensor:
    return (matrices - thin.u @ thin.v.mT).flatten(1).norm(dim=1) / matrices.flatten(1).norm(dim=1)


def smallest_rank(spectra: list[torch.Tensor], bound: float) -> int:
    """By Eckart and Young the best error of rank r is the norm of the singular values left out."""
    for rank in range(1, len(spectra[0]) + 1):
        if all(s[rank:].norm() / s.norm() <= bound for s in spectra):
            return rank
    raise AssertionError


OF_FLOAT32 = 1e-3
"""Of an error at the smallest bound decomposed in float32: its square is 1e-4 of the matrix's, a rounding 1e-7."""
SHAPES = {"full SVD": (30, 20), "randomised SVD": (120, 90)}
DECAY = {name: torch.arange(min(shape), dtype=torch.float64) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("bound", [0.3, 0.05, 0.01])
@pytest.mark.parametrize("kind", SHAPES)
def test_compression_finds_each_query_the_smallest_rank_within_the_bound(kind, bound):
    outputs, inputs = SHAPES[kind]
    spectra = [torch.exp(-0.9 * DECAY[kind]), torch.exp(-0.4 * DECAY[kind])]
    matrices = with_spectra(*spectra, outputs=outputs, inputs=inputs)
    thin = ekfac.compress(matrices, bound)
    assert thin is not None
    assert (true_errors(matrices, thin) <= bound).all()
    ranks = [smallest_rank([spectrum], bound) for spectrum in spectra]
    assert ranks[0] < ranks[1]
    assert thin.used.sum(1).tolist() == ranks
    assert thin.u.shape[2] == thin.v.shape[2] == ranks[1]


@pytest.mark.parametrize(("bound", "rank"), [(0.3, 6), (0.2, 13)])
def test_compression_finds_the_smallest_rank_where_the_spectrum_decays_slowly(bound, rank):
    # without power iterations the randomised SVD needs 9 and 16
    spectrum = 1 / (DECAY["randomised SVD"] + 1)
    thin = ekfac.compress(with_spectra(spectrum, outputs=120, inputs=90), bound)
    assert thin is not None
    assert thin.u.shape[2] == smallest_rank([spectrum], bound) == rank


def test_thin_rows_of_the_eigenbasis_keep_most_of_the_influence_on_the_corpus():
    """Gradients are drawn from a curvature that is a Kronecker product, where no rank keeps more."""
    generator, (outputs, inputs), damping = torch.Generator().manual_seed(0), (24, 40), 1e-15
    random = {name: torch.randn(size, size, generator=generator).double() for name, size in (("s", 24), ("a", 40))}
    q_s, q_a = (torch.linalg.qr(random[name]).Q for name in ("s", "a"))
    lam = torch.outer(torch.logspace(0, -3, outputs), torch.logspace(0, -3, inputs)).double()
    factors = LayerFactors(q_a, q_s, lam)
    rotated = torch.randn(3, outputs, inputs, generator=generator).double() / (lam + 0.01).sqrt()
    thin = ekfac.compress_rotated(rotated, factors, damping, 0.1)
    assert thin is not None and thin.error <= 0.1
    ranks = thin.used.sum(1)

    def influence_left_out(approximate: torch.Tensor) -> torch.Tensor:
        """Root mean square over all gradients, relative: ``E <P, g>^2 = sum lam P^2`` in the eigenbasis."""
        return ((approximate - rotated).square() * lam).sum((1, 2)).div((rotated.square() * lam).sum((1, 2))).sqrt()

    found = influence_left_out(q_s.T @ (thin.u @ thin.v.mT) @ q_a)
    assert float(found.max()) == pytest.approx(thin.error, rel=1e-6)
    left, values, right = torch.linalg.svd(rotated, full_matrices=False)
    nearest = [left[n, :, :rank] * values[n, :rank] @ right[n, :rank] for n, rank in enumerate(ranks)]
    assert (influence_left_out(torch.stack(nearest)) > 2 * found).all()  # of their numbers, but not of influence


@pytest.mark.parametrize("kind", SHAPES)
def test_the_error_that_compression_reports_is_the_true_one_of_the_worst_query(kind):
    outputs, inputs = SHAPES[kind]
    matrices = with_spectra(
        torch.exp(-0.9 * DECAY[kind]), torch.exp(-0.4 * DECAY[kind]), outputs=outputs, inputs=inputs
    )
    thin = ekfac.compress(matrices, 0.05)
    assert thin is not None
    # the reported error comes from a difference of squares: 1e-7 of |P| at worst in float64
    assert abs(thin.error - float(true_errors(matrices, thin).max())) < 1e-7


@pytest.mark.parametrize("bound", [0.1, ekfac.SINGLE, 1e-3, 1e-4])
@pytest.mark.parametrize("kind", SHAPES)
def test_compression_of_float32_directions_keeps_the_bound_too(kind, bound):
    outputs, inputs = SHAPES[kind]
    matrices = with_spectra(torch.exp(-0.1 * DECAY[kind]), outputs=outputs, inputs=inputs).float()
    thin = ekfac.compress(matrices, bound)
    assert thin is not None
    found = ekfac.LowRank(thin.u.double(), thin.v.double(), thin.error)
    # |P|^2 - |sigma|^2 cancels: an SVD in float32 would report 0 for a bound of 1e-4 and leave 4e-4
    assert float(true_errors(matrices.double(), found).max()) <= bound * (1 + OF_FLOAT32)
    assert thin.u.shape[2] <= 1 + smallest_rank([torch.exp(-0.1 * DECAY[kind])], bound)


def test_a_spectrum_without_decay_needs_the_full_rank_and_keeps_the_matrix():
    matrices = with_spectra(torch.ones(90, dtype=torch.float64), outputs=120, inputs=90)
    thin = ekfac.compress(matrices, 0.01)
    assert thin is not None
    assert thin.u.shape[2] == 90
    assert reference.difference(thin.u @ thin.v.mT, matrices) < EXACT


@pytest.mark.parametrize("kind", SHAPES)
def test_a_mean_rank_beyond_the_largest_allowed_gives_none(kind):
    outputs, inputs = SHAPES[kind]
    spectra = [torch.exp(-0.9 * DECAY[kind]), torch.exp(-0.4 * DECAY[kind])]
    matrices = with_spectra(*spectra, outputs=outputs, inputs=inputs)
    needed = sum(smallest_rank([spectrum], 0.05) for spectrum in spectra) / 2
    assert ekfac.compress(matrices, 0.05, max_rank=needed - 0.5) is None
    allowed = ekfac.compress(matrices, 0.05, max_rank=needed)
    assert allowed is not None
    assert allowed.mean_rank == needed


def test_compression_of_a_direction_that_is_zero_stays_zero():
    thin = ekfac.compress(torch.zeros(1, 30, 20, dtype=torch.float64), 0.05)
    assert thin is not None
    assert float((thin.u @ thin.v.mT).abs().max()) == 0


# --- the factors of a fitted model ------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1, 4096], ids=["a window a batch", "all windows padded into one batch"])
def fitted(request, gpt2, tmp_path_factory) -> Path:
    """Factors of the toy GPT-2, all layers, from documents of different lengths and of several windows."""
    folder = tmp_path_factory.mktemp("fit")
    corpus = write_jsonl(folder / "corpus.jsonl", documents(9))
    settings = FitSettings(layers=LAYERS, seed=7, overlap=5, batch_tokens=request.param)
    fit(folder / "run", gpt2, corpus, settings)
    return folder / "run"


@pytest.fixture(scope="module")
def by_window(gpt2, fitted):
    """What the factors come from: each window alone, its sampled labels and the gradients of their loss."""
    folder, layers = RunFolder(fitted), tracked_layers(gpt2, LAYERS)
    windows = shard_windows(folder, 0, run_cutting(folder))
    found = []
    for window in windows:
        labels = reference.sampled(gpt2, window, 7)
        grads = reference.gradient(
            layers, lambda window=window, labels=labels: reference.window_log_probs(gpt2, window, labels).sum()
        )
        inputs, outputs = at_layers(gpt2, layers, window, labels)
        found.append((grads, inputs, outputs))
    assert len({len(window) for window in windows}) > 3  # so that one batch has padding
    assert any(window.loss_from for window in windows)
    return found


def at_layers(model, layers, window, labels):
    """Input and pseudo-gradient of each layer at each position, by retained gradients of the whole graph."""
    inputs, outputs = {}, {}

    def keep(name):
        def hook(module, args, output):
            output.retain_grad()
            inputs[name], outputs[name] = args[0].detach()[0], output

        return hook

    handles = [layer.module.register_forward_hook(keep(layer.name)) for layer in layers]
    embedding = model.network.get_input_embeddings().weight.requires_grad_(True)
    reference.window_log_probs(model, window, labels).sum().backward()
    embedding.requires_grad_(False).grad = None
    for handle in handles:
        handle.remove()
    return inputs, {name: output.grad[0] for name, output in outputs.items()}


def test_the_factors_are_eigenvectors_of_both_covariances_over_all_unpadded_positions(gpt2, fitted, by_window):
    factors = read_factors(RunFolder(fitted))
    for layer in tracked_layers(gpt2, LAYERS):
        covariance_a = torch.zeros(layer.inputs, layer.inputs, dtype=torch.float64)
        covariance_s = torch.zeros(layer.outputs, layer.outputs, dtype=torch.float64)
        for _, inputs, outputs in by_window:
            for activation, pseudo_grad in zip(inputs[layer.name], outputs[layer.name], strict=True):
                activation = torch.cat([activation, torch.ones(1, dtype=torch.float64)])
                covariance_a += torch.outer(activation, activation)
                covariance_s += torch.outer(pseudo_grad, pseudo_grad)
        for vectors, covariance in (
            (factors[layer.name].q_a, covariance_a),
            (factors[layer.name].q_s, covariance_s),
        ):
            rotated = vectors.T @ covariance @ vectors
            assert reference.difference(rotated, torch.diag(rotated.diagonal())) < EXACT
            # a wrong matrix of the same size is far from diagonal in this basis
            turned = vectors @ covariance @ vectors.T
            assert reference.difference(turned, torch.diag(turned.diagonal())) > 1e-3


def test_the_eigenvalue_correction_is_the_mean_square_of_the_rotated_window_gradients_of_autograd(fitted, by_window):
    for name, layer in read_factors(RunFolder(fitted)).items():
        squares = [(layer.q_s.T @ grads[name] @ layer.q_a).square() for grads, _, _ in by_window]
        assert reference.difference(layer.lam, torch.stack(squares).mean(0)) < EXACT


def test_the_eigenvalue_correction_is_the_diagonal_of_the_sampled_fisher_in_the_eigenbasis(fitted, by_window):
    name = "transformer.h.1.mlp.c_fc"
    layer = read_factors(RunFolder(fitted))[name]
    flat = torch.stack([grads[name].flatten() for grads, _, _ in by_window])
    fisher = flat.T @ flat / len(flat)
    basis = torch.kron(layer.q_s.contiguous(), layer.q_a.contiguous())
    assert reference.difference(layer.lam.flatten(), (basis.T @ fisher @ basis).diagonal()) < EXACT


@pytest.fixture(scope="module")
def simpler(gpt2, tmp_path_factory):
    """Factors of a simpler estimator from the documents and labels of the fixtures above."""

    def made(estimator: str) -> dict[str, LayerFactors]:
        folder = tmp_path_factory.mktemp(estimator)
        corpus = write_jsonl(folder / "corpus.jsonl", documents(9))
        fit(folder / "run", gpt2, corpus, FitSettings(layers=LAYERS, estimator=estimator, seed=7, overlap=5))
        return read_factors(RunFolder(folder / "run"))

    return made


def test_kfac_is_the_product_of_both_covariances_times_the_tokens_of_a_window(gpt2, simpler, by_window):
    factors = simpler("kfac")
    for layer in tracked_layers(gpt2, LAYERS):
        activations, pseudo_grads = (
            torch.cat([found[layer.name] for found in (one[side] for one in by_window)]).detach() for side in (1, 2)
        )
        activations = torch.cat([activations, torch.ones(len(activations), 1, dtype=torch.float64)], 1)
        tokens = len(activations)
        expected = torch.kron(pseudo_grads.T @ pseudo_grads / tokens, activations.T @ activations / len(by_window))
        assert reference.difference(reference.dense(factors[layer.name]), expected) < EXACT


def test_the_diagonal_estimator_is_the_diagonal_of_the_sampled_fisher(simpler, by_window):
    for name, layer in simpler("diagonal").items():
        expected = torch.stack([grads[name].square() for grads, _, _ in by_window]).mean(0)
        assert reference.difference(reference.dense(layer), torch.diag(expected.flatten())) < EXACT


def test_the_identity_estimator_has_the_trace_of_the_sampled_fisher_spread_evenly(simpler, by_window):
    for name, layer in simpler("identity").items():
        mean = torch.stack([grads[name].square() for grads, _, _ in by_window]).mean()
        assert (
            reference.difference(reference.dense(layer), mean * torch.eye(layer.lam.numel(), dtype=torch.float64))
            < EXACT
        )


def test_influence_with_the_identity_estimator_is_the_gradient_dot_of_each_layer_divided_by_its_curvature(simpler):
    layer = simpler("identity")["transformer.h.1.mlp.c_fc"]
    grad, damping = normal(2, *layer.lam.shape, seed=5), 0.1 * float(layer.lam.mean())
    assert reference.difference(ekfac.precondition(grad, layer, damping), grad / (1.1 * layer.lam.mean())) < EXACT


def test_the_labels_are_sampled_and_not_read_from_the_text(gpt2, fitted):
    folder, layers = RunFolder(fitted), tracked_layers(gpt2, LAYERS)
    factors = read_factors(folder)
    text = [reference.document_gradient(gpt2, layers, [w]) for w in shard_windows(folder, 0, run_cutting(folder))]
    for name, layer in factors.items():
        empirical = torch.stack([(layer.q_s.T @ grads[name] @ layer.q_a).square() for grads in text]).mean(0)
        assert reference.difference(layer.lam, empirical) > 0.05


def test_another_seed_draws_other_labels(gpt2, fitted, tmp_path):
    corpus = write_jsonl(tmp_path / "corpus.jsonl", documents(9))
    fit(tmp_path / "run", gpt2, corpus, FitSettings(layers=LAYERS, seed=8, overlap=5))
    before, after = read_factors(RunFolder(fitted)), read_factors(RunFolder(tmp_path / "run"))
    name = "transformer.h.1.mlp.c_fc"
    assert abs(float(after[name].lam.mean() / before[name].lam.mean()) - 1) > 1e-3


def test_the_order_of_the_documents_changes_no_label(gpt2, fitted, tmp_path):
    corpus = write_jsonl(tmp_path / "corpus.jsonl", documents(9)[::-1])
    fit(tmp_path / "run", gpt2, corpus, FitSettings(layers=LAYERS, seed=7, overlap=5))
    ids = pq.read_table(RunFolder(tmp_path / "run").documents)["id"].to_pylist()
    before, after = read_factors(RunFolder(fitted)), read_factors(RunFolder(tmp_path / "run"))
    assert ids == [document.id for document in documents(9)[::-1]]
    # the trace of lam is that of the Fisher and does not depend on the signs of eigenvectors
    for name in before:
        assert reference.difference(after[name].lam.sum(), before[name].lam.sum()) < EXACT
