"""Variants of a document side by side: token strips on one scale, the same word marked in all of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import word_order as analyses
from dashboard.components import text
from dashboard.components.token_strip import Look, Piece, token_strip

PER_ROW = 3
MAX_PIECES = 4_000
NEVER_SEEN = "hypothetical"
VARIANTS_NEVER_SEEN = (
    "Variants are hypothetical texts: the model never saw them. Each is scored as if it had been a document of the "
    "corpus."
)
NEVER_SEEN_HELP = "The model never saw this text. It is scored as if it had been a document of the corpus."


@dataclass(frozen=True)
class Shown:
    """A variant as it is shown.

    Attributes:
        one: The variant with its influence.
        label: Its name on the page.
        summary: Its row of the summary over draws; None for the original.
        strip: Its token strip.
    """

    one: analyses.VariantInfluence
    label: str
    summary: pd.Series | None
    strip: analyses.Strip


def variant_strips(
    shown: Sequence[Shown], found: analyses.Ablation, key: str, word: int | None, on_word: Callable[[int | None], None]
) -> None:
    """Draw variants in rows of three, the original first.

    Args:
        shown: The variants.
        found: What they belong to, for noise and unit.
        key: Name of the strips on the page, other for each document.
        word: Number of the original's word that is pinned, if any.
        on_word: Called with the word that is chosen, or None when it is released.
    """
    scale = data.scale_of(np.concatenate([one.strip.values for one in shown]).tolist())
    for first in range(0, len(shown), PER_ROW):
        row = shown[first : first + PER_ROW]
        for place, column in enumerate(st.columns(PER_ROW, gap="medium")[: len(row)]):
            with column:
                _one(row[place], found, f"{key}_{first + place}", scale, word, on_word)


def _one(
    shown: Shown,
    found: analyses.Ablation,
    key: str,
    scale: float,
    word: int | None,
    on_word: Callable[[int | None], None],
) -> None:
    units, words = shown.strip.units, shown.strip.words
    original = shown.one.name == "original"
    unseen = analyses.is_hypothetical(shown.one.name)
    badge = f" :gray-badge[{NEVER_SEEN}]" if unseen else ""
    st.markdown(f"**{text.escape(shown.label)}**{badge}", help=NEVER_SEEN_HELP if unseen else None)
    word_at = {unit.tokens[0]: number for unit, number in zip(units, words, strict=True) if unit.tokens}

    def choose(places: list[int]) -> None:
        chosen = next((word_at.get(place) for place in places), None)
        on_word(None if chosen == word else chosen)

    token_strip(
        _pieces(shown.strip)[:MAX_PIECES],
        key=f"variant_{key}",
        label=f"{shown.label}: the text with the influence of each token",
        unit=f"{found.unit} per unit of weight",
        selected=[place for place, number in word_at.items() if number == word and word is not None],
        scale=scale,
        look=Look(link="variants", legend=original),
        on_choose=choose,
    )
    if len(units) > MAX_PIECES:
        st.caption(f"The first {MAX_PIECES:,} of {len(units):,} pieces; numbers are of the whole text.")
    st.markdown(_numbers(shown, found))


def _pieces(strip: analyses.Strip) -> list[Piece]:
    pieces = [Piece("", float(strip.values[0]), data.START_PLACE)] if strip.values[0] else []
    rows = zip(strip.units, strip.values[1:], strip.parts, strip.words, strict=True)
    for unit, value, parts, word in rows:
        body = strip.text[unit.start : unit.end]
        if unit.tokens:
            pieces.append(Piece(body, float(value), unit.tokens[0], parts if len(parts) > 1 else (), word))
        else:
            pieces.append(Piece(body, None))
    return pieces


def _numbers(shown: Shown, found: analyses.Ablation) -> str:
    """Influence, difference and share under a strip."""
    total, unit = shown.one.total, f"{found.unit} per unit of weight"
    if shown.summary is None:
        return f"**{text.number(total)}** {unit}"
    difference, ratio = found.difference(shown.one), found.ratio(shown.one)
    left = "no share: the original is within the noise" if ratio is None else f"{text.share(ratio)} of the original"
    line = f"**{text.number(total)}** {unit}, a difference of **{text.number(difference)}** {unit} · {left}"
    row = shown.summary
    if row["draws"] > 1:
        line += (
            f"  \n:gray[Mean (range of {row['draws']} draws): {text.number(row['influence'])} "
            f"({_range(row, '', text.number)}), difference {text.number(row['difference'])} "
            f"({_range(row, 'difference_', text.number)}) {unit}"
        )
        if ratio is not None:
            line += f"; {text.share(row['ratio'])} of the original ({_range(row, 'ratio_', text.share)})"
        line += "]"
    return line


def _range(row: pd.Series, prefix: str, write: Callable[[float], str]) -> str:
    return f"{write(row[f'{prefix}low'])} to {write(row[f'{prefix}high'])}"


def pinned_word(shown: Sequence[Shown], original: str, word: int, unit: str) -> None:
    """Say what one word of the original carries in each variant."""
    body = analyses.word_text(original, word)
    parts = []
    for one in shown:
        value = analyses.word_values(one.strip).get(word, math.nan)
        label = text.escape(one.label)
        parts.append(f"{label} {'is without it' if math.isnan(value) else f'**{text.number(value)}**'}")
    st.markdown(f"Pinned: **“{text.escape(body)}”**, {unit} per unit of weight. {' · '.join(parts)}.")
