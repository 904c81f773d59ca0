"""Settings of the literature's findings (no torch)."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.settings import at_least


@dataclass(frozen=True)
class FindingsSettings:
    """Settings of ``findings``.

    Attributes:
        run: Folder of a finished run.
        other: Folder of a finished run of a larger or smaller model on the same corpus and completions.
        truth: JSON file that says what is known of the completions; None for the sample's own on the sample's corpus.
        only: Names of the findings to measure; None for all.
        draws: Draws of an interval or a null.
        seed: Of all that is drawn.
    """

    run: str
    other: str | None = None
    truth: str | None = None
    only: Sequence[str] | None = None
    draws: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, draws=1, seed=0)
