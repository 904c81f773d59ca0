"""For one preconditioned gradient everything sums up: tokens to windows to documents, tokens to completions.

Also what the bulk pass says about a document against autograd and the dense matrix. The tables
are stored in float32, so the passes are called directly where more digits are wanted.
"""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import reference
import torch
from toys import QUERIES, documents, write_jsonl

import engine.directions
import engine.document_pass
import engine.token_pass
from engine import QuerySettings, Run, ScoreSettings, ekfac, fit, load_model, query, score, token_influence
from engine.corpus import Query, Window, cut_windows
from engine.directions import Directions, choose_directions, layer_rows, multiply_out, read_directions
from engine.document_pass import ShardScores, score_documents, shard_table
from engine.ekfac import LayerFactors
from engine.errors import RunError
from engine.factors import load_fitted, read_factors, run_cutting
from engine.layers import TrackedLayer, tracked_layers
from engine.model import LanguageModel
from engine.progress import SilentProgress
from engine.queries import QueryGradient, SideGradient, measure, read_query_gradients
from engine.settings import FitSettings
from engine.store import RunFolder
from engine.token_pass import Scorer
from engine.windows import positions, shard_windows
from engine.writing import write_table

SUM = {"float64": 1e-10, "float32": 1e-5}
"""Bound on |sum - whole| relative to the sum of magnitudes. Observed: 4e-14 and 1e-6. Tokens at a
wrong place, an overlap counted twice or another direction for tokens than for documents: 1e-3 and more."""
EXACT = 1e-10
"""Against autograd in float64."""
STORED = 1e-6
"""Tables keep float32: 6e-8 of each value, and sums of a few."""
CONTEXT, OVERLAP, DAMPING = 18, 5, 0.1
LAYERS = r"h\.0\.(attn|mlp)|h\.1\.mlp"


@dataclass
class Finished:
    """A finished run, and what it was made from."""

    folder: RunFolder
    model: LanguageModel
    layers: list[TrackedLayer]
    factors: dict[str, LayerFactors]
    directions: Directions
    windows: list[Window]
    positions: dict[int, int]
    dtype: str

    def bulk(self, batch_tokens: int = 100, only: int | None = None) -> ShardScores:
        windows = [window for window in self.windows if only in (None, window.document)]
        numbers = list(self.positions) if only is None else [only]
        return score_documents(
            self.model, self.layers, self.directions, numbers, windows, batch_tokens, SilentProgress()
        )

    def tokens(self, kind: str, wanted: dict[int, list[int]] | None = None, batch_tokens: int = 500) -> dict:
        """``{(query, document): [c, positions]}``"""
        place = {number: number for number in range(len(self.directions.tokens))}
        scorer = Scorer(self.model, self.layers, self.directions, place, batch_tokens)
        wanted = wanted or {document: list(place) for document in self.positions}
        windows = [window for window in self.windows if window.document in wanted]
        found = getattr(scorer, kind)(wanted, windows, self.positions, SilentProgress())
        return {(number, document): values for number, document, values in found}


def texts() -> list:
    """Documents of one window and of many, one with a single token, and one with nothing in it."""
    several = documents(9)
    short = [type(several[0])(f"s{n}", text, "Web", "en", "Short") for n, text in enumerate(["The", "q", "", "A bun."])]
    return several[:3] + short + several[5:6] + several[8:]


