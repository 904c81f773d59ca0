"""What a team settles for itself: its labels, its saved filters, and how many must agree. All kept as events."""

from dataclasses import asdict
from typing import Any

from engine.errors import WhenceError
from engine.review.book import Book
from engine.review.events import Event, Kind, Reviewer, new_token
from engine.review.fold import Fold
from engine.review.labels import Label, Rules, check_key_free


class Team:
    """The team whose database it is.

    Args:
        book: Its record.
    """

    def __init__(self, book: Book) -> None:
        self._book = book

    @property
    def labels(self) -> dict[str, Label]:
        """Labels by name, in the order in which they were defined."""
        with self._book.reading() as fold:
            return dict(fold.labels)

    @property
    def every_label(self) -> dict[str, Label]:
        """Labels by name, with those that were retired: documents may still have them."""
        with self._book.reading() as fold:
            return dict(fold.every_label)

    @property
    def filters(self) -> dict[str, str]:
        """Saved filters: name -> query string (:mod:`engine.review.queues`)."""
        with self._book.reading() as fold:
            return dict(fold.filters)

    @property
    def rules(self) -> Rules:
        with self._book.reading() as fold:
            return fold.rules

    def define_label(self, reviewer: Reviewer, label: Label, token: str | None = None) -> None:
        """Add a label, or change the one of the same name.

        Raises:
            WhenceError: If another label has its key.
        """

        def checked(fold: Fold, event: Event) -> Event:
            check_key_free(label, fold.labels.values())
            return event

        self._book.write([self._event("define_label", reviewer, label.body, token)], checked)

    def retire_label(self, reviewer: Reviewer, name: str, token: str | None = None) -> None:
        """Offer a label no longer; what it was given to keeps it, and defining it again brings it back.

        Raises:
            WhenceError: If there is no such label.
        """

        def checked(fold: Fold, event: Event) -> Event:
            known(name, fold.labels)
            return event

        self._book.write([self._event("retire_label", reviewer, {"name": name}, token)], checked)

    def save_filter(self, reviewer: Reviewer, name: str, query: str, token: str | None = None) -> None:
        """Keep a filter under a name, in place of the one before.

        Raises:
            WhenceError: If the name is empty or overlong.
        """
        if not name.strip() or len(name) > 80:
            raise WhenceError(f"A filter cannot be called {name[:80]!r} -- give it a name of 1 to 80 characters.")
        self._book.write([self._event("save_filter", reviewer, {"name": name.strip(), "query": query}, token)])

    def forget_filter(self, reviewer: Reviewer, name: str, token: str | None = None) -> None:
        """Offer a filter no longer."""
        self._book.write([self._event("forget_filter", reviewer, {"name": name}, token)])

    def set_rules(self, reviewer: Reviewer, rules: Rules, token: str | None = None) -> None:
        """Change how many must agree, and whether they do so blind."""
        self._book.write([self._event("set_rules", reviewer, asdict(rules), token)])

    def _event(self, kind: Kind, reviewer: Reviewer, body: dict[str, Any], token: str | None) -> Event:
        return Event(kind, reviewer, token or new_token(), body=body)


def known(name: str, labels: dict[str, Label]) -> Label:
    """The label of this name.

    Raises:
        WhenceError: If there is none.
    """
    if name not in labels:
        raise WhenceError(f"There is no label {name!r} -- choose one of {', '.join(labels)}, or define it first.")
    return labels[name]
