"""What cannot be used is refused in one sentence before anything is written; what is odd but usable works."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import QUERIES, documents, make_gpt2, train_tokenizer, write_jsonl

from engine import (
    CorpusError,
    FitSettings,
    ModelError,
    QuerySettings,
    Run,
    RunError,
    ScoreSettings,
    WhenceError,
    fit,
    load_model,
    query,
    rank_documents,
    score,
    token_influence,
)
from engine.check.settings import LdsSettings
from engine.layers import tracked_layers
from engine.model import prepare
from engine.progress import SilentProgress
from engine.store import RunFolder


class Notes(SilentProgress):
    """Keeps what the user is told."""

    def __init__(self) -> None:
        self.told = ""

    def note(self, text: str) -> None:
        self.told += text + "\n"


def compute(run: Path, model: Any, corpus: Path, queries: Path, progress: Notes | None = None) -> Run:
    fit(run, model, corpus, progress=progress)
    query(run, queries, model=None if isinstance(model, str) else model)
    score(run, model=None if isinstance(model, str) else model)
    return Run(run)


def assert_one_line(error: BaseException) -> None:
    assert "\n" not in str(error)
    assert isinstance(error, WhenceError)


# Documents

ODD = [
    {"id": "empty", "text": "", "title": "Nothing"},
    {"id": "blank", "text": " "},
    {"id": "one", "text": "a"},
    {"id": "two", "text": "ab"},
    {"id": "exact", "text": "x" * 32},
    {"id": "beyond", "text": "word and sum " * 40},
    {"id": "control", "text": "a\x00b\x1b[31m\u202e\ufeff\u200d"},
    {"id": "markup", "text": "=1+1 <script>[/bold]"},
    *(vars(document) for document in documents(8)),
]


@pytest.fixture(scope="module", params=["start token", "no start token"])
def odd_run(request, tmp_path_factory) -> tuple[Run, str, bool]:
    """A run of odd documents, what its user was told, and whether the model has a start token."""
    folder, tokenizer = tmp_path_factory.mktemp("odd"), train_tokenizer()
    has_start = request.param == "start token"
    if not has_start:
        tokenizer.bos_token = None
    model, notes = prepare("toy", make_gpt2(), tokenizer, 32), Notes()
    inputs = write_jsonl(folder / "corpus.jsonl", ODD), write_jsonl(folder / "queries.jsonl", QUERIES)
    return compute(folder / "run", model, *inputs, notes), notes.told, has_start


def test_documents_without_a_token_to_predict_stay_with_influence_zero_and_a_note(odd_run):
    run, told, has_start = odd_run
    nothing = ["empty"] if has_start else ["empty", "blank", "one"]
    assert f"{len(nothing)} of {len(ODD)} documents hold no token to predict" in told
    assert "they stay in the tables with influence 0" in told
    assert run.documents["id"].tolist() == [record["id"] for record in ODD]
    ranking = rank_documents(run, 0).set_index("document")
    ids = run.documents["id"]
    zero = ids[ranking["influence"].sort_index() == 0].tolist()
    assert zero == nothing
    assert (ranking.loc[ids.isin(nothing).to_numpy().nonzero()[0], "share"] == 0).all()
    assert not ranking["influence"].isna().any()


def test_a_document_of_one_token_has_influence_only_where_a_start_token_predicts_it(odd_run):
    run, _, has_start = odd_run
    one = run.find_document("one")
    assert run.documents.set_index("document").loc[one, ["tokens", "windows"]].tolist() == [1, int(has_start)]
    found = run.token_influence(0, one)
    assert found is not None
    assert found.of_tokens.shape[1] == 1
    assert found.of_tokens[0, 0] == 0  # nothing is predicted from it
    assert (found.of_start[0] != 0) == has_start


def test_an_empty_document_has_token_influences_of_no_token(odd_run):
    run, _, _ = odd_run
    for kind in ("position", "prediction"):
        found = run.token_influence(0, run.find_document("empty"), kind)
        assert found is not None
        assert found.of_tokens.shape[1] == 0
        assert not found.influence.any()


def test_a_document_beyond_the_context_is_cut_and_every_token_counts(odd_run):
    run, _, _ = odd_run
    beyond = run.find_document("beyond")
    row = run.documents.set_index("document").loc[beyond]
    assert row["windows"] > row["tokens"] // 32 > 3
    found = run.token_influence(0, beyond, "prediction") or run.token_influence(0, beyond)
    assert (found.of_tokens[:, 1:-1] != 0).all()


def test_a_corpus_where_no_document_has_a_token_to_predict_is_refused(toy_folder, tmp_path):
    corpus = write_jsonl(tmp_path / "corpus.jsonl", ODD[:1])
    with pytest.raises(WhenceError, match="none of the 1 documents has a token to predict .* give longer texts"):
        fit(tmp_path / "run", str(toy_folder), corpus)


def test_a_draw_of_documents_without_a_token_is_refused(toy_folder, tmp_path):
    records = [{"id": f"e{n}", "text": ""} for n in range(50)] + [{"id": "full", "text": "text"}]
    with pytest.raises(WhenceError, match=r"none of the 1 documents drawn .* raise fit_documents or change the seed"):
        fit(tmp_path / "run", str(toy_folder), write_jsonl(tmp_path / "c.jsonl", records), FitSettings(fit_documents=1))


@pytest.mark.parametrize("broken", [b"", b"\n", b"{", b'{"id": "a", "text": "\xff"}', b'{"id": 1, "text": "x"}'])
def test_a_corpus_that_cannot_be_read_leaves_no_run_behind(broken, toy_folder, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_bytes(broken)
    with pytest.raises(CorpusError, match="corpus.jsonl") as caught:
        fit(tmp_path / "run", str(toy_folder), corpus)
    assert_one_line(caught.value)
    assert not (tmp_path / "run").exists()


# Queries


@pytest.fixture(scope="module")
def fitted(toy_folder, tmp_path_factory) -> Path:
    """A run whose fit step is finished."""
    folder = tmp_path_factory.mktemp("fitted")
    fit(folder / "run", str(toy_folder), write_jsonl(folder / "corpus.jsonl", documents(8)))
    return folder / "run"


@pytest.fixture
def ask(fitted, tmp_path) -> Callable[..., Path]:
    """Run the query step with one query on a copy of the fitted run."""

    def asked(prompt: str, completion: str, settings: QuerySettings | None = None, **more: str) -> Path:
        run = Path(shutil.copytree(fitted, tmp_path / "run"))
        record = {"id": "q", "title": "A title", "prompt": prompt, "completion": completion, **more}
        query(run, write_jsonl(tmp_path / "queries.jsonl", [record]), settings)
        score(run)
        return run

    return asked


def test_a_token_across_the_cut_belongs_to_the_completion_and_is_flagged(ask):
    """ "th" + "e ferry": the tokenizer makes one token of "the"."""
    run = Run(ask("In a storm th", "e ferry"))
    tokens = run.tokens_of_query(0)
    assert tokens["straddles"].tolist() == [True] + [False] * (len(tokens) - 1)
    first = tokens.iloc[0]
    assert first["start"] < len("In a storm th") < first["end"]
    assert "".join(tokens["text"]) == " the ferry"
    assert rank_documents(run, 0)["influence"].abs().max() > 0


def test_a_cut_between_tokens_is_not_flagged(ask):
    tokens = Run(ask("In a storm", " the ferry")).tokens_of_query(0)
    assert not tokens["straddles"].any()
    assert "".join(tokens["text"]) == " the ferry"


def test_a_completion_of_several_tokens_a_character_is_asked_whole(ask):
    run = Run(ask("Signs:", " 🚀ñ"))
    tokens = run.tokens_of_query(0)
    assert (tokens["end"].iloc[-1], tokens["start"].iloc[0]) == (9, 6)
    assert len(tokens) > 3
    assert np.isfinite(rank_documents(run, 0)["influence"]).all()


def test_a_query_as_long_as_the_context_is_asked_and_one_token_more_is_refused(ask, toy_folder, fitted, tmp_path):
    assert len(Run(ask("x" * 31, "y")).tokens_of_query(0)) == 1
    path = write_jsonl(
        tmp_path / "long.jsonl", [{"id": "q", "title": "A title", "prompt": "x" * 32, "completion": "y"}]
    )
    run = shutil.copytree(fitted, tmp_path / "other")
    with pytest.raises(CorpusError, match="'A title' have 33 tokens, more than the context of 32 .* shorten") as caught:
        query(run, path)
    assert_one_line(caught.value)


def test_the_contrast_measurement_needs_a_contrast(ask):
    with pytest.raises(CorpusError, match="'A title' has no `contrast` .* add the other completion"):
        ask("In a storm", " the ferry", QuerySettings("contrast"))


def test_without_a_start_token_the_completion_may_not_swallow_the_prompt(tmp_path):
    tokenizer = train_tokenizer()
    tokenizer.bos_token = None
    model = prepare("toy", make_gpt2(), tokenizer, 32)
    fit(tmp_path / "run", model, write_jsonl(tmp_path / "corpus.jsonl", documents(8)))
    queries = write_jsonl(tmp_path / "q.jsonl", [{"id": "q", "title": "A title", "prompt": " t", "completion": "he"}])
    with pytest.raises(CorpusError, match="swallows the whole prompt of 'A title' .* make the prompt longer"):
        query(tmp_path / "run", queries, model=model)


# Models


@pytest.fixture
def model_folder(toy_folder, tmp_path) -> Path:
    """A model folder of one's own to break."""
    return Path(shutil.copytree(toy_folder, tmp_path / "model"))


