"""Step 2 of 3, query: (prompt, completion) -> exact gradient of each completion token's measurement.

Each completion token is a query of its own; summed they are the completion. A gradient is
kept in factors, ``sum_t token_grad_t activation_t^T``, exactly and far smaller than formed.
With the estimator ``ekfac-cg`` the preconditioned gradients are solved for here (:mod:`engine.refined_queries`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from engine import ekfac
from engine.capture import capture, run_network
from engine.corpus import Query, Tokens, queries_hash, read_queries, tokenize
from engine.ekfac import LayerFactors
from engine.errors import CorpusError
from engine.factors import load_fitted
from engine.group import this_group
from engine.layers import TrackedLayer
from engine.losses import token_log_probs, token_measurements
from engine.model import LanguageModel
from engine.progress import Progress
from engine.refined_queries import Refiner
from engine.settings import OF_REFINED, REFINED, FitSettings, QuerySettings, belong
from engine.store import RunFolder
from engine.tensors import read_tensors, write_tensors
from engine.writing import write_table

LOGIT_NUMBERS = 1 << 27
"""Most logits of one pass over a query's completion tokens."""
SIDES = (("completion", 1.0), ("contrast", -1.0))


@dataclass(frozen=True)
class TokenSequence:
    """Prompt and completion as tokens.

    Attributes:
        input_ids: Start token if any, prompt and completion without its last token, ``[t]``.
        targets: ``[t]``.
        first: Place in ``targets`` of the completion's first token.
        tokens: Tokens of the completion with characters counted from the prompt's start.
        straddles: Whether the completion's first token begins inside the prompt.
    """

    input_ids: np.ndarray
    targets: np.ndarray
    first: int
    tokens: Tokens
    straddles: bool


def tokenize_query(model: LanguageModel, query: Query, completion: str) -> TokenSequence:
    """Tokenise prompt and completion together and cut by characters.

    A token that straddles the cut belongs to the completion.

    Raises:
        CorpusError: If the two exceed the context, or nothing stands before the completion.
    """
    tokens = tokenize(model.tokenizer, query.prompt + completion)
    inside = tokens.ends > len(query.prompt)
    if not inside.any():
        raise CorpusError(
            f"the completion {completion!r} of {query.title!r} gives no token -- there is nothing to measure -- "
            "write a completion that the model's tokenizer knows."
        )
    cut = int(inside.argmax())
    start = [] if model.start_token is None else [model.start_token]
    sequence = np.concatenate([np.asarray(start, np.int64), tokens.ids.astype(np.int64)])
    first = cut + len(start) - 1
    if first < 0:
        raise CorpusError(
            f"the completion's first token swallows the whole prompt of {query.title!r} and the model has no "
            "start token -- nothing stands before it -- make the prompt longer."
        )
    if len(sequence) - 1 > model.context:
        raise CorpusError(
            f"prompt and completion of {query.title!r} have {len(tokens)} tokens, more than the context of "
            f"{model.context} -- the model cannot see them at once -- shorten the prompt."
        )
    chosen = Tokens(tokens.ids[cut:], tokens.starts[cut:], tokens.ends[cut:])
    straddles = bool(chosen.starts[0] < len(query.prompt))
    return TokenSequence(sequence[:-1], sequence[1:], first, chosen, straddles)


@dataclass(frozen=True)
class SideGradient:
    """Gradient of one side of a query in factors, per layer.

    Attributes:
        activation: ``{layer: [t, i]}``.
        token_grad: ``{layer: [c, t, o]}``, the contrast side with its minus sign.
    """

    activation: dict[str, Tensor]
    token_grad: dict[str, Tensor]

    def formed(self, layer: str) -> Tensor:
        """The gradient of each completion token, ``[c, o, i]``."""
        return torch.einsum("cto,ti->coi", self.token_grad[layer], self.activation[layer])

    def rotated(self, layer: str, factors: LayerFactors) -> Tensor:
        """The same in the layer's eigenbasis, which takes far less than to rotate what is formed."""
        token_grad = self.token_grad[layer]
        activation = self.activation[layer].expand(len(token_grad), -1, -1)
        return ekfac.rotated_gradients(token_grad, activation, factors.q_a, factors.q_s)


@dataclass(frozen=True)
class QueryResult:
    """Everything the model says about one query.

    Attributes:
        sides: Gradients: the completion's, and the contrast's if measured.
        tokens: One row per completion token, for the run's token table.
        hidden: Mean of the last hidden states over the inputs: all but the completion's last token, ``[d]``.
    """

    sides: list[SideGradient]
    tokens: list[dict[str, Any]]
    hidden: Tensor