def finish(folder, model_folder, dtype: str, measurement: str, rank_error: float, memory_gb: float) -> Finished:
    corpus = write_jsonl(folder / "corpus.jsonl", texts())
    queries = write_jsonl(folder / "queries.jsonl", QUERIES)
    model = load_model(str(model_folder), dtype=dtype, context=CONTEXT)
    run = folder / "run"
    fit(run, model, corpus, FitSettings(layers=LAYERS, context=CONTEXT, overlap=OVERLAP, dtype=dtype, batch_tokens=100))
    query(run, queries, QuerySettings(measurement=measurement, damping_factor=DAMPING), model=model)
    settings = ScoreSettings(keep_tokens=None, keep_prediction=20, rank_error=rank_error, memory_gb=memory_gb)
    score(run, settings, model=model)
    store = RunFolder(run)
    _, layers = load_fitted(store, model)
    factors, counts = read_factors(store), pq.read_table(store.query_tokens).to_pandas().groupby("query").size()
    directions = read_directions(store, range(len(QUERIES)), counts.tolist(), factors)
    multiply_out(directions, CONTEXT, memory_gb * 1e9)
    lengths = pq.read_table(store.documents, columns=["tokens"])["tokens"].to_pylist()
    places = {number: positions(run_cutting(store), length) for number, length in enumerate(lengths)}
    windows = shard_windows(store, 0, run_cutting(store))
    return Finished(store, model, layers, factors, directions, windows, places, dtype)


CASES = {
    "float64, full": ("float64", "log_prob", 1e-9, 4.0),
    "float64, thin": ("float64", "contrast", 0.5, 0.0),
    "float32, full": ("float32", "log_prob", 1e-9, 4.0),
    "float32, thin": ("float32", "contrast", 0.5, 0.0),
    "float32, thin and multiplied out": ("float32", "margin", 0.5, 4.0),
}
every_case = pytest.mark.parametrize("case", list(CASES))
in_full = pytest.mark.parametrize("case", [case for case in CASES if "full" in case])


@pytest.fixture(scope="module")
def run_of(tmp_path_factory, toy_folder) -> Callable[[str], Finished]:
    """The finished run of a case, computed once."""
    return cache(lambda case: finish(tmp_path_factory.mktemp("run"), toy_folder, *CASES[case]))


@pytest.fixture(scope="module")
def exact(run_of) -> Finished:
    return run_of("float64, full")


def off(parts: np.ndarray, whole: np.ndarray, axis: int) -> float:
    """|sum - whole| relative to the sum of magnitudes, at worst."""
    magnitudes = np.abs(parts).sum(axis)
    assert magnitudes.max() > 0
    return float((np.abs(parts.sum(axis) - whole) / np.maximum(magnitudes, 1e-300)).max())


# --- sums -------------------------------------------------------------------------------------------------


def test_the_documents_have_several_windows_and_batches_with_padding(exact):
    counts = {number: sum(window.document == number for window in exact.windows) for number in exact.positions}
    assert max(counts.values()) > 4
    assert min(counts.values()) == 0
    assert sorted({len(window) for window in exact.windows})[0] < CONTEXT
    assert any(window.loss_from for window in exact.windows)


@every_case
def test_the_cases_are_what_they_are_called(run_of, case):
    directions = run_of(case).directions
    assert bool(directions.thin) == ("thin" in case)
    assert (set(directions.thin) <= set(directions.full)) == (case != "float64, thin" and case != "float32, thin")
    assert {tensor.dtype for tensor in directions.full.values()} <= {getattr(torch, case[:7])}


@pytest.mark.parametrize("kind", ["position", "prediction"])
@every_case
def test_token_influences_sum_to_the_influence_of_their_document(run_of, case, kind):
    finished = run_of(case)
    whole, checked = finished.bulk(), 0
    for (number, document), values in finished.tokens(kind).items():
        expected = whole.rows[finished.directions.token_rows(number), document].numpy()
        if not values.any():
            assert (expected == 0).all()  # a document with nothing to predict
        elif finished.dtype == "float64" or values.shape[1] > 2:
            # one token alone is a sum over layers and weights that may cancel to nothing in float32
            assert off(values, expected, axis=1) < SUM[finished.dtype]
            checked += 1
    assert checked >= 2 * 5


