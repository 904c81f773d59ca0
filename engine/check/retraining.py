"""A model that has not read some documents, and what it says once it has read a part of them.

Truth for every estimator: train anew without something, and look. A bench fixes documents, completions and the model
to begin with; every retraining is kept in a file of its own, named by what was read, so that a stopped check goes on
and two checks share what they have in common.
"""

import copy
import hashlib
import json
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from engine.check.settings import RetrainingSettings
from engine.corpus import Document, Query, corpus_hash, queries_hash, read_corpus, read_queries, tokenize
from engine.errors import WhenceError
from engine.lexical import okapi
from engine.loading import load_model
from engine.model import prepare
from engine.pipeline import read_config
from engine.progress import Progress
from engine.queries import measured_values
from engine.training import Piece, Schedule, crop, fine_tune, muon, train, window_piece
from engine.windows import Cutting
from engine.writing import write_json

NEAREST = 5
"""Documents that are taken for each completion because they share its words; the others are drawn at random."""
PRETRAINING = Schedule(8, 1024, 4e-3)
CROPPED = 0.6
"""Share of an epoch's documents that begin at one of their sentences in pre-training."""
WEIGHT_DECAY = 0.1
FINE_TUNING = Schedule(3, 1024, 1e-3)
GPU_PROCESSES = 8
"""Trainings at once on one GPU at most."""
DECIDING = ("own_weights", "documents", "completions", "seed")
"""Settings that decide what is trained; the others decide what predicts it."""


@dataclass(frozen=True)
class Reading:
    """What a model reads in one fine-tuning.

    Attributes:
        documents: Numbers of the documents, in order.
        seed: Of the order of batches.
        dropped: Of some documents the positions whose tokens are read but not learned: no loss term predicts them.
    """

    documents: tuple[int, ...]
    seed: int = 0
    dropped: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names it."""
        said = json.dumps([self.documents, self.seed, sorted(self.dropped.items())])
        return hashlib.sha256(said.encode()).hexdigest()[:24]


class Bench:
    """Documents, completions, the model that has read neither, and the folder where retrainings are kept.

    Attributes:
        settings: The settings.
        documents: Documents to leave out or read.
        queries: Completions under study.
        folder: ``base`` and ``whole``, the models; ``corpus.jsonl``, ``queries.jsonl``; ``token_readings/``, one
            file each, whatever trained it: a GPU's rounding moves a completion by 0.008 nats, another order of batches
            by 0.7.

    Raises:
        WhenceError: If corpus or queries are too small.
    """

    def __init__(self, settings: RetrainingSettings, home: Path, progress: Progress) -> None:
        sample = read_config("sample")
        corpus, asked = settings.corpus or sample.corpus, settings.queries or sample.queries
        self.model_name = settings.model or sample.model
        self.settings, self.progress = settings, progress
        every, questions = list(read_corpus(corpus)), read_queries(asked)
        told: dict[str, Any] = {name: getattr(settings, name) for name in DECIDING}
        told |= {"model": load_model(self.model_name).hash, "pretraining": asdict(PRETRAINING)}
        told |= {"fine_tuning": asdict(FINE_TUNING), "corpus": corpus_hash(every), "queries": queries_hash(questions)}
        self.folder = home / hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
        if len(every) < settings.documents or len(questions) < settings.completions:
            raise WhenceError(
                f"{corpus} has {len(every)} documents and {asked} {len(questions)} completions -- the check needs "
                f"{settings.documents} and {settings.completions} -- give larger files, or ask for fewer."
            )
        draw = np.random.default_rng(settings.seed)
        chosen = np.sort(draw.permutation(len(questions))[: settings.completions])
        self.queries = [questions[number] for number in chosen]
        numbers = _choose(every, self.queries, settings.documents, draw)
        self.documents = [every[number] for number in numbers]
        taken = set(numbers)
        self._others = [document.text for number, document in enumerate(every) if number not in taken]
        self._write("corpus.jsonl", self.documents)
        self._write("queries.jsonl", self.queries)

    def _write(self, name: str, rows: Sequence[Document | Query]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
        (self.folder / name).write_text(text, encoding="utf-8")

    @cached_property
    def base(self) -> Path:
        """The model that has read none of the documents, pre-trained on all others or as it came."""
        folder = self.folder / "base"
        if not (folder / "finished.json").is_file():
            network, tokenizer = _start(self.model_name, self.settings)
            network.to(self.settings.device)
            losses = [] if self.settings.own_weights else self._pretrain(network, tokenizer)
            _save(network, tokenizer, folder, {"losses": losses})
        return folder

    def _pretrain(self, network: Any, tokenizer: Any) -> list[float]:
        shuffle, context = random.Random(self.settings.seed), training_context(network)

        def draw(epoch: int) -> list[Piece]:
            texts = [crop(text, shuffle) if shuffle.random() < CROPPED else text for text in self._others]
            return pieces(tokenizer, [Document("", text, "", "", "") for text in texts], context)

        total = PRETRAINING.epochs * sum(map(len, pieces(tokenizer, self.documents, context)))
        total = total * len(self._others) // len(self.documents)  # an estimate; crops make it less
        self.progress.start("Training the model on all other documents", total)
        found = train(network, draw, PRETRAINING, muon(network, WEIGHT_DECAY), shuffle, self.progress.advance)
        losses = [loss for loss, _ in found]
        self.progress.finish()
        return losses

    @cached_property
    def whole(self) -> Path:
        """The model that has read all of the documents: influences are computed for it."""
        folder = self.folder / "whole"
        if not (folder / "finished.json").is_file():
            network, tokenizer = _load(self.base, self.settings.device)
            read = pieces(tokenizer, self.documents, training_context(network))
            self.progress.start("Reading all documents", FINE_TUNING.epochs * sum(len(one) for one in read))
            losses = fine_tune(network, read, FINE_TUNING, 0, self.progress.advance)
            self.progress.finish()
            _save(network, tokenizer, folder, {"losses": losses})
        return folder

    def measured(self, readings: Sequence[Reading], title: str) -> np.ndarray:
        """Log-probability of each completion after each reading, nats, ``[readings, q]``."""
        return np.stack([tokens.sum(1) for tokens in self.measured_tokens(readings, title)], axis=1)

    def measured_tokens(self, readings: Sequence[Reading], title: str) -> list[np.ndarray]:
        """Of each completion the log-probability of its tokens after each reading, nats, ``[readings, c]``.

        Those kept are not trained again.
        """
        files = {reading.key: self.folder / "token_readings" / f"{reading.key}.json" for reading in readings}
        todo = {reading.key: reading for reading in readings if not files[reading.key].is_file()}
        if todo:
            base = self.base
            self.progress.start(title, len(todo), "trainings")
            with _retrainers(base, self.folder, self.settings.device) as pool:
                for key, found in _unordered(pool, todo):
                    write_json(found, files[key])
                    self.progress.advance(1)
            self.progress.finish()
        found = [json.loads(files[one.key].read_text(encoding="utf-8")) for one in readings]
        return [np.asarray(of_query) for of_query in zip(*found, strict=True)]

    def all_read(self, seed: int = 0) -> Reading:
        """The reading of all documents."""
        return Reading(tuple(range(len(self.documents))), seed)


def _choose(every: list[Document], queries: list[Query], count: int, draw: np.random.Generator) -> list[int]:
    """Numbers of the documents: for each completion the nearest by words, the rest at random."""
    scores = okapi([document.text for document in every], [query.prompt + query.completion for query in queries])
    taken = dict.fromkeys(np.argsort(-scores, axis=1, kind="stable")[:, :NEAREST].flatten().tolist())
    rest = [number for number in draw.permutation(len(every)).tolist() if number not in taken]
    return sorted([*taken, *rest][:count])


def pieces(tokenizer: Any, documents: Sequence[Document], context: int, reading: Reading | None = None) -> list[Piece]:
    """Documents, or those of a reading, as what a model is trained on: windows that follow on one another."""
    cutting = Cutting(tokenizer.bos_token_id, context, 0)
    found = []
    for number in reading.documents if reading else range(len(documents)):
        dropped = set(reading.dropped.get(number, ())) if reading else set()
        ids = tokenize(tokenizer, documents[number].text).ids
        for window in cutting.windows(number, str(number), ids):
            made = window_piece(window)
            places = window.first + np.arange(len(made))
            found.append(Piece(made.ids, made.counts & ~np.isin(places, list(dropped))) if dropped else made)
    return found


def training_context(network: Any) -> int:
    """Inputs of a training window: the model's own context, at most 512."""
    return min(getattr(network.config, "max_position_embeddings", None) or 512, 512)


