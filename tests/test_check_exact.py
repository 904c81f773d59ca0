"""The exact answers are exact, and the check holds the estimators against them."""

import json

import pytest
import torch
from reference import difference, gradient, logits
from toys import documents, make_gpt2, write_jsonl

from engine.__main__ import main
from engine.batching import pad
from engine.check.dense import TrackedWeights, gauss_newton, proximal_response
from engine.check.exact import check_exact
from engine.check.result import read_result
from engine.check.settings import ExactSettings
from engine.corpus import Document
from engine.errors import WhenceError
from engine.layers import tracked_layers
from engine.model import LanguageModel, prepare
from engine.progress import SilentProgress
from engine.windows import Cutting

LAYER = r"h\.1\.mlp\.c_proj"
EXACT = 1e-9
"""Float64 rounding stays below 1e-12 here; a softmax left out of the curvature is wrong by half."""


@pytest.fixture(scope="module")
def small(tokenizer) -> LanguageModel:
    """264 tracked weights, float64."""
    return prepare("toy", make_gpt2(torch.float64, width=8), tokenizer, 32)


@pytest.fixture(scope="module")
def weights(small) -> TrackedWeights:
    return TrackedWeights(small, tracked_layers(small, LAYER))


@pytest.fixture(scope="module")
def batch(small):
    """Two windows of different lengths."""
    cutting = Cutting(small.start_token, 32, 0)
    ids = [small.tokenizer(text)["input_ids"] for text in ("A baker", "The ferry leaves")]
    return pad([cutting.windows(n, str(n), torch.tensor(one).numpy())[0] for n, one in enumerate(ids)], small.device)


def flat(weights, grads) -> torch.Tensor:
    return torch.cat([grads[layer.name].flatten() for layer in weights.layers])


def test_the_weights_as_they_are_give_the_models_own_logits(small, weights, batch):
    found = weights.logits(weights.start, batch.input_ids)
    window = batch.windows[1]
    assert difference(found[1, : len(window)], logits(small, window.input_ids)) < EXACT


def test_gradients_are_those_of_autograd(small, weights, batch):
    found = weights.gradients(lambda vector: weights.log_likelihoods(vector, batch))

    def total(window):
        every = torch.log_softmax(logits(small, window.input_ids), -1)
        return every[torch.arange(len(window)), torch.from_numpy(window.targets).long()].sum()

    for row, window in zip(found, batch.windows, strict=True):
        expected = gradient(weights.layers, lambda window=window: total(window))
        assert difference(row, flat(weights, expected)) < EXACT


def test_the_curvature_is_the_expected_square_of_every_labels_gradient(small, weights, batch):
    """``sum_t sum_c p_c g_c g_c^T`` over all labels c, window by window."""
    expected = torch.zeros(len(weights.start), len(weights.start), dtype=torch.float64)
    for window in batch.windows:
        probabilities = torch.softmax(logits(small, window.input_ids), -1)
        for t in range(window.loss_from, len(window)):

            def every(vector, t=t, window=window):
                ids = torch.from_numpy(window.input_ids).long()[None]
                return torch.log_softmax(weights.logits(vector, ids)[0, t], -1)

            grads = torch.func.jacrev(every)(weights.start)
            expected += (grads.T * probabilities[t]) @ grads / len(batch.windows)
    done = []
    found = gauss_newton(weights, batch, done.append)
    assert sum(done) == len(weights.start)
    assert difference(found, expected) < EXACT


def test_the_response_to_a_tiny_weight_is_the_damped_solve_of_the_documents_gradient(weights, batch):
    """To first order; of a weight of 1e-4 the second order is about a thousandth."""
    damping = torch.full_like(weights.start, 0.5)
    one = pad(batch.windows[:1], torch.device("cpu"))
    grad = weights.gradients(lambda vector: weights.log_likelihoods(vector, one))[0]
    expected = torch.linalg.solve(gauss_newton(weights, batch, lambda _: None) + torch.diag(damping), grad)
    found = proximal_response(weights, batch, one, damping, 1e-4) / 1e-4
    assert difference(found, expected) < 0.02
    assert difference(grad / 0.5, expected) > 0.1  # the curvature matters here