def test_layers_sum_to_the_scores_of_their_document(exact):
    whole, place = exact.bulk(), {number: number for number in range(len(exact.directions.tokens))}
    scorer = Scorer(exact.model, exact.layers, exact.directions, place, 100)
    wanted = {document: list(place) for document in exact.positions}
    found = scorer.layers_of_documents(wanted, exact.windows, SilentProgress())
    assert set(found) == {(number, document) for number in place for document in wanted}
    for (number, document), of in found.items():
        assert list(of) == [layer.name for layer in exact.layers]
        both = exact.directions.token_rows(number), exact.directions.query_row(number)
        for rows, values in zip(both, zip(*of.values(), strict=True), strict=True):
            expected = float(whole.rows[rows, document].sum())
            assert abs(sum(values) - expected) <= SUM["float64"] * max(sum(map(abs, values)), 1e-300)
    assert all(
        len({round(two[0], 12) for two in of.values()}) > 1 for (_, document), of in found.items() if document < 3
    )


def test_position_and_prediction_influence_are_different_things_with_the_same_sum(exact):
    position, prediction = exact.tokens("position"), exact.tokens("prediction")
    for pair, values in position.items():
        if values.any():
            assert reference.difference(prediction[pair], values) > 0.05
            assert prediction[pair][:, 0].tolist() == [0] * len(values)  # nothing predicts the start token


@in_full
def test_completion_tokens_sum_to_the_completion(run_of, case):
    finished = run_of(case)
    rows = finished.bulk().rows.numpy()
    factors = {
        name: LayerFactors(layer.q_a.double(), layer.q_s.double(), layer.lam.double())
        for name, layer in finished.factors.items()
    }
    stored = list(read_query_gradients(finished.folder, range(len(QUERIES))))
    summed = {name: torch.stack([one.formed(name).double().sum(0) for one in stored]) for name in factors}
    solved = reference.dense_solve(factors, summed, DAMPING)
    for number in range(len(QUERIES)):
        completion = {name: grads[number] for name, grads in solved.items()}
        for document in (0, 3, 8):
            parts = rows[finished.directions.token_rows(number), document]
            whole = reference.inner(completion, gradient_of(finished, document))
            assert off(parts, np.array(whole), axis=0) < SUM[finished.dtype]


def gradient_of(finished: Finished, document: int) -> reference.Gradient:
    windows = [window for window in finished.windows if window.document == document]
    return reference.document_gradient(finished.model, finished.layers, windows)


def test_windows_sum_to_their_document(exact):
    document = max(exact.positions, key=exact.positions.__getitem__)
    own = [window for window in exact.windows if window.document == document]
    alone = [
        score_documents(exact.model, exact.layers, exact.directions, [document], [window], 100, SilentProgress()).rows
        for window in own
    ]
    whole = exact.bulk(only=document).rows[:, 0].numpy()
    assert len(own) > 4
    assert off(torch.cat(alone, dim=1).numpy(), whole, axis=1) < SUM["float64"]


def test_every_token_is_predicted_once_whatever_the_overlap():
    tokens = np.arange(1, 50)
    for start, context, overlap in ((0, 12, 0), (0, 12, 3), (None, 12, 10), (None, 7, 5), (0, 49, 3), (0, 48, 3)):
        windows = cut_windows(0, "d", tokens, start, context, overlap)
        predicted = [int(t) for window in windows for t in window.targets[window.loss_from :]]
        assert predicted == tokens.tolist() if start is not None else tokens.tolist()[1:]
        sequence = ([] if start is None else [start]) + tokens.tolist()
        for window in windows:
            assert len(window) <= context
            assert window.input_ids.tolist() == sequence[window.first : window.first + len(window)]
        assert all(window.loss_from == overlap for window in windows[1:])


# --- influence itself -------------------------------------------------------------------------------------


