"""Whence, called as its three steps call themselves, beneath their manifests; and the floor of any such method."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from serve import Clock, serve

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from engine import FitSettings, QuerySettings, fit, query
from engine.batching import batches
from engine.capture import batch_gradients
from engine.directions import choose_directions, full_directions, multiply_out
from engine.document_pass import score_documents, shard_table
from engine.factors import read_factors, run_cutting
from engine.fitting import Fitting, fit_data
from engine.layers import tracked_layers
from engine.loading import load_model
from engine.progress import SilentProgress
from engine.queries import read_query_gradients
from engine.settings import ScoreSettings
from engine.store import RunFolder
from engine.token_pass import Scorer, token_table
from engine.windows import shard_numbers, shard_windows
from engine.writing import write_table


class Whence:
    """A fitted run, and what is prepared of its queries."""

    def __init__(self, task: dict, clock: Clock, preparation: Clock) -> None:
        self.task, self.clock, self.preparation = task, clock, preparation
        self.folder = Path(task["folder"]) / "whence"
        self.settings = FitSettings(layers=task["layers"], batch_tokens=task["batch_tokens"])
        self.model = load_model(task["model"], context=task["context"])
        self.layers = tracked_layers(self.model, task["layers"])
        self.layer_names = [layer.name for layer in self.layers]
        fit(self.folder / "fitted", self.model, task["corpus"], self.settings)
        self.run = RunFolder(self.folder / "fitted")
        self.windows = [w for s in shard_numbers(self.run) for w in shard_windows(self.run, s, run_cutting(self.run))]
        self.scored = self.windows[: task["documents"]]
        self.prepared: dict[str, tuple] = {}

    def fit(self) -> None:
        target = self.folder / "again"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        data = fit_data(self.run, run_cutting(self.run), self.settings)
        with self.clock:
            Fitting(
                self.model, self.layers, data, self.settings, target / "factors.safetensors", SilentProgress()
            ).run()

    def _prepare(self, queries: int, rank_error: float | None, by_token: bool) -> tuple:
        """Directions and hidden states; ``rank_error`` None is full rank. By token, thin rows stay thin."""
        name = f"{queries} {rank_error} {by_token}"
        if name not in self.prepared:
            self.prepared.clear()
            run = self.folder / "queried"
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(self.run.path, run)
            with self.preparation:
                query(run, self.task["queries"][str(queries)], QuerySettings(), model=self.model)
                folder = RunFolder(run)
                factors, gradients = read_factors(folder), list(read_query_gradients(folder, range(queries)))
                damping = folder.step("query")["settings"]["damping_factor"]
                if rank_error is None:
                    directions = full_directions(gradients, factors, damping)
                else:
                    directions = choose_directions(gradients, factors, damping, rank_error)
                    if not by_token:
                        multiply_out(directions, self.task["length"], ScoreSettings().memory_gb * 1e9)
            self.prepared[name] = (directions, torch.stack([one.hidden for one in gradients]))
        return self.prepared[name]

    def documents(self, queries: int, rank_error: float | None = None) -> np.ndarray:
        directions, hidden = self._prepare(queries, rank_error, by_token=False)
        file, count = self.folder / "documents.parquet", self.task["documents"]
        with self.clock:
            scores = score_documents(
                self.model, self.layers, directions, list(range(count)), self.scored,
                self.task["batch_tokens"], SilentProgress(),
            )  # fmt: skip
            write_table(shard_table(scores, directions, hidden, range(queries)), file)
        table = pq.read_table(file)
        return np.stack([table[f"influence.{number}.0"].to_numpy() for number in range(queries)])

    def tokens(self, queries: int, rank_error: float | None = None) -> np.ndarray:
        directions, _ = self._prepare(queries, rank_error, by_token=True)
        file, count = self.folder / "tokens.parquet", self.task["documents"]
        scorer = Scorer(self.model, self.layers, directions, {n: n for n in range(queries)}, self.task["batch_tokens"])
        wanted = {document: range(queries) for document in range(count)}
        lengths = dict.fromkeys(range(count), self.task["length"] + 1)
        with self.clock:
            write_table(token_table(scorer.position(wanted, self.scored, lengths, SilentProgress())), file)
        table = pq.read_table(file)
        found = np.zeros((queries, count, self.task["length"] + 1), np.float32)
        values = table["influence"].combine_chunks().values.to_numpy().reshape(len(table), -1)
        found[table["query"].to_numpy(), table["document"].to_numpy()] = values
        return found[:, :, : self.task["length"]]

    def floor(self) -> None:
        """One forward and one activation-only backward pass over the documents, float32."""
        with self.clock:
            for batch in batches(self.scored, self.task["batch_tokens"], self.model.device):
                batch_gradients(self.model, self.layers, batch)


if __name__ == "__main__":
    serve(Whence)
