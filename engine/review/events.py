"""What a review is made of: events, each saying who did what to which document, when, why and in view of which run."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

import regex

from engine.errors import WhenceError

Kind = Literal["label", "skip", "comment", "undo", "redo", "define_label", "retire_label", "save_filter",
               "forget_filter", "set_rules"]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)
DECISIONS = ("label", "skip", "comment")
"""Kinds that are about a document and can be undone."""
LONGEST_NAME = 200


class DocumentKey(NamedTuple):
    """A document whatever the run: a decision holds wherever the same id has the same text."""

    id: str
    content_hash: str


@dataclass(frozen=True, order=True)
class Reviewer:
    """Who decides. A name that was typed never passes for one that a login vouches for: they are two reviewers.

    Attributes:
        name: As shown; blanks around it do not count.
        verified: Whether a login says so; else the name was typed.

    Raises:
        WhenceError: If there is no name, or it is overlong.
    """

    name: str
    verified: bool = False

    def __post_init__(self) -> None:
        name = storable(self.name.strip())
        if not regex.search(r"[^\s\p{C}]", name) or len(name) > LONGEST_NAME:
            raise WhenceError(
                f"The reviewer's name is {name[:40]!r} -- a decision must say whose it is -- give a name of 1 to "
                f"{LONGEST_NAME} characters."
            )
        object.__setattr__(self, "name", name)

    def __str__(self) -> str:
        return self.name if self.verified else f"{self.name} (unverified)"


@dataclass(frozen=True)
class Event:
    """One line of the record.

    Attributes:
        kind: What was done.
        reviewer: Who did it.
        token: Made by the client, the same for a batch and when a write is tried again.
        place: Place in its batch, from 0.
        document: The document; None where it is about none.
        label: Name of the label given.
        before: Name of the label that the reviewer had given it until then; empty for none.
        why: The comment.
        run_hash: Of the run in view (:func:`engine.review.documents.run_hash`).
        queue: The queue the document came from, as a query string.
        target: Token of the batch that is undone or redone.
        body: A label, a filter or the rules.
        at: When, UTC, ISO 8601; set when it is written.
        number: Place in the record, from 1; 0 before it is written.
    """

    kind: Kind
    reviewer: Reviewer
    token: str
    place: int = 0
    document: DocumentKey | None = None
    label: str = ""
    before: str = ""
    why: str = ""
    run_hash: str = ""
    queue: str = ""
    target: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    at: str = ""
    number: int = 0

    def __post_init__(self) -> None:
        for name in ("label", "why", "queue"):
            object.__setattr__(self, name, storable(getattr(self, name)))

    @property
    def request(self) -> tuple[Any, ...]:
        """What was asked for, without what the record adds: the same when a write is tried again."""
        return self.kind, self.reviewer, self.place, self.document, self.label, self.why, self.body


@dataclass(frozen=True)
class Decision:
    """What is decided of documents at once.

    Attributes:
        kind: One of :data:`DECISIONS`.
        label: Name of the label given; or one for each document.
        why: The comment; or one for each document.
        queue: The queue they came from, as a query string.
    """

    kind: Kind
    label: str | Sequence[str] = ""
    why: str | Sequence[str] = ""
    queue: str = ""

    def events(self, reviewer: Reviewer, documents: Sequence[DocumentKey], run_hash: str, token: str) -> list[Event]:
        """The batch of events that record it, one for each document."""
        given = ([one] * len(documents) if isinstance(one, str) else one for one in (self.label, self.why))
        return [
            Event(self.kind, reviewer, token, place, key, label, why=why, queue=self.queue, run_hash=run_hash)
            for place, (key, label, why) in enumerate(zip(documents, *given, strict=True))
        ]


def new_token() -> str:
    """A token that no other write has."""
    return uuid.uuid4().hex


def now() -> str:
    """The time, UTC, ISO 8601 with microseconds: sorts as text."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def storable(text: str) -> str:
    """Text that both databases take: lone surrogates and the null character are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
