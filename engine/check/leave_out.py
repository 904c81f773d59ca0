"""What does leaving some documents out do to a completion? Predicted by influence, and measured by training.

The run's model goes on training on some documents of the corpus three times from the same weights: with the chosen
documents among them, without them, and without as many others drawn at random. The differences between the last two
and the first are what leaving out does, and how much of it is chance.
"""

import copy
import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from engine.analysis.leaving_out import predicted_changes
from engine.analysis.ranking import rank_documents
from engine.check.result import Tables
from engine.check.settings import LeaveOutSettings
from engine.corpus import Query
from engine.errors import RunError
from engine.factors import run_cutting
from engine.live import load_run
from engine.model import LanguageModel, prepare
from engine.progress import Progress
from engine.queries import measured_values
from engine.run import Run
from engine.training import Piece, Schedule, fine_tune, window_piece
from engine.windows import shard_numbers, shard_windows
from engine.writing import write_json

WITH, WITHOUT, OTHERS = "with them", "without them", "without others"
BATCH_TOKENS = 1024


def check_leave_out(settings: LeaveOutSettings, progress: Progress, work: Path) -> Tables:
    """Train on with and without some documents; measured beside predicted change, of every completion of the run.

    Args:
        settings: Settings.
        progress: Where progress is reported.
        work: Folder for the trainings that are finished; a stopped check goes on from there.

    Returns:
        ``completions``: of each completion the change that influence predicts (None where the size of the training set
        is unknown or a document was not scored), the ``measured`` one and, as ``chance``, that of leaving out others,
        in the unit of the run's measurement, means over seeds; the one asked about comes first. ``documents``: what
        was left out, with its influence. ``chance``: the size that 95% of the changes by leaving out others stay below.

    Raises:
        RunError: If the run, the completion or a document is not there, or nothing would be left to train on.
    """
    run = Run(settings.run)
    query = run.find_query(settings.query)
    ranking = rank_documents(run, query).set_index("document")
    chosen = [run.find_document(name) for name in settings.documents or ()] or ranking.index[: settings.top].tolist()
    beside, others = _draw(run, chosen, settings)
    loaded = load_run(run.path)
    arms = {WITH: {*chosen, *beside}, WITHOUT: set(beside), OTHERS: {*chosen, *beside} - set(others)}
    trainings = _Trainings(run, loaded.model, settings, work, progress)
    values = {arm: trainings.values(sorted(read)) for arm, read in arms.items()}
    measured, chance = (values[arm] - values[WITH] for arm in (WITHOUT, OTHERS))
    queries = [query, *(number for number in run.queries["query"] if number != query)]
    rows = run.queries.set_index("query")
    predicted = predicted_changes(run, chosen).set_index("query")["predicted"]
    completions = []
    for number in queries:
        about = {"id": rows.at[number, "id"], "completion": rows.at[number, "title"], "kind": rows.at[number, "kind"]}
        change = {"predicted": predicted[number], "measured": float(measured[number])}
        completions.append(about | change | {"chance": float(chance[number])})
    return {
        "completions": completions,
        "documents": [
            {"id": run.documents.at[number, "id"], "document": run.documents.at[number, "title"]}
            | {"influence": float(ranking["influence"].get(number, np.nan))}
            for number in chosen
        ],
        "chance": [{"size": float(np.quantile(np.abs(chance), 0.95)), "unit": run.unit}],
    }


def _draw(run: Run, chosen: list[int], settings: LeaveOutSettings) -> tuple[list[int], list[int]]:
    """Documents to train on beside the chosen ones, and as many of them as are chosen, for the control."""
    filled = run.documents[run.documents["windows"] > 0]["document"]
    rest = np.random.default_rng(settings.seed).permutation(filled[~filled.isin(chosen)].to_numpy())
    beside = rest[: settings.beside].tolist()
    if len(beside) <= len(chosen):
        raise RunError(
            f"{len(chosen)} documents are to be left out and {len(beside)} would be trained on beside them -- there "
            "would be nothing to compare with -- leave out fewer, or raise --beside."
        )
    return beside, beside[: len(chosen)]


class _Trainings:
    """Trains the run's model on documents and measures all completions."""

    def __init__(
        self, run: Run, model: LanguageModel, settings: LeaveOutSettings, work: Path, progress: Progress
    ) -> None:
        self.run, self.model, self.settings, self.work, self.progress = run, model, settings, work, progress
        self.schedule = Schedule(settings.epochs, BATCH_TOKENS, settings.rate)
        names = ("id", "prompt", "completion", "kind", "language", "title", "contrast")
        self.queries = [Query(**{name: row[name] for name in names}) for row in run.queries.to_dict("records")]

    def values(self, documents: list[int]) -> np.ndarray:
        """The measurement of every completion after training on these documents, mean over seeds, ``[q]``."""
        return np.mean([self._kept(documents, seed) for seed in range(self.settings.seeds)], axis=0)

    def _kept(self, documents: list[int], seed: int) -> list[float]:
        inputs = [self.run.fit["inputs"], self.run.query["inputs"], self.run.measurement]
        made_from = [documents, seed, *inputs, asdict(self.schedule)]
        key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:24]
        file = self.work / f"{key}.json"
        if not file.is_file():
            write_json(self._trained(documents, seed), file)
        found: list[float] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def _trained(self, documents: list[int], seed: int) -> list[float]:
        read = list(self._pieces(set(documents)))
        network = copy.deepcopy(self.model.network).float()
        self.progress.start(
            f"Training on {len(documents)} documents, seed {seed + 1} of {self.settings.seeds}",
            self.schedule.epochs * sum(int(one.counts.sum()) for one in read),
        )
        fine_tune(network, read, self.schedule, seed, self.progress.advance)
        self.progress.finish()
        model = prepare(self.model.name, network, self.model.tokenizer, self.model.context)
        measurement = self.run.measurement
        return [measured_values(model, query, measurement).sum().item() for query in self.queries]

    def _pieces(self, documents: Collection[int]) -> Iterator[Piece]:
        cutting = run_cutting(self.run.folder)
        for shard in shard_numbers(self.run.folder):
            for window in shard_windows(self.run.folder, shard, cutting, documents):
                yield window_piece(window)
