"""What ``python -m engine index`` prints: what the index finds, as a table for the terminal (no torch)."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

NOT_MEASURED = (
    "What the index finds was not measured, as not all documents of this run were scored (score --prefilter)."
)


def recall_tables(noted: Mapping[str, Any]) -> list[Any]:
    """Recall by ranking, bytes of a document and share of the corpus."""
    rows = noted["recall"]
    if not rows:
        return [Text(NOT_MEASURED, style="dim")]
    return [_table([row for row in rows if row["top"] == top]) for top in dict.fromkeys(row["top"] for row in rows)]


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    title = f"How much of the exact top {rows[0]['top']} is among the first documents of a quicker order"
    made = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    made.add_column("Order", no_wrap=True)
    made.add_column("Bytes a\ndocument", justify="right")
    shares = list(dict.fromkeys((row["share"], row["candidates"]) for row in rows))
    for share, candidates in shares:
        made.add_column(f"{share:.1%}:\n{candidates:,}", justify="right", no_wrap=True)
    for ranking, size in dict.fromkeys((row["ranking"], row["document_bytes"]) for row in rows):
        own = {row["share"]: row for row in rows if (row["ranking"], row["document_bytes"]) == (ranking, size)}
        made.add_row(ranking, f"{size:,}" if size else "-", *(_cell(own[share]) for share, _ in shares))
    return made


def _cell(row: Mapping[str, Any]) -> str:
    return f"{row['recall']:.2f}\n{row['recall_low']:.2f} to {row['recall_high']:.2f}"


def recall_sentence(noted: Mapping[str, Any] | None, ranking: str, exact: int) -> str:
    """What the quick order found of the run's own completions among about as many documents; empty if unknown.

    Args:
        noted: What is noted of the index.
        ranking: Name of the order.
        exact: Documents that are scored exactly.
    """
    rows = noted["recall"] if noted else []
    size = noted["settings"]["document_bytes"] if noted else 0
    known = [row for row in rows if row["ranking"] == ranking and row["document_bytes"] in (size, None)]
    known = [row for row in known if row["top"] == 10 and row["candidates"] <= exact]
    if not known:
        return ""
    row = max(known, key=lambda row: row["candidates"])
    return (
        f"For this run's own completions the {row['candidates']:,} documents that came first held {row['recall']:.0%} "
        f"of the exact top 10 ({row['recall_low']:.0%} to {row['recall_high']:.0%}, mean with its 95% interval)."
    )
