"""The map: like documents near each other, the same again for the same seed, and numbers that say what it shows."""

import shutil

import numpy as np
import pytest
import torch
from tiny_run import plain_documents, plain_queries, write_tiny_run

from engine.analysis.nearness import foretold, inside, neighbours, same_label
from engine.batching import pad
from engine.capture import capture, run_network
from engine.document_features import document_features
from engine.document_map import (
    STRONGEST,
    WORD,
    MapSettings,
    choose_documents,
    lay_out,
    make_map,
    principal_axes,
    read_map,
    word_axes,
)
from engine.ekfac import precondition, window_gradients
from engine.errors import Cancelled, WhenceError
from engine.factors import run_cutting
from engine.live import load_run
from engine.losses import token_log_probs
from engine.progress import SilentProgress
from engine.run import Run
from engine.windows import document_windows

TOPICS = (
    ["ship", "sea", "wave", "sail", "harbour", "crew"],
    ["code", "loop", "array", "bug", "compile", "test"],
    ["bread", "oven", "flour", "salt", "yeast", "bake"],
)


class Counted(SilentProgress):
    """Remembers how far each step came, and cancels when told to."""

    def __init__(self, cancel_in: str = "") -> None:
        self.steps: dict[str, list[int]] = {}
        self._cancel_in, self._step = cancel_in, ""

    def start(self, step: str, total: int, unit: str = "tokens") -> None:
        self._step = step
        self.steps[step] = [0, total]

    def advance(self, amount: int) -> None:
        self.steps[self._step][0] += amount
        if self._step == self._cancel_in:
            raise Cancelled


