"""How close is each estimator to the exact answer? Measured on a model small enough to have one.

Exact are the dense Gauss-Newton Hessian, solved directly, and the proximal Bregman response, which training would
come to (Grosse et al. 2023, section 5.1 and eq. 10).
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.batching import pad
from engine.check.dense import TrackedWeights, gauss_newton, proximal_response
from engine.check.result import Tables
from engine.check.settings import ExactSettings
from engine.check.tiny import Tiny, make_tiny
from engine.check.truth import DOT, Truth
from engine.ekfac import LayerFactors, one_thread, precondition
from engine.factors import fit, read_factors
from engine.layers import tracked_layers
from engine.losses import token_log_probs
from engine.pipeline import read_config
from engine.progress import Progress
from engine.queries import TokenSequence, tokenize_query
from engine.refine import conjugate_gradients, gauss_newton_product
from engine.refined_queries import ITERATIONS
from engine.settings import DAMPING_FACTOR, FACTORED, REFINED, FitSettings
from engine.store import RunFolder


@one_thread()  # as its tensors are small
def check_exact(settings: ExactSettings, progress: Progress, work: Path | None = None) -> Tables:
    """Hold the estimators that solve against the exact answers; sampling is the matter of ``check bif``.

    Args:
        settings: Settings.
        progress: Where progress is reported.
        work: Not used: the check takes minutes and begins anew.

    Returns:
        Table ``estimators``: one row per estimator, with ``exact`` (the dense solve) and ``gradient dot`` (no
        curvature) beside them: ``estimator``; ``curvature_error``, of the matrix in the Frobenius norm, relative (none
        where conjugate gradients solve with the curvature itself, here that of all windows); ``solve_error``, of the
        preconditioned gradient, relative, median over queries; then, as means over queries with ``_low`` and ``_high``
        (95%, queries drawn anew): ``correlation`` and ``rank_correlation`` of influences with the exact ones over all
        documents, ``response_correlation`` with the proximal Bregman response over some of them, and
        ``response_slope``, the response per predicted change.

    Raises:
        WhenceError: If the corpus is too small.
    """
    corpus = settings.corpus or read_config("sample").corpus
    progress.start("Training the tiny model", 1, "models")
    tiny = make_tiny(corpus, settings.documents, settings.queries, settings.seed)
    progress.finish()
    weights = TrackedWeights(tiny.model, tracked_layers(tiny.model, settings.layers))
    progress.start("Exact curvature", len(weights.start), "columns")
    exact = gauss_newton(weights, tiny.windows, progress.advance)
    progress.finish()
    factors = {name: _fitted(tiny, name, settings) for name in FACTORED}
    damping = torch.cat(
        [layer.lam.new_full((layer.lam.numel(),), layer.damping(DAMPING_FACTOR)) for layer in factors["ekfac"].values()]
    )
    asked = [tokenize_query(tiny.model, query, query.completion) for query in tiny.queries]

    def measure(vector: Tensor) -> Tensor:
        return torch.stack([_log_prob(weights, vector, sequence) for sequence in asked])

    of_queries = weights.gradients(measure)
    of_documents = weights.gradients(lambda vector: weights.log_likelihoods(vector, tiny.windows))
    solved = {"exact": torch.linalg.solve(exact + torch.diag(damping), of_queries.T).T}
    solved[REFINED] = _refined(weights, tiny, factors["ekfac"], of_queries, progress)
    solved |= {name: _solved(weights, found, of_queries, damping) for name, found in factors.items()}
    solved[DOT] = of_queries
    matrices = {"exact": exact} | {name: _dense(found) for name, found in factors.items()}
    chosen = np.sort(np.random.default_rng(settings.seed).permutation(settings.documents)[: settings.responses])
    changes = _responses(weights, tiny, chosen, damping, measure, progress)
    truth = Truth(exact, solved["exact"], of_documents, len(tiny.windows.windows), chosen, changes)
    return {"estimators": [truth.row(name, solution, matrices.get(name)) for name, solution in solved.items()]}


def _fitted(tiny: Tiny, estimator: str, settings: ExactSettings) -> dict[str, LayerFactors]:
    with tempfile.TemporaryDirectory() as home:
        corpus = Path(home) / "corpus.jsonl"
        lines = [json.dumps(asdict(document)) + "\n" for document in tiny.documents]
        corpus.write_text("".join(lines), encoding="utf-8")
        given = FitSettings(settings.layers, estimator, seed=settings.seed, overlap=0)
        fit(Path(home) / "run", tiny.model, corpus, given)
        return read_factors(RunFolder(Path(home) / "run"))


def _log_prob(weights: TrackedWeights, vector: Tensor, sequence: TokenSequence) -> Tensor:
    logits = weights.logits(vector, torch.from_numpy(sequence.input_ids.astype(np.int64))[None])
    targets = torch.from_numpy(sequence.targets.astype(np.int64))[None]
    return token_log_probs(logits, targets)[0, sequence.first :].sum()


def _solved(weights: TrackedWeights, factors: dict[str, LayerFactors], grads: Tensor, damping: Tensor) -> Tensor:
    """Preconditioned gradients by the engine's own solve, ``[q, p]``, with the damping that all estimators share."""
    of_layer = [weights.of_layers(grad) for grad in grads]
    shared = weights.of_layers(damping)
    parts = []
    for name, layer in factors.items():
        grad = torch.stack([one[name] for one in of_layer])
        parts.append(precondition(grad, layer, float(shared[name].flatten()[0])).flatten(1))
    return torch.cat(parts, 1)


