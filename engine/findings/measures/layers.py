"""Finding 9: which third of the network carries the influence of the strongest documents, by kind of completion?

A document's influence is a sum over layers, so that each layer's part is exact. Shares are of the sum, in which a layer
that lowers the completion counts with its sign.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.analysis.layers import block_of
from engine.errors import WhenceError
from engine.findings.estimates import over_completions, present
from engine.findings.groups import shortages
from engine.findings.rules import TOP, Estimate
from engine.findings.study import CONTROLS, INFLUENCE, Found, Study, key_of, score_matrices
from engine.writing import write_json

if TYPE_CHECKING:
    from engine.live import LoadedRun

THIRDS = ("lower", "middle", "upper")
PARTS = {"factual": ({"factual"}, "upper"), "procedural": ({"reasoning", "code", "translation"}, "middle")}
"""Families of completions and third of the network of each part of the rule."""
SPLIT = (INFLUENCE, "gradient_dot")
"""Scores that are sums over layers."""
FORMAT = 1
"""Of the files that a completion's scores are kept in; raised when they change."""
NO_CONTROLS = "BM25 and hidden states have no layers, so only gradient dot stands beside influence."


FEW_THIRDS = (
    "The run's layers lie in {} of the network's three thirds, so shares of thirds have no meaning -- use a model of "
    "three blocks or more, and track layers in all of them."
)


def measure(study: Study) -> Found:
    """Shares of the thirds in the influence of every completion's strongest documents; loads the model."""
    from engine.live import load_run

    try:
        study.run.need_directions()
        loaded = load_run(study.run.path)
    except WhenceError as error:
        return Found(open=[f"Influence cannot be split by layer: {error}"])
    thirds = thirds_of([layer.name for layer in loaded.layers], loaded.model.network.config.num_hidden_layers)
    if set(thirds.values()) != set(THIRDS):
        return Found(open=[FEW_THIRDS.format(len(set(thirds.values())))])
    rows = _split(study, loaded, thirds)
    of_layers = {third: sum(one == third for one in thirds.values()) / len(thirds) for third in THIRDS}
    found = {
        name: rows_to_estimates(study, [row for row in rows if row["score"] == CONTROLS.get(name, name)], of_layers)
        for name in SPLIT
    }
    own = found.pop(INFLUENCE)
    tables = {"picture": rows, "layers": [{"third": third, "share": share} for third, share in of_layers.items()]}
    opened = [
        f"The run has no {' or '.join(sorted(families))} completions -- ask some."
        for part, (families, _) in PARTS.items()
        if part not in own
    ]
    opened += shortages("layers", own, "ask more questions of the kind")
    return Found(
        own, {CONTROLS[name]: of for name, of in found.items()}, _sentence(own), tables, [*opened, NO_CONTROLS]
    )


def thirds_of(layers: Sequence[str], blocks: int) -> dict[str, str]:
    """Third of a network of so many blocks that each layer's block lies in, by its middle; names hold its number.

    Layers without a number are left out: they belong to no block.
    """
    block = {layer: number for layer in layers if (number := block_of(layer)) is not None}
    return {layer: THIRDS[int(3 * (number + 0.5) / blocks)] for layer, number in block.items()}


def shares_of(by_layer: dict[str, float], thirds: dict[str, str]) -> dict[str, float]:
    """Share of each third in a sum over layers; nan where the sum is not above zero."""
    total = sum(by_layer[layer] for layer in thirds)
    sums = {third: sum(by_layer[layer] for layer, one in thirds.items() if one == third) for third in THIRDS}
    return {third: value / total if total > 0 else np.nan for third, value in sums.items()}


def _split(study: Study, loaded: "LoadedRun", thirds: dict[str, str]) -> list[dict[str, Any]]:
    """A row per completion, score and third; what is computed of a completion is kept in the run."""
    scores = score_matrices(study.run)
    families = set().union(*(families for families, _ in PARTS.values()))
    chosen = np.flatnonzero(study.queries["family"].isin(families))
    study.progress.start("Influence by layer", len(chosen), "completions")
    rows = []
    for place in chosen:
        query = study.queries.iloc[place]
        tops = {name: _strongest(scores[name][place]) for name in SPLIT}
        of_documents = _by_layer(loaded, int(query["query"]), sorted(set().union(*tops.values())))
        about = {"id": query["id"], "completion": query["title"], "kind": query["kind"], "family": query["family"]}
        for column, (name, top) in enumerate(tops.items()):
            sums = {layer: sum(of_documents[one][layer][column] for one in top) for layer in thirds}
            about["score"] = CONTROLS.get(name, name)
            rows += [about | {"third": third, "share": share} for third, share in shares_of(sums, thirds).items()]
        study.progress.advance(1)
    study.progress.finish()
    return rows


def _by_layer(loaded: "LoadedRun", query: int, documents: list[int]) -> dict[int, dict[str, list[float]]]:
    """The scores :data:`SPLIT` of some documents by layer."""
    from engine.live import influence_by_layer, query_scorer

    file = loaded.run.folder.by_layer(query, key_of(loaded.run, FORMAT, documents))
    if not file.is_file():
        found = influence_by_layer(loaded, query_scorer(loaded, query), query, documents) if documents else {}
        write_json(found, file)
    kept = json.loads(file.read_text(encoding="utf-8"))
    return {int(document): of for document, of in kept.items()}


def _strongest(scores: np.ndarray) -> list[int]:
    order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")[:TOP]
    return sorted(int(number) for number in order if scores[number] > 0)


def rows_to_estimates(study: Study, rows: list[dict[str, Any]], of_layers: dict[str, float]) -> dict[str, Estimate]:
    """The rule's parts from shares of completions (family, third, share) and the thirds' shares of the layers."""
    found = {}
    for part, (families, third) in PARTS.items():
        shares = [row["share"] for row in rows if row["third"] == third and row["family"] in families]
        found[part] = over_completions(study, np.array(shares, dtype=np.float64) - of_layers[third])
    return present(found)


def _sentence(found: dict[str, Estimate]) -> str:
    what = {
        "factual": "the upper third of the network carries {} of the influence on facts",
        "procedural": "the middle third {} of that on mathematics, code and translations",
    }
    told = []
    for part, text in what.items():
        if part in found:
            one = found[part]
            share = f"{abs(one.value):.0%} {'more' if one.value > 0 else 'less'} than its share of the layers"
            told.append(f"{text.format(share)} ({one.low:+.0%} to {one.high:+.0%})")
    joined = "; ".join(told)
    return f"{joined[:1].upper()}{joined[1:]}." if told else ""
