"""A text in pieces as the report draws it: coloured by influence, with what it hides made visible.

The pieces join back to the text exactly: each says what it stands for where it shows something else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.analysis.document_tokens import START_PLACE, scale_of, token_table, unit_influence
from engine.analysis.units import Unit, display_units
from engine.run import Run
from engine.words import plain, visible_pieces

LEVELS = 10
"""Shades of a colour."""
MOST_UNITS = 3_000
"""Pieces of a document that are drawn; a report is to be read, and printed."""
STRONGEST = 8
KINDS = ("position", "prediction")
"""Definitions of a token's influence; the first one that is stored is shown."""


@dataclass(frozen=True)
class Piece:
    """What is shown, and the text that it stands for, which differs for what would not be seen."""

    shown: str
    source: str


@dataclass(frozen=True)
class Span:
    """Pieces of one colour: ``level`` from -10 (lowers) to 10 (raises), 0 for none."""

    pieces: tuple[Piece, ...]
    level: int = 0


@dataclass(frozen=True)
class Strip:
    """A document with the influence of its tokens on a completion.

    Attributes:
        spans: Its text, up to :data:`MOST_UNITS`.
        drawn: Displayed pieces of text in them.
        units: Displayed pieces of text that it has in all.
        kind: Definition of the influence; empty where none is stored.
        scale: Influence with the full colour.
        clipped: Whether some influence is larger.
        total: Sum over its tokens, the start token's among them.
        strongest: Text, influence, and share of all with its sign.
    """

    spans: tuple[Span, ...]
    drawn: int
    units: int
    kind: str = ""
    scale: float = 1.0
    clipped: bool = False
    total: float = 0.0
    strongest: tuple[tuple[str, float, float], ...] = ()


def pieces(text: str, coloured: bool = False) -> tuple[Piece, ...]:
    """A text with its hidden characters by name; a line break that has a colour gets a mark to be seen by."""
    return tuple(_pieces(text, coloured))


def _pieces(text: str, coloured: bool) -> Iterator[Piece]:
    for said, hidden in visible_pieces(text):
        if hidden:
            yield Piece(hidden, said)
        elif coloured and "\n" in said:
            yield Piece("↵", "")
            yield Piece(said, said)
        else:
            yield Piece(said, said)


def document_strip(run: Run, query: int, document: int) -> Strip:
    """A document with the influence of its tokens on a completion, where that is stored."""
    text = run.text(document)
    units = display_units(text, run.document_tokens(document))
    shown = units[:MOST_UNITS]
    found = next((one for kind in KINDS if (one := run.token_influence(query, document, kind)) is not None), None)
    if found is None:
        return Strip(tuple(_spans(text, shown, [0] * len(shown))), len(shown), len(units))
    values = unit_influence(found, units).sum(0)
    scale = scale_of(values[1:].tolist())
    levels = np.sign(values) * np.minimum(np.round(LEVELS * np.abs(values) / scale), LEVELS)
    table = token_table(text, units, values).head(STRONGEST)
    return Strip(
        spans=tuple(_spans(text, shown, levels[1 : 1 + len(shown)].astype(int).tolist())),
        drawn=len(shown),
        units=len(units),
        kind=found.kind,
        scale=scale,
        clipped=bool(np.abs(values[1:]).max(initial=0.0) > scale * 1.001),
        total=float(values.sum()),
        strongest=tuple((_named(row), row.influence, row.share) for row in table.itertuples()),
    )


def _named(row: Any) -> str:
    """A piece of text as a list names it."""
    return plain(row.text.replace("\n", "↵"), 40) or ("start of the text" if row.place == START_PLACE else "␣")


def _spans(text: str, units: Sequence[Unit], levels: Sequence[int]) -> Iterator[Span]:
    """The units, those without a colour joined to one span."""
    start = end = 0
    for unit, level in zip(units, levels, strict=True):
        if level:
            if start < end:
                yield Span(pieces(text[start:end]))
            yield Span(pieces(text[unit.start : unit.end], coloured=True), level)
            start = unit.end
        end = unit.end
    if start < end:
        yield Span(pieces(text[start:end]))
