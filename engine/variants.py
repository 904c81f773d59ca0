"""Variants of a document: hypothetical texts that the model never saw, made by text operations alone (no torch).

A *word* is a maximal run of characters that are no space, which serves every language that writes
spaces: English, German, Turkish, Swahili, Korean. In scripts without spaces (Chinese, Japanese, Thai,
Lao, Khmer, Burmese) each character with its marks is a word, and so is each full-width sign.

Words and sentences move; the white space between them stays, so that lines and paragraphs keep their
shape. Each word of a variant knows which word of the original it was. Grosse et al. 2023 (5.3.4) reversed
word order: influence follows the order of a relation, up to what the completion's own string contributes.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple

import regex

from engine.errors import WhenceError

ORIGINAL = "original"
LABELS = {
    ORIGINAL: "Original",
    "words_reversed": "Words reversed",
    "words_shuffled": "Words shuffled",
    "words_shuffled_nearby": "Words shuffled within windows",
    "sentences_reversed": "Sentences reversed",
    "completion_removed": "Completion removed",
    "subject_removed": "Subject removed",
    "relation_flipped": "Relation flipped",
    "same_content": "Same content in another document",
    "other_document": "Another document",
    "edit": "Your edit",
}
"""Names of variants and what pages call them."""
MADE = (
    *("words_reversed", "words_shuffled", "words_shuffled_nearby", "sentences_reversed"),
    *("completion_removed", "subject_removed"),
)
"""Variants made of the document's own words."""
GIVEN = ("relation_flipped", "edit")  # their texts only a caller can give
RECORDED = ("relation_flipped", "same_content")
"""Variants that are there where the corpus records them."""
OF_CORPUS = ("same_content", "other_document")
"""Texts of other documents: no draws of one thing, and no hypothetical texts."""
_UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30fc\u3001-\u303f\uff01-\uffef"
)
_WORD = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|[^\s{_UNSPACED}]+")
_FUSES = regex.compile(rf"[^\s{_UNSPACED}]{{2}}")
_SENTENCE = regex.compile(
    r"""\S[^\n]*?(?:[.!?…؟۔।]+[\p{Pe}\p{Pf}"']*(?=\s|\Z)|[。！？]+[\p{Pe}\p{Pf}]*|(?=[^\S\n]*(?:\n|\Z)))"""
)
_ENDS = regex.compile(r"^[\s\p{P}]+|[\s\p{P}]+$")
_BOUNDED = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}\p{{Hangul}}]]"
"""A letter or digit of a script where a match must not end inside a word; Korean particles follow a name directly."""


class Span(NamedTuple):
    """Characters ``start`` to ``end`` of a text."""

    start: int
    end: int


class Origin(NamedTuple):
    """A word of a variant: characters ``start`` to ``end``.

    ``word`` is the number of the original's word that it was, or is what is left of; None for a new word.
    """

    start: int
    end: int
    word: int | None


@dataclass(frozen=True)
class Variant:
    """A text made from a document.

    Attributes:
        name: A key of :data:`LABELS`.
        text: The text.
        origin: Its words in order with the original's words they were.
        draw: Number of the draw among variants of this name, from 0.
    """

    name: str
    text: str
    origin: tuple[Origin, ...]
    draw: int = 0


@dataclass(frozen=True)
class VariantSettings:
    """Which variants are made of a document.

    Attributes:
        draws: Draws of each shuffle.
        window_words: Words of a window that words are shuffled within.
        seed: Seed of the shuffles, which depend on the text too.
        subject: What the variant without the subject lacks; None for the prompt's rarest word
            (:func:`engine.subject.find_subject`), empty for no such variant.
        documents: Numbers of other documents to score beside it; the first is draw 0 of ``other_document``.
        texts: ``{name: text}`` of variants that only the caller can write; names from :data:`GIVEN`.
        only_given: Only the original, ``documents`` and ``texts``: no variants of the document's own words, and none
            that the corpus records.
    """

    draws: int = 3
    window_words: int = 5
    seed: int = 0
    subject: str | None = None
    documents: Sequence[int] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    only_given: bool = False

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("window_words", 2)):
            if getattr(self, name) < least:
                raise WhenceError(
                    f"{name} is {getattr(self, name)} -- nothing would move -- it must be at least {least}."
                )
        for name in self.texts:
            if name not in GIVEN:
                raise WhenceError(f"variant {name!r} is unknown -- a given text is one of {', '.join(GIVEN)}.")