def _without(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def _edit_weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return edit


def _lose_a_layer(weights: dict[str, torch.Tensor]) -> None:
    for name in [name for name in weights if "h.1.mlp" in name]:
        del weights[name]


def _overflow(weights: dict[str, torch.Tensor]) -> None:
    weights["transformer.h.0.mlp.c_fc.weight"][0, 0] = float("nan")


def _other_width(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_inner": 40}))


LOADED = "no causal language model could be loaded from '.*model' .*-- give a folder with config.json"
BROKEN_MODELS = {
    "no config": (_without("config.json"), LOADED),
    "broken config": (lambda folder: (folder / "config.json").write_text("{"), LOADED),
    "no weights": (_without("model.safetensors"), LOADED),
    "weights cut short": (lambda folder: os.truncate(folder / "model.safetensors", 20_000), LOADED),
    "weights of another shape": (_other_width, LOADED),
    "a layer's weights missing": (_edit_weights(_lose_a_layer), r"h\.1\.mlp"),
    "NaN weights": (
        _edit_weights(_overflow),
        r"weight 'transformer\.h\.0\.mlp\.c_fc\.weight' .* holds NaN or infinity",
    ),
    "broken tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{"), LOADED),
    "no tokenizer": (_without("tokenizer.json", "tokenizer_config.json"), "tokenizer"),
}


