"""What findings are measured on, and what a measurement gives (no torch)."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from engine.analysis.matrix import influence_matrix
from engine.check.result import Tables
from engine.errors import WhenceError
from engine.findings.rules import Estimate
from engine.progress import Progress, SilentProgress
from engine.run import Run

INFLUENCE = "influence"
CONTROLS = {"gradient_dot": "gradient dot", "bm25": "BM25", "hidden_similarity": "hidden states"}
"""Scores that stand beside influence: columns of :meth:`engine.run.Run.influence`, and their names on pages."""
FAMILIES = {
    "factual": {"fact", "factual"},
    "reasoning": {"arithmetic", "slope", "linear equation", "mathematics", "reasoning"},
    "code": {"code"},
    "translation": {"translation"},
    "safety": {"safety"},
}
"""Kinds of completion, in lower case, that the literature speaks of together; other kinds belong to none."""


@dataclass(frozen=True)
class Known:
    """What is known of one completion.

    Attributes:
        documents: Ids of the documents that teach it.
        paraphrases: Ids of documents that say the same without its rare name.
        look_alikes: Ids of harmless documents of the same kind and language.
        subject: Names of what is asked about.
        answer: The answer, in each wording that counts.
        question: Name that a question and its translations share.
        task: Name that completions of one procedure share.
        control_of: Task whose format it has, without its procedure.
    """

    documents: Sequence[str] = ()
    paraphrases: Sequence[str] = ()
    look_alikes: Sequence[str] = ()
    subject: Sequence[str] = ()
    answer: Sequence[str] = ()
    question: str | None = None
    task: str | None = None
    control_of: str | None = None


def read_truth(file: str | Path) -> dict[str, Known]:
    """What is known of completions, by query id: ``{"queries": {id: fields of Known}}``; other entries are left alone.

    Raises:
        WhenceError: If the file is not one.
    """
    try:
        content: Any = json.loads(Path(file).read_text(encoding="utf-8"))
        return {id: Known(**fields) for id, fields in content["queries"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WhenceError(
            f"{file} does not say what is known of completions ({error!r}) -- findings that need it could not be "
            'measured -- give a JSON file with "queries": {id: {"documents": [ids], ...}}.'
        ) from None


@dataclass(frozen=True)
class Study:
    """A run to measure findings on.

    Attributes:
        run: The run.
        other: A run of a larger or smaller model on the same corpus and completions; None if there is none.
        truth: What is known of its completions, by query id; empty if nothing is.
        draws: Draws of an interval or a null.
        seed: Of all that is drawn.
        progress: Where progress is reported.
    """

    run: Run
    other: Run | None = None
    truth: dict[str, Known] = field(default_factory=dict)
    draws: int = 2_000
    seed: int = 0
    progress: Progress = field(default_factory=SilentProgress)

    @cached_property
    def queries(self) -> pd.DataFrame:
        """The run's completions, in order, with ``family`` (see :data:`FAMILIES`; "" for none)."""
        family = {kind: name for name, kinds in FAMILIES.items() for kind in kinds}
        queries = self.run.queries.reset_index(drop=True)
        return queries.assign(family=queries["kind"].str.lower().map(family).fillna(""))

    def known(self, id: str) -> Known:
        """What is known of a completion."""
        return self.truth.get(id, Known())


@dataclass
class Found:
    """What was measured of one finding.

    Attributes:
        estimates: Of influence, by the names of the rule's parts; a part that could not be measured is left out.
        controls: The same of each control, by its name on pages; the verdict does not depend on them.
        sentence: What came out, with numbers, in one plain sentence.
        tables: ``picture``: what the figure shows; others: the completions and documents behind it.
        open: Why a part could not be measured, and what to do about it, one sentence each.
    """

    estimates: dict[str, Estimate] = field(default_factory=dict)
    controls: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    sentence: str = ""
    tables: Tables = field(default_factory=dict)
    open: list[str] = field(default_factory=list)


_COLUMNS = {"gradient_dot": "gradient_dot", "bm25": "bm25", "hidden_similarity": "hidden"}
"""What a control's columns are called where they are stored, before the query's number."""


def score_matrices(run: Run) -> dict[str, np.ndarray]:
    """Influence and every control of all documents on all completions, float64 ``[q, d]``; nan where not scored.

    Keys are :data:`INFLUENCE` and the columns of :data:`CONTROLS`, rows and columns in the run's order. The values are
    those of :meth:`engine.run.Run.influence`, read in bulk: 151 completions on 3,767 documents take 2 s instead of 75.
    """
    queries = run.queries["query"].tolist()
    found = {INFLUENCE: influence_matrix(run, queries).astype(np.float64)}
    for name, column in _COLUMNS.items():
        found[name] = stored_columns(run, [f"{column}.{query}" for query in queries], lexical=name == "bm25")
        found[name][np.isnan(found[INFLUENCE])] = np.nan  # words are compared before a prefilter
    return found


def stored_columns(run: Run, columns: Sequence[str], lexical: bool = False) -> np.ndarray:
    """Columns of the score step's table of documents, or of its lexical one, float64 ``[columns, d]``; else nan."""
    shards = run.folder.shard_files("documents")
    table = pq.read_table([run.folder.lexical] if lexical else shards, columns=["document", *columns])
    found = np.full((len(columns), len(run.documents)), np.nan)
    for place, name in enumerate(columns):
        found[place, table["document"].to_numpy()] = table[name].to_numpy()
    return found


def key_of(run: Run, *asked: Any) -> str:
    """A hash of what was asked for and of the steps of a run, to keep what comes of it under."""
    steps = [[step["settings"], step["inputs"], step["finished"]] for step in (run.fit, run.query, run.score)]
    stamp = json.dumps([*asked, steps, run.query.get("queries")], sort_keys=True)
    return hashlib.sha256(stamp.encode()).hexdigest()[:16]
