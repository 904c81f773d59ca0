"""Tokens -> the pieces of text a reader sees.

Byte-level tokenizers split one character into several tokens that share its offsets, and
graphemes (an emoji with its joiners, a letter with its accents) into several characters.
A displayed unit is the smallest piece that tears neither apart; joined, the units are the text.
"""

from dataclasses import dataclass

import numpy as np
import regex

from engine.corpus import Tokens


@dataclass(frozen=True)
class Unit:
    """A displayed piece of text and the tokens it stands for.

    Attributes:
        start: First character.
        end: Character after the last.
        tokens: Places of its tokens in the document; empty for characters no token covers.
    """

    start: int
    end: int
    tokens: tuple[int, ...]


def display_units(text: str, tokens: Tokens) -> list[Unit]:
    """Units that cover the text without gap or overlap, in order.

    Args:
        text: The document's text.
        tokens: Its tokens with character offsets.
    """
    cuts = _cuts(text, tokens)
    places: list[list[int]] = [[] for _ in range(len(cuts) - 1)]
    if places:
        at = np.searchsorted(cuts, tokens.starts, side="right") - 1
        for token, unit in enumerate(np.clip(at, 0, len(places) - 1)):
            places[unit].append(token)
    return [
        Unit(int(start), int(end), tuple(held)) for start, end, held in zip(cuts[:-1], cuts[1:], places, strict=True)
    ]


def _cuts(text: str, tokens: Tokens) -> np.ndarray:
    """Boundaries of units: where tokens begin or end, except inside a token or a grapheme."""
    if not text:
        return np.zeros(1, dtype=np.int64)
    boundary = np.zeros(len(text) + 1, dtype=bool)
    boundary[tokens.starts] = boundary[tokens.ends] = True
    inside = np.zeros(len(text) + 2, dtype=np.int64)
    wide = tokens.ends - tokens.starts > 1
    np.add.at(inside, tokens.starts[wide] + 1, 1)
    np.add.at(inside, tokens.ends[wide], -1)
    boundary &= inside.cumsum()[: len(text) + 1] == 0
    grapheme = np.zeros(len(text) + 1, dtype=bool)
    grapheme[[match.start() for match in regex.finditer(r"\X", text)]] = True
    boundary &= grapheme
    boundary[[0, len(text)]] = True
    return boundary.nonzero()[0]
