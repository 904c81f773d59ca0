"""Verbs that put a run to the test: ``check`` and ``findings``."""

import argparse
import json
from dataclasses import fields
from pathlib import Path

from engine import progress as progress_module
from engine.arguments import add_settings, read_settings
from engine.checks import CHECKS, kept_at, result_file, run_check
from engine.commands.shared import add_json, print_json
from engine.findings.settings import FindingsSettings


def check(given: argparse.Namespace) -> None:
    """Carry out a check and print its result."""
    from engine.check.show import tables
    from engine.show import print_all

    settings = read_settings(CHECKS[given.check].settings, given)
    out = Path(given.out) if given.out else kept_at(given.check, settings)
    result = run_check(given.check, settings, out, progress_module.for_terminal())
    if given.json:
        print(json.dumps(result.tables, indent=2, ensure_ascii=False))
    else:
        print_all([*tables(result), f"Kept in {out}."])


def check_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``check``."""
    checks = parser.add_subparsers(dest="check", required=True, metavar="CHECK", help="which check")
    for name, check in CHECKS.items():
        made = checks.add_parser(name, help=check.question, description=check.question)
        named = {field.name for field in fields(check.settings)}
        home = result_file(name, "RUN" if "run" in named else None, "HASH" if "query" in named else "")
        made.add_argument("--out", help=f"file for the result (default: {home})")
        add_json(made)
        add_settings(made, check.settings)


def findings(given: argparse.Namespace) -> None:
    """Measure findings and print their verdicts."""
    from engine.findings.findings import measure_findings, write_figures
    from engine.findings.show import shown
    from engine.show import print_all

    results = measure_findings(read_settings(FindingsSettings, given), progress_module.for_terminal())
    if given.figures:
        write_figures(results, Path(given.figures))
    if given.json:
        print_json([{"finding": result.check, **result.tables} for result in results])
    else:
        print_all(shown(results))


def findings_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``findings``."""
    add_settings(parser, FindingsSettings)
    parser.add_argument("--figures", help="folder for verdicts and estimates without any text or title")
    add_json(parser)
