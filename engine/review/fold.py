"""The present state of a review, folded from its events; nothing else holds state."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from engine.review.events import DECISIONS, DocumentKey, Event, Reviewer
from engine.review.labels import DEFAULT_LABELS, Label, Rules

Desk = tuple[Reviewer, str]
"""A reviewer at work on a run (by its hash): what "undo" goes back over."""


@dataclass(frozen=True)
class Opinion:
    """What one reviewer holds of one document.

    Attributes:
        reviewer: The reviewer.
        label: Name of the label given last; empty for none.
        skipped: Whether it was passed over and not labelled.
        why: The comment given with the label.
        comments: Further comments, oldest first.
        at: When the label was given, or else the last of the rest, UTC.
    """

    reviewer: Reviewer
    label: str
    skipped: bool
    why: str
    comments: tuple[str, ...]
    at: str


@dataclass(frozen=True)
class Batch:
    """Events that were written together and are undone together.

    Attributes:
        token: Its token.
        events: The events, in order.
        undone: Whether it is undone at present.
    """

    token: str
    events: tuple[Event, ...]
    undone: bool


class Fold:
    """State after the events added so far; an undone batch does not count.

    Attributes:
        last: Number of the last event.
        labels: Labels that are offered, by name.
        every_label: Those that were retired too.
        filters: Saved filters, name -> query string.
        rules: How the team decides.
    """

    def __init__(self) -> None:
        self.last = 0
        self.labels: dict[str, Label] = {label.name: label for label in DEFAULT_LABELS}
        self.every_label = dict(self.labels)
        self.filters: dict[str, str] = {}
        self.rules = Rules()
        self._by_document: dict[DocumentKey, dict[Reviewer, list[Event]]] = {}
        self._batches: dict[str, list[Event]] = defaultdict(list)
        self._undone: set[str] = set()
        self._to_undo: dict[Desk, list[str]] = defaultdict(list)
        self._to_redo: dict[Desk, list[str]] = defaultdict(list)

    def add(self, events: Iterable[Event]) -> None:
        """Take in further events, in the order of the record."""
        for event in events:
            self.last = event.number
            if event.kind in DECISIONS:
                self._decide(event)
            elif event.kind in ("undo", "redo"):
                self._turn(event)
            else:
                self._settle(event)

    def _decide(self, event: Event) -> None:
        assert event.document is not None
        self._by_document.setdefault(event.document, {}).setdefault(event.reviewer, []).append(event)
        self._batches[event.token].append(event)
        if event.place == 0:
            self._to_undo[_desk(event)].append(event.token)
            self._to_redo[_desk(event)].clear()

    def _turn(self, event: Event) -> None:
        """Undo or redo a batch; once it is so, again changes nothing."""
        undo = event.kind == "undo"
        if (event.target in self._undone) == undo:
            return
        desk = _desk(self._batches[event.target][0])
        source, goal = (self._to_undo, self._to_redo) if undo else (self._to_redo, self._to_undo)
        self._undone.symmetric_difference_update({event.target})
        if event.target in source[desk]:
            source[desk].remove(event.target)
        goal[desk].append(event.target)

    def _settle(self, event: Event) -> None:
        name = event.body.get("name", "")
        if event.kind == "define_label":
            self.labels[name] = self.every_label[name] = Label(**event.body)
        elif event.kind == "retire_label":
            self.labels.pop(name, None)
        elif event.kind == "save_filter":
            self.filters[name] = event.body["query"]
        elif event.kind == "forget_filter":
            self.filters.pop(name, None)
        else:
            self.rules = Rules(**event.body)

    def opinion(self, document: DocumentKey, reviewer: Reviewer) -> Opinion | None:
        """What a reviewer holds of a document; None if nothing is left of what they decided, or they never did."""
        events = self._by_document.get(document, {}).get(reviewer, [])
        return _opinion([event for event in events if event.token not in self._undone])

    def opinions(self, document: DocumentKey) -> list[Opinion]:
        """What all reviewers hold of a document, in the order in which they first turned to it."""
        found = (self.opinion(document, reviewer) for reviewer in self._by_document.get(document, {}))
        return [opinion for opinion in found if opinion is not None]

    def documents(self) -> list[DocumentKey]:
        """Documents that anybody ever decided anything of, undone or not."""
        return list(self._by_document)

    def history(self, document: DocumentKey) -> list[Event]:
        """Every decision ever made of a document, undone ones too, oldest first."""
        found = [event for events in self._by_document.get(document, {}).values() for event in events]
        return sorted(found, key=lambda event: event.number)

    def is_undone(self, token: str) -> bool:
        """Whether a batch is undone at present."""
        return token in self._undone

    def batch(self, token: str) -> Batch | None:
        """A batch of decisions; None if there is none of this token."""
        events = self._batches.get(token)
        return None if events is None else Batch(token, tuple(events), token in self._undone)

    def to_undo(self, desk: Desk) -> list[str]:
        """Tokens of what a reviewer can undo in a run, the last first."""
        return self._to_undo.get(desk, [])[::-1]

    def to_redo(self, desk: Desk) -> list[str]:
        """Tokens of what a reviewer undid in a run and can redo, the last first; empty after a new decision."""
        return self._to_redo.get(desk, [])[::-1]


def _desk(event: Event) -> Desk:
    return event.reviewer, event.run_hash


def _opinion(events: list[Event]) -> Opinion | None:
    """What holds after a reviewer's decisions of one document, oldest first."""
    if not events:
        return None
    labels = [event for event in events if event.kind == "label"]
    last = labels[-1] if labels else events[-1]
    return Opinion(
        reviewer=last.reviewer,
        label=labels[-1].label if labels else "",
        skipped=not labels and any(event.kind == "skip" for event in events),
        why=labels[-1].why if labels else "",
        comments=tuple(event.why for event in events if event.kind == "comment"),
        at=last.at,
    )
