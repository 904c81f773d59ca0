"""On a GPU the same comes out as on the processor; skipped where there is none."""

import numpy as np
import pytest
import torch
from toys import QUERIES, documents, write_jsonl

from engine import FitSettings, QuerySettings, ScoreSettings, fit, load_model, query, score
from engine.check.leave_out import check_leave_out
from engine.check.retraining import Bench
from engine.check.settings import LeaveOutSettings, RetrainingSettings
from engine.live import load_run, token_influence
from engine.progress import SilentProgress
from engine.run import Run

DEVICE = "cuda"
ROUNDING = 2e-3
"""Of the largest value; sums of float32 in another order. Another label sampled would change tenths."""
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def made(folder, toy_folder, device: str, estimator: str = "ekfac", dtype: str = "float32", **scores) -> Run:
    settings = FitSettings("all", estimator, device=device, dtype=dtype, training_windows="corpus")
    fit(folder / "run", str(toy_folder), write_jsonl(folder / "corpus.jsonl", documents(20)), settings)
    query(folder / "run", write_jsonl(folder / "queries.jsonl", QUERIES), QuerySettings())
    score(folder / "run", ScoreSettings(keep_tokens=5, keep_prediction=2, **scores))
    return Run(folder / "run")


def influence(run: Run) -> np.ndarray:
    return np.stack([run.influence(number)["influence"] for number in range(len(QUERIES))])


def pair(tmp_path, toy_folder, devices: tuple[str, str] = ("cpu", DEVICE), **settings) -> list[Run]:
    runs = []
    for device in devices:
        folder = tmp_path / device
        folder.mkdir()
        runs.append(made(folder, toy_folder, device, **settings))
    return runs


def near(a, b) -> bool:
    return np.abs(a - b).max() < ROUNDING * np.abs(a).max()


@pytest.mark.parametrize("estimator", ["ekfac", "kfac", "diagonal", "identity", "ekfac-cg"])
def test_every_estimator_gives_the_processors_influences(tmp_path, toy_folder, estimator):
    on_cpu, on_gpu = pair(tmp_path, toy_folder, estimator=estimator)
    assert near(influence(on_cpu), influence(on_gpu))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_model_on_two_gpus_gives_the_processors_influences(tmp_path, toy_folder):
    assert len(set(load_model(str(toy_folder), "auto").network.hf_device_map.values())) == 2
    on_cpu, on_two = pair(tmp_path, toy_folder, devices=("cpu", "auto"))
    assert near(influence(on_cpu), influence(on_two))


@pytest.mark.parametrize("kind", ["position", "prediction"])
def test_tokens_have_the_processors_influences_kept_or_computed_on_demand(tmp_path, toy_folder, kind):
    on_cpu, on_gpu = pair(tmp_path, toy_folder)
    for document in range(20):
        a, b = (token_influence(run.path, 0, document, kind).influence for run in (on_cpu, on_gpu))
        assert near(np.asarray(a), np.asarray(b))


def test_bfloat16_ranks_documents_as_float32_does(tmp_path, toy_folder):
    folders = [tmp_path / name for name in ("float32", "bfloat16")]
    for folder in folders:
        folder.mkdir()
    exact, rounded = (influence(made(folder, toy_folder, DEVICE, dtype=folder.name)) for folder in folders)
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.98  # weights rounded to 8 bits


def test_chains_walk_on_the_gpu_and_a_second_call_changes_nothing(tmp_path, toy_folder):
    few = {"chains": 2, "burn_in": 1, "draws": 8, "every": 1}
    run = made(tmp_path, toy_folder, DEVICE, estimator="bif", **few)
    first = influence(run)
    assert np.isfinite(first).all()
    assert np.abs(first).max() > 0
    assert (influence(made(tmp_path, toy_folder, DEVICE, estimator="bif", **few)) == first).all()


def test_trainings_come_to_what_they_come_to_on_the_processor(tmp_path, toy_folder):
    given = {
        "model": str(toy_folder), "documents": 12, "completions": 2,
        "corpus": str(write_jsonl(tmp_path / "corpus.jsonl", documents(30))),
        "queries": str(write_jsonl(tmp_path / "queries.jsonl", QUERIES)),
    }  # fmt: skip
    found = []
    for device in ("cpu", DEVICE):
        bench = Bench(RetrainingSettings(**given, own_weights=True, device=device), tmp_path / "home", SilentProgress())
        found.append(bench.measured([bench.all_read(seed) for seed in range(2)], "Training"))
    on_cpu, on_gpu = found
    assert np.abs(on_cpu - on_gpu).max() < 0.05 * np.abs(on_cpu).max()  # steps magnify rounding


def test_leaving_out_is_measured_on_the_gpu(tmp_path, toy_folder):
    run = made(tmp_path, toy_folder, DEVICE)
    settings = LeaveOutSettings(str(run.path), QUERIES[0]["title"], top=2, beside=8, seeds=1)
    first, *_ = check_leave_out(settings, SilentProgress(), tmp_path / "work")["completions"]
    assert np.isfinite([first["predicted"], first["measured"]]).all()


def test_a_run_made_on_the_gpu_says_so(tmp_path, toy_folder):
    run = made(tmp_path, toy_folder, DEVICE)
    assert run.fit["settings"]["device"] == DEVICE
    assert load_run(run.path).model.device.type == "cuda"
