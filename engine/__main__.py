"""The command line: flags to function calls, nothing else. ``python -m engine --help``."""

import argparse
import inspect
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from engine import progress as progress_module
from engine.analyse import ANALYSES
from engine.checks import CHECKS, kept_at, result_file, run_check
from engine.errors import WhenceError
from engine.findings.settings import FindingsSettings
from engine.pipeline import SAMPLES
from engine.review.command import add_flags as add_review_flags
from engine.run import TOKEN_KINDS, Run
from engine.settings import ESTIMATORS, PRECONDITIONERS, UNITS, FitSettings, QuerySettings, ScoreSettings

DESCRIPTION = "Which training documents, and which tokens inside them, made a language model say this?"
CHOICES = {
    "estimator": list(ESTIMATORS), "measurement": list(UNITS), "dtype": ["float32", "bfloat16", "float64"],
    "preconditioner": list(PRECONDITIONERS),
}  # fmt: skip
PER_KIND = 1
"""Completions of each kind in a report."""


def _add_settings(parser: argparse.ArgumentParser, settings: type) -> None:
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


def _positive(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return count


def _all_or_some(text: str) -> int | None:
    """A positive number, or ``all``."""
    return None if text == "all" else _positive(text)


for _type in (_count, _count_or_word, _positive, _all_or_some):
    _type.__name__ = "number"  # what argparse calls it in "invalid number value"


def _settings(settings: type, given: argparse.Namespace) -> Any:
    return settings(**{field.name: getattr(given, field.name) for field in fields(settings)})


def _fit(given: argparse.Namespace) -> None:
    from engine.factors import fit

    fit(given.run, given.model, given.corpus, _settings(FitSettings, given), progress_module.for_terminal())


def _query(given: argparse.Namespace) -> None:
    from engine.queries import query

    query(given.run, given.queries, _settings(QuerySettings, given), progress_module.for_terminal())


def _score(given: argparse.Namespace) -> None:
    from engine.scores import score

    score(given.run, _settings(ScoreSettings, given), progress_module.for_terminal())


def _run(given: argparse.Namespace) -> None:
    from engine.pipeline import run_config
    from engine.show import print_all, top_tables

    finished = Path(given.config).is_dir()
    folder = Path(given.config) if finished else run_config(given.config, progress_module.for_terminal())
    run = Run(folder)
    shown = min(str(folder), os.path.relpath(folder), key=len)
    more = f"\n{len(run.queries)} completions in all: python -m engine top --run {shown} [--query TITLE]"
    print_all([*top_tables(run, 0, 5), more])


def _top(given: argparse.Namespace) -> None:
    from engine.show import print_all, query_list, top_records, top_tables

    run = Run(given.run)
    if given.query is None:
        records: list[dict[str, Any]] = run.queries.to_dict("records")
        tables: list[Any] = query_list(run)
    else:
        query = run.find_query(given.query)
        records, tables = top_records(run, query, given.k), top_tables(run, query, given.k)
    if given.json:
        _print_json(records)
    else:
        print_all(tables)


def _tokens(given: argparse.Namespace) -> None:
    from engine.show import print_all, token_records, token_texts

    run = Run(given.run)
    query, document = run.find_query(given.query), run.find_document(given.document)
    found = run.token_influence(query, document, given.kind)
    if found is None:
        from engine.live import token_influence

        found = token_influence(given.run, query, document, given.kind, progress_module.for_terminal())
    if given.json:
        _print_json(token_records(run, document, found))
    else:
        print_all(token_texts(run, document, found))


def _export(given: argparse.Namespace) -> None:
    from engine.export import export

    rows = export(Run(given.run), given.table, given.out)
    print(f"{given.out}: {rows:,} rows")


def _report(given: argparse.Namespace) -> None:
    from engine.report import choose_completions, write_report

    run = Run(given.run)
    queries = choose_completions(run, given.completions, given.per_kind)
    size = write_report(run, given.out, queries)
    print(f"{given.out}: {len(queries):,} completion{'' if len(queries) == 1 else 's'}, {size / 1000:,.0f} kB")


def _analyse(given: argparse.Namespace) -> None:
    from engine.show import print_all

    found = ANALYSES[given.analysis].compute(Run(given.run), given)
    if given.json:
        _print_json(found.records)
    else:
        print_all(found.shown)


def _check(given: argparse.Namespace) -> None:
    from engine.check.show import tables
    from engine.show import print_all

    settings = _settings(CHECKS[given.check].settings, given)
    out = Path(given.out) if given.out else kept_at(given.check, settings)
    result = run_check(given.check, settings, out, progress_module.for_terminal())
    if given.json:
        print(json.dumps(result.tables, indent=2, ensure_ascii=False))
    else:
        print_all([*tables(result), f"Kept in {out}."])


def _findings(given: argparse.Namespace) -> None:
    from engine.findings.findings import measure_findings, write_figures
    from engine.findings.show import shown
    from engine.show import print_all

    results = measure_findings(_settings(FindingsSettings, given), progress_module.for_terminal())
    if given.figures:
        write_figures(results, Path(given.figures))
    if given.json:
        _print_json([{"finding": result.check, **result.tables} for result in results])
    else:
        print_all(shown(results))


def _review(given: argparse.Namespace) -> None:
    from engine.review.command import answer, shown
    from engine.show import print_all

    told = answer(given)
    if given.json:
        _print_json(told.rows)
    else:
        print_all(shown(told))


def _print_json(records: list[dict[str, Any]]) -> None:
    from engine.export import without_nan

    plain = [without_nan(record) for record in records]
    print(json.dumps(plain, indent=2, ensure_ascii=False, default=lambda value: value.item()))


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="python -m engine", description=DESCRIPTION)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(
        name: str, call: Callable[[argparse.Namespace], None], help: str, run: bool = True
    ) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=help, description=help)
        made.set_defaults(call=call)
        if run:
            made.add_argument("--run", required=True, help="folder of the run")
        return made

    fit = verb("fit", _fit, "Step 1: corpus and model -> EK-FAC factors.")
    fit.add_argument("--model", required=True, help="Hugging Face causal language model: name or folder")
    fit.add_argument("--corpus", required=True, help="JSONL file: id, text, source, language, title")
    _add_settings(fit, FitSettings)
    query = verb("query", _query, "Step 2: prompts and completions -> their gradients.")
    query.add_argument("--queries", required=True, help="JSONL file: id, prompt, completion, kind, language, title")
    _add_settings(query, QuerySettings)
    score = verb("score", _score, "Step 3: the influence of every document and its tokens.")
    _add_settings(score, ScoreSettings)

    all_steps = verb("run", _run, "All three steps from a TOML file, or of an embedded sample.", run=False)
    all_steps.add_argument(
        "config",
        help=f"an embedded sample ({', '.join(SAMPLES)}), a TOML file with run, model, corpus, queries, or the folder "
        "of a finished run",
    )

    ranking = verb("top", _top, "Which documents raised or lowered a completion; without --query the completions.")
    ranking.add_argument("--query", help="title or id of a completion")
    ranking.add_argument("--k", type=_positive, default=10, help="documents at each end (default: 10)")
    ranking.add_argument("--json", action="store_true", help="print JSON")
    tokens = verb("tokens", _tokens, "Which tokens of a document carry its influence; computed if not stored.")
    tokens.add_argument("--query", required=True, help="title or id of a completion")
    tokens.add_argument("--document", required=True, help="title or id of a document")
    tokens.add_argument("--kind", choices=TOKEN_KINDS, default="position", help="definition (default: position)")
    tokens.add_argument("--json", action="store_true", help="print JSON")

    report = verb("report", _report, "Write one HTML file to hand on: the run, its completions, how far to trust it.")
    report.add_argument("--out", required=True, help="file to write")
    report.add_argument("--completions", nargs="+", default=[], help="titles or ids of completions to report")
    report.add_argument(
        "--per-kind", type=_all_or_some, default=PER_KIND,
        help=f"without --completions, how many of each kind, or all (default: {PER_KIND})",
    )  # fmt: skip

    asked = "Concentration, sources or word order: the numbers behind the dashboard's pages."
    analyses = verbs.add_parser("analyse", help=asked, description=asked).add_subparsers(
        dest="analysis", required=True, metavar="ANALYSIS", help="which analysis"
    )
    for name, analysis in ANALYSES.items():
        made = analyses.add_parser(name, help=analysis.question, description=analysis.question)
        made.set_defaults(call=_analyse)
        made.add_argument("--run", required=True, help="folder of the run")
        made.add_argument("--json", action="store_true", help="print JSON")
        analysis.add_flags(made)

    asked = "Is an influence worth what it says? Checks against exact answers and against training itself."
    checks = verbs.add_parser("check", help=asked, description=asked).add_subparsers(
        dest="check", required=True, metavar="CHECK", help="which check"
    )
    for name, check in CHECKS.items():
        made = checks.add_parser(name, help=check.question, description=check.question)
        made.set_defaults(call=_check)
        named = {field.name for field in fields(check.settings)}
        home = result_file(name, "RUN" if "run" in named else None, "HASH" if "query" in named else "")
        made.add_argument("--out", help=f"file for the result (default: {home})")
        made.add_argument("--json", action="store_true", help="print JSON")
        _add_settings(made, check.settings)

    findings = verb("findings", _findings, "Do the literature's findings hold in this run?", run=False)
    _add_settings(findings, FindingsSettings)
    findings.add_argument("--figures", help="folder for verdicts and estimates without any text or title")
    findings.add_argument("--json", action="store_true", help="print JSON")

    add_review_flags(verb("review", _review, "Documents reviewed: list, export, import, labels, agreement, predict."))

    exported = verb("export", _export, "Write a table of the run as Parquet, CSV or JSONL.")
    exported.add_argument("--table", required=True, help="documents, queries, influence, tokens or prediction")
    exported.add_argument("--out", required=True, help="file; its suffix gives the format")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; 0, or 2 with one line on standard error for what the user can mend."""
    given = parser().parse_args(arguments)
    try:
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
