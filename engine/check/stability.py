"""Stability: does a completion keep its strongest documents when what should not matter is changed?

Changed are the damping factor, the documents that the factors are fitted on, and the sampled labels. Random directions
undergo the same and say how much each change can tell. The rule is :mod:`engine.check.verdict`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.analysis.inside import l2_over_l1
from engine.check.refits import fit_settings, halves, other_seeds, refitted
from engine.check.reranking import Reranking, Rows, Variant
from engine.check.result import Tables
from engine.check.settings import StabilitySettings
from engine.check.verdict import (
    CHANGES,
    QUANTILE,
    TOP,
    in_few_tokens,
    kept,
    null_quantile,
    rule_text,
    top_share,
    verdict,
)
from engine.errors import RunError
from engine.live import load_run
from engine.progress import Progress
from engine.run import Run
from engine.settings import REFINED

DAMPING_STEP = 10.0
"""The damping factor is divided and multiplied by it."""


def check_stability(settings: StabilitySettings, progress: Progress, work: Path) -> Tables:
    """Rank the documents of all completions again under each change, and judge.

    Args:
        settings: Settings.
        progress: Where progress is reported.
        work: Folder for the fits and passes that are finished; a stopped check goes on from there.

    Returns:
        ``completions``: of each its ``verdict``; how many of its ten strongest documents stay among the ten strongest
        (``kept_damping``, ``kept_halves``, ``kept_seeds``, means over variants); ``top_share``, the share of all
        positive influence that the ten hold, and ``null_share``, what 95% of random directions stay below; whether one
        of the ten has its influence in a few tokens (``few_tokens``), the largest L2 over L1 of their token
        influences (``l2_l1``) and whose it is (``document``), None where no token influences are stored. ``null``: of
        the same figures the ``median`` over random directions and what 95% of them stay below (``high``). ``rule``: the
        rule, and what could not be done in this run.

    Raises:
        RunError: If the run is not finished, was sampled, or is too small to tell anything.
    """
    Run(settings.run).need_directions()
    loaded = load_run(settings.run)
    run = loaded.run
    if run.scored_documents <= TOP:
        raise RunError(
            f"{run.path} has {run.scored_documents} scored documents -- the {TOP} strongest would be all of them "
            "whatever is changed -- check a run with more."
        )
    refits = [*halves(run, settings.seed), *other_seeds(run)]
    own = Variant("", run.folder.factors, run.query["settings"]["damping_factor"])
    variants = [own, *dampings(own), *refitted(loaded, refits, own.damping_factor, work / "fits", progress)]
    rows = Rows(loaded, settings.directions, settings.seed)
    reranking = Reranking(rows, variants, settings.memory_gb * 1e9, work / "rankings", progress)
    return _tables(run, settings, [one.change for one in variants], reranking.influence())


def dampings(own: Variant) -> Iterator[Variant]:
    """The run's own factors with less and with more damping."""
    for factor in (own.damping_factor / DAMPING_STEP, own.damping_factor * DAMPING_STEP):
        yield replace(own, change="damping", damping_factor=factor)


def _tables(run: Run, settings: StabilitySettings, changes: list[str], influence: np.ndarray) -> Tables:
    """The tables, from the kind of change of each variant, the run's own way first, and influence
    ``[variants, rows, documents]``, completions before random directions."""
    count, own = len(run.queries), influence[0]
    stay = {
        name: np.mean([kept(own, influence[at]) for at, one in enumerate(changes) if one == name], axis=0)
        for name in CHANGES
    }
    share = top_share(own)
    null_share = null_quantile(share[count:])
    scored = run.influence(0)["document"].to_numpy()
    rows: list[dict[str, Any]] = []
    for place, query in enumerate(run.queries.to_dict("records")):
        here = {name: float(of[place]) for name, of in stay.items()}
        about = {"id": query["id"], "completion": query["title"], "kind": query["kind"]}
        judged = {"verdict": verdict(share[place], null_share, here)} | {f"kept_{name}": here[name] for name in here}
        judged |= {"top_share": float(share[place]), "null_share": null_share}
        strongest = scored[np.argsort(-own[place], kind="stable")[:TOP]].tolist()
        rows.append(about | judged | _few_tokens(run, query["query"], strongest))
    null = [_null_row(f"kept_{name}", of[count:]) for name, of in stay.items()]
    null.append(_null_row("top_share", share[count:]))
    notes = [rule_text(settings.directions), *_notes(run)]
    return {"completions": rows, "null": null, "rule": [{"text": text} for text in notes]}


def _few_tokens(run: Run, query: int, strongest: list[int]) -> dict[str, Any]:
    """The document, of those, whose influence sits in the fewest tokens."""
    found = {
        document: l2_over_l1(np.abs(influence.of_tokens.sum(0, dtype=np.float64)))
        for document, influence in run.token_influences(query)
        if document in strongest and influence.of_tokens.any()
    }
    if not found:
        return {"few_tokens": None, "l2_l1": None, "document": None}
    worst = max(found, key=found.__getitem__)
    title = run.documents.at[worst, "title"]
    return {"few_tokens": in_few_tokens(found[worst]), "l2_l1": found[worst], "document": title}


def _null_row(figure: str, values: np.ndarray) -> dict[str, Any]:
    values = np.nan_to_num(values)
    return {"figure": figure, "median": float(np.median(values)), "high": null_quantile(values), "quantile": QUANTILE}


def _notes(run: Run) -> Iterator[str]:
    """What could not be done in this run, or is done differently."""
    estimator = fit_settings(run).estimator
    if estimator in ("diagonal", "identity"):
        yield f"The {run.estimator} has no eigenbasis but that of the weights: signs were drawn for single weights."
    if estimator == "identity":
        yield (
            "The identity divides all weights of a layer by one number, which the damping factor changes by the same "
            "part in every layer: another damping factor changes no ranking, so that change tells nothing."
        )
    if estimator == REFINED:
        yield (
            "The run's own scores are refined by conjugate gradients; ranked here is what EK-FAC gives before that, so "
            "that the strongest documents may be others than the run's."
        )
    if run.scored_documents < len(run.documents):
        yield f"Only the {run.scored_documents:,} of {len(run.documents):,} documents that the run scored are ranked."
    if any(way != "full" for way in run.score["results"]["directions"].values()):
        yield (
            "The run's own scores come from low-rank gradients; here they are exact, so that a ranking may differ from "
            "the run's where documents are nearly as strong."
        )
