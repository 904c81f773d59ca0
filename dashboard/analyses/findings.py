"""The pages' door to findings: what the literature says, and what was measured of it here and elsewhere. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import streamlit as st

from engine.check.result import Result, read_result
from engine.errors import WhenceError
from engine.findings.claims import CLAIMS, Claim, Source
from engine.findings.findings import FIGURES, changes_since, sample_hash
from engine.findings.rules import RULES, Part, Verdict
from engine.findings.settings import FindingsSettings
from engine.findings.show import written as write_number
from engine.findings.study import CONTROLS, INFLUENCE
from engine.machine import repository_folder
from engine.run import Run
from engine.store import RunFolder

__all__ = ["CLAIMS", "CONTROLS", "INFLUENCE", "RULES", "TITLES", "VERDICTS", "Claim", "Part", "Source"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
SAMPLE_CORPUS = "the embedded sample"


@dataclass(frozen=True)
class Measured:
    """What was measured of one finding.

    Attributes:
        verdict: Whether it holds.
        sentence: What came out, with numbers.
        rule: The rule it was judged by, in words.
        planted: Whether the documents that would bring the effect about were written into the corpus for it.
        corpus: What it was measured on.
        model: Of which model.
        other: The model it was compared with; empty if there was none.
        estimates: Rows score, part, says, value, low, high, units, null, bound, side, answer.
        tables: ``picture`` and what lies behind it, by name.
        open: What could not be measured, and what to do about it.
        draws: Draws of an interval or a null.
        seed: Of all that is drawn.
        made_from: What else it depends on: states of ``run``, ``other`` and ``code``.
        seconds: How long it took.
        finished: When, in UTC.
        versions: Of Python and the packages that matter.
    """

    verdict: Verdict
    sentence: str
    rule: str
    planted: bool
    corpus: str
    model: str
    other: str
    estimates: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    open: tuple[str, ...]
    draws: int
    seed: int
    made_from: Mapping[str, Any]
    seconds: float
    finished: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Unreadable:
    """A result that this version cannot read; ``why`` says so in a sentence."""

    why: str


Kept = Measured | Unreadable | None
"""A result, why it cannot be read, or that nothing was measured."""


def kept(run: Run) -> dict[str, Kept]:
    """What was measured of each finding on a run."""
    return kept_in(run.folder)


def shipped() -> dict[str, dict[str, Kept]]:
    """Results that came with the repository: what they were measured on -> what was measured of each finding."""
    home = repository_folder() / "sample_data" / "findings"
    folders = sorted(path for path in home.iterdir() if path.is_dir()) if home.is_dir() else []
    found: dict[str, dict[str, Kept]] = {}
    for folder in folders:
        results = _read({name: folder / f"{name}.json" for name in CLAIMS})
        label = next((_place(one) for one in results.values() if isinstance(one, Measured)), None)
        if label is not None:
            found[label if label not in found else f"{label} ({folder.name})"] = results
    return found


def _place(found: Measured) -> str:
    """Model and corpus in words; the sample's models are called by their size, other corpora by their file."""
    if found.corpus == SAMPLE_CORPUS:
        return f"the {found.model} model on {found.corpus}"
    return f"{found.model} on {found.corpus.replace('-', ' ').replace('_', ' ')}"


def kept_in(folder: RunFolder) -> dict[str, Kept]:
    """Likewise, of a run's folder."""
    return _read({name: folder.finding(name) for name in CLAIMS})


def _read(files: Mapping[str, Path]) -> dict[str, Kept]:
    return {
        name: _result(str(file), file.stat().st_mtime_ns) if file.is_file() else None for name, file in files.items()
    }


@st.cache_data(max_entries=100, show_spinner=False)
def _result(file: str, changed: int) -> Measured | Unreadable:
    """A result; ``changed`` keeps the cache true."""
    try:
        return _measured(read_result(Path(file)))
    except WhenceError as error:
        return Unreadable(str(error))
    except (KeyError, IndexError, TypeError, ValueError):
        return Unreadable(f"{Path(file).name} lacks what a finding's result holds -- it would be misread.")


def _measured(result: Result) -> Measured:
    (verdict,) = result.tables["verdict"]
    estimates = pd.DataFrame(result.tables["estimates"], columns=ESTIMATE_COLUMNS)
    numbers = ["value", "low", "high", "units", "null", "bound"]
    return Measured(
        **{name: verdict[name] for name in ("verdict", "sentence", "rule", "model")},
        corpus=SAMPLE_CORPUS if result.settings["planted"] else verdict["corpus"],
        planted=bool(verdict["planted"]),
        other=verdict["other"] or "",
        estimates=estimates.assign(**estimates[numbers].astype(float)),
        tables={name: pd.DataFrame(rows) for name, rows in result.tables.items() if name not in FIGURES},
        open=tuple(row["text"] for row in result.tables["open"]),
        draws=int(result.settings["draws"]),
        seed=int(result.settings["seed"]),
        made_from={name: result.settings[name] for name in ("run", "other", "code")},
        seconds=result.seconds,
        finished=result.finished,
        versions=result.versions,
    )


ESTIMATE_COLUMNS = ("score", "part", "says", "value", "low", "high", "units", "null", "bound", "side", "answer")


def outdated(run: Run, name: str, found: Measured) -> list[str]:
    """Why a result kept in a run may not be what measuring anew would give, one sentence each."""
    said, default = changes_since(run, name, found.made_from, found.rule), FindingsSettings(str(run.path))
    if (found.draws, found.seed) != (default.draws, default.seed):
        said.append(
            f"It was measured with {found.draws:,} draws and seed {found.seed}; a measurement from here has "
            f"{default.draws:,} and {default.seed}."
        )
    return said


def is_sample(run: Run) -> bool:
    """Whether a run's corpus is the embedded sample, whatever its file is called."""
    return run.fit["inputs"].get("corpus_hash") == _sample_hash()


@st.cache_resource(show_spinner=False)
def _sample_hash() -> str:
    return sample_hash()


TITLES = ("completion", "document", "question", "title", "other", "strongest")
"""Columns of a finding's tables that hold titles."""


def is_id(column: str) -> bool:
    """Whether a column of a finding's tables holds ids, which pages do not show."""
    return column == "id" or column.endswith(("_id", " id"))


def places_of(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """What leads to each row's completion and document on the Influence page: ``query`` and ``document``, ids.

    A column is there only where some of the table's ids, or its titles where they are unique, name such things.
    """
    found = {
        "query": _named(run.queries, table, ("completion", "title")),
        "document": _named(run.documents, table, ("document", "title")),
    }
    return pd.DataFrame({name: ids for name, ids in found.items() if ids is not None}, index=table.index)


def _named(things: pd.DataFrame, table: pd.DataFrame, titles: tuple[str, ...]) -> pd.Series | None:
    """The id of the thing that each row names."""
    known = set(things["id"])
    for column in filter(is_id, table):
        if table[column].isin(known).any():
            return table[column].where(table[column].isin(known))
    ids = things.drop_duplicates("title", keep=False).set_index("title")["id"]
    for column in titles:
        if column in table and table[column].isin(ids.index).any():
            return table[column].map(ids)
    return None


def written(part: Part, value: float) -> str:
    """A value of a part of a rule, as its bound is written."""
    return "unknown" if pd.isna(value) else write_number(part, value).replace("-", "−")