def topical(count: int) -> list[dict[str, str]]:
    """Documents of three topics, which are their sources."""
    random = np.random.default_rng(0)
    return [
        document | {"text": " ".join(random.choice(TOPICS[n % 3], 30)), "source": f"Topic {n % 3}"}
        for n, document in enumerate(plain_documents(count))
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(write_tiny_run(tmp_path_factory.mktemp("runs") / "topics", topical(60), plain_queries()))


@pytest.fixture(scope="module")
def made(run):
    return make_map(run)


def test_documents_of_the_same_words_lie_near_each_other(run, made):
    assert len(made.documents) == 60 and np.isfinite(made.places).all()
    near = same_label(run.documents["source"].tolist(), neighbours(made.places))
    assert near.value > 0.95  # a third if the words did not count
    assert near.null_high < 0.5


def test_the_map_is_kept_with_its_settings(run, made):
    kept = read_map(run.folder, "words")
    assert kept.settings == MapSettings("words", 0)
    assert (kept.documents == made.documents).all() and (kept.places == made.places).all()
    assert kept.of == 60 and kept.seconds > 0
    assert not list(run.folder.map("words").parent.glob("*.part"))
    assert read_map(run.folder, "hidden") is None


def test_the_same_seed_gives_the_same_map_and_another_seed_another(run, made):
    axes = word_axes(run, np.arange(60), 0, SilentProgress())
    again, other = (lay_out(axes, MapSettings(seed=seed), SilentProgress()) for seed in (0, 1))
    assert (again == made.places).all()
    assert not np.allclose(other, made.places)


def test_the_layout_reports_its_rounds_and_can_be_cancelled_in_them(run):
    axes, progress = word_axes(run, np.arange(60), 0, SilentProgress()), Counted()
    lay_out(axes, MapSettings(), progress)
    assert progress.steps["Laying out the map"][1] == 500
    with pytest.raises(Cancelled):
        lay_out(axes, MapSettings(), Counted(cancel_in="Laying out the map"))


def test_a_cancelled_map_leaves_the_one_before(run, made):
    with pytest.raises(Cancelled):
        make_map(run, MapSettings(seed=5), Counted(cancel_in="Reading the documents' words"))
    assert read_map(run.folder, "words").settings.seed == 0


@pytest.mark.parametrize("count", [1, 2, 3, 14])
def test_a_few_documents_are_laid_out_along_their_principal_axes(tmp_path, count):
    few = Run(write_tiny_run(tmp_path / "few", topical(count), plain_queries()[:1]))
    made = make_map(few)
    assert made.places.shape == (count, 2) and np.isfinite(made.places).all()


def test_documents_without_words_are_laid_out_too(tmp_path):
    documents = [document | {"text": "..." if n % 2 else "a b"} for n, document in enumerate(topical(20))]
    wordless = Run(write_tiny_run(tmp_path / "wordless", documents, plain_queries()[:1]))
    assert np.isfinite(make_map(wordless).places).all()
    silent = [document | {"text": "..."} for document in documents]
    assert np.isfinite(make_map(Run(write_tiny_run(tmp_path / "silent", silent, plain_queries()[:1]))).places).all()


def test_words_are_characters_where_no_blanks_are_written():
    assert WORD.findall("two words, 世界 и นี้") == ["two", "words", "世", "界", "и", *WORD.findall("นี้")]


def test_of_a_larger_corpus_the_strongest_and_a_random_sample_are_laid_out(run):
    settings = MapSettings(max_documents=40)
    influence = run.influence(0).set_index("document")["influence"]
    few = Run(run.path)
    few.query_tokens = few.query_tokens[few.query_tokens["query"] == 0]
    few.queries = few.queries[:1]
    chosen = choose_documents(few, settings)
    assert len(chosen) == len(set(chosen)) == 40
    strong = set(influence.nlargest(STRONGEST).index) | set(influence.nsmallest(STRONGEST).index)
    assert strong <= set(chosen.tolist())
    assert (chosen == choose_documents(few, settings)).all()
    assert set(chosen) != set(choose_documents(few, MapSettings(max_documents=40, seed=1)))


def test_more_completions_than_room_leave_half_of_it_to_chance(run):
    assert len(choose_documents(run, MapSettings(max_documents=10))) == 10


def test_principal_axes_keep_the_cosines_of_rows_of_low_rank():
    random = np.random.default_rng(1)
    rows = (random.normal(size=(30, 4)) @ random.normal(size=(4, 100))).astype(np.float32)
    axes = principal_axes(rows, 0, SilentProgress())
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert axes @ axes.T == pytest.approx(unit @ unit.T, abs=1e-4)


@pytest.mark.parametrize("wrong", [{"features": "colours"}, {"neighbours": 1}, {"max_documents": 0}])
def test_settings_that_make_no_map_are_refused(wrong):
    with pytest.raises(WhenceError, match=str(next(iter(wrong.values())))):
        MapSettings(**wrong)


def test_neighbours_on_a_line_are_found_by_hand_and_never_the_document_itself():
    places = np.array([[0.0, 0], [1, 0], [3, 0], [3, 0], [3, 0]])
    near = neighbours(places, 2)
    assert set(near[0]) <= {1, 2, 3, 4} and near[0][0] == 1
    for document in (2, 3, 4):
        assert set(near[document]) == {2, 3, 4} - {document}
    assert neighbours(np.zeros((1, 2))).shape == (1, 0)


def test_many_documents_in_one_place_are_neighbours_without_themselves():
    near = neighbours(np.zeros((50, 2)), 5)
    assert near.shape == (50, 5)
    assert (near != np.arange(50)[:, None]).all()


def test_nearness_tells_order_from_chance():
    """Two far groups of 100: labels by group are always shared; labels dealt out are shared at chance, 0.5."""
    random = np.random.default_rng(2)
    places = random.normal(size=(200, 2)) + 100 * np.repeat([[0, 0], [1, 1]], 100, axis=0)
    near, labels = neighbours(places), np.repeat(["a", "b"], 100)
    assert same_label(labels.tolist(), near).value == 1
    dealt = same_label(random.permutation(labels).tolist(), near)
    assert dealt.null_low - 0.02 < dealt.value < dealt.null_high + 0.02
    signal = np.repeat([0.0, 5.0], 100) + random.normal(size=200)
    gathered, noise = foretold(signal, near), foretold(random.normal(size=200), near)
    assert gathered.low > gathered.null_high
    assert gathered.low <= gathered.value <= gathered.high
    assert noise.value < 0.3


def test_one_document_has_no_neighbours_to_go_by():
    alone = neighbours(np.zeros((1, 2)))
    assert np.isnan(same_label(["a"], alone).value)
    assert np.isnan(foretold(np.array([1.0]), alone).value)


def test_points_in_a_polygon_are_found_also_where_it_turns_inward():
    arrow = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (2.0, 1.0), (0.0, 4.0)]
    places = np.array([[2.0, 0.5], [2.0, 3.0], [0.5, 2.0], [3.5, 2.0], [5.0, 1.0]])
    assert inside(places, arrow).tolist() == [True, False, True, True, False]
    assert inside(places, []).tolist() == [False] * 5