@pytest.mark.parametrize("measurement", ["log_prob", "contrast"])
def test_the_influence_of_a_document_is_the_dense_damped_solve_times_autograds_gradient(exact, measurement):
    layers = exact.layers
    results = [measure(exact.model, layers, Query(**one), measurement) for one in QUERIES]
    gradients = [QueryGradient(result.sides, result.hidden) for result in results]
    directions = choose_directions(gradients, exact.factors, DAMPING, 1e-9)
    found = replace(exact, directions=directions).bulk().rows[: sum(directions.tokens)]
    grads = {name: torch.cat([one.formed(name) for one in gradients]) for name in exact.factors}
    solved = reference.dense_solve(exact.factors, grads, DAMPING)
    for document in (0, 3, 6, 8):
        own = gradient_of(exact, document)
        expected = sum((solved[name] * own[name]).sum((1, 2)) for name in own)
        assert reference.difference(found[:, document], expected) < EXACT


def test_more_weight_on_a_document_with_positive_influence_raises_the_measurement(exact):
    # a step along (G + damping I)^-1 of the document's gradient is what more weight does to the model
    rows, step = exact.bulk().rows, 1e-5
    one = Query(**QUERIES[0])
    whole = rows[exact.directions.token_rows(0)].sum(0)
    for document in (int(whole.argmax()), int(whole.argmin())):
        own = {name: grad[None] for name, grad in gradient_of(exact, document).items()}
        change = {name: grad[0] for name, grad in reference.dense_solve(exact.factors, own, DAMPING).items()}
        before = float(sum(row["value"] for row in measure(exact.model, exact.layers, one, "log_prob").tokens))
        with reference.moved(exact.layers, change, step):
            after = float(sum(row["value"] for row in measure(exact.model, exact.layers, one, "log_prob").tokens))
        slope = (after - before) / step
        assert abs(slope / float(whole[document]) - 1) < 0.05  # a step this small is linear to 1e-2
    assert float(whole.max()) > 0 > float(whole.min())


def test_position_influence_is_its_definition_at_every_position_of_a_long_document(exact):
    """A perturbation of one position's outputs: loop over windows and positions, autograd, full directions."""
    document = max(exact.positions, key=exact.positions.__getitem__)
    found = exact.tokens("position", {document: [0]})[0, document]
    expected = np.zeros_like(found)
    first = exact.directions.token_rows(0).start
    for window in (window for window in exact.windows if window.document == document):
        inputs, outputs = {}, {}

        def keep(module, args, output, name, inputs=inputs, outputs=outputs):
            output.requires_grad_()
            output.retain_grad()
            inputs[name], outputs[name] = args[0].detach()[0], output

        handles = [layer.module.register_forward_hook(partial(keep, name=layer.name)) for layer in exact.layers]
        with torch.enable_grad():
            reference.window_log_probs(exact.model, window).sum().backward()
        for handle in handles:
            handle.remove()
        for layer in exact.layers:
            for t in range(len(window)):
                activation = torch.cat([inputs[layer.name][t], torch.ones(1, dtype=torch.float64)])
                for token in range(len(found)):
                    moved = exact.directions.full[layer.name][first + token] @ activation
                    expected[token, window.first + t] += float(outputs[layer.name].grad[0, t] @ moved)
    assert reference.difference(found, expected) < EXACT


def test_prediction_influence_is_the_gradient_of_each_loss_term_times_the_direction(exact):
    document, number = 6, 1  # a short one: one backward pass per token
    found = exact.tokens("prediction", {document: [number]})[number, document]
    first = exact.directions.token_rows(number).start
    (window,) = [window for window in exact.windows if window.document == document]
    for place in range(len(window)):
        term = reference.gradient(
            exact.layers, lambda place=place: reference.window_log_probs(exact.model, window)[place]
        )
        for token in range(len(found)):
            own = {name: rows[first + token] for name, rows in exact.directions.full.items()}
            expected = reference.inner(own, term)
            assert abs(found[token, place + 1] - expected) < EXACT * np.abs(found).max()


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_without_a_start_token_the_sums_hold_and_nothing_predicts_the_first_token(request, name):
    model: LanguageModel = request.getfixturevalue(name)
    dtype, generator = str(model.dtype).removeprefix("torch."), torch.Generator().manual_seed(0)
    layers = tracked_layers(model, "mlp")
    full = {
        layer.name: torch.randn(3, layer.outputs, layer.inputs, generator=generator, dtype=model.dtype)
        for layer in layers
    }
    windows = cut_windows(0, "d", np.arange(1, 40), None, CONTEXT, OVERLAP)
    run = Finished(RunFolder(Path()), model, layers, {}, Directions([2], full), windows, {0: 39}, dtype)
    position, prediction = (run.tokens(kind, {0: [0]})[0, 0] for kind in ("position", "prediction"))
    whole = run.bulk().rows[:2, 0].numpy()
    for values in (position, prediction):
        assert values.shape == (2, 39)
        assert off(values, whole, axis=1) < SUM[dtype]
    assert prediction[:, 0].tolist() == [0, 0]
    assert position[:, -1].tolist() == [0, 0]  # the last token is no input


