"""Refinement by conjugate gradients against the dense curvature in float64, and what the query step keeps of it."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from reference import difference, document_gradient
from toys import QUERIES, documents, make_gpt2, write_jsonl

from engine import FitSettings, QuerySettings, ScoreSettings, fit, query, score
from engine.batching import pad
from engine.check.dense import TrackedWeights, gauss_newton
from engine.directions import layer_rows
from engine.ekfac import LayerFactors, precondition
from engine.errors import Cancelled, RunError, WhenceError
from engine.factors import read_factors, run_cutting
from engine.layers import tracked_layers
from engine.model import prepare
from engine.pipeline import RunConfig, is_computed
from engine.progress import SilentProgress
from engine.queries import read_query_gradients
from engine.refine import Rows, conjugate_gradients, gauss_newton_product
from engine.run import Run
from engine.settings import deciding
from engine.store import RunFolder
from engine.windows import shard_windows

EXACT = 1e-9
"""Float64 rounding stays below 1e-11 here. Wrong by a tenth and more: a window that is summed and not averaged, context
that carries loss, layers that are solved for one by one."""
LAYERS = r"attn\.c_proj"
DAMPING = 0.1
FIT = FitSettings(LAYERS, "ekfac-cg", overlap=5)
ASKED = QuerySettings(damping_factor=DAMPING, cg_iterations=2, cg_documents=3)


class World:
    """A float64 toy fitted on a few documents, and its dense curvature on those that are solved with."""

    def __init__(self, model, home: Path) -> None:
        self.model, self.layers = model, tracked_layers(model, LAYERS)
        self.corpus = write_jsonl(home / "corpus.jsonl", documents(8))
        self.queries = write_jsonl(home / "queries.jsonl", QUERIES)
        fit(home / "run", model, self.corpus, FIT)
        self.folder = RunFolder(home / "run")
        self.factors = read_factors(self.folder)
        self.damping = {name: DAMPING * float(layer.lam.mean()) for name, layer in self.factors.items()}
        self.windows = shard_windows(self.folder, 0, run_cutting(self.folder))[:5]
        weights = TrackedWeights(model, self.layers)
        self.sizes, self.split = weights.sizes, weights.of_layers
        self.dense = gauss_newton(weights, pad(self.windows, model.device), lambda _: None)
        spread = [
            torch.full((size,), self.damping[one.name]) for size, one in zip(self.sizes, self.layers, strict=True)
        ]
        self.damped = self.dense + torch.diag(torch.cat(spread).double())
        self.grad = self.rows(torch.stack([self.flat(self.gradient(n)) for n in range(4)]))
        self.solution = torch.linalg.solve(self.damped, self.flat(self.grad).T).T

    def gradient(self, number: int) -> Rows:
        """Of a window's log-likelihood."""
        found = document_gradient(self.model, self.layers, [self.windows[number]])
        return {name: one[None] for name, one in found.items()}

    def flat(self, rows: Rows) -> torch.Tensor:
        found = torch.cat([rows[layer.name].flatten(1) for layer in self.layers], 1)
        return found[0] if len(found) == 1 else found

    def rows(self, vectors: torch.Tensor) -> Rows:
        parts = [self.split(vector) for vector in vectors]
        return {layer.name: torch.stack([part[layer.name] for part in parts]) for layer in self.layers}

    def product(self, rows: Rows, batch_tokens: int = 50) -> Rows:
        return gauss_newton_product(self.model, self.layers, self.windows, batch_tokens, rows)

    def dense_product(self, rows: Rows) -> Rows:
        """The same from the dense matrix, which is quicker."""
        return self.rows(self.flat(rows) @ self.dense)

    def solved(self, iterations: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows, residual = conjugate_gradients(self.dense_product, self.grad, self.factors, self.damping, iterations)
        return self.flat(rows), residual

    def ekfac(self) -> torch.Tensor:
        return self.flat(
            {name: precondition(rows, self.factors[name], self.damping[name]) for name, rows in self.grad.items()}
        )


@pytest.fixture(scope="module")
def world(tokenizer, tmp_path_factory) -> World:
    model = prepare("toy", make_gpt2(torch.float64, width=8), tokenizer, 32)
    return World(model, tmp_path_factory.mktemp("world"))


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


# --- products ---------------------------------------------------------------------------------------------


def test_a_product_is_that_with_the_dense_curvature_of_all_layers_together(world):
    assert any(window.loss_from for window in world.windows), "context without loss is not tried"
    vectors = normal(3, sum(world.sizes))
    assert difference(world.flat(world.product(world.rows(vectors))), vectors @ world.dense) < EXACT
    across = world.dense[: world.sizes[0], world.sizes[0] :]
    assert across.abs().max() > 0.01 * world.dense.abs().max(), "blocks alone would pass"


def test_neither_the_batches_nor_the_other_rows_of_a_block_change_a_product(world):
    rows = world.rows(normal(3, sum(world.sizes)))
    found = world.product(rows)
    for tokens in (1, 10_000):
        assert difference(world.flat(world.product(rows, tokens)), world.flat(found)) < EXACT
    alone = world.product({name: one[1:2] for name, one in rows.items()})
    assert all(torch.equal(alone[name][0], one[1]) for name, one in found.items())


# --- conjugate gradients ----------------------------------------------------------------------------------


def test_with_enough_iterations_the_solution_is_that_of_the_dense_matrix(world):
    found, residual = world.solved(150)
    assert difference(world.ekfac(), world.solution) > 0.1
    assert difference(found, world.solution) < 1e-6
    assert residual[-1].max() < 1e-6


def test_every_iteration_lessens_the_error_in_the_norm_of_the_curvature(world):
    errors = [world.ekfac() - world.solution] + [world.solved(steps)[0] - world.solution for steps in range(1, 9)]
    energy = torch.stack([((error @ world.damped) * error).sum(1) for error in errors])
    assert (energy[1:] < energy[:-1]).all()
    assert (energy[-1] < 0.1 * energy[0]).all()


def test_the_residual_reported_is_that_of_the_solution(world):
    found, residual = world.solved(4)
    grad = world.flat(world.grad)
    for row, solution in ((0, world.ekfac()), (4, found)):
        expected = (grad - solution @ world.damped).norm(dim=1) / grad.norm(dim=1)
        assert difference(residual[row], expected) < EXACT


def test_refined_influence_is_closer_to_exact_influence_than_that_of_ekfac(world):
    others = torch.stack([world.flat(world.gradient(n)) for n in range(len(world.windows))])
    exact, ekfac, refined = (found @ others.T for found in (world.solution, world.ekfac(), world.solved(10)[0]))

    def error(found: torch.Tensor) -> torch.Tensor:
        return (found - exact).norm(dim=1) / exact.norm(dim=1)

    assert (error(refined) < 0.2 * error(ekfac)).all()


def test_least_squares_is_solved_in_closed_form():
    """Ridge regression: the curvature ``X^T X / n`` has three directions, so three iterations do."""
    inputs, grad = normal(3, 1, 6), normal(2, 1, 6)
    factors = {"layer": LayerFactors(torch.eye(6).double(), torch.eye(1).double(), torch.zeros(1, 6).double())}

    def product(rows: Rows) -> Rows:
        return {"layer": torch.einsum("noi,npj,qpj->qoi", inputs, inputs, rows["layer"]) / 3}

    found, residual = conjugate_gradients(product, {"layer": grad}, factors, {"layer": 0.5}, 3)
    matrix = inputs.flatten(1).T @ inputs.flatten(1) / 3 + 0.5 * torch.eye(6)
    assert difference(found["layer"].flatten(1), torch.linalg.solve(matrix, grad.flatten(1).T).T) < EXACT
    assert residual[2].min() > 1e-3


def test_a_row_that_is_solved_or_zero_from_the_beginning_stays_as_it_is(world):
    grad = {name: torch.cat([rows[:1], torch.zeros_like(rows[:1])]) for name, rows in world.grad.items()}

    def product(rows: Rows) -> Rows:  # of the curvature that EK-FAC takes it for
        found = {}
        for name, layer in world.factors.items():
            rotated = layer.q_s.T @ rows[name] @ layer.q_a
            found[name] = layer.q_s @ (rotated * layer.lam) @ layer.q_a.T
        return found

    found, residual = conjugate_gradients(product, grad, world.factors, world.damping, 5)
    assert difference(world.flat(found)[0], world.ekfac()[0]) < EXACT
    assert not world.flat(found)[1].any()
    assert residual.isfinite().all()
    assert residual[:, 1].max() == 0


# --- the query step ---------------------------------------------------------------------------------------


class Stopped(SilentProgress):
    """Cancels once a first query was refined."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def advance(self, amount: int) -> None:
        if list(self.folder.path.glob("query/refined/*/*.safetensors")):
            raise Cancelled


@pytest.fixture
def fitted(world, tmp_path) -> RunFolder:
    """A run that is fitted and nothing more."""
    fit(tmp_path / "run", world.model, world.corpus, FIT)
    return RunFolder(tmp_path / "run")


@pytest.fixture(scope="module")
def finished(world) -> RunFolder:
    """The world's run, scored."""
    query(world.folder.path, world.queries, ASKED, model=world.model)
    score(world.folder.path, ScoreSettings(rank_error=1e-9), model=world.model)
    return world.folder


def files(folder: RunFolder) -> dict[str, bytes]:
    return {str(file.relative_to(folder.path)): file.read_bytes() for file in folder.path.glob("query/**/*.*")}


def test_the_factors_are_those_of_ekfac(world, tmp_path):
    fit(tmp_path / "run", world.model, world.corpus, replace(FIT, estimator="ekfac"))
    for name, layer in read_factors(RunFolder(tmp_path / "run")).items():
        assert torch.equal(layer.lam, world.factors[name].lam)


def test_a_scored_runs_directions_are_the_refined_gradients_and_its_influence_their_inner_product(world, finished):
    stored = list(read_query_gradients(finished, [0, 1]))
    rows = {name: layer_rows(stored, name, layer, DAMPING) for name, layer in world.factors.items()}
    grad = {layer.name: torch.cat([one.formed(layer.name) for one in stored]) for layer in world.layers}
    drawn = finished.step("query")["refinement"]
    windows = _drawn_windows(world, drawn["documents"])
    assert drawn["windows"] == len(windows)
    product = partial(gauss_newton_product, world.model, world.layers, windows, 2048)
    expected, _ = conjugate_gradients(product, grad, world.factors, world.damping, 2)
    count = len(next(iter(grad.values())))
    for layer in world.layers:
        assert difference(rows[layer.name][:count], expected[layer.name]) < EXACT
        assert (
            difference(rows[layer.name][count:], torch.stack([one.formed(layer.name).sum(0) for one in stored])) < EXACT
        )
    every = shard_windows(finished, 0, run_cutting(finished), {3})
    document = document_gradient(world.model, world.layers, every)
    tokens = stored[0].formed(world.layers[0].name).shape[0]
    influence = sum(float((expected[name][:tokens].sum(0) * one).sum()) for name, one in document.items())
    found = Run(finished.path).influence(0).set_index("document")["influence"][3]
    assert found == pytest.approx(influence, rel=1e-4)  # tables are in float32


def _drawn_windows(world: World, count: int) -> list:
    """Of the documents with the smallest keyed hashes, as the factors' documents are drawn."""
    import hashlib

    ids = pq.read_table(world.folder.documents)["id"].to_pylist()
    order = sorted(range(len(ids)), key=lambda n: hashlib.sha256(f"{FIT.seed}\x1f{ids[n]}".encode()).digest())
    return shard_windows(world.folder, 0, run_cutting(world.folder), set(order[:count]))


def test_the_manifest_tells_how_far_the_residual_fell(finished):
    told = finished.step("query")["refinement"]
    assert (told["iterations"], told["documents"]) == (2, 3)
    assert len(told["residual_median"]) == len(told["residual_max"]) == 3
    assert told["residual_median"][-1] < 0.9 * told["residual_median"][0]
    assert all(np.array(told["residual_median"]) <= told["residual_max"])
    assert Run(finished.path).estimator == "EK-FAC, refined"


def test_a_stopped_query_step_goes_on_and_gives_the_same_bytes(world, finished, fitted):
    with pytest.raises(Cancelled):
        query(fitted.path, world.queries, ASKED, Stopped(fitted), world.model)
    (first,) = fitted.path.glob("query/refined/*/*.safetensors")
    date = first.stat().st_mtime_ns
    query(fitted.path, world.queries, ASKED, model=world.model)
    assert first.stat().st_mtime_ns == date
    assert files(fitted) == files(finished)
    assert fitted.step("query")["refinement"] == finished.step("query")["refinement"]


def test_what_was_refined_with_other_settings_is_not_taken_and_goes(world, finished, fitted):
    with pytest.raises(Cancelled):
        query(fitted.path, world.queries, replace(ASKED, damping_factor=1.0), Stopped(fitted), world.model)
    query(fitted.path, world.queries, ASKED, model=world.model)
    assert files(fitted) == files(finished)


@pytest.mark.parametrize("setting", ["cg_iterations", "cg_documents"])
def test_settings_of_refinement_are_refused_with_another_estimator(world, tmp_path, setting):
    fit(tmp_path / "run", world.model, world.corpus, replace(FIT, estimator="kfac"))
    with pytest.raises(WhenceError, match=f"{setting} is 7, but the run was fitted with K-FAC .* --estimator ekfac-cg"):
        query(tmp_path / "run", world.queries, QuerySettings(**{setting: 7}), model=world.model)
    query(tmp_path / "run", world.queries, model=world.model)


def test_a_run_made_before_a_setting_was_there_counts_as_made_with_its_default(world, tmp_path):
    """Also where the default is not None."""
    run, steps = tmp_path / "run", {"fit": FitSettings(dtype="float64"), "query": QuerySettings()}
    fit(run, world.model, world.corpus, steps["fit"])
    query(run, world.queries, model=world.model)
    score(run, ScoreSettings(keep_prediction=0), model=world.model)
    manifest = json.loads((run / "manifest.json").read_text())
    for step, names in {"fit": ("estimator",), "query": ("cg_iterations", "cg_documents")}.items():
        for name in names:
            del manifest["steps"][step]["settings"][name]
    (run / "manifest.json").write_text(json.dumps(manifest))
    fit(run, world.model, world.corpus, steps["fit"])
    query(run, world.queries, model=world.model)
    with pytest.raises(RunError, match="estimator: 'ekfac' before, 'kfac' now"):
        fit(run, world.model, world.corpus, replace(steps["fit"], estimator="kfac"))
    asked = RunConfig(
        str(run),
        world.model.name,
        str(world.corpus),
        str(world.queries),
        **steps,
        score=ScoreSettings(keep_prediction=0),
    )
    assert is_computed(asked)
    assert not is_computed(replace(asked, fit=replace(asked.fit, estimator="kfac")))
    assert "batch_tokens" not in deciding("fit", {})