def _refined(
    weights: TrackedWeights, tiny: Tiny, factors: dict[str, LayerFactors], grads: Tensor, progress: Progress
) -> Tensor:
    """As :func:`_solved`, refined as in the query step but by the curvature of all windows, ``[q, p]``."""
    of_layer = [weights.of_layers(grad) for grad in grads]
    rows = {layer.name: torch.stack([one[layer.name] for one in of_layer]) for layer in weights.layers}
    damping = {name: layer.damping(DAMPING_FACTOR) for name, layer in factors.items()}
    windows = tiny.windows.windows
    progress.start("Conjugate gradients", (ITERATIONS + 1) * len(grads) * sum(map(len, windows)))
    product = partial(
        gauss_newton_product, tiny.model, weights.layers, windows, FitSettings.batch_tokens, advance=progress.advance
    )
    solved, _ = conjugate_gradients(product, rows, factors, damping, ITERATIONS)
    progress.finish()
    return torch.cat([solved[layer.name].flatten(1) for layer in weights.layers], 1)


def _dense(factors: dict[str, LayerFactors]) -> Tensor:
    blocks = []
    for layer in factors.values():
        basis = torch.kron(layer.q_s.contiguous(), layer.q_a.contiguous())
        blocks.append(basis @ (layer.lam.flatten()[:, None] * basis.T))
    return torch.block_diag(*blocks)


def _responses(
    weights: TrackedWeights,
    tiny: Tiny,
    chosen: Sequence[int] | np.ndarray,
    damping: Tensor,
    measure: Callable[[Tensor], Tensor],
    progress: Progress,
) -> np.ndarray:
    """Change of each query's measurement when a document counts once more, ``[q, chosen documents]``."""
    windows = tiny.windows.windows
    before, changes = measure(weights.start), []
    progress.start("Proximal Bregman responses", len(chosen), "documents")
    for number in chosen:
        document = pad([window for window in windows if window.document == number], torch.device("cpu"))
        moved = proximal_response(weights, tiny.windows, document, damping, 1 / len(windows))
        changes.append((measure(weights.start + moved) - before).numpy())
        progress.advance(1)
    progress.finish()
    return np.stack(changes, 1)