# --- what else the bulk pass says -------------------------------------------------------------------------


@pytest.mark.parametrize("batch_tokens", [1, 30, 100, 5000])
@pytest.mark.parametrize("held", [1, 6000, engine.document_pass.HELD_NUMBERS])
def test_gradient_norms_are_those_of_autograd_however_windows_fall_into_batches(exact, batch_tokens, held, monkeypatch):
    monkeypatch.setattr(engine.document_pass, "HELD_NUMBERS", held)
    found = exact.bulk(batch_tokens).norm_squared.sqrt()
    for document in exact.positions:
        if not any(window.document == document for window in exact.windows):
            assert found[document] == 0
            continue
        grad = gradient_of(exact, document)
        assert reference.difference(found[document], reference.inner(grad, grad) ** 0.5) < EXACT


def test_gradient_dot_is_the_inner_product_of_autograds_gradients(exact):
    rows = exact.bulk().rows
    for number, one in enumerate(QUERIES):
        result = measure(exact.model, exact.layers, Query(**one), "log_prob")
        grad = {name: result.sides[0].formed(name).sum(0) for name in exact.factors}
        for document in (0, 2, 3, 8):
            expected = reference.inner(grad, gradient_of(exact, document))
            scale = rows[sum(exact.directions.tokens) + number].abs().max()
            assert abs(float(rows[sum(exact.directions.tokens) + number, document]) - expected) < EXACT * scale


def test_log_probabilities_and_hidden_states_are_sums_over_windows_without_padding(exact):
    scores = exact.bulk()
    for document in (0, 3, 8):
        own = [window for window in exact.windows if window.document == document]
        log_prob = sum(float(reference.window_log_probs(exact.model, window).sum()) for window in own)
        assert reference.difference(scores.log_prob[document], log_prob) < EXACT
        assert reference.difference(scores.hidden[document], hidden_sum(exact, own)) < EXACT


def hidden_sum(finished: Finished, windows: list[Window]) -> torch.Tensor:
    states = [
        finished.model.network(input_ids=torch.from_numpy(window.input_ids)[None], output_hidden_states=True)
        for window in windows
    ]
    return torch.cat([state.hidden_states[-1][0] for state in states]).sum(0)


def test_hidden_state_similarity_is_the_cosine_of_mean_hidden_states(exact):
    hidden = torch.stack([one.hidden for one in read_query_gradients(exact.folder, range(len(QUERIES)))])
    table = shard_table(exact.bulk(), exact.directions, hidden, range(len(QUERIES)))
    for document in (0, 8):
        own = hidden_sum(exact, [window for window in exact.windows if window.document == document])
        for number in range(len(QUERIES)):
            expected = torch.cosine_similarity(own, hidden[number], dim=0)
            assert reference.difference(table[f"hidden.{number}"][document].as_py(), expected) < STORED
    empty = next(number for number, length in exact.positions.items() if length == 1)
    assert table["hidden.0"][empty].as_py() == 0