def measure(model: LanguageModel, layers: Sequence[TrackedLayer], query: Query, measurement: str) -> QueryResult:
    """Gradient of the measurement of each completion token, exactly.

    Raises:
        CorpusError: If the query cannot be measured.
    """
    if measurement == "contrast" and not query.contrast:
        raise CorpusError(
            f"query {query.title!r} has no `contrast` -- the contrast measurement compares two completions -- "
            "add the other completion to its line, or choose another --measurement."
        )
    sides, rows, hidden_mean = [], [], None
    for side, sign in SIDES if measurement == "contrast" else SIDES[:1]:
        sequence = tokenize_query(model, query, query.contrast if side == "contrast" else query.completion)
        gradient, values, log_probs, hidden = _side(model, layers, sequence, measurement, sign)
        sides.append(gradient)
        hidden_mean = hidden if hidden_mean is None else hidden_mean
        rows += [
            {
                "side": side,
                "token_id": int(sequence.tokens.ids[k]),
                "start": int(sequence.tokens.starts[k]),
                "end": int(sequence.tokens.ends[k]),
                "straddles": sequence.straddles and k == 0,
                "value": sign * float(values[k]),
                "log_prob": float(log_probs[k]),
            }
            for k in range(len(sequence.tokens))
        ]
    assert hidden_mean is not None
    return QueryResult(sides, rows, hidden_mean)


@torch.no_grad()
def measured_values(model: LanguageModel, query: Query, measurement: str) -> Tensor:
    """The measurement of each completion token in the order of the token table, ``[c]``, without its gradient.

    Raises:
        CorpusError: If the query cannot be measured.
    """
    values = []
    for side, sign in SIDES if measurement == "contrast" else SIDES[:1]:
        sequence = tokenize_query(model, query, query.contrast if side == "contrast" else query.completion)
        ids, targets = (
            torch.from_numpy(part).to(model.device)[None] for part in (sequence.input_ids, sequence.targets)
        )
        logits, _ = run_network(model, ids)
        values.append(sign * token_measurements(logits, targets, measurement)[0, sequence.first :].double())
    return torch.cat(values)


