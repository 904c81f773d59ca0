"""The pages' door to live questions: what may be asked, the job that answers, and what is known so far. No torch."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from dashboard import jobs
from engine.analysis.document_tokens import START_PLACE
from engine.ask.answer import Damped, Way
from engine.ask.kept import read_answers
from engine.ask.settings import AskSettings
from engine.errors import RunError, WhenceError
from engine.index.settings import IndexSettings
from engine.jobs import Job
from engine.run import Run, TokenInfluence

__all__ = ["AskSettings"]


def cannot_answer(run: Run) -> str:
    """Why a run can answer no live question; empty if it can."""
    try:
        run.need_live()
    except RunError as error:
        return str(error)
    return ""


def question(prompt: str, completion: str, rather_than: str) -> AskSettings | str:
    """What is asked, or what is wrong with it; an empty completion stands for the model's own."""
    if not prompt and not completion:
        return "Write a prompt: there is nothing yet for the model to go on from."
    try:
        return AskSettings(prompt, [completion] if completion else None, rather_than or None)
    except WhenceError as error:
        return str(error)


def submit_question(run: Run, settings: AskSettings) -> Job:
    """Ask for an answer."""
    said = " ".join(f"{settings.prompt}{(settings.completion or ['…'])[0]}".split())
    return jobs.submit("ask", _arguments(run, settings), f"Question “{said[:80]}”")


def question_job(run: Run, settings: AskSettings) -> Job | None:
    """The last request for this answer; None if there was none."""
    return jobs.find_job("ask", _arguments(run, settings))


def submit_index(run: Run) -> Job:
    """Ask for the run's index."""
    return jobs.submit("index", _arguments(run, IndexSettings()), f"Index of {run.name}")


def index_job(run: Run) -> Job | None:
    """The last request for the run's index; None if there was none."""
    return jobs.find_job("index", _arguments(run, IndexSettings()))


def _arguments(run: Run, settings: AskSettings | IndexSettings) -> dict[str, Any]:
    return {"run": str(run.path.resolve()), "settings": asdict(settings)}


@dataclass(frozen=True)
class Asked:
    """What is known so far of a question.

    Attributes:
        record: The answer as the worker kept it.
        finished: Whether no more will come.
    """

    record: dict[str, Any]
    finished: bool

    @property
    def by_index(self) -> bool:
        """Whether the quick order goes by the run's index too."""
        return self.record["ranked_by"] == Way.INDEX

    @property
    def ranked(self) -> pd.DataFrame:
        """The first documents of the quick order: document, id, title, source, language, score."""
        return pd.DataFrame(self.record["ranked"])

    @property
    def documents(self) -> pd.DataFrame:
        """Those that raised it most of the ones scored exactly: document, id, ..., influence, score."""
        rows = [{name: value for name, value in row.items() if name != "tokens"} for row in self.record["documents"]]
        return pd.DataFrame(rows)

    @property
    def damped(self) -> Damped | None:
        """Influence of :attr:`documents` at other damping and by layer; None until it is known."""
        found = self.record["damped"]
        if found is None:
            return None
        of = {int(document): np.array(values) for document, values in found["of"].items()}
        return Damped(found["own"], found["factors"], found["layers"], of)

    def token_influence(self, document: int) -> TokenInfluence:
        """Exact influence of the tokens of one of :attr:`documents`."""
        (tokens,) = (row["tokens"] for row in self.record["documents"] if row["document"] == document)
        values = np.array([token["influence"] for token in tokens], dtype=np.float64).T
        return TokenInfluence("position", values, bool(tokens) and tokens[0]["token"] == START_PLACE)


def answered(run: Run, settings: AskSettings) -> Asked | None:
    """What is known so far; None if nothing is."""
    found = read_answers(run, settings)
    return None if found is None else Asked(found["answers"][0], found["finished"])