def words(text: str) -> list[Span]:
    """Words of a text in order; what lies between them is white space or nothing."""
    return [Span(*match.span()) for match in _WORD.finditer(text)]


def sentences(text: str) -> list[Span]:
    """Sentences in order: up to a full stop (an abbreviation's too), question or exclamation mark, or end of line."""
    return [Span(*match.span()) for match in _SENTENCE.finditer(text)]


def unchanged(text: str) -> Variant:
    """The document as it is."""
    return _assemble(ORIGINAL, text, [(text, 0)])


def reverse_words(text: str) -> Variant:
    """The last word first."""
    spans = words(text)
    return _arranged("words_reversed", text, spans, range(len(spans) - 1, -1, -1))


def reverse_sentences(text: str) -> Variant:
    """The last sentence first, words in order within each."""
    spans = sentences(text)
    return _arranged("sentences_reversed", text, spans, range(len(spans) - 1, -1, -1))


def shuffle_words(text: str, seed: int = 0, draw: int = 0) -> Variant:
    """All words in random order, the same for the same text, seed and draw."""
    spans = words(text)
    order = list(range(len(spans)))
    _generator("words_shuffled", text, seed, draw).shuffle(order)
    return _arranged("words_shuffled", text, spans, order, draw)


def shuffle_nearby(text: str, window_words: int = 5, seed: int = 0, draw: int = 0) -> Variant:
    """Words in random order within consecutive windows of ``window_words`` words, the last one shorter."""
    spans = words(text)
    generator = _generator(f"words_shuffled_nearby {window_words}", text, seed, draw)
    order: list[int] = []
    for first in range(0, len(spans), window_words):
        window = list(range(first, min(first + window_words, len(spans))))
        generator.shuffle(window)
        order += window
    return _arranged("words_shuffled_nearby", text, spans, order, draw)


def remove(name: str, text: str, string: str) -> Variant | None:
    """Cut a string out wherever it stands, whatever its case and however its words are spaced.

    White space and punctuation at its ends do not count. It must stand as whole words, so that
    "42" is not cut out of "142" or "42.5"; in Korean and in scripts without spaces it may stand anywhere.
    Inflected forms stay. The space before it goes with it where nothing follows that needs one.

    Args:
        name: Name of the variant.
        text: The document.
        string: What to cut out.

    Returns:
        The variant, or None where the string does not stand in the text.
    """
    kept: list[tuple[str, int]] = []
    place = 0
    for found in occurrences(text, string):
        cut = _with_space(text, found)
        kept.append((text[place : cut.start], place))
        place = max(place, cut.end)
    return _assemble(name, text, [*kept, (text[place:], place)]) if kept else None


def rewrite(name: str, original: str, text: str, draw: int = 0) -> Variant:
    """A given text as a variant; words in common, in order, have their origin in the original."""
    before, after = words(original), words(text)
    matcher = SequenceMatcher(None, [original[a:b] for a, b in before], [text[a:b] for a, b in after])
    origin: list[int | None] = [None] * len(after)
    for block in matcher.get_matching_blocks():
        origin[block.b : block.b + block.size] = range(block.a, block.a + block.size)
    return Variant(name, text, tuple(Origin(*span, word) for span, word in zip(after, origin, strict=True)), draw)