@pytest.mark.parametrize("kind", ["position", "prediction"])
def test_batching_changes_no_token_influence(exact, kind):
    wanted = {0: [0], 6: [0], len(exact.positions) - 1: [0, 1]}
    alone, together = exact.tokens(kind, wanted, batch_tokens=1), exact.tokens(kind, wanted, batch_tokens=5000)
    assert set(alone) == set(together) == {(0, 0), (0, 6), (0, len(exact.positions) - 1), (1, len(exact.positions) - 1)}
    for pair, values in alone.items():
        assert reference.difference(together[pair], values) < EXACT


def test_batching_changes_no_document_score(exact):
    alone, together = exact.bulk(1), exact.bulk(5000)
    for name in ("rows", "norm_squared", "log_prob", "hidden"):
        assert reference.difference(getattr(together, name), getattr(alone, name)) < EXACT


def test_working_in_small_chunks_changes_no_score(run_of, monkeypatch):
    finished = run_of("float64, thin")
    whole, tokens = finished.bulk().rows, finished.tokens("prediction")
    places = finished.tokens("position")
    monkeypatch.setattr(engine.directions, "PRODUCT_CHUNK", 1)
    monkeypatch.setattr(engine.token_pass, "DIRECTION_NUMBERS", 1)
    monkeypatch.setattr(engine.document_pass, "HELD_NUMBERS", 1)
    assert reference.difference(finished.bulk().rows, whole) < EXACT
    for pair, values in finished.tokens("prediction", {0: [0, 1]}).items():
        assert reference.difference(values, tokens[pair]) < EXACT
    for pair, values in finished.tokens("position", {0: [0, 1]}).items():
        assert reference.difference(values, places[pair]) < EXACT


# --- the stored run ---------------------------------------------------------------------------------------


@every_case
def test_the_stored_tables_hold_what_the_passes_give(run_of, case):
    finished = run_of(case)
    whole, table = finished.bulk(), pq.read_table(finished.folder.shard("documents", 0))
    tolerance = STORED if finished.dtype == "float64" else 1e-4  # another batching in float32
    for number, count in enumerate(finished.directions.tokens):
        rows = finished.directions.token_rows(number)
        stored = np.stack([table[f"influence.{number}.{token}"].to_numpy() for token in range(count)])
        assert reference.difference(stored, whole.rows[rows]) < tolerance
        dot = whole.rows[sum(finished.directions.tokens) + number]
        assert reference.difference(table[f"gradient_dot.{number}"].to_numpy(), dot) < tolerance
    assert reference.difference(table["gradient_norm"].to_numpy(), whole.norm_squared.sqrt()) < tolerance
    assert reference.difference(table["log_prob"].to_numpy(), whole.log_prob) < tolerance
    for kind, name in (("position", "tokens"), ("prediction", "prediction")):
        stored = pq.read_table(finished.folder.shard(name, 0)).to_pylist()
        found = finished.tokens(kind)
        assert {(row["query"], row["document"]) for row in stored} == set(found)
        scale = max(np.abs(values).max() for values in found.values())
        for row in stored:
            expected = found[row["query"], row["document"]]
            values = np.reshape(row["influence"], (-1, row["positions"]))
            assert values.shape == expected.shape
            assert np.abs(values - expected).max() < tolerance * scale


@pytest.mark.parametrize("kind", ["position", "prediction"])
@every_case
def test_token_influence_on_demand_is_what_the_score_step_stores(run_of, case, kind, tmp_path):
    path, document = tmp_path / "run", len(run_of(case).positions) - 1
    shutil.copytree(run_of(case).folder.path, path)
    stored = Run(path).token_influence(1, document, kind)
    shard = RunFolder(path).shard({"position": "tokens", "prediction": "prediction"}[kind], 0)
    write_table(pq.read_table(shard, filters=[("document", "!=", document)]), shard)
    assert Run(path).token_influence(1, document, kind) is None
    asked = token_influence(path, 1, document, kind)
    tolerance = STORED if run_of(case).dtype == "float64" else 1e-4
    assert reference.difference(asked.influence, stored.influence) < tolerance


