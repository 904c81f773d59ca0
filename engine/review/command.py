"""``python -m engine review``: flags to function calls, and tables for the terminal; nothing else."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from engine.review import answers
from engine.review.answers import Told
from engine.review.database import URL_VARIABLE
from engine.review.incoming import ADDING
from engine.review.labels import OUTCOMES
from engine.review.review import Review, open_review
from engine.run import Run
from engine.show import CONTROL, number


def shown(told: Told) -> list[Any]:
    """A table and a sentence for the terminal."""
    table = Table(header_style="dim")
    for name in told.columns:
        table.add_column(name.capitalize(), overflow="ellipsis", no_wrap=True, max_width=50)
    for row in told.rows:
        table.add_row(*(Text(CONTROL.sub("�", _cell(row[name]))) for name in told.columns))
    return [*([table] if told.rows and told.columns else []), Text(CONTROL.sub("�", told.said))]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return number(value) if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Action:
    """One action of the verb.

    Attributes:
        help: What it does.
        call: From the review and the flags to the answer.
        flags: Its own flags, name -> options of argparse.
    """

    help: str
    call: Callable[[Review, argparse.Namespace], Told]
    flags: Mapping[str, Any]


WHO: dict[str, dict[str, Any]] = {"--reviewer": {"help": "name of the reviewer, recorded as unverified"}}
ACTIONS = {
    "list": Action(
        "Where the documents stand.",
        answers.list_documents,
        {
            "--queue": {
                "help": "a queue as Saved filters on the Review page show it, like 'search=password&show=undecided'"
            }
        }
        | {"--reviewer": {"help": "see only what this reviewer may see"}},
    ),
    "export": Action(
        "Write the documents to keep or drop as Parquet, CSV or JSONL.",
        answers.export,
        {
            "--out": {"required": True, "help": "file; its suffix gives the format"},
            "--decision": {"choices": ["keep", "drop"], "help": "only these (default: both)"},
            "--query": {"help": "title or id of the completion whose influence is told (default: raised most)"},
        },
    ),
    "import": Action(
        "What the decisions of such a file would do, and whom they contradict; --apply takes them over.",
        answers.take_over,
        {
            "--file": {"required": True, "help": "file with the columns id and label"},
            "--apply": {"nargs": "+", "choices": ADDING, "help": "take over the rows that do this"},
        }
        | WHO,
    ),
    "labels": Action(
        "The team's labels and rules.",
        answers.labels,
        {
            "--define": {"metavar": "NAME", "help": "add a label, or change the one of this name"},
            "--colour": {"default": "#0072B2", "help": "its colour (default: #0072B2)"},
            "--key": {"help": "the key that gives it"},
            "--outcome": {"choices": OUTCOMES, "default": "none", "help": "what it means (default: none)"},
            "--retire": {"metavar": "NAME", "help": "offer a label no longer"},
            "--needed": {"type": int, "help": "reviewers who must agree, 1 or 2"},
            "--blind": {"choices": ["yes", "no"], "help": "hide others' labels until one's own is given"},
        }
        | WHO,
    ),
    "agreement": Action("Do reviewers agree beyond chance?", answers.agree, {}),
    "predict": Action("What leaving out the documents to drop would do to every completion.", answers.predict, {}),
}
"""By name, as the command line offers them."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The verb's own flags and actions."""
    parser.add_argument("--database", help=f"URL of the team's database (default: {URL_VARIABLE}, or beside the run)")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", help="what to do")
    for name, action in ACTIONS.items():
        made = actions.add_parser(name, help=action.help, description=action.help)
        for flag, options in action.flags.items():
            made.add_argument(flag, **options)
        made.add_argument("--json", action="store_true", help="print JSON")


def answer(given: argparse.Namespace) -> Told:
    """Carry out the action that the flags name."""
    return ACTIONS[given.action].call(open_review(Run(given.run), given.database), given)