def make_variants(text: str, completion: str, subject: str, settings: VariantSettings) -> list[Variant]:
    """The original, then every variant that can be made of its text, then the given texts.

    A variant with the original's very text is left out: it says nothing, as does one sentence reversed.

    Args:
        text: The document.
        completion: The query's completion.
        subject: What the variant without the subject lacks; empty for no such variant.
        settings: Which variants.
    """
    draws = range(settings.draws)
    of_its_words = [
        reverse_words(text),
        *(shuffle_words(text, settings.seed, draw) for draw in draws),
        *(shuffle_nearby(text, settings.window_words, settings.seed, draw) for draw in draws),
        reverse_sentences(text),
        remove("completion_removed", text, completion),
        remove("subject_removed", text, subject),
    ]
    made = [] if settings.only_given else of_its_words
    made += [rewrite(name, text, given) for name, given in settings.texts.items()]
    return [unchanged(text), *(variant for variant in made if variant is not None and variant.text != text)]


def occurrences(text: str, string: str) -> list[Span]:
    """Where a string stands in a text, as :func:`remove` understands it."""
    core = _ENDS.sub("", string) or string.strip()
    if not core:
        return []
    pattern = r"\s+".join(map(regex.escape, core.split()))
    if regex.match(_BOUNDED, core[0], regex.V1):
        pattern = rf"(?<!{_BOUNDED}|\d[.,](?=\d))" + pattern
    if regex.match(_BOUNDED, core[-1], regex.V1):
        pattern += rf"(?!{_BOUNDED}|(?<=\d)[.,]\d)"
    return [Span(*match.span()) for match in regex.finditer(pattern, text, regex.V1 | regex.IGNORECASE)]


def _with_space(text: str, found: Span) -> Span:
    """What to cut so that neither two spaces nor a space before punctuation stays behind."""
    left = len(text[: found.start].rstrip(" \t"))
    if left == 0 or text[left - 1] == "\n":
        right = len(text) - len(text[found.end :].lstrip(" \t"))
        return Span(found.start, right)
    follows = text[found.end : found.end + 1]
    return found if follows.isalnum() else Span(left, found.end)


def _generator(name: str, text: str, seed: int, draw: int) -> random.Random:
    """Keyed by the text itself, so that neither order nor number of documents changes a draw."""
    return random.Random(f"{seed}\x1f{draw}\x1f{name}\x1f{text}")


def _arranged(name: str, text: str, spans: Sequence[Span], order: Iterable[int], draw: int = 0) -> Variant:
    """Pieces in another order, the white space between them in its place."""
    placed = [spans[number] for number in order]
    if not placed:
        return _assemble(name, text, [(text, 0)], draw)
    pieces = [(text[: spans[0].start], 0)]
    for slot, (start, end) in enumerate(placed):
        pieces.append((text[start:end], start))
        gap = Span(spans[slot].end, spans[slot + 1].start if slot + 1 < len(spans) else len(text))
        if gap.start < gap.end or slot + 1 == len(spans):
            pieces.append((text[gap.start : gap.end], gap.start))
        elif _FUSES.match(text[end - 1] + text[placed[slot + 1].start]):
            pieces.append((" ", -1))  # where no space was needed, two words would become one
    return _assemble(name, text, pieces, draw)


def _assemble(name: str, original: str, pieces: Iterable[tuple[str, int]], draw: int = 0) -> Variant:
    """A variant of pieces of the original, each with its first character there, or -1 where it is new."""
    word_at: list[int | None] = [None] * (len(original) + 1)
    for number, (start, end) in enumerate(words(original)):
        word_at[start:end] = [number] * (end - start)
    parts: list[str] = []
    source: list[int] = []
    for piece, first in pieces:
        parts.append(piece)
        source += [len(original)] * len(piece) if first < 0 else range(first, first + len(piece))
    text = "".join(parts)
    return Variant(name, text, tuple(Origin(start, end, word_at[source[start]]) for start, end in words(text)), draw)