@pytest.fixture(scope="module")
def loaded(toy_run, tmp_path_factory):
    copied = tmp_path_factory.mktemp("maps") / "run"
    shutil.copytree(toy_run, copied)
    return load_run(copied)


def windows_of(loaded, document):
    """Each window of a document as a batch of its own."""
    windows = document_windows(loaded.run.folder, document, run_cutting(loaded.run.folder))
    return [pad([window], loaded.model.device) for window in windows]


def test_hidden_features_are_the_sum_of_a_documents_hidden_states(loaded):
    """Against the model run on one window at a time."""
    chosen = [1, 4, 7]
    found = document_features(loaded, chosen, "hidden", 0, 0, SilentProgress())
    for row, document in zip(found, chosen, strict=True):
        with torch.no_grad():
            states = [run_network(loaded.model, batch.input_ids)[1][0] for batch in windows_of(loaded, document)]
        assert row == pytest.approx(torch.cat(states).sum(0).numpy(), rel=1e-4, abs=1e-4)


def formed_gradients(loaded, documents):
    """Gradient of each document's log-likelihood per layer, ``[n, o, i]``."""
    found = {layer.name: torch.zeros(len(documents), layer.outputs, layer.inputs) for layer in loaded.layers}
    for row, document in enumerate(documents):
        for batch in windows_of(loaded, document):
            with capture(loaded.model, loaded.layers) as tape:
                logits, _ = run_network(loaded.model, batch.input_ids)
                grads = tape.gradients((token_log_probs(logits, batch.targets) * batch.loss_mask).sum())
            for name, (activation, token_grad) in grads.items():
                found[name][row] += window_gradients(token_grad, activation)[0]
    return found


def test_whitened_gradients_keep_the_influence_of_documents_on_each_other(loaded):
    """Cosines against those of <g, (G + damping I)^-1 g'> formed in full; projected they are 0.017 off at most,
    without whitening 0.34."""
    chosen, exact = list(range(8)), 0.0
    damping_factor = loaded.run.query["settings"]["damping_factor"]
    for name, grads in formed_gradients(loaded, chosen).items():
        factors = loaded.factors[name]
        solved = precondition(grads, factors, damping_factor * float(factors.lam.mean()))
        exact = exact + (grads.flatten(1) @ solved.flatten(1).T).numpy()
    found = document_features(loaded, chosen, "gradients", 2**20, 0, SilentProgress())
    assert cosines(found @ found.T) == pytest.approx(cosines(exact), abs=0.05)


def cosines(products: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.diag(products))
    return products / length / length[:, None]


@pytest.mark.parametrize("features", ["hidden", "gradients"])
def test_a_map_by_the_model_is_made_and_kept(loaded, features):
    made = make_map(loaded.run, MapSettings(features), load=lambda: loaded)
    assert made.places.shape == (20, 2) and np.isfinite(made.places).all()
    assert read_map(loaded.run.folder, features).settings.features == features
