"""Removal: what happens to a completion when what influenced it most was never learned?

Whole documents are left out, and, apart from that, single loss terms: the tokens of highest prediction influence in
the whole set stay to be read, but nothing is learned from predicting them. Each time a model is trained anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.check.effects import BM25, DOCUMENTS, INFLUENCE, RANDOM, TOKENS, calibrate, compare_methods
from engine.check.predicting import estimator_run
from engine.check.rare_removal import RANDOM_DRAWS, random_documents, remove_for_tokens, without
from engine.check.result import Tables
from engine.check.retraining import Bench, Reading
from engine.check.settings import RemovalSettings
from engine.directions import Directions
from engine.factors import run_cutting
from engine.live import LoadedRun, load_run, query_scorer
from engine.loading import load_model
from engine.progress import Progress, SilentProgress
from engine.run import Run
from engine.windows import positions, shard_numbers, shard_windows


@dataclass(frozen=True)
class Removal:
    """One thing to leave out.

    Attributes:
        what: ``documents`` or ``tokens``.
        method: What chose them.
        query: Place of the completion they were chosen for; None if for none.
        documents: Documents left out.
        dropped: Of documents the positions whose loss terms are left out.
        predicted: Change of each completion's log-probability that influence predicts, nats ``[q]``; NaN if unknown.
    """

    what: str
    method: str
    query: int | None
    documents: tuple[int, ...]
    dropped: Mapping[int, tuple[int, ...]]
    predicted: np.ndarray

    def reading(self, documents: int, seed: int) -> Reading:
        """What is left to read."""
        return replace(without(self.documents, documents, seed), dropped=self.dropped)


def check_removal(settings: RemovalSettings, progress: Progress, work: Path) -> Tables:
    """Leave out what influenced some completions most, train anew, and measure how much less likely they become.

    Args:
        settings: Settings.
        progress: Where progress is reported.
        work: Folder of this check; retrainings are kept beside it, where other checks find them too.

    Returns:
        ``methods``: for documents and tokens and each method the mean ``rise`` of the completion's loss in nats, with
        its 95% interval over completions; that of EK-FAC also as a multiple of BM25's, ``of_bm25``. ``points``: one row
        per removal and completion it was made for, ``predicted`` and ``measured`` change in nats. ``calibration``:
        ``slope``, measured change per predicted one, and ``correlation``, of documents and of tokens. ``rare_tokens``
        and ``rare_groups``: see :mod:`engine.check.rare_removal`.

    Raises:
        WhenceError: If corpus or queries are too small.
    """
    bench = Bench(settings, work.parent / "retraining", progress)
    run = estimator_run(bench, "ekfac", settings, load_model(str(bench.whole), settings.device))
    chosen = np.random.default_rng(settings.seed).permutation(len(bench.queries))[: settings.removed_for]
    removals = _document_removals(bench, run, settings, np.sort(chosen))
    removals += _token_removals(bench, run, settings, np.sort(chosen))
    count, seeds = len(bench.documents), range(settings.seeds)
    readings = [one.reading(count, seed) for one in removals for seed in seeds]
    reference = bench.measured([bench.all_read(seed) for seed in seeds], "Training on all documents").mean(0)
    found = bench.measured(readings, "Training without them").reshape(len(removals), settings.seeds, -1).mean(1)
    changes = found - reference
    points = [
        _point(bench, removal, change, query)
        for removal, change in zip(removals, changes, strict=True)
        for query in (chosen.tolist() if removal.query is None else [removal.query])
    ]
    rare = remove_for_tokens(bench, run, settings)
    return {"methods": compare_methods(points), "points": points, "calibration": calibrate(points)} | rare


def _document_removals(bench: Bench, run: Run, settings: RemovalSettings, chosen: np.ndarray) -> list[Removal]:
    tables = [run.influence(number) for number in range(len(bench.queries))]
    influence = np.stack([table["influence"] for table in tables])
    bm25 = np.stack([table["bm25"] for table in tables])
    windows = run.training_windows
    assert windows

    def removal(method: str, query: int | None, documents: np.ndarray) -> Removal:
        predicted = -influence[:, documents].sum(1) / windows
        return Removal(DOCUMENTS, method, query, tuple(sorted(documents.tolist())), {}, predicted)

    made = []
    for query in chosen.tolist():
        for method, scores in ((INFLUENCE, influence), (BM25, bm25)):
            made.append(removal(method, query, np.argsort(-scores[query], kind="stable")[: settings.top]))
    drawn = random_documents(len(bench.documents), settings)
    return made + [removal(RANDOM, None, documents) for documents in drawn]


def _token_removals(bench: Bench, run: Run, settings: RemovalSettings, chosen: np.ndarray) -> list[Removal]:
    """The top share of all loss terms by prediction influence, as many of BM25's best documents, as many at random."""
    loaded = load_run(run.path)
    tokens = run.documents["tokens"].to_numpy()
    owner = np.repeat(np.arange(len(tokens)), tokens)
    place = np.concatenate([np.arange(length) for length in tokens]) + int(run.has_start)
    count = round(settings.share * len(owner))
    unknown = np.full(len(bench.queries), np.nan)
    windows = run.training_windows
    assert windows

    def removal(method: str, query: int | None, terms: np.ndarray, predicted: np.ndarray) -> Removal:
        dropped: dict[int, list[int]] = {}
        for term in np.sort(terms).tolist():
            dropped.setdefault(int(owner[term]), []).append(int(place[term]))
        return Removal(TOKENS, method, query, (), {n: tuple(of) for n, of in dropped.items()}, predicted)

    made = []
    bench.progress.start("Influence of every token", len(chosen), "completions")
    for query in chosen.tolist():
        influence = prediction_influence(loaded, query)[place + _starts(tokens + int(run.has_start))[owner]]
        best = np.argsort(-influence, kind="stable")[:count]
        predicted = unknown.copy()
        predicted[query] = -influence[best].sum() / windows
        made.append(removal(INFLUENCE, query, best, predicted))
        order = np.argsort(-run.influence(query)["bm25"].to_numpy(), kind="stable")
        rank = np.argsort(order)[owner]
        same_many = np.argsort(rank, kind="stable")[:count]
        predicted = unknown.copy()
        predicted[query] = -influence[same_many].sum() / windows
        made.append(removal(BM25, query, same_many, predicted))
        bench.progress.advance(1)
    bench.progress.finish()
    draw = np.random.default_rng([settings.seed, 2])
    drawn = [draw.permutation(len(owner))[:count] for _ in range(RANDOM_DRAWS)]
    return made + [removal(RANDOM, None, terms, unknown) for terms in drawn]


