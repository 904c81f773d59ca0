"""Corpus and queries: files -> documents -> token windows.

A document is cut into windows that fit the model's context. Every token is predicted
exactly once: a window repeats the end of the one before as context, without loss there.
"""

import hashlib
import os
import reprlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import CorpusError
from engine.readers.choice import READERS, choose
from engine.readers.disk import temporary_table
from engine.readers.files import Skipped
from engine.readers.jsonl import read_objects, text_field
from engine.readers.languages import detector
from engine.readers.settings import ReadingSettings

UNKNOWN_SOURCE = "Unknown source"
UNKNOWN_LANGUAGE = "und"
TITLE_CHARACTERS = 60
IDS = "(id BLOB PRIMARY KEY, place BLOB) WITHOUT ROWID"
"""Ids so far, by their hash, and where each stands."""


@dataclass(frozen=True)
class Document:
    """One training text; ``source``, ``language`` and ``title`` are what pages show.

    Where the corpus records it, ``relation_flipped`` is the text with its relation told the other way round, and
    ``same_content`` names the documents that say the same: paraphrases and translations.
    """

    id: str
    text: str
    source: str
    language: str
    title: str
    relation_flipped: str = ""
    same_content: tuple[str, ...] = ()


@dataclass(frozen=True)
class Query:
    """A completion under study: which documents made the model say ``completion`` after ``prompt``?

    ``contrast`` is a second completion for the contrast measurement, else empty.
    """

    id: str
    prompt: str
    completion: str
    kind: str
    language: str
    title: str
    contrast: str = ""


@dataclass(frozen=True)
class Tokens:
    """Tokens of one text with the characters each came from.

    Attributes:
        ids: Token ids, int32 ``[n]``; no special tokens.
        starts: First character of each token, int32 ``[n]``. The pieces of one character
            of a byte-level tokenizer share its offsets.
        ends: Character after the last of each token, int32 ``[n]``.
    """

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Window:
    """A piece of a document that fits the model's context.

    Attributes:
        document: Index of the document in the corpus.
        key: Names the window for seeding: the document's id and the window's number.
        input_ids: int64 ``[t]``: all tokens but the last, after the start token if there is one.
        targets: int64 ``[t]``: the token after each input.
        loss_from: Targets from this position on carry loss; those before are context.
        first: Place of ``input_ids[0]`` in the document's positions: position 0 is the start
            token where the model has one, else the first token.
        ends_document: Whether it is the document's last window.
    """

    document: int
    key: str
    input_ids: np.ndarray
    targets: np.ndarray
    loss_from: int
    first: int
    ends_document: bool

    def __len__(self) -> int:
        return len(self.input_ids)


def read_corpus(
    path: str | Path, settings: ReadingSettings | None = None, skipped: Skipped | None = None
) -> Iterator[Document]:
    """Documents of a file, a folder or a dataset (:data:`engine.readers.choice.READERS`), one at a time.

    Only the text is required. Without a title the text's first words serve (the id if there are none), without an id
    file and number, without source or language they are "unknown". ``relation_flipped`` and ``same_content`` (a list
    of ids; those of a larger corpus do no harm) come from tables and JSON alone, see :class:`Document`.

    Args:
        path: File or folder; name of a Hugging Face dataset if the settings say so.
        settings: What is not seen from the corpus itself; None for the defaults.
        skipped: Counts what the reader came across and did not read.

    Raises:
        CorpusError: If the corpus cannot be read, has no document, or an id comes twice.
    """
    path, settings = Path(path), settings or ReadingSettings()
    reader = READERS[choose(path, settings.reader)]
    detect = detector() if settings.detects_language else lambda _: ""
    place = ""
    with temporary_table(IDS) as ids:
        for place, fields in reader.read(path, settings, Counter() if skipped is None else skipped):
            document = _document(fields, place, settings, detect)
            _check_new(document.id, place, ids)
            yield document
    if not place:
        raise CorpusError(f"{path} holds no document -- there is nothing to attribute to -- check the file.")


def read_queries(path: str | Path) -> list[Query]:
    """Queries of a JSONL file ``id, prompt, completion, kind, language, title``.

    Raises:
        CorpusError: If the file cannot be read, a prompt or completion is empty, or an id comes twice.
    """
    path = Path(path)
    queries = []
    with temporary_table(IDS) as ids:
        for place, fields in read_objects(path):
            query = _query(fields, place)
            _check_new(query.id, place, ids)
            queries.append(query)
    if not queries:
        raise CorpusError(f"{path} holds no query -- there is nothing to explain -- check the file.")
    return queries


def _document(fields: dict[str, Any], place: str, settings: ReadingSettings, detect: Callable[[str], str]) -> Document:
    """A document of what a reader found, with the rest from settings and text."""
    text = text_field(fields, "text", place)
    said = settings.every_language or _optional(fields, "language", place)
    return Document(
        id=text_field(fields, "id", place),
        text=text,
        source=settings.source or _optional(fields, "source", place) or UNKNOWN_SOURCE,
        language=said or detect(text) or UNKNOWN_LANGUAGE,
        title=_optional(fields, "title", place) or _first_words(text) or text_field(fields, "id", place),
        relation_flipped=_optional(fields, "relation_flipped", place),
        same_content=_same_content(fields, place),
    )