def test_models_that_are_not_exact_or_too_large_are_refused(gpt2, llama, monkeypatch):
    with pytest.raises(WhenceError, match="in torch.float32 .* use float64"):
        TrackedWeights(llama, tracked_layers(llama, "mlp"))
    monkeypatch.setattr("engine.check.dense.MOST_PARAMETERS", 100)
    with pytest.raises(WhenceError, match="tracked parameters .* at most 100"):
        TrackedWeights(gpt2, tracked_layers(gpt2, LAYER))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Texts long enough for the tiny model's windows."""
    texts = [one.text + " " + documents(60)[(3 * n + 1) % 60].text for n, one in enumerate(documents(60))]
    records = [Document(f"d{n}", f"{text} {text[::-1]}", "Web", "en", f"Text {n}") for n, text in enumerate(texts)]
    return write_jsonl(tmp_path_factory.mktemp("exact") / "corpus.jsonl", [vars(one) for one in records])


def test_the_check_ranks_the_estimators_by_how_close_they_are(corpus, tmp_path, capsys):
    out = tmp_path / "checks" / "exact.json"
    flags = ["--documents", "50", "--queries", "4", "--responses", "4", "--layers", LAYER]
    assert main(["check", "exact", "--corpus", str(corpus), "--out", str(out), "--json", *flags]) == 0
    rows = {row["estimator"]: row for row in json.loads(capsys.readouterr().out)["estimators"]}
    assert list(rows) == ["exact", "EK-FAC, refined", "EK-FAC", "K-FAC", "diagonal", "identity", "gradient dot"]
    exact, refined, ekfac, dot = (rows[name] for name in ("exact", "EK-FAC, refined", "EK-FAC", "gradient dot"))
    assert (exact["curvature_error"], exact["solve_error"]) == (0, 0)
    assert exact["correlation"] == pytest.approx(1)
    assert exact["response_correlation"] > 0.9
    assert ekfac["curvature_error"] < rows["identity"]["curvature_error"]
    assert ekfac["solve_error"] < rows["identity"]["solve_error"]
    assert refined["curvature_error"] is None
    assert refined["solve_error"] < 0.3 * ekfac["solve_error"]
    assert 1 > refined["correlation"] > ekfac["correlation"] > dot["correlation"]
    assert ekfac["correlation_low"] <= ekfac["correlation"] <= ekfac["correlation_high"]
    kept = read_result(out)
    assert kept.tables == {"estimators": list(rows.values())}
    assert (kept.settings["documents"], kept.check) == (50, "exact")
    assert kept.seconds > 0
    assert "torch" in kept.versions


def check(settings):
    return check_exact(settings, SilentProgress())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda corpus: ExactSettings(responses=2), "a correlation needs 3 documents"),
        (lambda corpus: ExactSettings(queries=1), "an interval 2 queries"),
        (lambda corpus: ExactSettings(documents=10), "responses are of the documents"),
        (
            lambda corpus: check_exact(ExactSettings(str(corpus), documents=600), SilentProgress()),
            "60 documents of at least 32 tokens",
        ),
    ],
)
def test_what_cannot_be_checked_is_refused(corpus, make, message):
    with pytest.raises(WhenceError, match=message):
        make(corpus)


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_computed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("engine.check.exact.make_tiny", lambda *given: pytest.fail("it was computed"))
    (tmp_path / "file").write_text("")
    assert main(["check", "exact", "--out", str(tmp_path / "file" / "exact.json")]) == 2
    assert "could not be written: a part of the path is a file" in capsys.readouterr().err


def test_a_result_of_another_version_is_refused(tmp_path):
    file = tmp_path / "exact.json"
    file.write_text('{"format": 99}')
    with pytest.raises(WhenceError, match="would be misread"):
        read_result(file)
    file.write_text("{")
    with pytest.raises(WhenceError, match="cannot be read"):
        read_result(file)
