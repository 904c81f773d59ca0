"""Words and numbers as pages show them; document text and titles are never trusted."""

import html
import math
import time
from functools import lru_cache

import regex

from engine.words import (
    MEASUREMENTS,
    between,
    correlation,
    date,
    duration,
    language,
    number,
    plain,
    share,
    show_hidden,
    size,
)

__all__ = [
    "MEASUREMENTS", "between", "correlation", "date", "duration", "language", "number", "plain", "share",
    "show_hidden", "size",
]  # fmt: skip

NAME = 24
"""Characters of a name in a list: where no line can end within it, it must not be wider than its place."""
_MARKDOWN = regex.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$^&:=\"'])")
_WORD_JOINER = "\u2060"
"""Invisible and without width; keeps pages from reading an address or a shortcode into a title."""


def escape(text: str, limit: int = 200) -> str:
    """Untrusted text for a place that reads Markdown; it shows as it is, without markup or links."""
    line = regex.sub(r":(?=\S)|(?<=\bwww)\.|@", rf"\g<0>{_WORD_JOINER}", plain(text, limit))
    return _MARKDOWN.sub(r"\\\1", line)


@lru_cache(maxsize=1 << 16)  # a map shows the same titles each time it is drawn
def chart_text(text: str, limit: int = 16) -> str:
    """Untrusted text for a chart, which reads some HTML."""
    return html.escape(plain(text, limit).replace(" ", "\u00a0") or "␣", quote=False)  # charts show &quot; as it is


def heading(name: str) -> str:
    """The name of a column, a table or a score as a heading: ``top_share`` as ``Top share``."""
    said = name.replace("_", " ")
    return said[:1].upper() + said[1:]


def p_value(value: float) -> str:
    """A p-value, as ``p = 0.03`` or ``p < 0.001``."""
    said = "p < 0.001" if value < 0.001 else "no p-value" if math.isnan(value) else f"p = {value:.2g}"
    return said.replace(" ", "\u00a0")  # no line ends within it


def ago(moment: float) -> str:
    """How long ago a time in seconds since 1970 was."""
    seconds = time.time() - moment
    return "just now" if seconds < 10 else f"{duration(seconds)} ago"


def listed(counts: dict[str, int], limit: int = 9) -> str:
    """Names with counts, the most frequent first, Markdown-safe."""
    names = [f"{escape(name, NAME)}&nbsp;{count:,}" for name, count in counts.items()]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return " · ".join(names[:limit]) + more
