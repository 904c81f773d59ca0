"""Flags from settings: one per field, explained by the class's docstring, read back into the class (no torch)."""

import argparse
import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

from engine.importing.settings import TOOLS
from engine.readers.choice import READERS
from engine.settings import ESTIMATORS, PRECONDITIONERS, UNITS

CHOICES = {
    "estimator": list(ESTIMATORS), "measurement": list(UNITS), "dtype": ["float32", "bfloat16", "float64"],
    "preconditioner": list(PRECONDITIONERS), "reader": list(READERS), "format": list(TOOLS),
    "token_kind": ["position", "prediction"],
}  # fmt: skip
"""Words that a setting may have, whatever class it is of."""


def add_settings(parser: argparse._ActionsContainer, settings: type) -> None:
    """One flag per field of a settings class, explained by the class's docstring."""
    explained = [
        one
        for made in reversed(settings.__mro__[:-1])
        for one in re.split(r"\n\s*(?=\w+: )", (inspect.getdoc(made) or "").split("Attributes:\n")[-1].strip())
    ]
    help_of = {
        name: " ".join(text.replace("``", "").split()) for name, text in (one.split(": ", 1) for one in explained)
    }
    for field in fields(settings):
        flag = f"--{field.name.replace('_', '-')}"
        options: dict[str, Any] = {"help": help_of[field.name].replace("%", "%%")}
        if field.default is MISSING:
            options["required"] = True
        else:
            options["default"] = field.default
            options["help"] += "" if field.default is None else f" (default: {field.default})"
        if field.type is bool:
            options["action"] = "store_true"
        elif "Sequence" in str(field.type):
            options |= {"action": "extend", "nargs": "+"}
        else:
            options |= {"type": _type_of(field.type), "choices": CHOICES.get(field.name), "metavar": None}
        parser.add_argument(flag, **options)


def _type_of(annotation: Any) -> Callable[[str], Any]:
    names = str(annotation)
    if "int" in names:
        return _count_or_word if "str" in names else _count if "None" in names else int
    return float if "float" in names else str


def _count(text: str) -> int | None:
    """A number, or ``all`` for no limit."""
    return None if text in ("all", "none") else int(text)


def _count_or_word(text: str) -> int | str | None:
    """A number, ``all`` for no limit, or a word the settings check."""
    return _count(text) if text in ("all", "none") or re.fullmatch(r"-?\d+", text) else text


def positive(text: str) -> int:
    """A number from 1 on."""
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return count


def all_or_some(text: str) -> int | None:
    """A positive number, or ``all``."""
    return None if text == "all" else positive(text)


for _type in (_count, _count_or_word, positive, all_or_some):
    _type.__name__ = "number"  # what argparse calls it in "invalid number value"


def read_settings(settings: type, given: argparse.Namespace) -> Any:
    """The settings of a class that the flags give.

    Raises:
        WhenceError: If one cannot be used.
    """
    return settings(**{field.name: getattr(given, field.name) for field in fields(settings)})
