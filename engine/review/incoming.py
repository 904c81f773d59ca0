"""Decisions from a file: first what they would do and whom they contradict, then, if wanted, one batch of events."""

from collections.abc import Collection
from typing import Literal, get_args
from urllib.parse import urlencode

import pandas as pd

from engine.errors import WhenceError
from engine.review.events import Reviewer, storable
from engine.review.fold import Batch
from engine.review.review import Review
from engine.review.standing import Standing

Effect = Literal["new", "same", "change", "contradiction", "other_text", "unknown_document", "unknown_label"]
EFFECTS: dict[Effect, str] = {
    "new": "adds a label that contradicts nobody's",
    "same": "nothing: the reviewer has given this label",
    "change": "changes the reviewer's own label",
    "contradiction": "contradicts another reviewer's label",
    "other_text": "nothing: the document had another text",
    "unknown_document": "nothing: the run has no such document",
    "unknown_label": "nothing: the team has no such label",
}
"""What a row does, in words."""
ADDING: tuple[Effect, ...] = ("new", "change", "contradiction")
"""Effects that write something."""
assert set(get_args(Effect)) == EFFECTS.keys()


def preview(review: Review, table: pd.DataFrame, reviewer: Reviewer) -> pd.DataFrame:
    """What decisions would do if ``reviewer`` took them over; writes nothing.

    Args:
        review: The review.
        table: As :func:`engine.review.files.read_decisions` gives it.
        reviewer: Who takes them over. What is hidden from them while reviewing is blind stays hidden here.

    Returns:
        document (-1 for an unknown one), id, label, reasons, effect, against (whose labels it differs from, and which).
    """
    numbers = {key.id: number for number, key in enumerate(review.keys)}
    standings, labels = review.standings(reviewer), review.team.labels
    rows = []
    for row in table.itertuples():
        number = numbers.get(storable(row.id), -1)
        found = standings.get(number)
        effect, against = _effect(found, row.label, reviewer)
        if number < 0:
            effect = "unknown_document"
        elif row.content_hash and row.content_hash != review.keys[number].content_hash:
            effect = "other_text"
        elif row.label not in labels:
            effect = "unknown_label"
        about = {"document": number, "id": row.id, "label": row.label, "reasons": row.reasons}
        rows.append(about | {"effect": effect, "against": against})
    return pd.DataFrame(rows, columns=["document", "id", "label", "reasons", "effect", "against"])


def _effect(found: Standing | None, label: str, reviewer: Reviewer) -> tuple[Effect, str]:
    """What a label does beside those already given, and whose it differs from."""
    given = [one for one in found.opinions if one.label] if found else []
    differs = [one for one in given if one.label != label]
    against = "; ".join(f"{one.reviewer}: {one.label}" for one in differs)
    if any(one.reviewer == reviewer and one.label == label for one in given):
        return "same", against
    if any(one.reviewer != reviewer for one in differs):
        return "contradiction", against
    return ("change" if differs else "new"), against


def apply(
    review: Review,
    previewed: pd.DataFrame,
    reviewer: Reviewer,
    effects: Collection[Effect] = ADDING[:1],
    source: str = "",
    token: str | None = None,
) -> Batch | None:
    """Take over decisions as the reviewer's own, in one batch that is undone as a whole.

    Args:
        review: The review.
        previewed: What :func:`preview` gave.
        reviewer: Whose decisions they become; the file's reasons say whose they were.
        effects: Rows that are taken over.
        source: Name of the file, which the record keeps as the queue.
        token: As in :class:`engine.review.review.Review`.

    Returns:
        The batch; None if no row has such an effect.

    Raises:
        WhenceError: If an effect writes nothing, or the batch could not be kept.
    """
    if strangers := sorted(set(effects) - set(ADDING)):
        raise WhenceError(f"rows of effect {strangers[0]!r} cannot be taken over -- choose of {', '.join(ADDING)}.")
    chosen = previewed[previewed["effect"].isin(list(effects))]
    if chosen.empty:
        return None
    columns = (chosen[name].tolist() for name in ("document", "label", "reasons"))
    documents, labels, reasons = columns
    return review.label(reviewer, documents, labels, reasons, urlencode({"file": source}), token)