@pytest.mark.parametrize("what", BROKEN_MODELS)
def test_a_broken_model_folder_is_refused(what, model_folder, inputs, tmp_path):
    damage, message = BROKEN_MODELS[what]
    damage(model_folder)
    with pytest.raises(ModelError, match=message) as caught:
        fit(tmp_path / "run", str(model_folder), inputs[0])
    assert_one_line(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_model_folder_that_is_not_there_is_named(inputs, tmp_path):
    with pytest.raises(ModelError, match="could be loaded from '.*nowhere' .* give a folder with config.json"):
        fit(tmp_path / "run", str(tmp_path / "nowhere"), inputs[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"layers": "no_such"},
            r"no layer of .* matches --layers 'no_such' .* named like transformer\.h\.0\.attn\.c_attn",
        ),
        ({"layers": "("}, r"--layers '\(' is not a valid regular expression .* use mlp, attention, all"),
        ({"layers": "wte"}, r"layer 'transformer\.wte' \(Embedding\) cannot be tracked .* choose --layers"),
        ({"context": 1}, "context 1 is out of range .* takes 2 to 32 tokens"),
        ({"context": 33}, "context 33 is out of range"),
        ({"overlap": 31}, "overlap 31 leaves no new token in a window of 32 .* at most 30"),
        ({"dtype": "float8"}, "dtype 'float8' is unknown .* float32, bfloat16, float64"),
        ({"device": "quantum"}, "device 'quantum'"),
    ],
)
def test_a_setting_that_does_not_suit_the_model_is_refused(settings, message, toy_folder, inputs, tmp_path):
    with pytest.raises(WhenceError, match=message) as caught:
        fit(tmp_path / "run", str(toy_folder), inputs[0], FitSettings(**settings))
    assert_one_line(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FitSettings(fit_documents=0), "fit_documents is 0 -- it must be at least 1"),
        (lambda: FitSettings(estimator="hessian"), "estimator 'hessian' is unknown -- choose one of ekfac-cg, ekfac, "),
        (lambda: LdsSettings(estimators=["ekfac", "hessian"]), "estimator 'hessian' is unknown -- choose one of "),
        (lambda: QuerySettings(cg_iterations=0), "cg_iterations is 0 -- it must be at least 1"),
        (lambda: FitSettings(overlap=-1), "overlap is -1"),
        (lambda: FitSettings(batch_tokens=0), "batch_tokens is 0"),
        (lambda: FitSettings(training_windows=0), "training_windows is 0 -- give a positive number, or 'corpus'"),
        (lambda: FitSettings(training_windows="all"), "training_windows is 'all'"),
        (
            lambda: QuerySettings(measurement="loss"),
            "measurement 'loss' is unknown .* log_prob, logit, margin, contrast",
        ),
        (lambda: QuerySettings(damping_factor=0), "damping_factor is 0 .* divided by zero .* use a positive number"),
        (lambda: QuerySettings(damping_factor=float("nan")), "damping_factor is nan"),
        (lambda: QuerySettings(damping_factor=float("inf")), "damping_factor is inf"),
        (lambda: ScoreSettings(keep_tokens=-1), "keep_tokens is -1"),
        (lambda: ScoreSettings(rank_error=1.0), "rank_error is 1.0"),
        (lambda: ScoreSettings(memory_gb=-1), "memory_gb is -1"),
    ],
)
def test_a_setting_out_of_range_is_refused_when_it_is_made(make, message):
    with pytest.raises(WhenceError, match=message):
        make()


