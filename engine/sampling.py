"""Walk the chains of the Bayesian influence function and read documents and completions at each draw.

Readings are kept draw by draw, so that a stopped call goes on with the same bytes.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from engine.batching import batches
from engine.bif import Readings, starts
from engine.capture import run_network
from engine.corpus import Query, Window
from engine.errors import RunError
from engine.estimate import Estimate, announce, batch_bytes, probe_windows, seconds_per_token
from engine.factors import load_fitted, read_factors, run_cutting
from engine.group import ALONE, Group
from engine.langevin import ITERATIONS, Posterior, Sampler, Schedule, largest_curvature, walk
from engine.losses import token_log_probs
from engine.model import LanguageModel
from engine.posterior import MovedModel, draw_windows
from engine.progress import Progress
from engine.queries import measured_values
from engine.settings import SPEED_ONLY, BifSettings
from engine.store import RunFolder
from engine.tensors import read_tensors, write_tensors
from engine.windows import positions, shard_numbers, shard_windows

RISE = 0.05
"""Where ``n_beta`` is not given: it is set so that sampled weights raise the loss by so many nats per token."""
HELD = 8
"""Vectors of all tracked weights at once: curvature, damping, pace, place, gradient, drift and two of noise."""
RUNAWAY = 10.0
"""A walk whose variance is so many times that of the Gaussian limit is given up."""


def sample(
    folder: RunFolder,
    settings: BifSettings,
    work: Path,
    progress: Progress,
    documents: Sequence[int],
    model: LanguageModel | None = None,
    group: Group = ALONE,
) -> Readings:
    """Walk the chains and read documents and completions at each draw; goes on where a stopped call was.

    Args:
        folder: A run whose fit and query steps are finished; its factors set damping and pace.
        settings: Settings.
        work: Where readings are kept, in a folder named by everything they depend on.
        progress: Where progress is reported.
        documents: Numbers of the documents to read, each with something to predict; the posterior is that of the whole
            corpus.
        model: The run's model if it is already loaded; None to load it.
        group: The processes that share the chains.

    Raises:
        WhenceError: If the run is not finished or its model is another one.
    """
    return _Sampling(folder, settings, work, progress, sorted(documents), model, group).run()


class _Sampling:
    """The chains of one call."""

    def __init__(
        self,
        folder: RunFolder,
        settings: BifSettings,
        work: Path,
        progress: Progress,
        documents: list[int],
        model: LanguageModel | None,
        group: Group,
    ) -> None:
        self.settings, self.progress, self.documents, self.group = settings, progress, documents, group
        self.measurement = folder.step("query")["settings"]["measurement"]
        self.queries = _queries(folder)
        self.tokens = pq.read_table(folder.query_tokens).to_pandas().groupby("query").size().tolist()
        self.work = work / _key(folder, settings, documents)
        still, layers = load_fitted(folder, model)
        self.moved = MovedModel(still, layers, read_factors(folder, str(still.device)), settings.damping_factor)
        cutting = run_cutting(folder)
        self.windows = [one for shard in shard_numbers(folder) for one in shard_windows(folder, shard, cutting)]
        lengths = pq.read_table(folder.documents, columns=["tokens"])["tokens"].to_pylist()
        self.lengths = [positions(cutting, lengths[number]) for number in documents]
        chosen = set(documents)
        self.read = [window for window in self.windows if window.document in chosen]
        self.first = dict(zip(documents, starts(self.lengths).tolist(), strict=True))
        self.terms = sum(len(window) - window.loss_from for window in self.windows) / len(self.windows)
        lam = self.moved.curvature.double()
        self.free = float((lam / (lam + self.moved.damping.double())).sum())
        self.n_beta = settings.n_beta or self.free / (2 * RISE * self.terms)

    def run(self) -> Readings:
        files = chain_files(self.work, self.settings.chains, self.settings.draws)
        posterior = Posterior(self._gradient, self.n_beta, self.n_beta * self.moved.damping)
        pace, origin = self._preconditioner(), torch.zeros_like(self.moved.curvature)
        start = self.work / "start.safetensors"
        if self.group.leads and not start.is_file():
            chosen = torch.tensor(self._step_size(posterior, pace), dtype=torch.float64)
            write_tensors(self._reading(origin) | {"step_size": chosen}, start)
        self.group.wait()
        step_size = float(read_tensors(start)["step_size"])
        self._walks(Sampler(posterior, pace, step_size, self.settings.seed), files, origin)
        expected = self.free / (2 * self.n_beta)
        return Readings(files, start, self.documents, self.lengths, self.tokens, self.n_beta, step_size, expected)

    def _step_size(self, posterior: Posterior, pace: Tensor) -> float:
        if self.settings.step_size is not None:
            return self.settings.step_size
        self.progress.start("Largest curvature", ITERATIONS, "steps")
        found = largest_curvature(posterior, pace, self.settings.seed, advance=self.progress.advance)
        self.progress.finish()
        return 1 / found

    def _walks(self, sampler: Sampler, files: list[list[Path]], origin: Tensor) -> None:
        """All chains that are not finished."""
        schedule = Schedule(self.settings.burn_in, self.settings.draws, self.settings.every)

        def unfinished() -> list[int]:
            return [chain for chain, of in enumerate(files) if not all(file.is_file() for file in of)]

        todo = self.group.agree(unfinished)
        if not todo:
            return
        if self.group.leads:
            self._announce(schedule, len(todo))
        steps = schedule.after(schedule.draws)
        self.progress.start("Sampling weights", len(todo) * steps, "steps")
        for chain in self.group.share(unfinished, self.work, lambda chain: self.progress.advance(steps)):
            self._walk(sampler, schedule, chain, files[chain], origin)
        self.progress.finish()

    def _announce(self, schedule: Schedule, chains: int) -> None:
        """Trials of a gradient and of a reading on a few documents."""
        trial, origin = probe_windows(self.windows), torch.zeros_like(self.moved.curvature)
        tokens = sum(map(len, trial))
        step = seconds_per_token(lambda: self.moved.gradient(origin, trial, self.settings.batch_tokens), tokens)
        read = seconds_per_token(lambda: list(self._log_probs(trial)), tokens)
        steps, mean = schedule.after(schedule.draws), sum(map(len, self.windows)) / len(self.windows)
        seconds = step * steps * min(self.settings.batch, len(self.windows)) * mean
        seconds += read * schedule.draws * sum(map(len, self.read))
        model, weights = self.moved.model, self.moved.curvature
        network = sum(one.numel() * one.element_size() for one in model.network.parameters())
        memory = network + HELD * weights.numel() * weights.element_size()
        memory += 2 * batch_bytes(model, self.moved.layers, trial, self.settings.batch_tokens)
        self.progress.note(
            f"{chains} chains of {steps} steps on {self.settings.batch} windows, with {schedule.draws} readings of "
            f"{sum(self.lengths):,} tokens each."
        )
        disk = chains * schedule.draws * 4 * sum(self.lengths)
        estimate = Estimate("sampling", chains * seconds / self.group.size, memory, disk)
        announce(self.progress, estimate, self.work, self.group.size)

    def _walk(self, sampler: Sampler, schedule: Schedule, chain: int, files: list[Path], x: Tensor) -> None:
        """The rest of a chain; its place is kept after each reading."""
        kept, begin, done = files[0].with_name("place.safetensors"), x, 0
        if kept.is_file():
            place = read_tensors(kept, device=str(x.device))
            begin, done = place["x"], int(place["done"])
        self.progress.advance(schedule.after(done))
        for number, place_now in walk(sampler, schedule, chain, begin, done, self.progress.advance):
            self._check(place_now)
            write_tensors(self._reading(place_now), files[number])
            write_tensors({"x": place_now, "done": torch.tensor(number + 1)}, kept)
        kept.unlink()

    def _gradient(self, x: Tensor, draw: np.random.Generator) -> Tensor:
        return self.moved.gradient(x, draw_windows(self.windows, self.settings.batch, draw), self.settings.batch_tokens)

    @property
    def _precision(self) -> Tensor:
        return self.n_beta * (self.moved.curvature + self.moved.damping)

    def _preconditioner(self) -> Tensor:
        precision = self._precision
        return 1 / (precision if self.settings.preconditioner == "ekfac" else precision.max().expand_as(precision))

    def _check(self, x: Tensor) -> None:
        spread = float((x.square() * self._precision).mean())
        if not spread < RUNAWAY:
            raise RunError(
                f"the walk ran off to {spread:.3g} times the variance that its curvature allows -- covariances would "
                "mean nothing -- lower --step-size, or raise --batch or --damping-factor."
            )

    @torch.no_grad()
    def _reading(self, x: Tensor) -> dict[str, Tensor]:
        """All documents' and completions' tokens at a displacement."""
        self.moved.move(x)
        found = torch.zeros(sum(self.lengths))
        for window, log_probs in self._log_probs(self.read):
            self._put(found, window, log_probs)
        measured = [measured_values(self.moved.model, query, self.measurement).cpu() for query in self.queries]
        return {"documents": found, "completions": torch.cat(measured)}

    @torch.no_grad()
    def _log_probs(self, windows: Sequence[Window]) -> Iterator[tuple[Window, Tensor]]:
        """Log-probability of each target of some windows where the weights are, ``[t]``, padding included."""
        model = self.moved.model
        for batch in batches(windows, self.settings.batch_tokens, model.device):
            log_probs = token_log_probs(run_network(model, batch.input_ids)[0], batch.targets).cpu()
            yield from zip(batch.windows, log_probs, strict=True)

    def _put(self, found: Tensor, window: Window, log_probs: Tensor) -> None:
        """At the position of each token that a window predicts."""
        first = self.first[window.document] + window.first + 1
        found[first + window.loss_from : first + len(window)] = log_probs[window.loss_from : len(window)]


def chain_files(work: Path, chains: int, draws: int) -> list[list[Path]]:
    """Where the draws of each chain are kept."""
    return [[work / f"chain-{chain}" / f"{draw:05}.safetensors" for draw in range(draws)] for chain in range(chains)]


def _key(folder: RunFolder, settings: BifSettings, documents: list[int]) -> str:
    """Names readings by everything they depend on."""
    steps = [folder.step(step) for step in ("fit", "query")]
    told = [[step["settings"], step["inputs"]] for step in steps]
    deciding = BifSettings.__dataclass_fields__.keys() - SPEED_ONLY
    asked = {name: value for name, value in asdict(settings).items() if name in deciding}
    return hashlib.sha256(json.dumps([told, asked, documents], sort_keys=True).encode()).hexdigest()[:24]


def _queries(folder: RunFolder) -> list[Query]:
    names = list(Query.__dataclass_fields__)
    return [Query(**row) for row in pq.read_table(folder.queries, columns=names).to_pylist()]