def _side(
    model: LanguageModel, layers: Sequence[TrackedLayer], sequence: TokenSequence, measurement: str, sign: float
) -> tuple[SideGradient, Tensor, Tensor, Tensor]:
    """One side's gradient, the measurement and log-probability of its tokens ``[c]``, its mean hidden state ``[d]``.

    The sequence is repeated once per completion token, row k measuring token k alone, so that
    one forward and one backward pass give all gradients; a long completion takes several.
    """
    inputs, targets = (torch.from_numpy(ids).to(model.device)[None] for ids in (sequence.input_ids, sequence.targets))
    count = len(sequence.tokens)
    step = max(1, LOGIT_NUMBERS // (inputs.shape[1] * model.vocabulary))
    values, token_grads = [], []
    for first in range(0, count, step):
        own = torch.arange(first, min(first + step, count), device=model.device)
        with capture(model, layers) as tape:
            logits, hidden = run_network(model, inputs.expand(len(own), -1))
            found = token_measurements(logits, targets.expand(len(own), -1), measurement)
            measured = found[own - first, sequence.first + own]
            grads = tape.gradients(sign * measured.sum())
        values.append(measured.detach())
        token_grads.append({name: token_grad for name, (_, token_grad) in grads.items()})
    token_grad = {name: torch.cat([part[name] for part in token_grads]) for name in grads}
    log_probs = token_log_probs(logits.detach()[:1], targets)[0, sequence.first :]
    gradient = SideGradient({name: activation[0] for name, (activation, _) in grads.items()}, token_grad)
    return gradient, torch.cat(values), log_probs, hidden.detach()[0].mean(0)


def query(
    run: str | Path,
    queries: str | Path,
    settings: QuerySettings | None = None,
    progress: Progress | None = None,
    model: LanguageModel | None = None,
) -> None:
    """Write the run's queries and their gradients; goes on where a killed run stopped.

    Under torchrun the first process does it, while the others wait.

    Args:
        run: Folder of a run whose fit step is finished.
        queries: JSONL file of queries (:func:`engine.corpus.read_queries`).
        settings: Settings; None for the defaults.
        progress: Where progress is reported.
        model: The model of the fit step if it is already loaded; None to load it.

    Raises:
        WhenceError: If an input cannot be used, or the run holds results of other inputs.
    """
    group = this_group()
    progress, folder = group.progress(progress), RunFolder(Path(run))
    estimator = FitSettings(**folder.step("fit")["settings"]).estimator
    settings = (settings or QuerySettings()).for_estimator(estimator)
    refined = belong(settings, OF_REFINED, REFINED, estimator)
    asked = read_queries(queries)
    model, layers = load_fitted(folder, model)
    inputs = {"queries_hash": queries_hash(asked)}
    with group.step(folder, "query", asdict(settings), inputs) as entry:
        if entry["state"] == "finished":
            progress.note(f"{folder.path}: the query step is finished; there is nothing to do.")
        if entry["state"] == "finished" or not group.leads:
            return
        entry["queries"] = {"path": str(queries), "count": len(asked)}
        query_rows, token_rows = [], []
        progress.start("Measuring queries", len(asked), "queries")
        for number, one in enumerate(asked):
            result = measure(model, layers, one, settings.measurement)
            write_tensors(_named(result), folder.query_gradient(number))
            query_rows.append(_query_row(number, one, result))
            token_rows += [{"query": number, "token": k, **row} for k, row in enumerate(result.tokens)]
            progress.advance(1)
        progress.finish()
        write_table(pa.Table.from_pylist(token_rows), folder.query_tokens)
        write_table(pa.Table.from_pylist(query_rows), folder.queries)
        if refined:
            refiner = Refiner(folder, model, layers, settings, inputs["queries_hash"], progress)
            counts = Counter(row["query"] for row in token_rows)
            entry["refinement"] = refiner.run([counts[n] for n in range(len(asked))], partial(_formed, folder, model))


def _formed(folder: RunFolder, model: LanguageModel, number: int) -> dict[str, Tensor]:
    (gradient,) = read_query_gradients(folder, [number], str(model.device))
    return {layer: gradient.formed(layer) for layer in gradient.sides[0].activation}


def _query_row(number: int, query: Query, result: QueryResult) -> dict[str, Any]:
    squared = 0.0
    for layer in result.sides[0].activation:
        squared += float(sum(side.formed(layer).sum(0) for side in result.sides).double().square().sum())  # type: ignore[union-attr]
    return {
        "query": number,
        **asdict(query),
        "value": sum(row["value"] for row in result.tokens),
        "log_prob": sum(row["log_prob"] for row in result.tokens if row["side"] == "completion"),
        "gradient_norm": squared**0.5,
    }


def _named(result: QueryResult) -> dict[str, Tensor]:
    named = {"hidden": result.hidden}
    for number, side in enumerate(result.sides):
        for layer in side.activation:
            named[f"{number}.{layer}.activation"] = side.activation[layer]
            named[f"{number}.{layer}.token_grad"] = side.token_grad[layer]
    return named


@dataclass(frozen=True)
class QueryGradient:
    """A stored query: exact gradients per layer and the hidden state for the baseline.

    Attributes:
        sides: The completion's gradient, and the contrast's if measured.
        hidden: ``[d]``.
        refined_file: Where its refined preconditioned gradients are, if they are refined.
    """

    sides: list[SideGradient]
    hidden: Tensor
    refined_file: Path | None = None

    def formed(self, layer: str) -> Tensor:
        """The gradient of each completion token in the order of the token table, ``[c, o, i]``."""
        return torch.cat([side.formed(layer) for side in self.sides])

    def rotated(self, layer: str, factors: LayerFactors) -> Tensor:
        """:meth:`formed` in the layer's eigenbasis."""
        return torch.cat([side.rotated(layer, factors) for side in self.sides])

    def refined(self, layer: str) -> Tensor:
        """The refined preconditioned gradient of each completion token, ``[c, o, i]``."""
        assert self.refined_file is not None
        return read_tensors(self.refined_file, f"{layer}.", str(self.hidden.device))["preconditioned"]


def read_query_gradients(folder: RunFolder, numbers: Sequence[int], device: str = "cpu") -> Iterator[QueryGradient]:
    """Stored gradients of the queries asked for."""
    refinement = folder.manifest()["steps"]["query"].get("refinement")
    for number in numbers:
        tensors = read_tensors(folder.query_gradient(number), device=device)
        hidden = tensors.pop("hidden")
        sides: list[SideGradient] = []
        for name, tensor in sorted(tensors.items()):
            side, rest = name.split(".", 1)
            layer, part = rest.rsplit(".", 1)
            while len(sides) <= int(side):
                sides.append(SideGradient({}, {}))
            getattr(sides[int(side)], part)[layer] = tensor
        yield QueryGradient(sides, hidden, folder.refined(refinement["key"], number) if refinement else None)
