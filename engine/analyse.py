"""What ``python -m engine analyse NAME`` prints: each analysis with its question, its flags and its tables."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine import analyse_concentration as concentration
from engine import analyse_sources as sources
from engine import analyse_word_order as word_order
from engine.run import Run


@dataclass(frozen=True)
class Found:
    """What an analysis came to.

    Attributes:
        records: Every row, for ``--json``.
        shown: What is printed without it: tables and sentences.
    """

    records: list[dict[str, Any]]
    shown: list[Any]


@dataclass(frozen=True)
class Analysis:
    """One analysis as the command line offers it.

    Attributes:
        question: What it answers, for ``--help``.
        add_flags: Adds its own flags.
        compute: From a run and the flags to the result.
    """

    question: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    compute: Callable[[Run, argparse.Namespace], Found]


ANALYSES: dict[str, Analysis] = {
    "concentration": Analysis(
        concentration.QUESTION, concentration.add_flags, lambda run, given: Found(*concentration.compute(run, given))
    ),
    "sources": Analysis(sources.QUESTION, sources.add_flags, lambda run, given: Found(*sources.compute(run, given))),
    "word-order": Analysis(
        word_order.QUESTION, word_order.add_flags, lambda run, given: Found(*word_order.compute(run, given))
    ),
}
"""By name, as the command line offers them."""
