"""bfloat16, low rank and both paths of cost against full rank in float32, on three architectures.

Random models of two blocks; every document against every completion token.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from torch import nn
from toys import QUERIES, documents, make_gpt2, make_llama, train_tokenizer, write_jsonl
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

import engine.directions
from engine import QuerySettings, ekfac, fit, query
from engine.batching import batches
from engine.capture import batch_gradients
from engine.directions import Directions, choose_directions, full_directions
from engine.document_pass import score_documents
from engine.ekfac import LayerFactors
from engine.factors import read_factors, run_cutting
from engine.layers import TrackedLayer, tracked_layers
from engine.model import LanguageModel, prepare
from engine.progress import SilentProgress
from engine.queries import QueryGradient, read_query_gradients
from engine.settings import FitSettings
from engine.store import RunFolder
from engine.token_pass import Scorer
from engine.windows import shard_windows

BFLOAT16 = 0.9
"""Rank correlation of documents with the model in bfloat16: 0.94 to 1.00; with another completion token at most 0.8."""
RANK_ERROR = 0.3
"""Bound asked for; influence must then be within that share of what norms allow (:func:`corpus_weights`)."""
PATHS = 1e-5
"""Two orders of the same float32 products, relative to the largest; observed 1.5e-7. Rows mixed up: over 0.1."""
DOCUMENTS, DAMPING = 24, 0.1


def make_neox(dtype: torch.dtype = torch.float32) -> GPTNeoXForCausalLM:
    """A random GPT-NeoX: linear layers with bias, attention and MLP side by side."""
    torch.manual_seed(3)
    config = GPTNeoXConfig(
        vocab_size=300, max_position_embeddings=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, bos_token_id=0, eos_token_id=0, attn_implementation="eager", initializer_range=0.3,
    )  # fmt: skip
    return GPTNeoXForCausalLM(config).to(dtype)


@dataclass
class Fitted:
    """A fitted run with measured queries, in one dtype."""

    model: LanguageModel
    layers: list[TrackedLayer]
    folder: RunFolder
    factors: dict[str, LayerFactors]
    gradients: list[QueryGradient]

    @property
    def full(self) -> Directions:
        return full_directions(self.gradients, self.factors, DAMPING)

    @property
    def thin(self) -> Directions:
        """Low rank in every layer, as far as the bound on the error allows."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine.directions, "CHEAPER", 1e-3)
            return choose_directions(self.gradients, self.factors, DAMPING, RANK_ERROR)

    def windows(self) -> list:
        return shard_windows(self.folder, 0, run_cutting(self.folder))

    def documents(self, directions: Directions) -> torch.Tensor:
        """Influence on each completion token, ``[rows, d]``."""
        numbers = list(range(DOCUMENTS))
        found = score_documents(self.model, self.layers, directions, numbers, self.windows(), 200, SilentProgress())
        return found.rows[: sum(directions.tokens)]

    def tokens(self, directions: Directions, wanted: dict[int, list[int]]) -> dict:
        scorer = Scorer(self.model, self.layers, directions, {0: 0, 1: 1}, 200)
        windows = [window for window in self.windows() if window.document in wanted]
        lengths = {d: max(w.first + len(w) for w in windows if w.document == d) + 1 for d in wanted}
        found = scorer.position(wanted, windows, lengths, SilentProgress())
        return {(number, document): values for number, document, values in found}


def make_fitted(folder: Path, make: Callable[..., nn.Module], dtype: torch.dtype) -> Fitted:
    folder.mkdir()
    model = prepare("toy", make(dtype), train_tokenizer(), 32)
    corpus = write_jsonl(folder / "corpus.jsonl", documents(DOCUMENTS))
    fit(folder / "run", model, corpus, FitSettings(batch_tokens=200))
    query(folder / "run", write_jsonl(folder / "queries.jsonl", QUERIES), QuerySettings(), model=model)
    run = RunFolder(folder / "run")
    gradients = list(read_query_gradients(run, range(len(QUERIES))))
    return Fitted(model, tracked_layers(model), run, read_factors(run), gradients)


@pytest.fixture(scope="module", params=[make_gpt2, make_llama, make_neox], ids=["GPT-2", "Llama", "GPT-NeoX"])
def make(request) -> Callable[..., nn.Module]:
    return request.param