def _start(name: str, settings: RetrainingSettings) -> tuple[Any, Any]:
    """The model to begin with: its own weights, or fresh ones of the same shape."""
    if settings.own_weights:
        return _load(name)
    loaded = load_model(name)  # for its errors, and its tokenizer
    torch.manual_seed(settings.seed)
    config = AutoConfig.from_pretrained(name)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager"), loaded.tokenizer


def _load(folder: Path | str, device: str = "cpu") -> tuple[Any, Any]:
    loaded = load_model(str(folder), device)
    return loaded.network.requires_grad_(True), loaded.tokenizer


def _save(network: Any, tokenizer: Any, folder: Path, about: dict[str, Any]) -> None:
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(about, folder / "finished.json")


_MINE: dict[str, Any] = {}
"""What a retraining process holds: the base model, documents and queries."""


@contextmanager
def _retrainers(base: Path, folder: Path, device: str) -> Iterator[ProcessPoolExecutor]:
    """One process per core, one thread each: on small models a third faster than one process with all threads.

    On a GPU too: a small model leaves it idle while its process says what to do next.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = count if torch.device(device).type == "cpu" else min(count, GPU_PROCESSES)
    given = (str(base), str(folder), device, os.getpid())
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_prepare, initargs=given)
    try:
        yield pool
    finally:
        for process in list((pool._processes or {}).values()):  # a cancelled check must not wait for trainings
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare(base: str, folder: str, device: str, parent: int) -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    network, tokenizer = _load(base, device)
    documents = list(read_corpus(Path(folder) / "corpus.jsonl"))
    _MINE.update(network=network, tokenizer=tokenizer, documents=documents)
    _MINE["queries"] = read_queries(Path(folder) / "queries.jsonl")


def _end_with(parent: int) -> None:
    """A process whose parent was killed ends, or it would train for nobody."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _retrain(reading: Reading) -> list[list[float]]:
    network = copy.deepcopy(_MINE["network"])
    context = training_context(network)
    read = pieces(_MINE["tokenizer"], _MINE["documents"], context, reading)
    fine_tune(network, read, FINE_TUNING, reading.seed)
    model = prepare("retrained", network, _MINE["tokenizer"], context)
    return [measured_values(model, query, "log_prob").tolist() for query in _MINE["queries"]]


def _unordered(pool: ProcessPoolExecutor, todo: Mapping[str, Reading]) -> Iterator[tuple[str, list[list[float]]]]:
    """Results as they come."""
    waiting: dict[Future[list[list[float]]], str] = {
        pool.submit(_retrain, reading): key for key, reading in todo.items()
    }
    while waiting:
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            yield waiting.pop(future), future.result()
