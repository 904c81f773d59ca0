"""The buttons of a review, each with its key: label, skip, comment, back, on, undo, redo."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from dashboard.analyses import review as analyses
from dashboard.components import text, url
from dashboard.components.review_comment import comment_field, written_comment

TROUBLE = "_review_trouble"


@dataclass(frozen=True)
class Sitting:
    """A reviewer at a document of a queue.

    Attributes:
        review: The team's review of the run.
        reviewer: Who decides; None while nobody has said who they are.
        ids: Id of each document of the run, in order.
        queue: Numbers of the queue's documents, in order.
        asked: The queue as a query string, for the record.
        document: Number of the document in view.
        undecided: Number of the next document to decide; None if that was the last.
    """

    review: analyses.Review
    reviewer: analyses.Reviewer | None
    ids: list[str]
    queue: list[int]
    asked: str
    document: int
    undecided: int | None

    def beside(self, step: int) -> int | None:
        """The document so many places on in the queue; None past its ends, or if the document in view is not in it."""
        place = self.queue.index(self.document) + step if self.document in self.queue else -1
        return self.queue[place] if 0 <= place < len(self.queue) else None


def attempt(act: Callable[[], object]) -> bool:
    """Carry out what changes the record; whether it did. What went wrong is kept for :func:`trouble` to say."""
    try:
        act()
    except analyses.WhenceError as error:
        st.session_state[TROUBLE] = str(error)
        return False
    return True


def trouble() -> None:
    """Say what went wrong with the last change of the record, if anything did."""
    if TROUBLE in st.session_state:
        st.error(text.escape(st.session_state.pop(TROUBLE), 600), icon=":material/error:")


def actions(sitting: Sitting) -> None:
    """Show the buttons and the comment's field."""
    labels = sitting.review.team.labels
    _colours(labels)
    with st.container(horizontal=True, key="decide", gap="small"):
        for place, label in enumerate(labels.values()):
            _label_button(sitting, place, label)
        _button("Skip", "S", "skip", sitting, _skip, "Pass over it: it no longer counts as undecided for you.")
    comment_field(sitting.document)
    with st.container(horizontal=True, key="move", gap="small"):
        _move(sitting, "Back", "B", -1)
        _move(sitting, "Next", "F", 1)
        _turn(sitting, "Undo", "Z")
        _turn(sitting, "Redo", "Y")
        _button("Only comment", "A", "remark", sitting, _remark, "Store the comment without deciding.", tertiary=True)


def _label_button(sitting: Sitting, place: int, label: analyses.Label) -> None:
    own = sitting.review.standing(sitting.document, sitting.reviewer).own if sitting.reviewer is not None else None
    st.button(
        text.escape(label.name),
        key=f"label_{place}_{sitting.document}",  # of this document: a key pressed twice never decides the next one
        shortcut=label.key.upper(),
        type="primary" if own is not None and own.label == label.name else "secondary",
        on_click=_label,
        args=(sitting, label.name, analyses.new_token()),
        disabled=sitting.reviewer is None,
        help=OUTCOME[label.outcome],
    )


OUTCOME = {
    "drop": "Agreed on, the document goes to the list of those to drop.",
    "keep": "Agreed on, the document goes to the list of those to keep.",
    "none": "Settles nothing: the document goes to neither list.",
}


def _button(
    label: str, shortcut: str, name: str, sitting: Sitting, act: Callable[[Sitting, str], None], about: str,
    tertiary: bool = False,
) -> None:  # fmt: skip
    st.button(
        label, key=f"{name}_{sitting.document}", shortcut=shortcut, on_click=act,
        args=(sitting, analyses.new_token()), disabled=sitting.reviewer is None, help=about,
        type="tertiary" if tertiary else "secondary",
    )  # fmt: skip


def _label(sitting: Sitting, name: str, token: str) -> None:
    assert sitting.reviewer is not None
    reviewer, why = sitting.reviewer, written_comment(sitting.document)
    if attempt(lambda: sitting.review.label(reviewer, [sitting.document], name, why, sitting.asked, token)):
        _go(sitting, sitting.undecided)


def _skip(sitting: Sitting, token: str) -> None:
    assert sitting.reviewer is not None
    reviewer = sitting.reviewer
    if attempt(lambda: sitting.review.skip(reviewer, [sitting.document], sitting.asked, token)):
        _go(sitting, sitting.undecided)


def _remark(sitting: Sitting, token: str) -> None:
    assert sitting.reviewer is not None
    reviewer, why = sitting.reviewer, written_comment(sitting.document)
    if attempt(lambda: sitting.review.comment(reviewer, [sitting.document], why, sitting.asked, token)):
        st.session_state[f"comment_{sitting.document}"] = ""


def _go(sitting: Sitting, document: int | None) -> None:
    url.put("document", sitting.ids[sitting.document if document is None else document])
    url.put("token")


def _move(sitting: Sitting, label: str, shortcut: str, step: int) -> None:
    goal = sitting.beside(step)
    st.button(
        label, key=f"move_{step}", shortcut=shortcut, on_click=_go, args=(sitting, goal), disabled=goal is None,
        help="The document before in the queue." if step < 0 else "The next one in the queue, decided or not.",
    )  # fmt: skip


def _turn(sitting: Sitting, label: str, shortcut: str) -> None:
    """Undo or redo: of one's own decisions in this run, a batch at a time."""
    reviewer = sitting.reviewer
    stack = getattr(sitting.review, f"to_{label.lower()}")(reviewer) if reviewer is not None else []
    st.button(
        label if not stack else f"{label} {_named(sitting, stack[0])}",
        key=label.lower(), shortcut=shortcut, on_click=_turned, args=(sitting, label.lower()), disabled=not stack,
        help="Takes back your last decision in this run; it stays in the record as undone."
        if label == "Undo" else "Decides again what you undid last.",
    )  # fmt: skip


def _named(sitting: Sitting, batch: analyses.Batch) -> str:
    """What a batch did, in a word or two."""
    first = batch.events[0]
    what = text.escape(first.label) if first.kind == "label" else first.kind
    return f"“{what}”" if len(batch.events) == 1 else f"“{what}” on {len(batch.events):,}"


def _turned(sitting: Sitting, what: str) -> None:
    assert sitting.reviewer is not None
    turn, reviewer = getattr(sitting.review, what), sitting.reviewer
    stack = getattr(sitting.review, f"to_{what}")(reviewer)
    if attempt(lambda: turn(reviewer)) and stack:
        _go(sitting, sitting.review.numbers.get(stack[0].events[0].document))


def _colours(labels: dict[str, analyses.Label]) -> None:
    """A bar in each label's colour on its button; the engine took nothing but ``#rrggbb`` for a colour."""
    rules = [
        f'[class*="st-key-label_{place}_"] button {{ border-left: 6px solid {label.colour} }}'
        for place, label in enumerate(labels.values())
    ]
    st.html(f"<style>{' '.join(rules)}</style>")