@pytest.mark.parametrize(("rank", "thin"), [(1, True), (5, True), (6, False), (40, False)])
def test_thin_rows_are_used_only_where_they_are_four_times_as_cheap(rank, thin):
    # a rank of 5 costs 5 * (40 + 40) multiplications a token, a quarter of 40 * 40
    generator = torch.Generator().manual_seed(rank)
    activation, token_grad = (torch.randn(*shape, generator=generator) for shape in ((rank, 40), (30, rank, 40)))
    gradient = QueryGradient([SideGradient({"layer": activation}, {"layer": token_grad})], torch.zeros(1))
    factors = {"layer": LayerFactors(torch.eye(40), torch.eye(40), torch.ones(40, 40))}
    directions = choose_directions([gradient], factors, DAMPING, 1e-6)
    assert (("layer" in directions.thin), ("layer" in directions.full)) == (thin, not thin)
    expected = layer_rows([gradient], "layer", factors["layer"], DAMPING)
    found = directions.of("layer", slice(0, directions.rows))
    assert float((found - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.parametrize(("tokens", "room", "thin"), [(191, math.inf, False), (192, math.inf, True), (191, 1000, True)])
def test_thin_rows_are_made_where_tokens_to_come_make_up_for_it_or_memory_is_scarce(tokens, room, thin):
    # the highest rank that is four times as cheap is 5 and takes 24 tokens for each of 40 numbers, rank 1 a fifth;
    # full rows take 2 * 40 * 40 * 4 bytes, thin ones of rank 1 640
    gradient = QueryGradient(
        [SideGradient({"layer": torch.ones(1, 40)}, {"layer": torch.ones(1, 1, 40)})], torch.zeros(1)
    )
    factors = {"layer": LayerFactors(torch.eye(40), torch.eye(40), torch.ones(40, 40))}
    directions = choose_directions([gradient], factors, DAMPING, 0.1, room, tokens=tokens)
    assert ("layer" in directions.thin) == thin


def test_more_gradients_than_memory_holds_are_refused_before_the_last_layer_is_done():
    gradient = QueryGradient([SideGradient({}, {})], torch.zeros(1))
    factors = {}
    for name in ("first", "second"):
        gradient.sides[0].activation[name] = torch.eye(8)  # so that no row is thin
        gradient.sides[0].token_grad[name] = torch.eye(8).expand(2, 8, 8)
        factors[name] = LayerFactors(torch.eye(8), torch.eye(8), torch.ones(8, 8))
    done: list[None] = []
    with pytest.raises(RunError, match="2 completion tokens take about 1.5 KB of memory, 1.5 KB are free"):
        choose_directions([gradient], factors, DAMPING, 0.5, 2 * 3 * 64 * 4 - 1, lambda: done.append(None))
    assert not done  # two completion tokens and their sum, 64 weights of 4 bytes in each of two layers
    assert choose_directions([gradient], factors, DAMPING, 0.5, 2 * 3 * 64 * 4).bytes == 2 * 3 * 64 * 4


def test_thin_rows_multiplied_out_for_many_windows_score_as_token_by_token(run_of, monkeypatch):
    finished = run_of("float64, thin")
    bulk = finished.bulk().rows
    kinds = []
    for formed in (True, False):
        monkeypatch.setattr(Directions, "takes_formed", lambda self, *_, formed=formed: kinds.append(formed) or formed)
        assert reference.difference(finished.bulk().rows, bulk) < EXACT
    assert set(kinds) == {True, False}


def test_formed_gradients_are_taken_where_that_costs_less():
    thin = Directions([1], thin={"layer": ekfac.LowRank(torch.ones(2, 40, 4), torch.ones(2, 40, 4), 0.0)})
    assert thin.takes_formed("layer", 10, 4)  # 1600 * (1 + 4 / 4) <= 10 * 4 * 80
    assert not thin.takes_formed("layer", 9, 4)
    assert not thin.takes_formed("layer", 10, 3)
    assert Directions([1], full={"layer": torch.zeros(2, 40, 40)}).takes_formed("layer", 1, 1)