def prediction_influence(loaded: LoadedRun, query: int) -> np.ndarray:
    """Prediction influence of every position of every document on a completion, one after another.

    One forward-mode pass along the sum of the completion tokens' directions.
    """
    scorer = query_scorer(loaded, query)
    rows = scorer.directions.token_rows(0)
    summed = {layer.name: scorer.directions.of(layer.name, rows).sum(0, keepdim=True) for layer in loaded.layers}
    scorer = replace(scorer, directions=Directions([1], full=summed))
    folder, cutting = loaded.run.folder, run_cutting(loaded.run.folder)
    parts: dict[int, np.ndarray] = {}
    lengths = {n: positions(cutting, length) for n, length in enumerate(loaded.run.documents["tokens"].tolist())}
    for shard in shard_numbers(folder):
        windows = shard_windows(folder, shard, cutting)
        here = sorted({window.document for window in windows})
        wanted = {document: [query] for document in here}
        for _, document, values in scorer.prediction(wanted, windows, lengths, SilentProgress()):
            parts[document] = values[0]
    return np.concatenate([parts.get(n, np.zeros(length)) for n, length in lengths.items()])


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)[:-1]])


def _point(bench: Bench, removal: Removal, change: np.ndarray, query: int) -> dict[str, Any]:
    asked, predicted = bench.queries[query], float(removal.predicted[query])
    return {
        "what": removal.what,
        "method": removal.method,
        "id": asked.id,
        "completion": asked.title,
        "kind": asked.kind,
        "predicted": None if np.isnan(predicted) else predicted,
        "measured": float(change[query]),
    }
