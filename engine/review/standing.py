"""Where a document stands: undecided, waiting for a second reviewer, agreed or disagreed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from engine.review.events import Reviewer
from engine.review.fold import Opinion
from engine.review.labels import Rules

State = Literal["undecided", "waiting", "agreed", "disagreed"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Standing:
    """A document as a viewer may see it.

    Attributes:
        state: ``undecided`` without any label; ``waiting`` while fewer have given one than are needed; ``agreed`` when
            enough have and all the same; ``disagreed`` as soon as two labels differ.
        label: Name of the label agreed on; else empty.
        opinions: What reviewers hold of it.
        own: The viewer's; None if there is none.
        hidden: How many others' opinions stay hidden until the viewer has given a label.
    """

    state: State
    label: str
    opinions: tuple[Opinion, ...]
    own: Opinion | None
    hidden: int


def standing(opinions: Sequence[Opinion], rules: Rules, viewer: Reviewer | None = None) -> Standing:
    """Where a document stands.

    Args:
        opinions: What all reviewers hold of it.
        rules: How the team decides.
        viewer: Who looks; None sees everything, also where reviewing is blind.
    """
    own = next((one for one in opinions if one.reviewer == viewer), None)
    seen = list(opinions)
    if is_blind(own, rules, viewer):
        seen = [own] if own else []
    labels = [one.label for one in seen if one.label]
    state = _state(labels, rules.needed)
    label = labels[0] if state == "agreed" else ""
    return Standing(state, label, tuple(seen), own, len(opinions) - len(seen))


def is_blind(own: Opinion | None, rules: Rules, viewer: Reviewer | None) -> bool:
    """Whether what others decided is hidden from a viewer who holds ``own`` of a document."""
    return viewer is not None and rules.blind and not (own and own.label)


def _state(labels: Sequence[str], needed: int) -> State:
    if not labels:
        return "undecided"
    if len(set(labels)) > 1:
        return "disagreed"
    return "agreed" if len(labels) >= needed else "waiting"
