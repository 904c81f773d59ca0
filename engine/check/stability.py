"""Stability: does a completion keep its strongest documents when what should not matter is changed?

Changed are the damping factor, the documents that the factors are fitted on, and the sampled labels. Random directions
undergo the same and say how much each change can tell. The rule is :mod:`engine.check.verdict`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.analysis.inside import l2_over_l1
from engine.check.reranking import Reranking, Rows, Variant, key_of
from engine.check.result import Tables
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
from engine.estimate import announce
from engine.factors import FitData, Fitting, fit_data, run_cutting
from engine.live import LoadedRun, load_run
from engine.progress import Progress
from engine.run import Run
from engine.settings import FitSettings, StabilitySettings

DAMPING_STEP = 10.0
"""The damping factor is divided and multiplied by it."""
OTHER_SEEDS = 2


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
        RunError: If the run is not finished, or too small to tell anything.
    """
    loaded = load_run(settings.run)
    run = loaded.run
    if run.scored_documents <= TOP:
        raise RunError(
            f"{run.path} has {run.scored_documents} scored documents -- the {TOP} strongest would be all of them "
            "whatever is changed -- check a run with more."
        )
    refits = [*_halves(run, settings.seed), *_other_seeds(run)]
    own = Variant("", run.folder.factors, run.query["settings"]["damping_factor"])
    variants = [own, *_dampings(own), *_refitted(loaded, refits, own, work / "fits", progress)]
    rows = Rows(loaded, settings.directions, settings.seed)
    reranking = Reranking(rows, variants, settings.memory_gb * 1e9, work / "rankings", progress)
    return _tables(run, settings, [one.change for one in variants], reranking.influence())


@dataclass(frozen=True)
class Refit:
    """Factors fitted anew.

    Attributes:
        change: Kind of change.
        documents: Documents fitted on.
        label_seed: Seed of the label sampling.
    """

    change: str
    documents: tuple[int, ...]
    label_seed: int


def _halves(run: Run, seed: int) -> Iterator[Refit]:
    """Both random halves of the documents that the run's factors were fitted on."""
    documents = fitted_documents(run)
    if len(documents) < 2:
        raise RunError(
            f"{run.path} was fitted on {len(documents)} document with something to predict -- it has no halves -- "
            "check a run that was fitted on more."
        )
    drawn = np.random.default_rng(seed).permutation(documents)
    for half in np.split(drawn, [len(drawn) // 2]):
        yield Refit("halves", tuple(sorted(half.tolist())), _fit_settings(run).seed)


def _other_seeds(run: Run) -> Iterator[Refit]:
    own = _fit_settings(run).seed
    for further in range(1, OTHER_SEEDS + 1):
        yield Refit("seeds", tuple(fitted_documents(run)), own + further)


def _dampings(own: Variant) -> Iterator[Variant]:
    for factor in (own.damping_factor / DAMPING_STEP, own.damping_factor * DAMPING_STEP):
        yield replace(own, change="damping", damping_factor=factor)


def fitted_documents(run: Run) -> list[int]:
    """Numbers of the documents with something to predict that the run's factors were fitted on."""
    chosen = fit_data(run.folder, run_cutting(run.folder), _fit_settings(run)).documents
    filled = run.documents.loc[run.documents["windows"] > 0, "document"].tolist()
    return filled if chosen is None else [number for number in filled if number in chosen]


def _fit_settings(run: Run) -> FitSettings:
    return FitSettings(**run.fit["settings"])


def _refitted(
    loaded: LoadedRun, refits: list[Refit], own: Variant, home: Path, progress: Progress
) -> Iterator[Variant]:
    """Fit what is not kept; the factors of each fit lie in a folder named by all that decides them."""
    fittings = [refitting(loaded, refit, home, progress) for refit in refits]
    if todo := [fitting for fitting in fittings if not fitting.file.is_file()]:
        estimates = [fitting.estimate() for fitting in todo]
        seconds, disk = (sum(getattr(one, name) for one in estimates) for name in ("seconds", "disk_bytes"))
        announce(progress, replace(estimates[0], step=f"{len(todo)} fits", seconds=seconds, disk_bytes=disk), home)
    for refit, fitting in zip(refits, fittings, strict=True):
        fitting.run()
        yield Variant(refit.change, fitting.file, own.damping_factor)


def refitting(loaded: LoadedRun, refit: Refit, home: Path, progress: Progress) -> Fitting:
    """A fit like the run's own on the documents and with the labels of ``refit``."""
    run = loaded.run
    key = key_of(run.fit["settings"], run.fit["inputs"], run.fit["cutting"], refit.documents, refit.label_seed)
    data = FitData(run.folder, run_cutting(run.folder), frozenset(refit.documents))
    settings = replace(_fit_settings(run), seed=refit.label_seed)
    return Fitting(loaded.model, loaded.layers, data, settings, home / key / "factors.safetensors", progress)


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
    estimator = _fit_settings(run).estimator
    if estimator in ("diagonal", "identity"):
        yield f"The {run.estimator} has no eigenbasis but that of the weights: signs were drawn for single weights."
    if estimator == "identity":
        yield (
            "The identity divides all weights of a layer by one number, which the damping factor changes by the same "
            "part in every layer: another damping factor changes no ranking, so that change tells nothing."
        )
    if run.scored_documents < len(run.documents):
        yield f"Only the {run.scored_documents:,} of {len(run.documents):,} documents that the run scored are ranked."
    if any(way != "full" for way in run.score["results"]["directions"].values()):
        yield (
            "The run's own scores come from low-rank gradients; here they are exact, so that a ranking may differ from "
            "the run's where documents are nearly as strong."
        )