def test_a_layer_that_runs_twice_is_refused(tokenizer, inputs, tmp_path):
    network = make_gpt2()
    network.transformer.h[1].mlp = network.transformer.h[0].mlp
    model = prepare("shared", network, tokenizer, 32)
    assert len(tracked_layers(model)) == 2
    with pytest.raises(
        ModelError, match=r"layer 'transformer\.h\.0\.mlp\.\w+' runs twice .* shared layers are left out"
    ):
        fit(tmp_path / "run", model, inputs[0])


def test_weights_that_overflow_are_refused_and_nothing_counts_as_finished(tokenizer, inputs, tmp_path):
    """Finite weights, infinite activations."""
    network = make_gpt2()
    with torch.no_grad():
        network.transformer.h[0].mlp.c_fc.weight.fill_(1e30)
    model = prepare("overflowing", network, tokenizer, 32)
    with pytest.raises(ModelError, match="hold NaN or infinity .* overflows .* use --dtype float32"):
        fit(tmp_path / "run", model, inputs[0])
    assert not RunFolder(tmp_path / "run").is_finished("fit")


def test_the_next_step_with_another_model_is_refused(fitted, tokenizer, inputs, tmp_path):
    run = shutil.copytree(fitted, tmp_path / "run")
    other = prepare("other", make_gpt2(layers=1), tokenizer, 32)
    with pytest.raises(RunError, match="'other' is not the model that .* was fitted with .* put the old model back"):
        query(run, inputs[1], model=other)
    query(run, inputs[1])
    with pytest.raises(RunError, match="'other' is not the model"):
        score(run, model=other)


def test_a_tokenizer_changed_later_is_another_model(toy_folder, model_folder):
    """Its tokens would be other tokens."""
    before = load_model(str(toy_folder))
    assert load_model(str(model_folder)).hash == before.hash
    train_tokenizer(290).save_pretrained(model_folder)
    assert load_model(str(model_folder)).hash != before.hash


# Questions to a finished run


def test_a_question_about_what_the_run_does_not_hold_is_refused(toy_run):
    run = Run(toy_run)
    for ask, message in (
        (lambda: run.influence(7), "query 7 is not in this run -- it has queries 0 to 1"),
        (lambda: run.influence(0, [99]), r"completion tokens \[99\] -- this completion has tokens 0 to 8"),
        (lambda: run.influence(0, []), r"completion tokens \[\]"),
        (lambda: run.text(99), "document 99 is not in this run -- it has 20 documents"),
        (lambda: run.document_tokens(-1), "document -1 is not in this run"),
        (
            lambda: run.token_influence(0, 0, "character"),
            "token influence 'character' is unknown .* position, prediction",
        ),
        (lambda: run.documents_with_tokens(0, "character"), "token influence 'character' is unknown"),
        (lambda: token_influence(toy_run, 0, 99), "document 99 is not in this run"),
        (lambda: token_influence(toy_run, 9, 0), "query 9 is not in this run"),
    ):
        with pytest.raises(RunError, match=message):
            ask()
