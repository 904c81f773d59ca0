"""The pages' door to word order: variants that the worker scored, and requests for them. No torch."""

import bisect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import jobs
from dashboard.runs import OF_RUN
from engine.ablation_file import ablation_key, read_ablation, read_top, top_changed
from engine.analysis.ablation import Ablation, VariantInfluence, summarise
from engine.analysis.document_tokens import unit_influence
from engine.analysis.resampling import drawn_by
from engine.analysis.units import Unit, display_units
from engine.analysis.word_order import ALL_KINDS, DRAWS, effects, spread
from engine.run import Run
from engine.variants import LABELS as NAMES
from engine.variants import MADE, OF_CORPUS, ORIGINAL, RECORDED, VariantSettings, words

__all__ = [
    "ALL_KINDS", "MADE", "OF_CORPUS", "RECORDED", "Ablation", "VariantInfluence", "VariantSettings", "summarise",
]  # fmt: skip


PER_QUERY = 3
"""Documents of each completion, and unrelated ones, that are scored in bulk."""
DEFAULT_VARIANTS = VariantSettings()
LABELS = NAMES | {
    "words_shuffled_nearby": f"{NAMES['words_shuffled_nearby']} of {DEFAULT_VARIANTS.window_words} words",
}
"""What pages call each variant."""
DRAWN = {name: getattr(DEFAULT_VARIANTS, name) for name in ("draws", "seed", "window_words")}
"""How the shuffles are made."""
DRAWN_OVER_ALL = DRAWN | {"resamplings": DRAWS, "seed_of_resamplings": drawn_by(spread)["seed"]}
"""Likewise, and what the intervals of :func:`word_order_spread` rest on."""


def is_hypothetical(name: str) -> bool:
    """Whether a variant of this name is a text that the model never saw."""
    return name not in (ORIGINAL, *OF_CORPUS)


def edit_settings(text: str) -> VariantSettings:
    """To score a reader's own text."""
    return VariantSettings(only_given=True, texts={"edit": text})


def other_settings(document: int) -> VariantSettings:
    """To score another document of the corpus beside it."""
    return VariantSettings(only_given=True, documents=(document,))


def same_content(run: Run, document: int) -> list[int]:
    """Documents of which the corpus records that they say the same, in the order of their variants."""
    return run.recorded(document)[1]


def key_of(settings: VariantSettings) -> str:
    """Name of what was asked for, for the address."""
    return ablation_key(settings)


def ablation(run: Run, query: int, document: int, key: str) -> Ablation | None:
    """Variants of a document as the worker kept them; None where it did not yet."""
    changed = _changed(run.folder.ablation_of(query, document, key))
    return _ablation(run, query, document, key, changed) if changed else None


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=OF_RUN)
def _ablation(run: Run, query: int, document: int, key: str, changed: int) -> Ablation | None:
    return read_ablation(run, query, document, key)


def joined(found: Ablation, *others: Ablation | None) -> Ablation:
    """Variants of one document from several requests, those of ``others`` right after the original."""
    more = tuple(one for other in others if other is not None for one in other.variants[1:])
    return replace(found, variants=(found.original, *more, *found.variants[1:]))


def submit_ablation(run: Run, query: int, document: int, settings: VariantSettings, title: str) -> None:
    """Ask for variants of a document."""
    asked: dict[str, Any] = {"settings": asdict(settings)}
    jobs.submit("ablate", _about(run, query, document, ablation_key(settings)) | asked, title)


def ablation_job(run: Run, query: int, document: int, key: str) -> jobs.Job | None:
    """The last request for these variants; None if there was none."""
    return jobs.find_job("ablate", _about(run, query, document, key))


def submit_top(run: Run) -> None:
    """Ask for variants of the strongest documents of all completions."""
    title = f"Word order of the strongest documents, {run.name}"
    jobs.submit("ablate_top", {"run": str(run.path.resolve()), "per_query": PER_QUERY}, title)


def top_job(run: Run) -> jobs.Job | None:
    """The last request for them; None if there was none."""
    return jobs.find_job("ablate_top", {"run": str(run.path.resolve())})


def word_order_effects(run: Run) -> pd.DataFrame:
    """What each variant leaves of each completion's strongest documents, of those completions that are done."""
    return _effects(run, top_changed(run.folder))


@st.cache_data(max_entries=4, show_spinner=False, hash_funcs=OF_RUN)
def _effects(run: Run, changed: float) -> pd.DataFrame:
    queries = run.queries.set_index("query")
    found = effects(read_top(run.folder, queries.index.tolist()), queries["kind"])
    return found.assign(completion=found["query"].map(queries["title"]))


def word_order_spread(run: Run, measure: str, kind: str = ALL_KINDS) -> pd.DataFrame:
    """Medians over completions, of one kind or of every kind, of ``left`` or ``change``, with intervals."""
    return _spread(run, measure, kind, top_changed(run.folder))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=OF_RUN)
def _spread(run: Run, measure: str, kind: str, changed: float) -> pd.DataFrame:
    found = _effects(run, changed)
    if kind == ALL_KINDS:
        return spread(found, measure)
    return spread(found[found["kind"] == kind], measure).assign(kind=kind)


@dataclass(frozen=True)
class Strip:
    """A variant as a token strip shows it.

    Attributes:
        text: Its text.
        units: Pieces of it.
        values: Influence of the start token and of each unit, ``[1 + units]``.
        parts: Influence of the tokens of each unit.
        words: The original's word each unit belongs to; None for none.
    """

    text: str
    units: list[Unit]
    values: np.ndarray
    parts: list[tuple[float, ...]]
    words: list[int | None]


def strip_of(one: VariantInfluence) -> Strip:
    """A variant's tokens summed over the completion's."""
    units = display_units(one.text, one.tokens)
    of_tokens = one.by_token.of_tokens.sum(0)
    return Strip(
        one.text,
        units,
        unit_influence(one.by_token, units).sum(0),
        [tuple(of_tokens[list(unit.tokens)].tolist()) for unit in units],
        _words_of(one, units),
    )


def word_values(strip: Strip) -> dict[int, float]:
    """Influence of each of the original's words where it stands in a variant; words that are gone are not there."""
    sums: dict[int, float] = {}
    for word, value in zip(strip.words, strip.values[1:], strict=True):
        if word is not None:
            sums[word] = sums.get(word, 0.0) + float(value)
    return sums


def word_text(original: str, word: int) -> str:
    """The original's word of this number; empty if there is none."""
    spans = words(original)
    return original[slice(*spans[word])] if 0 <= word < len(spans) else ""


def _words_of(one: VariantInfluence, units: Sequence[Unit]) -> list[int | None]:
    """The first word that each unit shares a character with."""
    ends = [word.end for word in one.origin]
    found: list[int | None] = []
    for unit in units:
        place = bisect.bisect_right(ends, unit.start)
        shares = place < len(ends) and one.origin[place].start < unit.end
        found.append(one.origin[place].word if shares and unit.tokens else None)
    return found


def _about(run: Run, query: int, document: int, key: str) -> dict[str, Any]:
    return {"run": str(run.path.resolve()), "query": query, "document": document, "key": key}


def _changed(file: Path) -> int:
    return file.stat().st_mtime_ns if file.is_file() else 0
