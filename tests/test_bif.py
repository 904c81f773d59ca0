"""The Bayesian influence function comes to the damped exact influence, token by token, and a killed run goes on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import QUERIES, documents, make_gpt2, write_jsonl

from engine import bif, sampling
from engine.__main__ import main
from engine.batching import pad
from engine.check.bayesian import check_bif
from engine.check.dense import TrackedWeights, gauss_newton
from engine.check.result import read_result
from engine.check.settings import CheckBifSettings
from engine.corpus import Query
from engine.errors import RunError, WhenceError
from engine.factors import fit, read_factors, run_cutting
from engine.langevin import effective_sample_size, split_r_hat
from engine.layers import tracked_layers
from engine.model import LanguageModel, prepare
from engine.progress import SilentProgress
from engine.queries import measured_values, query, tokenize_query
from engine.run import Run
from engine.settings import BifSettings, FitSettings
from engine.store import RunFolder
from engine.windows import shard_windows

DAMPING_FACTOR = 10.0
SAMPLED = BifSettings(damping_factor=DAMPING_FACTOR, n_beta=1e6, chains=2, burn_in=12, draws=80, every=3, batch=20)
"""All windows in each batch, so that no noise of batches widens the walk; a temperature at which it stays local."""
FEW = BifSettings(damping_factor=DAMPING_FACTOR, chains=2, burn_in=2, draws=8, every=1, batch=4)


@pytest.fixture(scope="module")
def small(tokenizer) -> LanguageModel:
    """148 tracked weights, float64."""
    return prepare("toy", make_gpt2(torch.float64, layers=1, width=4), tokenizer, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small) -> RunFolder:
    """A run of it whose documents are not scored."""
    path = tmp_path_factory.mktemp("bif")
    fit(path / "run", small, write_jsonl(path / "corpus.jsonl", documents()), FitSettings())
    query(path / "run", write_jsonl(path / "queries.jsonl", QUERIES), model=small)
    return RunFolder(path / "run")


@pytest.fixture(scope="module")
def readings(folder, small, tmp_path_factory) -> bif.Readings:
    return sampling.sample(folder, SAMPLED, tmp_path_factory.mktemp("work"), SilentProgress(), range(8), small)


@pytest.fixture(scope="module")
def exact(folder, small) -> dict[str, np.ndarray]:
    """By the dense Gauss-Newton: influence ``[c, d]``, and the variances of both sides times ``n_beta``."""
    weights = TrackedWeights(small, tracked_layers(small, "mlp"))
    windows = shard_windows(folder, 0, run_cutting(folder))
    batch = pad(windows, torch.device("cpu"))
    damping = torch.cat(
        [DAMPING_FACTOR * one.lam.mean().expand(one.lam.numel()) for one in read_factors(folder).values()]
    )
    solve = torch.linalg.inv(gauss_newton(weights, batch, lambda columns: None) + torch.diag(damping))
    place = torch.tensor([window.document for window in windows])

    def of_documents(vector):
        return torch.zeros(8, dtype=torch.float64).index_add(0, place, weights.log_likelihoods(vector, batch))

    def of_completions(vector):
        return torch.cat([of_query(vector, Query(**one)) for one in QUERIES])

    def of_query(vector, asked):
        sequence = tokenize_query(small, asked, asked.completion)
        logits = weights.logits(vector, torch.from_numpy(sequence.input_ids)[None])[0]
        found = torch.log_softmax(logits, -1)
        return found.gather(1, torch.from_numpy(sequence.targets)[:, None])[sequence.first :, 0]

    d, c = weights.gradients(of_documents), weights.gradients(of_completions)
    found = {
        "influence": c @ solve @ d.T,
        "damping only": c / damping @ d.T,
        "c": (c @ solve * c).sum(1),
        "d": (d @ solve * d).sum(1),
        "d without curvature": (d / damping * d).sum(1),
    }
    return {name: tensor.numpy() for name, tensor in found.items()}


def test_it_is_the_damped_exact_influence_within_its_monte_carlo_error(readings, exact):
    """Standard error of a covariance: ``sqrt((v_c v_d + cov^2) / N)``. The slope would be 1/20 with a document's mean
    for its sum, 1e-6 without n_beta, negative with losses for log-probabilities."""
    found = bif.influence(readings)
    effective = effective_sample_size(readings.measured.reshape(2, 80, -1)).min()
    error = np.sqrt((np.outer(exact["c"], exact["d"]) + exact["influence"] ** 2) / effective)
    off = (found - exact["influence"]) / error
    assert np.sqrt((off**2).mean()) < 1.6  # 1 if all were independent; they share their draws
    assert np.abs(off).max() < 5
    assert np.corrcoef(found.ravel(), exact["influence"].ravel())[0, 1] > 0.9
    slope = (found * exact["influence"]).sum() / (exact["influence"] ** 2).sum()
    assert slope == pytest.approx(1, abs=0.2)


def test_variance_of_documents_and_completions_is_that_of_the_gaussian(readings, exact):
    variance = readings.n_beta * readings.log_probs.var(0, ddof=1)
    assert np.median(variance / exact["d"]) == pytest.approx(1, abs=0.2)
    assert np.median(exact["d"] / exact["d without curvature"]) < 0.7  # so the corpus is felt, not only the pull back
    variance = readings.n_beta * readings.measured.var(0, ddof=1)
    assert np.median(variance / exact["c"]) == pytest.approx(1, abs=0.25)


def test_chains_have_mixed(readings):
    assert split_r_hat(readings.completions).max() < 1.1
    assert effective_sample_size(readings.completions).min() > 40


def test_tokens_add_up_to_their_document_and_stand_where_their_loss_term_is(readings, folder):
    whole = bif.influence(readings)
    for place in (0, 5, 7):
        tokens = bif.token_influence(readings, place)
        assert tokens.shape == (len(whole), readings.lengths[place])
        assert tokens.sum(1) == pytest.approx(whole[:, place], abs=1e-9 * np.abs(tokens).sum())
        assert (tokens[:, 0] == 0).all()  # the start token is not predicted
        assert (tokens[:, 1:] != 0).all()


def test_at_the_trained_weights_readings_are_the_models_own(readings, folder, small):
    log_probs, measured = bif.sums(readings.start, readings.lengths)
    values = torch.cat([measured_values(small, Query(**one), "log_prob") for one in QUERIES])
    assert measured == pytest.approx(values.numpy(), abs=1e-12)
    weights = TrackedWeights(small, tracked_layers(small, "mlp"))
    windows = [window for window in shard_windows(folder, 0, run_cutting(folder)) if window.document == 0]
    first = weights.log_likelihoods(weights.start, pad(windows, torch.device("cpu"))).sum()
    assert log_probs[0] == pytest.approx(float(first), rel=1e-6)  # readings of documents are float32


def test_the_normalised_form_is_a_correlation(readings):
    found = bif.normalized(readings.measured, readings.log_probs)
    assert found == pytest.approx(np.corrcoef(readings.measured.T, readings.log_probs.T)[: len(found), len(found) :])
    assert np.abs(found).max() <= 1
    assert (bif.normalized(readings.measured, np.ones((160, 2))) == 0).all()


def test_the_model_itself_is_not_moved(folder, small, tmp_path):
    before = {name: weight.clone() for name, weight in small.network.named_parameters()}
    sampling.sample(folder, FEW, tmp_path, SilentProgress(), [0], small)
    assert all(torch.equal(weight, before[name]) for name, weight in small.network.named_parameters())


class Killed(Exception):
    """Ends a run in the middle."""


def kept(work: Path) -> dict[str, bytes]:
    return {str(file.relative_to(work)): file.read_bytes() for file in sorted(work.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("after", [1, 5, 14])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(folder, small, tmp_path, after, monkeypatch):
    sampling.sample(folder, FEW, tmp_path / "whole", SilentProgress(), [2, 3], small)
    write, written = sampling.write_tensors, []

    def killed(tensors, path):
        if len(written) == after:
            raise Killed
        written.append(path)
        write(tensors, path)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(sampling, "write_tensors", killed)
        sampling.sample(folder, FEW, tmp_path / "killed", SilentProgress(), [2, 3], small)
    sampling.sample(folder, FEW, tmp_path / "killed", SilentProgress(), [2, 3], small)
    assert kept(tmp_path / "killed") == kept(tmp_path / "whole")
    assert len(kept(tmp_path / "whole")) == 2 * 8 + 1


def test_what_is_finished_is_not_done_again(folder, small, tmp_path, monkeypatch):
    first = sampling.sample(folder, FEW, tmp_path, SilentProgress(), [2, 3], small)
    monkeypatch.setattr(sampling, "write_tensors", None)
    again = sampling.sample(folder, FEW, tmp_path, SilentProgress(), [2, 3], small)
    assert np.array_equal(first.log_probs, again.log_probs)


def test_different_inputs_never_share_draws(folder, small, tmp_path_factory):
    other = RunFolder(tmp_path_factory.mktemp("other") / "run")
    corpus = write_jsonl(other.path.with_name("corpus.jsonl"), documents())
    fit(other.path, small, corpus, FitSettings(layers="c_proj"))
    query(other.path, write_jsonl(other.path.with_name("queries.jsonl"), QUERIES[:1]), model=small)
    changes = [{"n_beta": 7.0}, {"seed": 1}, {"batch": 5}, {"damping_factor": 2.0}, {"draws": 9}, {"step_size": 0.1}]
    keys = [sampling._key(folder, replace(FEW, **change), [2, 3]) for change in changes]
    keys += [sampling._key(folder, FEW, [2, 3]), sampling._key(folder, FEW, [2]), sampling._key(other, FEW, [2, 3])]
    assert len(set(keys)) == len(keys)
    checked = CheckBifSettings(**vars(FEW), run="anywhere")
    assert sampling._key(folder, checked, [2]) == sampling._key(folder, FEW, [2])


def test_a_walk_that_runs_off_is_given_up(folder, small, tmp_path):
    wild = replace(FEW, step_size=3.99, batch=1, damping_factor=1e-4)
    with pytest.raises(RunError, match="the walk ran off to .* -- lower --step-size"):
        sampling.sample(folder, wild, tmp_path, SilentProgress(), [0], small)


def test_the_step_is_chosen_by_the_largest_curvature_and_the_temperature_by_the_rise(folder, small, tmp_path):
    """Less damping leaves more of what EK-FAC misses; the expected rise is 0.05 nats per token."""
    found = [
        sampling.sample(folder, replace(FEW, **change), tmp_path, SilentProgress(), [0], small)
        for change in ({"batch": 20}, {"batch": 20, "damping_factor": 0.3})
    ]
    assert 0 < found[1].step_size < found[0].step_size < 1
    windows = shard_windows(folder, 0, run_cutting(folder))
    terms = sum(len(window) - window.loss_from for window in windows) / len(windows)
    assert [one.expected_rise / terms for one in found] == pytest.approx([sampling.RISE] * 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_beta": 0.0}, "n_beta is 0.0"),
        ({"n_beta": float("nan")}, "n_beta is nan"),
        ({"step_size": 4.0}, "step_size is 4.0"),
        ({"step_size": -1.0}, "step_size is -1.0"),
        ({"damping_factor": 0.0}, "damping_factor is 0.0"),
        ({"damping_factor": float("inf")}, "damping_factor is inf"),
        ({"draws": 7}, "draws is 7"),
        ({"chains": 0}, "chains is 0"),
        ({"preconditioner": "adam"}, "preconditioner 'adam' is unknown"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(wrong, message):
    with pytest.raises(WhenceError, match=message):
        BifSettings(**wrong)


def test_check_bif_comes_to_agreement_and_diagnostics(toy_run, tmp_path, capsys):
    out = tmp_path / "bif.json"
    flags = ["--chains", "2", "--burn-in", "2", "--draws", "8", "--every", "1", "--batch", "20", "--documents", "12"]
    assert main(["check", "bif", "--run", str(toy_run), "--out", str(out), "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == read_result(out).tables
    assert [row["form"] for row in found["agreement"]] == ["covariance", "normalised"]
    for row in found["agreement"]:
        assert -1 <= row["correlation_low"] <= row["correlation"] <= row["correlation_high"] <= 1
        assert 0 <= row["ceiling"] <= 1
    assert [row["completion"] for row in found["completions"]] == Run(toy_run).queries["title"].tolist()
    assert all(row["r_hat"] > 0 and row["ess"] > 0 for row in found["completions"])
    (about,) = found["chains"]
    assert (about["documents"], about["chains"], about["draws"], about["estimator"]) == (12, 2, 8, "EK-FAC")
    before = {file: file.stat().st_mtime_ns for file in out.with_suffix("").rglob("*.safetensors")}
    assert len(before) == 2 * 8 + 1
    settings = CheckBifSettings(chains=2, burn_in=2, draws=8, every=1, batch=20, documents=12, run=str(toy_run))
    assert check_bif(settings, SilentProgress(), out.with_suffix("")) == found
    assert before == {file: file.stat().st_mtime_ns for file in out.with_suffix("").rglob("*.safetensors")}
