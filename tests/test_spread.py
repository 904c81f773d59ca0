"""A model that is spread over devices: the same influences, through the hooks that move its tensors between them.

Of devices there is one here, which every layer is told to lie on; ``test_cuda.py`` has a model on two GPUs.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.hooks import attach_align_device_hook_on_blocks
from toys import QUERIES, documents, write_jsonl

from engine import FitSettings, QuerySettings, ScoreSettings, fit, load_model, query, score
from engine.errors import ModelError
from engine.factors import load_fitted
from engine.loading import _check_on_gpus
from engine.model import LanguageModel
from engine.run import Run
from engine.store import RunFolder

BIF = {"chains": 2, "draws": 8, "burn_in": 1, "every": 1, "batch": 4}


def spread(model: LanguageModel) -> LanguageModel:
    """The model with accelerate's hooks on every block, as on several devices."""
    blocks = [name for name, module in model.network.named_modules() if name and not any(module.children())]
    place: dict = dict.fromkeys(["", *blocks], torch.device("cpu"))
    attach_align_device_hook_on_blocks(model.network, place, dict.fromkeys(place, False))
    assert all(hasattr(model.network.get_submodule(name), "_hf_hook") for name in blocks)
    return model


def influences(folder, model: LanguageModel, estimator: str) -> list[np.ndarray]:
    """Of a run: by document, by position and by prediction."""
    corpus, queries = folder.parent / "corpus.jsonl", folder.parent / "queries.jsonl"
    fit(folder, model, write_jsonl(corpus, documents(6)), FitSettings("all", estimator, batch_tokens=100))
    iterations = 2 if estimator == "ekfac-cg" else None
    query(folder, write_jsonl(queries, QUERIES), QuerySettings(cg_iterations=iterations), model=model)
    sampler = BIF if estimator == "bif" else {}
    score(folder, replace(ScoreSettings(keep_tokens=2, keep_prediction=1), **sampler), model=model)
    run = Run(folder)
    tokens = [run.token_influence(0, run.documents_with_tokens(0, kind)[0], kind).influence for kind in run.token_kinds]
    return [np.stack([run.influence(number)["influence"] for number in range(len(QUERIES))]), *tokens]


@pytest.mark.parametrize("estimator", ["ekfac", "ekfac-cg", "bif"])
def test_every_layer_behind_a_hook_gives_the_influences_of_the_plain_model(toy_folder, tmp_path, estimator):
    plain = influences(tmp_path / "plain", load_model(str(toy_folder)), estimator)
    hooked = influences(tmp_path / "hooked", spread(load_model(str(toy_folder))), estimator)
    for one, other in zip(plain, hooked, strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_is_loaded_by_its_device_again_for_later_steps(toy_folder, tmp_path):
    model = load_model(str(toy_folder), "auto")
    corpus = write_jsonl(tmp_path / "corpus.jsonl", documents(6))
    fit(tmp_path / "run", model, corpus, FitSettings(device="auto", batch_tokens=100))
    again, _ = load_fitted(RunFolder(tmp_path / "run"))
    assert again.hash == model.hash == load_model(str(toy_folder)).hash
    assert RunFolder(tmp_path / "run").step("fit")["settings"]["device"] == "auto"


def test_layers_that_found_no_room_on_the_gpus_are_named():
    _check_on_gpus({"": "cpu"})  # there is no GPU
    _check_on_gpus({"block.0": 0, "block.1": 1})
    with pytest.raises(ModelError, match=r"the GPUs hold the model but for 'block.1' and others .* more GPUs"):
        _check_on_gpus({"block.0": 0, "block.1": "cpu", "head": "disk"})
    with pytest.raises(ModelError, match="the memory holds the model but for 'head' -- .* more GPUs"):
        _check_on_gpus({"block.0": "cpu", "head": "disk"})


def test_each_process_of_a_group_would_take_all_gpus(toy_folder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ModelError, match=r"asked for by each of 2 processes .* give each a GPU by --device cuda"):
        load_model(str(toy_folder), "auto")
