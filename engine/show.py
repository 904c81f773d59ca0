"""Tables for the terminal and for ``--json``: what ``top`` and ``tokens`` print."""

import math
import re
import sys
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.analysis.ranking import headline, rank_documents, strongest
from engine.analysis.units import display_units
from engine.mixing import mixing
from engine.run import Run, TokenInfluence

POSITIVE, NEGATIVE = "#0072B2", "#D55E00"
HEAT_STEPS = (0.15, 0.4, 0.7)
"""Shares of the largest magnitude from which a token is dim, plain, bold on the terminal."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
PIPE_WIDTH = 120
"""Columns of a table that goes to a file or a pipe."""
KIND_MEANS = {
    "position": "what passes through each token (it lights up the token before the predicted one)",
    "prediction": "what predicting each token contributes (what dropping its loss term would take away)",
}


def number(value: float) -> str:
    """Three significant digits with a sign."""
    if not math.isfinite(value):
        return "-"
    return f"{value:+.3g}" if abs(value) < 1000 else f"{value:+,.0f}"


def top_tables(run: Run, query: int, k: int) -> list[Table | Text]:
    """What raised and what lowered a completion, for the terminal."""
    row = run.queries.set_index("query").loc[query]
    ranking = rank_documents(run, query)
    summary = headline(ranking)
    heading = Text.assemble(
        "\n", printable(row["title"], "bold"), "\n", printable(row["prompt"], "dim"),
        printable(row["completion"], "bold underline"), "\n",
        f"{summary.raised:,} of {summary.documents:,} documents raised this completion, {summary.lowered:,} lowered "
        f"it; the ten strongest hold {summary.top_share:.0%} of all positive influence.",
    )  # fmt: skip
    raised = ranking[ranking["influence"] > 0].head(k)
    lowered = ranking[ranking["influence"] < 0].tail(k)[::-1]
    tables = [_table(run, "Raised it most", raised), _table(run, "Lowered it most", lowered)]
    return [heading, *_sampling(run, query), *tables]


def _sampling(run: Run, query: int) -> list[Text]:
    """How well a sampled run's chains have mixed; nothing of any other run."""
    found = mixing(run, query)
    said = [Text(found.sentence, "dim"), Text(found.warning, "bold")] if found else []
    return [text for text in said if text.plain]


def _table(run: Run, title: str, ranking: pd.DataFrame) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", expand=False)
    add_column(table, "Document", max_width=44)
    add_column(table, "Source")
    add_column(table, "Language")
    for name in (f"Influence\n({run.short_unit})", "Share", "Gradient\ncosine", "BM25"):
        add_column(table, name, right=True)
    for row in ranking.itertuples():
        table.add_row(
            printable(row.title), printable(row.source), printable(row.language), number(row.influence),
            f"{row.share:.1%}", number(row.gradient_cosine), f"{row.bm25:.1f}",
        )  # fmt: skip
    return table


def printable(value: Any, style: str = "") -> Text:
    """Text as it stands; control characters, which could command the terminal, are spelled out."""
    return Text(CONTROL.sub(lambda found: repr(found[0])[1:-1], str(value)), style=style)


def add_column(table: Table, name: str, right: bool = False, max_width: int | None = None) -> None:
    """A column on one line per row; longer cells end in an ellipsis."""
    justify: Any = "right" if right else "left"
    table.add_column(name, justify=justify, overflow="ellipsis", no_wrap=True, max_width=max_width)


def query_list(run: Run) -> list[Table]:
    """The run's completions, each with the document that raised it most."""
    table = Table(title="Completions", title_justify="left", header_style="dim")
    add_column(table, "Completion", max_width=40)
    add_column(table, "Kind")
    add_column(table, "Language")
    add_column(table, "Nats", right=True)
    add_column(table, "Raised most by", max_width=36)
    titles, first = run.documents["title"], strongest(run)
    for row in run.queries.itertuples():
        table.add_row(
            printable(row.title),
            printable(row.kind),
            printable(row.language),
            f"{row.log_prob:.2f}" if math.isfinite(row.log_prob) else "-",
            printable(titles[first[row.query]]),
        )
    return [table]


def top_records(run: Run, query: int, k: int) -> list[dict[str, Any]]:
    """The ``k`` first and last documents of a ranking, for ``--json``."""
    ranking = rank_documents(run, query)
    ends = ranking if len(ranking) <= 2 * k else pd.concat([ranking.head(k), ranking.tail(k)])
    ends = ends.assign(document_id=run.documents["id"].take(ends["document"]).to_numpy())
    return ends.drop(columns="document").to_dict("records")


def token_texts(run: Run, document: int, found: TokenInfluence) -> list[Text | Table]:
    """A document with its tokens coloured by influence, and its strongest pieces."""
    text, tokens = run.text(document), run.document_tokens(document)
    values = found.of_tokens.sum(0)
    units = display_units(text, tokens)
    sums = [float(values[list(unit.tokens)].sum()) if unit.tokens else 0.0 for unit in units]
    largest = max((abs(value) for value in sums), default=0.0) or 1.0
    body = Text()
    for unit, value in zip(units, sums, strict=True):
        body.append_text(printable(text[unit.start : unit.end], _heat(value / largest)))
    table = Table(title="Strongest pieces", title_justify="left", header_style="dim")
    for name in ("Text", "Character", f"Influence ({run.short_unit})"):
        table.add_column(name, justify="right" if name != "Text" else "left")
    for place in sorted(range(len(units)), key=lambda at: -abs(sums[at]))[:10]:
        unit = units[place]
        table.add_row(Text(repr(text[unit.start : unit.end])), f"{unit.start:,}", number(sums[place]))
    caption = Text(
        f"\nBy {found.kind}: {KIND_MEANS[found.kind]}. All tokens: {number(float(values.sum()))}, "
        f"start of document: {number(float(found.of_start.sum()))}; together the document's influence.",
        style="dim",
    )
    return [body, caption, table]


def _heat(share: float) -> str:
    strength = sum(abs(share) >= step for step in HEAT_STEPS)
    if strength == 0:
        return "dim"
    return f"{('', 'bold', 'bold reverse')[strength - 1]} {POSITIVE if share > 0 else NEGATIVE}"


def token_records(run: Run, document: int, found: TokenInfluence) -> list[dict[str, Any]]:
    """One record per token, the start token first where there is one, for ``--json``."""
    text, tokens = run.text(document), run.document_tokens(document)
    records = [
        _token_record(n, text[start:end], start, end, found.of_tokens[:, n])
        for n, (start, end) in enumerate(zip(tokens.starts, tokens.ends, strict=True))
    ]
    return [_token_record(-1, "", 0, 0, found.of_start), *records] if found.has_start else records


def _token_record(token: int, text: str, start: int, end: int, influence: np.ndarray) -> dict[str, Any]:
    return {"token": token, "text": text, "start": int(start), "end": int(end), "influence": influence.tolist()}


def print_all(parts: list[Any]) -> None:
    """Print to standard output."""
    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    for part in parts:
        console.print(part)