@pytest.fixture(scope="module")
def fitted(make, tmp_path_factory) -> Fitted:
    return make_fitted(tmp_path_factory.mktemp("full") / "float32", make, torch.float32)


def test_bfloat16_ranks_documents_nearly_as_float32(make, fitted, tmp_path):
    low = make_fitted(tmp_path / "bfloat16", make, torch.bfloat16)
    assert low.gradients[0].formed(low.layers[0].name).dtype == torch.float32  # products stay in float32
    for found, expected in zip(low.documents(low.full), fitted.documents(fitted.full), strict=True):
        assert reference.spearman(found, expected) > BFLOAT16


def test_low_rank_moves_influence_by_no_more_than_the_bound_allows(fitted):
    full, thin = fitted.full, fitted.thin
    assert thin.thin
    assert any(rows.error > RANK_ERROR / 10 for rows in thin.thin.values())  # something is left out
    of_documents, allowed = document_gradients(fitted), torch.zeros(1)
    for layer, rows in thin.thin.items():
        assert rows.error <= RANK_ERROR
        factors = fitted.factors[layer]
        weights = corpus_weights(factors)
        whole = torch.cat([thin.of(layer, slice(n, n + 1)) for n in range(thin.rows)])
        left_out, of_rows = (
            ((factors.q_s.T @ one @ factors.q_a).square() * weights).sum((1, 2)).sqrt()
            for one in (whole - full.full[layer], full.full[layer])
        )
        assert (left_out <= RANK_ERROR * of_rows * 1.001).all()
        of_gradients = ((factors.q_s.T @ of_documents[layer] @ factors.q_a).square() / weights).sum((1, 2)).sqrt()
        allowed = allowed + RANK_ERROR * of_rows[:, None] * of_gradients  # by Cauchy and Schwarz, layer by layer
    moved = (fitted.documents(thin) - fitted.documents(full)).abs()
    assert (moved <= allowed[: len(moved)].double() * 1.001 + 1e-9).all()


def corpus_weights(factors: LayerFactors) -> torch.Tensor:
    """What the square of a number left out of a row counts, ``[o, i]`` in the eigenbasis."""
    damped = factors.lam + DAMPING * factors.lam.mean()
    return torch.outer(damped.mean(1), damped.mean(0)) / damped.mean()


def document_gradients(fitted: Fitted) -> dict[str, torch.Tensor]:
    """Gradient of each document, ``{layer: [d, o, i]}``."""
    found = {layer: torch.zeros(DOCUMENTS, *factors.lam.shape) for layer, factors in fitted.factors.items()}
    for batch in batches(fitted.windows(), 200, "cpu"):
        at = torch.tensor([window.document for window in batch.windows])
        for layer, (activation, token_grad) in batch_gradients(fitted.model, fitted.layers, batch).items():
            found[layer].index_add_(0, at, ekfac.window_gradients(token_grad, activation))
    return found


def test_formed_gradients_and_thin_products_give_the_same_influence(fitted, monkeypatch):
    thin, found = fitted.thin, []
    for formed in (True, False):
        monkeypatch.setattr(Directions, "takes_formed", lambda *_, formed=formed: formed)
        found.append(fitted.documents(thin))
    assert reference.difference(found[0], found[1]) < PATHS


def test_rotating_before_and_after_the_sum_over_tokens_give_the_same_factors(make, fitted):
    generator = torch.Generator().manual_seed(0)
    for layer in fitted.factors.values():
        o, i = layer.lam.shape
        for length in (1, 200):  # each makes another way the cheaper one
            token_grad, activation = (torch.randn(2, length, size, generator=generator) for size in (o, i))
            expected = layer.q_s.T @ ekfac.window_gradients(token_grad, activation) @ layer.q_a
            found = ekfac.rotated_gradients(token_grad, activation, layer.q_a, layer.q_s)
            assert reference.difference(found, expected) < PATHS


def test_queries_scored_together_give_what_each_gives_alone(fitted):
    # document 3 is wanted by the second query only, so that batches hold windows that a query does not want
    for directions in (fitted.full, fitted.thin):
        together = fitted.tokens(directions, {0: [0, 1], 3: [1], 5: [1, 0]})
        assert len(together) == 5
        for (number, document), values in together.items():
            alone = fitted.tokens(directions, {document: [number]})[number, document]
            assert reference.difference(values, alone) < PATHS
            assert np.abs(values).max() > 0
