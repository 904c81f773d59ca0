"""Settings of an import (no torch)."""

from dataclasses import dataclass

from engine.errors import WhenceError

TOOLS = {"parquet": "another program", "kronfluence": "kronfluence", "bergson": "bergson"}
"""Formats of score files, and what wrote them as pages say it."""


@dataclass(frozen=True)
class ImportSettings:
    """Settings of an import.

    Attributes:
        format: ``parquet``, ``kronfluence`` or ``bergson``; None for what the file's name says.
        model: Name or folder of the model whose tokenizer the scores of tokens were made with; None without one: then
            words stand for tokens and no influence of tokens can be imported.
        token_kind: What influence of a token means in the file: ``position``, what passes through it; or
            ``prediction``, the influence of predicting it.
        start_token: The first value of each document belongs to a start token that stood before its text.
        negate: Turn signs round: in the file, a plus lowers what is measured.
    """

    format: str | None = None
    model: str | None = None
    token_kind: str = "position"
    start_token: bool = False
    negate: bool = False

    def __post_init__(self) -> None:
        for name, known in (("format", (None, *TOOLS)), ("token_kind", ("position", "prediction"))):
            if getattr(self, name) not in known:
                choices = ", ".join(filter(None, known))
                raise WhenceError(f"{name} {getattr(self, name)!r} is unknown -- choose one of {choices}.")
