"""Which documents made the model say this? Answered while one waits, for a completion no run has studied.

A cascade. All documents are put in a quick order (:mod:`engine.ask.ranking`); then those that come first get their
exact influence, token by token, by the formulas of the score step with directions in full. Nothing is written to the
run, so that stopping at any point leaves it as it was.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from engine.ask.answer import Answer
from engine.ask.continuation import continuation
from engine.ask.damped import damped
from engine.ask.ranking import rank
from engine.ask.settings import AskSettings
from engine.corpus import Query, Window
from engine.directions import full_directions
from engine.errors import RunError
from engine.estimate import free_memory
from engine.factors import run_cutting
from engine.live import LoadedRun
from engine.progress import Progress, SilentProgress
from engine.queries import QueryGradient, QueryResult, measure
from engine.run import TokenInfluence
from engine.token_pass import Scorer
from engine.windows import positions, windows_by_shard

EXACT_SHARE = 0.05
"""Share of the corpus that is scored exactly unless a number is given."""

Told = Callable[[list[Answer]], None]


def ask(
    loaded: LoadedRun, settings: AskSettings, progress: Progress | None = None, told: Told = lambda answers: None
) -> list[Answer]:
    """Answer a live question.

    Args:
        loaded: The run with its model.
        settings: What is asked.
        progress: Where progress is reported; may cancel at any stage.
        told: Told what is known so far, one answer a completion: first the ranking without exact influence, then with
            that of the documents that come first, then of all that are scored.

    Returns:
        One answer a completion.

    Raises:
        WhenceError: If the question cannot be measured, or the run can answer none.
    """
    progress = progress or SilentProgress()
    loaded.run.need_live()
    measurement = _measurement(loaded, settings)
    questions = _questions(loaded, settings, progress)
    results = list(_measured(loaded, questions, measurement, progress))
    count = settings.exact or max(settings.top, math.ceil(EXACT_SHARE * len(loaded.run.documents)))
    rankings = rank(loaded, questions, results, measurement, count, progress)
    answers = [Answer(ranking, {}) for ranking in rankings]
    told(answers)
    exact = _Exact(loaded, results, progress)
    ends = [settings.top, *([count] if count > settings.top else [])]
    for first, last in zip([0, *ends], ends, strict=False):
        found = exact.influence([ranking.first(last)[first:].tolist() for ranking in rankings])
        answers = [Answer(one.ranking, {**one.influence, **new}) for one, new in zip(answers, found, strict=True)]
        told(answers)
    shown = [answer.table(loaded.run, settings.top)["document"].tolist() for answer in answers]
    at_each = damped(loaded, exact.gradients, shown, exact.windows(set().union(*shown)), progress)
    return [replace(answer, damped=one) for answer, one in zip(answers, at_each, strict=True)]


def _measurement(loaded: LoadedRun, settings: AskSettings) -> str:
    """The run's own; a contrast where one is asked for, and only there."""
    if settings.rather_than is not None:
        return "contrast"
    return "log_prob" if loaded.run.measurement == "contrast" else loaded.run.measurement


def _questions(loaded: LoadedRun, settings: AskSettings, progress: Progress) -> list[Query]:
    completions = settings.completion or [continuation(loaded.model, settings.prompt, settings.length, progress)]
    return [
        Query(str(place), settings.prompt, one, "", "", (settings.prompt + one).strip(), settings.rather_than or "")
        for place, one in enumerate(dict.fromkeys(completions))
    ]


def _measured(
    loaded: LoadedRun, questions: Sequence[Query], measurement: str, progress: Progress
) -> Iterator[QueryResult]:
    progress.start("Measuring the completion", len(questions), "completions")
    for question in questions:
        yield measure(loaded.model, loaded.layers, question, measurement)
        progress.advance(1)
    progress.finish()


class _Exact:
    """Position influence of documents on some questions, all in one pass over them."""

    def __init__(self, loaded: LoadedRun, results: Sequence[QueryResult], progress: Progress) -> None:
        self._loaded, self._progress, self._questions = loaded, progress, len(results)
        self._cutting = run_cutting(loaded.run.folder)
        progress.start("Preconditioning", len(loaded.factors), "layers")
        self.gradients = [QueryGradient(result.sides, result.hidden) for result in results]
        directions = full_directions(
            self.gradients,
            loaded.factors,
            loaded.run.query["settings"]["damping_factor"],
            free_memory(loaded.model.device),
            lambda: progress.advance(1),
        )
        progress.finish()
        places = {place: place for place in range(len(results))}
        batch_tokens = loaded.run.score["settings"]["batch_tokens"]
        self._scorer = Scorer(loaded.model, loaded.layers, directions, places, batch_tokens)

    def influence(self, documents: Sequence[Sequence[int]]) -> list[dict[int, TokenInfluence]]:
        """Token influence of each question's documents.

        Raises:
            RunError: If one is not finite.
        """
        wanted: dict[int, list[int]] = {}
        for place, chosen in enumerate(documents):
            for document in chosen:
                wanted.setdefault(document, []).append(place)
        lengths: Any = self._loaded.run.documents["tokens"].to_numpy()
        sizes = {document: positions(self._cutting, int(lengths[document])) for document in wanted}
        windows = self.windows(wanted)
        self._progress.start(f"Exact influence of {len(wanted):,} documents", sum(map(len, windows)))
        found: list[dict[int, TokenInfluence]] = [{} for _ in documents]
        for place, document, values in self._scorer.position(wanted, windows, sizes, self._progress):
            if not np.isfinite(values).all():
                raise RunError(
                    f"{self._loaded.run.path}: an influence came out as NaN or infinity -- the model overflows in "
                    f"{self._loaded.model.dtype} -- fit a new run with --dtype float32."
                )
            found[place][document] = TokenInfluence("position", values, self._loaded.run.has_start)
        self._progress.finish()
        return found

    def windows(self, documents: Collection[int]) -> list[Window]:
        """Windows of some documents, in order."""
        return list(chain.from_iterable(windows_by_shard(self._loaded.run.folder, documents, self._cutting)))
