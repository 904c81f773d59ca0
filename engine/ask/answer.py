"""The answer to a live question: all documents in a quick order, then exact influence of the first ones (no torch)."""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from engine.analysis.layers import block_of
from engine.analysis.tails import rank_correlation
from engine.corpus import Query
from engine.run import Run, TokenInfluence
from engine.settings import UNITS
from engine.show import token_records


class Way(StrEnum):
    """What a first ranking goes by: the run's index and shared tokens, or the tokens alone."""

    INDEX = "index"
    WORDS = "words"


@dataclass(frozen=True)
class Ranking:
    """What a question's first stage says of all documents.

    Attributes:
        question: Prompt and completion, and what it is compared with.
        measurement: What is measured of the completion.
        tokens: One row per completion token: side, token_id, start, end, log_prob, value, straddles.
        by: What it goes by.
        scores: Score of each document, ``[documents]``; it has no unit, its order is what counts.
        recall: What such an order found of the run's own completions, in a sentence; empty if that is unknown.
    """

    question: Query
    measurement: str
    tokens: list[dict[str, Any]]
    by: Way
    scores: np.ndarray
    recall: str

    @property
    def unit(self) -> str:
        """Unit of the measurement."""
        return UNITS[self.measurement]

    @property
    def value(self) -> float:
        """What was measured."""
        return float(sum(row["value"] for row in self.tokens))

    def first(self, count: int) -> np.ndarray:
        """Numbers of the first documents, best first."""
        return np.argsort(-self.scores, kind="stable")[:count]

    def table(self, run: Run, count: int) -> pd.DataFrame:
        """The first documents: document, id, title, source, language, score."""
        first = self.first(count)
        about = run.documents.set_index("document").loc[first, ["id", "title", "source", "language"]]
        return about.reset_index().assign(score=self.scores[first])


@dataclass(frozen=True)
class Damped:
    """Influence of some documents by damping and layer.

    Attributes:
        own: The run's damping factor, one of ``factors``.
        factors: Damping factors, as multiples of each layer's mean eigenvalue, ascending.
        layers: Names of the tracked layers.
        of: ``{document: influence, [damping factors, layers]}``; over the layers it adds up to the document's.
    """

    own: float
    factors: Sequence[float]
    layers: Sequence[str]
    of: Mapping[int, np.ndarray]

    @property
    def blocks(self) -> list[int]:
        """Numbers of the network's blocks with tracked layers, ascending."""
        return sorted({block for name in self.layers if (block := block_of(name)) is not None})

    def influence(self, factor: float, blocks: Container[int] | None = None) -> dict[int, float]:
        """Each document's influence at one of the factors.

        Args:
            factor: The damping factor.
            blocks: Through the layers of these blocks only; None for all layers.
        """
        at = self.factors.index(factor)
        counted = [blocks is None or block_of(name) in blocks for name in self.layers]
        return {document: float(values[at][counted].sum()) for document, values in self.of.items()}

    def agreement(self, factor: float, blocks: Container[int] | None = None) -> float:
        """Rank correlation of these influences with those of the run's own damping and all layers; nan for one."""
        own, other = self.influence(self.own), self.influence(factor, blocks)
        return rank_correlation(np.array(list(own.values())), np.array(list(other.values())))


@dataclass(frozen=True)
class Answer:
    """What is known so far: the first ranking, and exact influence of the documents that are scored.

    Attributes:
        ranking: The first ranking.
        influence: ``{document: influence of its tokens by position}``; none at first.
        damped: At other damping and through single layers, of the documents shown; comes last.
    """

    ranking: Ranking
    influence: Mapping[int, TokenInfluence]
    damped: Damped | None = None

    def table(self, run: Run, count: int) -> pd.DataFrame:
        """The documents that raised the completion most by exact influence: document, id, title, ..., influence."""
        documents = np.fromiter(self.influence, dtype=np.int64)
        exact = np.array([found.influence.sum() for found in self.influence.values()], dtype=np.float64)
        order = np.argsort(-exact, kind="stable")[:count]
        about = run.documents.set_index("document").loc[documents[order], ["id", "title", "source", "language"]]
        return about.reset_index().assign(influence=exact[order], score=self.ranking.scores[documents[order]])

    def record(self, run: Run, count: int) -> dict[str, Any]:
        """The whole answer, fit for JSON."""
        ranking = self.ranking
        documents = [
            row | {"tokens": token_records(run, row["document"], self.influence[row["document"]])}
            for row in self.table(run, count).to_dict("records")
        ]
        asked = {name: asdict(ranking.question)[name] for name in ("prompt", "completion", "contrast")}
        told: dict[str, Any] = asked | {
            "measurement": ranking.measurement,
            "unit": ranking.unit,
            "value": ranking.value,
            "completion_tokens": ranking.tokens,
            "ranked_by": str(ranking.by),
            "recall": ranking.recall,
            "ranked": ranking.table(run, count).to_dict("records"),
            "exact_documents": len(self.influence),
            "raised_documents": sum(found.influence.sum() > 0 for found in self.influence.values()),
            "documents": documents,
            "damped": None if self.damped is None else _record(self.damped),
        }
        plain: dict[str, Any] = json.loads(json.dumps(told, default=lambda value: value.item()))
        return plain


def _record(damped: Damped) -> dict[str, Any]:
    """Fit for JSON."""
    told = {name: getattr(damped, name) for name in ("own", "factors", "layers")}
    return told | {"of": {str(document): values.tolist() for document, values in damped.of.items()}}
