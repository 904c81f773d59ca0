"""The token strip: text with a value at each token, or with tokens to choose from.

One component, registered once. Python decides what is shown and on which scale; the
browser builds one span per piece of text, by ``textContent`` only.
"""

import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from dashboard import data
from dashboard.components.text import show_hidden

HERE = Path(__file__).parent
HTML = """
<div class="whence">
  <div class="legend"></div>
  <div class="text" tabindex="0"></div>
  <div class="keys"></div>
  <div class="tip" id="tip" role="tooltip" hidden></div>
  <div class="status" aria-live="polite"></div>
</div>
"""
_component = st.components.v2.component(
    "whence_token_strip",
    html=HTML,
    css=(HERE / "token_strip.css").read_text("utf-8"),
    js=(HERE / "token_strip.js").read_text("utf-8"),
)


@dataclass(frozen=True)
class Piece:
    """A piece of text as the strip shows it.

    Attributes:
        text: What it says.
        value: Sum over its tokens; None for text without a value.
        place: Number of its first token, or -1 for the model's start token.
        parts: Values of its tokens where there are several.
        word: Number of the word it belongs to, the same in strips that are linked; None for none.
    """

    text: str
    value: float | None
    place: int = 0
    parts: tuple[float, ...] = ()
    word: int | None = None


@dataclass(frozen=True)
class Look:
    """How a strip looks and what a click does.

    Attributes:
        mode: ``values`` colours by value and pins one token; ``choices`` lets choose several.
        link: Strips of the same link mark the same word together when one of them is pointed at.
        legend: Whether the scale is written above; strips on one scale need it once.
        large: Whether it is set to be read from afar.
    """

    mode: Literal["values", "choices"] = "values"
    link: str = ""
    legend: bool = True
    large: bool = False


ALONE = Look()
"""Of a strip that stands by itself."""


def token_strip(
    pieces: Sequence[Piece],
    *,
    key: str,
    label: str,
    unit: str,
    on_choose: Callable[[list[int]], None],
    selected: Collection[int] = (),
    scale: float | None = None,
    look: Look = ALONE,
) -> None:
    """Show text with a value at each token.

    Args:
        pieces: The text in order, without gaps.
        key: Name of the strip on the page.
        label: What the strip shows, for screen readers.
        unit: Unit of the values.
        on_choose: Called with the places that are chosen after a click or Enter.
        selected: Places that are chosen, or pinned.
        scale: Value with the full colour; None to take it from the pieces.
        look: How it looks.
    """
    values = [piece.value for piece in pieces if piece.value is not None]
    scale = scale or data.scale_of(values)
    content = asdict(look) | {
        "label": label,
        "unit": unit,
        "scale": scale,
        "clipped": bool(values) and max(map(abs, values)) > scale * 1.001,
        "total": sum(max(len(piece.parts), 1) for piece in pieces if piece.value is not None and piece.place >= 0),
        "paragraphs": [_packed(paragraph) for paragraph in _paragraphs(pieces)],
    }

    def chosen() -> None:
        on_choose([int(place) for place in st.session_state[key]["chosen"] or []])

    _component(
        key=key,
        data=content | {"version": zlib.crc32(repr(content).encode("utf-8")), "selected": list(selected)},
        on_chosen_change=chosen,
    )


def _paragraphs(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Split after each piece that ends with a line break; one that goes on after it indents its own next line."""
    paragraph: list[Piece] = []
    for piece in pieces:
        paragraph.append(piece)
        if piece.text.endswith("\n"):
            yield paragraph
            paragraph = []
    if paragraph:
        yield paragraph


def _packed(paragraph: list[Piece]) -> dict[str, Any]:
    parts = {i: [_short(value) for value in piece.parts] for i, piece in enumerate(paragraph) if len(piece.parts) > 1}
    packed: dict[str, Any] = {
        "t": [show_hidden(piece.text.replace("\r\n", "\n"), "\0{}\0") for piece in paragraph],
        "v": [None if piece.value is None else _short(piece.value) for piece in paragraph],
        "p": [piece.place for piece in paragraph],
    }
    if any(piece.word is not None for piece in paragraph):
        packed["w"] = [-1 if piece.word is None else piece.word for piece in paragraph]
    return packed | ({"k": parts} if parts else {})


def _short(value: float) -> float:
    """Six significant digits: what a tooltip shows, and half the bytes."""
    return float(f"{value:.6g}")
