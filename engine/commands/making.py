"""Verbs that make a run, and the look at a corpus before: ``corpus``, the steps, ``run``, ``import``, ``index``."""

import argparse
import json
import os
from pathlib import Path

from engine import progress as progress_module
from engine.arguments import add_settings, positive, read_settings
from engine.commands.shared import add_json
from engine.group import this_group
from engine.importing.settings import ImportSettings
from engine.index.settings import IndexSettings
from engine.pipeline import SAMPLES
from engine.readers.choice import READERS
from engine.readers.settings import ReadingSettings
from engine.run import Run
from engine.settings import FitSettings, QuerySettings, ScoreSettings

CORPUS = f"file, folder or dataset: {'; '.join(reader.reads for reader in READERS.values())}; also .gz and .zst"


def corpus(given: argparse.Namespace) -> None:
    """Say what would be read of a corpus."""
    from engine.corpus_summary import summarise, summary_tables
    from engine.show import print_all

    summary = summarise(given.path, read_settings(ReadingSettings, given), given.model, given.first)
    if given.json:
        print(json.dumps(vars(summary), indent=2, ensure_ascii=False))
    else:
        print_all(summary_tables(summary))


def corpus_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``corpus``."""
    parser.add_argument("path", help=CORPUS)
    parser.add_argument("--model", help="name or folder of a model whose tokenizer counts tokens")
    parser.add_argument("--first", type=positive, help="documents to look at (default: all)")
    add_json(parser)
    add_settings(parser.add_argument_group("reading the corpus"), ReadingSettings)


def fit(given: argparse.Namespace) -> None:
    """Step 1."""
    from engine.factors import fit

    settings, reading = read_settings(FitSettings, given), read_settings(ReadingSettings, given)
    fit(given.run, given.model, given.corpus, settings, progress_module.for_terminal(), reading)


def fit_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``fit``."""
    parser.add_argument(
        "--model", required=True, help="Hugging Face causal language model: name, folder, GGUF file or LoRA adapter"
    )
    parser.add_argument("--corpus", required=True, help=CORPUS)
    add_settings(parser, FitSettings)
    add_settings(parser.add_argument_group("reading the corpus"), ReadingSettings)


def query(given: argparse.Namespace) -> None:
    """Step 2."""
    from engine.queries import query

    query(given.run, given.queries, read_settings(QuerySettings, given), progress_module.for_terminal())


def query_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``query``."""
    parser.add_argument("--queries", required=True, help="JSONL file: id, prompt, completion, kind, language, title")
    add_settings(parser, QuerySettings)


def score(given: argparse.Namespace) -> None:
    """Step 3."""
    from engine.scores import score

    score(given.run, read_settings(ScoreSettings, given), progress_module.for_terminal())


def run(given: argparse.Namespace) -> None:
    """All three steps, then the first completion."""
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


def run_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``run``."""
    parser.add_argument(
        "config",
        help=f"an embedded sample ({', '.join(SAMPLES)}), a TOML file with run, model, corpus, queries, or the folder "
        "of a finished run",
    )


def import_(given: argparse.Namespace) -> None:
    """Make a run of another program's scores."""
    from engine.importing.run import import_scores

    settings, reading = read_settings(ImportSettings, given), read_settings(ReadingSettings, given)
    progress = progress_module.for_terminal()
    import_scores(given.run, given.scores, given.corpus, given.queries, settings, progress, reading)


def import_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``import``."""
    parser.add_argument("--scores", required=True, help="file or folder: Parquet, or of kronfluence or bergson")
    parser.add_argument("--corpus", required=True, help=f"the documents that were scored, in the same order; {CORPUS}")
    parser.add_argument("--queries", required=True, help="JSONL file of the completions, in the same order")
    add_settings(parser, ImportSettings)
    add_settings(parser.add_argument_group("reading the corpus"), ReadingSettings)


def index(given: argparse.Namespace) -> None:
    """Keep a few kilobytes of each document."""
    from engine.index.build import build_index
    from engine.index.show import recall_tables
    from engine.live import load_run
    from engine.show import print_all

    noted = build_index(load_run(given.run), read_settings(IndexSettings, given), progress_module.for_terminal())
    print_all(recall_tables(noted))
