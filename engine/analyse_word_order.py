"""``python -m engine analyse word-order``: the variants of one document, or what is left over many completions."""

import argparse
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from engine import progress as progress_module
from engine.ablation_file import ablation_key, read_ablation, read_top
from engine.analysis.ablation import Ablation, summarise
from engine.analysis.ranking import rank_documents
from engine.analysis.word_order import effects, spread
from engine.errors import RunError
from engine.run import Run
from engine.show import CONTROL, number
from engine.variants import LABELS, VariantSettings

QUESTION = "Word order: what is left of a document's influence when the order of its words is gone?"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The analysis's own flags."""
    parser.add_argument("--query", help="title or id of a completion")
    parser.add_argument("--document", help="title or id of a document (default: the one that raised it most)")
    parser.add_argument(
        "--top",
        type=int,
        metavar="N",
        help="score the N strongest documents of each completion, or of --query, and as many unrelated ones",
    )
    usual = VariantSettings()
    parser.add_argument("--draws", type=int, default=usual.draws, help="of each shuffle (default: %(default)s)")
    parser.add_argument(
        "--window-words",
        type=int,
        default=usual.window_words,
        help="words of a window that words are shuffled within (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=usual.seed, help="of the shuffles (default: %(default)s)")


def compute(run: Run, given: argparse.Namespace) -> tuple[list[dict[str, Any]], list[Any]]:
    """Rows for ``--json`` and what is printed without it: variants of one document, or a summary of many.

    Without a completion it is the summary, where documents were scored before; else the first completion.

    Raises:
        RunError: If a document is given without a completion.
    """
    if given.document and not given.query:
        raise RunError("--document is given without --query -- a document acts on a completion -- add --query TITLE.")
    settings = VariantSettings(given.draws, given.window_words, given.seed)
    if given.top is not None:
        return _summed(run, _score_top(run, given, settings))
    if given.query is None:
        kept = read_top(run.folder, run.queries["query"].tolist())
        if not kept.empty:
            return _summed(run, kept)
    query = run.find_query(given.query) if given.query else int(run.queries["query"].iloc[0])
    document = run.find_document(given.document) if given.document else int(rank_documents(run, query)["document"][0])
    found = read_ablation(run, query, document, ablation_key(settings))
    if found is None:
        from engine.ablations import kept_ablation
        from engine.live import load_run

        found = kept_ablation(load_run(run.path), query, document, settings, progress_module.for_terminal())
    shown = _one(run, found)
    if given.query is None:
        shown.append("One document is an example: add --top 3 for the strongest documents of every completion.")
    return _records(run, found), shown


def _records(run: Run, found: Ablation) -> list[dict[str, Any]]:
    whose = {
        "completion": run.queries.set_index("query").at[found.query, "title"],
        "document": run.documents.set_index("document").at[found.document, "title"],
    }
    texts = {(one.name, one.draw): one.text for one in found.variants}
    rows = found.table().to_dict("records")
    return [whose | row | {"text": texts[str(row["variant"]), int(row["draw"])]} for row in rows]


def _one(run: Run, found: Ablation) -> list[Any]:
    title = run.documents.set_index("document").at[found.document, "title"]
    table = _empty(f"Variants of {title!r}, texts the model never saw", "Variant", "Draws")
    for name in (f"Influence\n({found.unit}/weight)", "Range", "Difference", "Left"):
        table.add_column(name, justify="right")
    table.add_row(LABELS["original"], "1", number(found.original.total), "", "", "")
    for row in summarise(found.table()).itertuples():
        between = f"{number(row.low)} to {number(row.high)}" if row.draws > 1 else ""
        table.add_row(
            LABELS[str(row.variant)], str(row.draws), number(row.influence), between, number(row.difference),
            f"{row.ratio:.0%}" if row.ratio == row.ratio else "-",
        )  # fmt: skip
    above = abs(found.original.total) > found.noise
    says = "above it" if above else "not above it, so no share is given"
    noise = f"Noise: 19 of 20 unrelated documents stay below {abs(found.noise):.3g}; the original is {says}."
    return [table, noise]


def _score_top(run: Run, given: argparse.Namespace, settings: VariantSettings) -> pd.DataFrame:
    from engine.ablations import ablate_top
    from engine.live import load_run

    queries = [run.find_query(given.query)] if given.query else run.queries["query"].tolist()
    return ablate_top(load_run(run.path), queries, given.top, settings, progress_module.for_terminal())


def _summed(run: Run, scored: pd.DataFrame) -> tuple[list[dict[str, Any]], list[Any]]:
    found = effects(scored, run.queries.set_index("query")["kind"])
    left, change = spread(found, "left"), spread(found, "change")
    parts = [_summary("Left of the influence of the strongest documents", left, "{:.0%}")]
    parts.append(_summary("Change of influence, in multiples of the noise level", change, "{:+.2f}"))
    rows = _measured(left, "left") + _measured(change, "change")
    return rows, parts


def _measured(table: pd.DataFrame, measure: str) -> list[dict[str, Any]]:
    return [{"measure": measure, **row} for row in table.to_dict("records")]


def _summary(title: str, table: pd.DataFrame, form: str) -> Table:
    shown = _empty(title, "Variant", "Documents", "Kind")
    for name in ("Completions", "Median", "95% interval"):
        shown.add_column(name, justify="right")
    for row in table.itertuples():
        known = row.low == row.low
        shown.add_row(
            LABELS[row.variant], "unrelated" if row.control else "strongest", Text(row.kind), str(row.completions),
            form.format(row.median), f"{form.format(row.low)} to {form.format(row.high)}" if known else "-",
        )  # fmt: skip
    return shown


def _empty(title: str, *columns: str) -> Table:
    table = Table(title=Text(CONTROL.sub("�", title)), title_justify="left", title_style="bold", header_style="dim")
    for name in columns:
        table.add_column(name)
    return table
