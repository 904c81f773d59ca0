"""Verbs that tell what a run holds: ``top``, ``tokens``, ``ask``, ``report``, ``analyse``, ``review``, ``export``."""

import argparse

from engine import progress as progress_module
from engine.arguments import add_settings, all_or_some, positive, read_settings
from engine.ask.settings import AskSettings
from engine.commands.shared import add_json, add_run, print_json
from engine.run import TOKEN_KINDS, Run

PER_KIND = 1
"""Completions of each kind in a report."""


def top(given: argparse.Namespace) -> None:
    """Print the ends of a completion's ranking, or the completions."""
    from engine.show import print_all, query_list, top_records, top_tables

    run = Run(given.run)
    if given.query is None and given.json:
        print_json(run.queries.to_dict("records"))
    elif given.query is None:
        print_all(query_list(run))
    elif given.json:
        print_json(top_records(run, run.find_query(given.query), given.k))
    else:
        print_all(top_tables(run, run.find_query(given.query), given.k))


def top_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``top``."""
    parser.add_argument("--query", help="title or id of a completion")
    parser.add_argument("--k", type=positive, default=10, help="documents at each end (default: 10)")
    add_json(parser)


def tokens(given: argparse.Namespace) -> None:
    """Print a document's tokens; computes them if they are not stored."""
    from engine.show import print_all, token_records, token_texts

    run = Run(given.run)
    query, document = run.find_query(given.query), run.find_document(given.document)
    found = run.token_influence(query, document, given.kind)
    if found is None:
        from engine.live import token_influence

        found = token_influence(given.run, query, document, given.kind, progress_module.for_terminal())
    if given.json:
        print_json(token_records(run, document, found))
    else:
        print_all(token_texts(run, document, found))


def tokens_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``tokens``."""
    parser.add_argument("--query", required=True, help="title or id of a completion")
    parser.add_argument("--document", required=True, help="title or id of a document")
    parser.add_argument("--kind", choices=TOKEN_KINDS, default="position", help="definition (default: position)")
    add_json(parser)


def ask(given: argparse.Namespace) -> None:
    """Print which documents made the model say something."""
    from engine.ask.ask import ask
    from engine.ask.show import Printer
    from engine.live import load_run

    settings, loaded = read_settings(AskSettings, given), load_run(given.run)
    printer = Printer(loaded.run, settings.top)
    told = (lambda answers: None) if given.json else printer
    answers = ask(loaded, settings, progress_module.for_terminal(), told)
    if given.json:
        print_json([answer.record(loaded.run, settings.top) for answer in answers])
    else:
        printer.at_other_damping(answers)


def ask_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``ask``."""
    add_settings(parser, AskSettings)
    add_json(parser)


def report(given: argparse.Namespace) -> None:
    """Write the HTML file."""
    from engine.report import choose_completions, write_report

    run = Run(given.run)
    queries = choose_completions(run, given.completions, given.per_kind)
    size = write_report(run, given.out, queries, progress=progress_module.for_terminal())
    print(f"{given.out}: {len(queries):,} completion{'' if len(queries) == 1 else 's'}, {size / 1000:,.0f} kB")


def report_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``report``."""
    parser.add_argument("--out", required=True, help="file to write")
    parser.add_argument("--completions", nargs="+", default=[], help="titles or ids of completions to report")
    parser.add_argument(
        "--per-kind", type=all_or_some, default=PER_KIND,
        help=f"without --completions, how many of each kind, or all (default: {PER_KIND})",
    )  # fmt: skip


def analyse(given: argparse.Namespace) -> None:
    """Print an analysis."""
    from engine.analyse import ANALYSES
    from engine.show import print_all

    found = ANALYSES[given.analysis].compute(Run(given.run), given)
    if given.json:
        print_json(found.records)
    else:
        print_all(found.shown)


def analyse_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``analyse``."""
    from engine.analyse import ANALYSES

    analyses = parser.add_subparsers(dest="analysis", required=True, metavar="ANALYSIS", help="which analysis")
    for name, analysis in ANALYSES.items():
        made = analyses.add_parser(name, help=analysis.question, description=analysis.question)
        add_run(made)
        add_json(made)
        analysis.add_flags(made)


def review(given: argparse.Namespace) -> None:
    """Print what reviewers decided."""
    from engine.review.command import answer, shown
    from engine.show import print_all

    told = answer(given)
    if given.json:
        print_json(told.rows)
    else:
        print_all(shown(told))


def review_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``review``."""
    from engine.review.command import add_flags

    add_flags(parser)


def export(given: argparse.Namespace) -> None:
    """Write a table."""
    from engine.export import export

    rows = export(Run(given.run), given.table, given.out)
    print(f"{given.out}: {rows:,} rows")


def export_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``export``."""
    parser.add_argument("--table", required=True, help="documents, queries, influence, tokens or prediction")
    parser.add_argument("--out", required=True, help="file; its suffix gives the format")
