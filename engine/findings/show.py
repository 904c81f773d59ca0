"""What ``python -m engine findings`` prints."""

import math
from typing import Any

from rich.table import Table
from rich.text import Text

from engine.check.result import Result
from engine.findings.rules import RULES, Part
from engine.findings.study import INFLUENCE

LEAST, WIDTH = 26, 60
"""Columns for what is estimated."""
ANSWERS = {True: "yes", False: "no", None: "open"}


def shown(results: list[Result]) -> list[Any]:
    """Of each finding its verdict, the sentence, the rule, influence beside its controls, and what is open."""
    return [one for result in results for one in _finding(result)]


def _finding(result: Result) -> list[Any]:
    (verdict,) = result.tables["verdict"]
    heading = Text(f"\n{verdict['number']}. {verdict['title']}: {verdict['verdict']}", style="bold")
    if verdict["planted"]:
        heading.append(" (planted in the sample: it tests the instrument, not the literature)", style="not bold")
    lines: list[Any] = [heading, Text(verdict["sentence"])] if verdict["sentence"] else [heading]
    if result.tables["estimates"]:
        lines.append(_estimates(result))
    lines += [Text(f"Open: {row['text']}") for row in result.tables["open"]]
    return [*lines, Text(verdict["rule"], style="dim")]


def _estimates(result: Result) -> Table:
    parts, rows = RULES[result.check].parts, result.tables["estimates"]
    scores = list(dict.fromkeys(row["score"] for row in rows))
    made = Table(header_style="dim", expand=False)
    made.add_column("Estimated", min_width=LEAST, max_width=WIDTH)
    for score in scores:
        made.add_column(score.capitalize() if score == INFLUENCE else score, justify="right")
    made.add_column("As asked", no_wrap=True)
    for key, part in parts.items():
        cells = {row["score"]: row for row in rows if row["part"] == key}
        numbers = [_number(part, cells[score]) if score in cells else "-" for score in scores]
        asked = cells[INFLUENCE]["answer"] if INFLUENCE in cells else None
        made.add_row(
            Text(part.says.rstrip(",")), *numbers, f"{part.side} {written(part, part.bound)}: {ANSWERS[asked]}"
        )
    return made


def _number(part: Part, row: dict[str, Any]) -> str:
    ends = f"\n{written(part, row['low'])} to {written(part, row['high'])}" if row["low"] is not None else ""
    null = f"\nchance {written(part, row['null'])}" if row["null"] is not None else ""
    return written(part, row["value"]) + ends + null


def written(part: Part, value: float | None) -> str:
    """A value of a part as its bound is written, with enough digits."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.3g}" if part.form == "{:g}" else part.form.format(value)
