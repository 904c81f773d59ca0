"""The command line: its verbs and their table; each is carried out in ``commands/``. ``python -m engine --help``."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from engine.arguments import add_settings
from engine.commands import checking, making, reading
from engine.commands.shared import add_run
from engine.errors import WhenceError
from engine.group import processes
from engine.index.settings import IndexSettings
from engine.settings import ScoreSettings

DESCRIPTION = "Which training documents, and which tokens inside them, made a language model say this?"


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
        help: What it does.
        call: Does it, from the flags.
        add_flags: Adds its own flags.
        of_run: Whether it has a flag ``--run`` before these.
        of_group: Whether several processes can do it together.
    """

    help: str
    call: Callable[[argparse.Namespace], None]
    add_flags: Callable[[argparse.ArgumentParser], None]
    of_run: bool = True
    of_group: bool = False


VERBS = {
    "corpus": Verb(
        "What would be read of a corpus: reader, documents, sources, titles.",
        making.corpus,
        making.corpus_flags,
        of_run=False,
    ),
    "fit": Verb("Step 1: corpus and model -> EK-FAC factors.", making.fit, making.fit_flags, of_group=True),
    "query": Verb(
        "Step 2: prompts and completions -> their gradients.", making.query, making.query_flags, of_group=True
    ),
    "score": Verb(
        "Step 3: the influence of every document and its tokens.",
        making.score,
        partial(add_settings, settings=ScoreSettings),
        of_group=True,
    ),
    "run": Verb(
        "All three steps from a TOML file, or of an embedded sample.",
        making.run,
        making.run_flags,
        of_run=False,
        of_group=True,
    ),
    "import": Verb("Scores of another program -> a run that every page opens.", making.import_, making.import_flags),
    "top": Verb(
        "Which documents raised or lowered a completion; without --query the completions.",
        reading.top,
        reading.top_flags,
    ),
    "tokens": Verb(
        "Which tokens of a document carry its influence; computed if not stored.", reading.tokens, reading.tokens_flags
    ),
    "ask": Verb(
        "Which documents made the model say this? For any completion, while you wait.", reading.ask, reading.ask_flags
    ),
    "index": Verb(
        "A few kilobytes for each document, so that live questions find theirs.",
        making.index,
        partial(add_settings, settings=IndexSettings),
    ),
    "report": Verb(
        "Write one HTML file to hand on: the run, its completions, how far to trust it.",
        reading.report,
        reading.report_flags,
    ),
    "analyse": Verb(
        "Concentration, sources or word order: the numbers behind the dashboard's pages.",
        reading.analyse,
        reading.analyse_flags,
        of_run=False,
    ),
    "check": Verb(
        "Is an influence worth what it says? Checks against exact answers and against training itself.",
        checking.check,
        checking.check_flags,
        of_run=False,
    ),
    "findings": Verb(
        "Do the literature's findings hold in this run?", checking.findings, checking.findings_flags, of_run=False
    ),
    "review": Verb(
        "Documents reviewed: list, export, import, labels, agreement, predict.", reading.review, reading.review_flags
    ),
    "export": Verb("Write a table of the run as Parquet, CSV or JSONL.", reading.export, reading.export_flags),
}
"""By name, in the order of ``--help``."""


def parser(asked: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; with a verb, its flags only, as those of another may cost a second of imports."""
    top = argparse.ArgumentParser(prog="python -m engine", description=DESCRIPTION)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in VERBS.items():
        made = verbs.add_parser(name, help=verb.help, description=verb.help)
        made.set_defaults(call=verb.call)
        if verb.of_run:
            add_run(made)
        if asked in (None, name):
            verb.add_flags(made)
    return top


def _check_processes(verb: str) -> None:
    if processes() > 1 and not VERBS[verb].of_group:
        together = ", ".join(name for name, known in VERBS.items() if known.of_group)
        raise WhenceError(
            f"WORLD_SIZE is {processes()}, but {verb} is for one process -- each would do all of it -- start it "
            f"without torchrun, which is for {together}."
        )


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; 0, or 2 with one line on standard error for what the user can mend."""
    words = sys.argv[1:] if arguments is None else arguments
    given = parser(next(iter(words), "")).parse_args(words)
    try:
        _check_processes(given.verb)
        given.call(given)
        sys.stdout.flush()
    except WhenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("stopped; what was finished stays, and the same command goes on from there.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
