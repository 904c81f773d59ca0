"""Settings of a live question, checked when made (no torch)."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import WhenceError


@dataclass(frozen=True)
class AskSettings:
    """Settings of ``ask``.

    Attributes:
        prompt: Text before the completion; may be empty where the model has a start token.
        completion: Completions to ask about, each for itself; None for the model's own continuation of the prompt.
        rather_than: Ask why a completion rather than this one: the difference of their log-probabilities.
        exact: Documents whose influence is computed exactly, token by token: those that come first in a quick order, by
            the run's index and by shared tokens. None for 5% of the corpus.
        top: Documents shown; their exact influence is computed before that of the others.
        length: Longest continuation that the model makes up, in tokens.
    """

    prompt: str
    completion: Sequence[str] | None = None
    rather_than: str | None = None
    exact: int | None = None
    top: int = 20
    length: int = 12

    def __post_init__(self) -> None:
        least = {"top": self.top, "length": self.length, "exact": self.exact}
        for name, value in least.items():
            if value is not None and value < 1:
                raise WhenceError(f"{name} is {value} -- it must be at least 1.")
        if any(not one for one in self.completion or ()):
            raise WhenceError("a completion is empty -- there is nothing to trace -- write one, or leave it out.")
        if self.rather_than == "":
            raise WhenceError("rather_than is empty -- there is nothing to compare with -- write it, or leave it out.")
        if self.exact is not None and self.exact < self.top:
            raise WhenceError(
                f"exact is {self.exact}, top {self.top} -- all documents shown have exact influence -- raise exact, or "
                "lower top."
            )