def _query(fields: dict[str, Any], place: str) -> Query:
    prompt, completion = text_field(fields, "prompt", place), text_field(fields, "completion", place)
    for name, value, why in (
        ("prompt", prompt, "the completion's first token needs something before it"),
        ("completion", completion, "there is nothing to measure"),
    ):
        if not value:
            raise CorpusError(f"{place}: the {name} is empty -- {why} -- write at least one character.")
    return Query(
        id=text_field(fields, "id", place),
        prompt=prompt,
        completion=completion,
        kind=_optional(fields, "kind", place) or "Other",
        language=_optional(fields, "language", place) or UNKNOWN_LANGUAGE,
        title=_optional(fields, "title", place) or _first_words(prompt + completion),
        contrast=_optional(fields, "contrast", place),
    )


def _same_content(fields: dict[str, Any], place: str) -> tuple[str, ...]:
    named = fields.get("same_content") or []
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise CorpusError(
            f"{place}: field `same_content` is {reprlib.repr(named)}, not a list of ids -- the documents could not be "
            'found -- write it as ["id", ...].'
        )
    return tuple(named)


def _optional(fields: dict[str, Any], name: str, place: str) -> str:
    return text_field(fields, name, place) if fields.get(name) is not None else ""


def _first_words(text: str) -> str:
    line = " ".join(text[: 4 * TITLE_CHARACTERS].split())
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1].rstrip() + "…"


def _check_new(id: str, place: str, ids: sqlite3.Connection) -> None:
    key = hashlib.blake2b(id.encode(), digest_size=16).digest()
    if not ids.execute("INSERT OR IGNORE INTO kept VALUES (?, ?)", (key, os.fsencode(place))).rowcount:
        (before,) = ids.execute("SELECT place FROM kept WHERE id = ?", (key,)).fetchone()
        raise CorpusError(
            f"{place}: id {id!r} was already used at {os.fsdecode(before)} -- influences could not be told "
            "apart -- give each its own id."
        )


class Counted:
    """Documents that are counted as they pass."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self.documents, self.count = documents, 0

    def __iter__(self) -> Iterator[Document]:
        for document in self.documents:
            self.count += 1
            yield document


def corpus_hash(documents: Iterable[Document]) -> str:
    """SHA-256 over all fields of all documents in order: what a run remembers of its corpus."""
    digest = hashlib.sha256()
    for document in documents:
        about = (document.source, document.language, document.title, document.relation_flipped)
        for field in (document.id, document.text, *about, *document.same_content):
            encoded = field.encode()
            digest.update(len(encoded).to_bytes(8, "little"))
            digest.update(encoded)
    return digest.hexdigest()


def queries_hash(queries: list[Query]) -> str:
    """SHA-256 over all fields of all queries in order."""
    return hashlib.sha256(repr(queries).encode()).hexdigest()


def tokenize(tokenizer: Any, text: str) -> Tokens:
    """Tokens of ``text`` with character offsets; no special tokens are added.

    Special tokens written out in the text (``<|endoftext|>``) become ordinary characters,
    so that a document cannot smuggle in a control token.
    """
    (tokens,) = tokenize_all(tokenizer, [text])
    return tokens


def tokenize_all(tokenizer: Any, texts: Sequence[str]) -> list[Tokens]:
    """:func:`tokenize` of several texts, which is quicker together."""
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True, verbose=False
    )
    return [
        Tokens(np.asarray(ids, dtype=np.int32), *np.asarray(offsets, dtype=np.int32).reshape(-1, 2).T)
        for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def cut_windows(
    document: int, id: str, token_ids: np.ndarray, start_token: int | None, context: int, overlap: int
) -> list[Window]:
    """Windows of at most ``context`` inputs in which every token is predicted exactly once.

    Args:
        document: Index of the document in the corpus.
        id: The document's id, for the windows' keys.
        token_ids: Tokens of the document, ``[n]``.
        start_token: The model's start token, put before the first token so that it is
            predicted too; None where the model has none: then the first token carries no loss.
        context: Longest input, in tokens.
        overlap: Inputs of the window before that each later window repeats as context.

    Returns:
        No window for a document without anything to predict.
    """
    start = [] if start_token is None else [start_token]
    sequence = np.concatenate([np.asarray(start, dtype=np.int64), token_ids.astype(np.int64)])
    windows: list[Window] = []
    predicted = 1  # place of the next token to predict in the sequence
    while predicted < len(sequence):
        first = max(predicted - 1 - overlap, 0) if windows else 0
        last = min(first + context, len(sequence) - 1)
        windows.append(
            Window(
                document=document,
                key=f"{id}\x1f{len(windows)}",
                input_ids=sequence[first:last],
                targets=sequence[first + 1 : last + 1],
                loss_from=predicted - 1 - first,
                first=first,
                ends_document=last == len(sequence) - 1,
            )
        )
        predicted = last + 1
    return windows
