"""Labels, which a team defines for itself, and the rules by which it decides."""

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from engine.errors import WhenceError

Outcome = Literal["keep", "drop", "none"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
RESERVED_KEYS = {
    "s": "skip", "n": "the comment", "a": "comment only", "b": "back", "f": "on", "z": "undo", "y": "redo",
    "r": "the page itself", "c": "the page itself",
}  # fmt: skip
"""Keys that a label cannot have, and what they do; r and c are Streamlit's own."""


@dataclass(frozen=True)
class Label:
    """A label.

    Attributes:
        name: As shown.
        colour: ``#rrggbb``.
        key: The key that gives it, a letter or digit.
        outcome: What agreeing on it means for the document: ``keep`` or ``drop`` it; ``none`` settles nothing.

    Raises:
        WhenceError: If one of them cannot be used.
    """

    name: str
    colour: str
    key: str
    outcome: Outcome = "none"

    def __post_init__(self) -> None:
        if not self.name.strip() or self.name != self.name.strip() or len(self.name) > 40:
            raise WhenceError(f"A label cannot be called {self.name[:60]!r} -- use 1 to 40 letters, no blanks around.")
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.colour):
            raise WhenceError(f"The colour {self.colour!r} cannot be read -- write it as #rrggbb, like #0072B2.")
        if not re.fullmatch(r"[a-z0-9]", self.key):
            raise WhenceError(f"The key {self.key!r} cannot be used -- choose a letter from a to z or a digit.")
        if self.key in RESERVED_KEYS:
            raise WhenceError(f"The key {self.key!r} belongs to {RESERVED_KEYS[self.key]} -- choose another.")
        if self.outcome not in OUTCOMES:
            raise WhenceError(f"The outcome {self.outcome!r} is unknown -- choose one of {', '.join(OUTCOMES)}.")

    @property
    def body(self) -> dict[str, Any]:
        return asdict(self)


DEFAULT_LABELS = (
    Label("Keep", "#009E73", "k", "keep"),
    Label("Drop", "#D55E00", "d", "drop"),
    Label("Unsure", "#E69F00", "u"),
)
"""What a team starts with; colours by Okabe and Ito, which colour-blind people tell apart."""


@dataclass(frozen=True)
class Rules:
    """How a team decides.

    Attributes:
        needed: Reviewers who must give a document the same label, 1 or 2.
        blind: Whether the labels and comments of others stay hidden until one has given a label oneself.

    Raises:
        WhenceError: If ``needed`` is neither.
    """

    needed: int = 1
    blind: bool = False

    def __post_init__(self) -> None:
        if self.needed not in (1, 2):
            raise WhenceError(f"{self.needed} reviewers cannot be asked to agree -- choose 1 or 2.")


def check_key_free(label: Label, labels: Collection[Label]) -> None:
    """Refuse a label whose key another one has.

    Raises:
        WhenceError: If so.
    """
    taken = next((one for one in labels if one.key == label.key and one.name != label.name), None)
    if taken is not None:
        raise WhenceError(f"The key {label.key!r} already gives {taken.name} -- one key, one label -- choose another.")
