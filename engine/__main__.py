"""The command line: flags to function calls, nothing else. ``python -m engine --help``."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from engine import progress as progress_module
from engine.analyse import ANALYSES
from engine.arguments import add_settings, all_or_some, positive, read_settings
from engine.ask.settings import AskSettings
from engine.checks import CHECKS, kept_at, result_file, run_check
from engine.errors import WhenceError
from engine.findings.settings import FindingsSettings
from engine.group import processes, this_group
from engine.importing.settings import ImportSettings
from engine.index.settings import IndexSettings
from engine.pipeline import SAMPLES
from engine.readers.choice import READERS
from engine.readers.settings import ReadingSettings
from engine.review.command import add_flags as add_review_flags
from engine.run import TOKEN_KINDS, Run
from engine.settings import FitSettings, QuerySettings, ScoreSettings

DESCRIPTION = "Which training documents, and which tokens inside them, made a language model say this?"
CORPUS = f"file, folder or dataset: {'; '.join(reader.reads for reader in READERS.values())}; also .gz and .zst"
PER_KIND = 1
"""Completions of each kind in a report."""


def _corpus(given: argparse.Namespace) -> None:
    from engine.corpus_summary import summarise, summary_tables
    from engine.show import print_all

    summary = summarise(given.path, read_settings(ReadingSettings, given), given.model, given.first)
    if given.json:
        print(json.dumps(vars(summary), indent=2, ensure_ascii=False))
    else:
        print_all(summary_tables(summary))


def _corpus_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help=CORPUS)
    parser.add_argument("--model", help="name or folder of a model whose tokenizer counts tokens")
    parser.add_argument("--first", type=positive, help="documents to look at (default: all)")
    _add_json(parser)
    add_settings(parser.add_argument_group("reading the corpus"), ReadingSettings)


def _fit(given: argparse.Namespace) -> None:
    from engine.factors import fit

    settings, reading = read_settings(FitSettings, given), read_settings(ReadingSettings, given)
    fit(given.run, given.model, given.corpus, settings, progress_module.for_terminal(), reading)


def _fit_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, help="Hugging Face causal language model: name, folder, GGUF file or LoRA adapter"
    )
    parser.add_argument("--corpus", required=True, help=CORPUS)
    add_settings(parser, FitSettings)
    add_settings(parser.add_argument_group("reading the corpus"), ReadingSettings)


def _query(given: argparse.Namespace) -> None:
    from engine.queries import query

    query(given.run, given.queries, read_settings(QuerySettings, given), progress_module.for_terminal())


def _query_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", required=True, help="JSONL file: id, prompt, completion, kind, language, title")
    add_settings(parser, QuerySettings)


def _score(given: argparse.Namespace) -> None:
    from engine.scores import score

    score(given.run, read_settings(ScoreSettings, given), progress_module.for_terminal())


def _import(given: argparse.Namespace) -> None:
    from engine.importing.run import import_scores

    settings, reading = read_settings(ImportSettings, given), read_settings(ReadingSettings, given)
    progress = progress_module.for_terminal()
    import_scores(given.run, given.scores, given.corpus, given.queries, settings, progress, reading)


def _import_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scores", required=True, help="file or folder: Parquet, or of kronfluence or bergson")
    parser.add_argument("--corpus", required=True, help=f"the documents that were scored, in the same order; {CORPUS}")
    parser.add_argument("--queries", required=True, help="JSONL file of the completions, in the same order")
    add_settings(parser, ImportSettings)
    add_settings(parser.add_argument_group("reading the corpus"), ReadingSettings)


def _run(given: argparse.Namespace) -> None:
    from engine.pipeline import run_config
    from engine.show import print_all, top_tables

    finished = Path(given.config).is_dir()
    folder = Path(given.config) if finished else run_config(given.config, progress_module.for_terminal())
    if not finished and not this_group().leads:
        return
    run = Run(folder)
    shown = min(str(folder), os.path.relpath(folder), key=len)
    more = f"\n{len(run.queries)} completions in all: python -m engine top --run {shown} [--query TITLE]"
    print_all([*top_tables(run, 0, 5), more])


def _config_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config",
        help=f"an embedded sample ({', '.join(SAMPLES)}), a TOML file with run, model, corpus, queries, or the folder "
        "of a finished run",
    )


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


def _top_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--query", help="title or id of a completion")
    parser.add_argument("--k", type=positive, default=10, help="documents at each end (default: 10)")
    _add_json(parser)


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


def _tokens_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--query", required=True, help="title or id of a completion")
    parser.add_argument("--document", required=True, help="title or id of a document")
    parser.add_argument("--kind", choices=TOKEN_KINDS, default="position", help="definition (default: position)")
    _add_json(parser)


def _index(given: argparse.Namespace) -> None:
    from engine.index.build import build_index
    from engine.index.show import recall_tables
    from engine.live import load_run
    from engine.show import print_all

    noted = build_index(load_run(given.run), read_settings(IndexSettings, given), progress_module.for_terminal())
    print_all(recall_tables(noted))


def _ask(given: argparse.Namespace) -> None:
    from engine.ask.ask import ask
    from engine.ask.show import Printer
    from engine.live import load_run

    settings, loaded = read_settings(AskSettings, given), load_run(given.run)
    printer = Printer(loaded.run, settings.top)
    told = (lambda answers: None) if given.json else printer
    answers = ask(loaded, settings, progress_module.for_terminal(), told)
    if given.json:
        _print_json([answer.record(loaded.run, settings.top) for answer in answers])
    else:
        printer.at_other_damping(answers)


def _ask_flags(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, AskSettings)
    _add_json(parser)


def _export(given: argparse.Namespace) -> None:
    from engine.export import export

    rows = export(Run(given.run), given.table, given.out)
    print(f"{given.out}: {rows:,} rows")


def _export_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", required=True, help="documents, queries, influence, tokens or prediction")
    parser.add_argument("--out", required=True, help="file; its suffix gives the format")


def _report(given: argparse.Namespace) -> None:
    from engine.report import choose_completions, write_report

    run = Run(given.run)
    queries = choose_completions(run, given.completions, given.per_kind)
    size = write_report(run, given.out, queries, progress=progress_module.for_terminal())
    print(f"{given.out}: {len(queries):,} completion{'' if len(queries) == 1 else 's'}, {size / 1000:,.0f} kB")


def _report_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, help="file to write")
    parser.add_argument("--completions", nargs="+", default=[], help="titles or ids of completions to report")
    parser.add_argument(
        "--per-kind", type=all_or_some, default=PER_KIND,
        help=f"without --completions, how many of each kind, or all (default: {PER_KIND})",
    )  # fmt: skip


def _analyse(given: argparse.Namespace) -> None:
    from engine.show import print_all

    found = ANALYSES[given.analysis].compute(Run(given.run), given)
    if given.json:
        _print_json(found.records)
    else:
        print_all(found.shown)


def _analyse_flags(parser: argparse.ArgumentParser) -> None:
    analyses = parser.add_subparsers(dest="analysis", required=True, metavar="ANALYSIS", help="which analysis")
    for name, analysis in ANALYSES.items():
        made = analyses.add_parser(name, help=analysis.question, description=analysis.question)
        _add_run(made)
        _add_json(made)
        analysis.add_flags(made)


def _check(given: argparse.Namespace) -> None:
    from engine.check.show import tables
    from engine.show import print_all

    settings = read_settings(CHECKS[given.check].settings, given)
    out = Path(given.out) if given.out else kept_at(given.check, settings)
    result = run_check(given.check, settings, out, progress_module.for_terminal())
    if given.json:
        print(json.dumps(result.tables, indent=2, ensure_ascii=False))
    else:
        print_all([*tables(result), f"Kept in {out}."])


def _check_flags(parser: argparse.ArgumentParser) -> None:
    checks = parser.add_subparsers(dest="check", required=True, metavar="CHECK", help="which check")
    for name, check in CHECKS.items():
        made = checks.add_parser(name, help=check.question, description=check.question)
        named = {field.name for field in fields(check.settings)}
        home = result_file(name, "RUN" if "run" in named else None, "HASH" if "query" in named else "")
        made.add_argument("--out", help=f"file for the result (default: {home})")
        _add_json(made)
        add_settings(made, check.settings)


def _findings(given: argparse.Namespace) -> None:
    from engine.findings.findings import measure_findings, write_figures
    from engine.findings.show import shown
    from engine.show import print_all

    results = measure_findings(read_settings(FindingsSettings, given), progress_module.for_terminal())
    if given.figures:
        write_figures(results, Path(given.figures))
    if given.json:
        _print_json([{"finding": result.check, **result.tables} for result in results])
    else:
        print_all(shown(results))


def _findings_flags(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, FindingsSettings)
    parser.add_argument("--figures", help="folder for verdicts and estimates without any text or title")
    _add_json(parser)


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


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", required=True, help="folder of the run")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


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
        "What would be read of a corpus: reader, documents, sources, titles.", _corpus, _corpus_flags, of_run=False
    ),
    "fit": Verb("Step 1: corpus and model -> EK-FAC factors.", _fit, _fit_flags, of_group=True),
    "query": Verb("Step 2: prompts and completions -> their gradients.", _query, _query_flags, of_group=True),
    "score": Verb(
        "Step 3: the influence of every document and its tokens.",
        _score,
        partial(add_settings, settings=ScoreSettings),
        of_group=True,
    ),
    "run": Verb(
        "All three steps from a TOML file, or of an embedded sample.", _run, _config_flag, of_run=False, of_group=True
    ),
    "import": Verb("Scores of another program -> a run that every page opens.", _import, _import_flags),
    "top": Verb("Which documents raised or lowered a completion; without --query the completions.", _top, _top_flags),
    "tokens": Verb("Which tokens of a document carry its influence; computed if not stored.", _tokens, _tokens_flags),
    "ask": Verb("Which documents made the model say this? For any completion, while you wait.", _ask, _ask_flags),
    "index": Verb(
        "A few kilobytes for each document, so that live questions find theirs.",
        _index,
        partial(add_settings, settings=IndexSettings),
    ),
    "report": Verb(
        "Write one HTML file to hand on: the run, its completions, how far to trust it.", _report, _report_flags
    ),
    "analyse": Verb(
        "Concentration, sources or word order: the numbers behind the dashboard's pages.",
        _analyse,
        _analyse_flags,
        of_run=False,
    ),
    "check": Verb(
        "Is an influence worth what it says? Checks against exact answers and against training itself.",
        _check,
        _check_flags,
        of_run=False,
    ),
    "findings": Verb("Do the literature's findings hold in this run?", _findings, _findings_flags, of_run=False),
    "review": Verb("Documents reviewed: list, export, import, labels, agreement, predict.", _review, add_review_flags),
    "export": Verb("Write a table of the run as Parquet, CSV or JSONL.", _export, _export_flags),
}
"""By name, in the order of ``--help``."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="python -m engine", description=DESCRIPTION)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in VERBS.items():
        made = verbs.add_parser(name, help=verb.help, description=verb.help)
        made.set_defaults(call=verb.call)
        if verb.of_run:
            _add_run(made)
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
    given = parser().parse_args(arguments)
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
