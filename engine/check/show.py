"""What ``python -m engine check`` prints: tables for the terminal."""

from typing import Any

from rich.table import Table
from rich.text import Text

from engine.check.result import Result
from engine.checks import CHECKS
from engine.progress import format_seconds


def tables(result: Result) -> list[Any]:
    """The question, its tables, and how to read them."""
    return [Text(f"\n{CHECKS[result.check].question}", style="bold"), *SHOWN[result.check](result)]


def _exact(result: Result) -> list[Any]:
    return [_estimators(result), _reading(result)]


def _estimators(result: Result) -> Table:
    made = Table(header_style="dim", expand=False)
    made.add_column("Curvature", no_wrap=True)
    for heading in (
        "Error of\nthe matrix", "Error of\nthe solve", "With exact\ninfluence", "With its\nranks",
        "With the\nresponse", "Response per\npredicted change",
    ):  # fmt: skip
        made.add_column(heading, justify="right", no_wrap=True)
    for row in result.tables["estimators"]:
        errors = ("-" if row[name] is None else f"{row[name]:.3g}" for name in ("curvature_error", "solve_error"))
        columns = ("correlation", "rank_correlation", "response_correlation", "response_slope")
        made.add_row(Text(row["estimator"]), *errors, *(_interval(row, name) for name in columns))
    return made


def _interval(row: dict[str, Any], name: str) -> str:
    if row[name] is None:
        return "-"
    return f"{row[name]:.2f}\n{row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f}"


def _reading(result: Result) -> Text:
    return Text(
        f"A model trained on the beginnings of {result.settings['documents']} documents, {result.settings['queries']} "
        "completions. Correlations: means over completions, below them 95% intervals. Response: what minimising the "
        f"proximal Bregman objective with a document counted once more gives. Took {format_seconds(result.seconds)}.",
        style="dim",
    )


def _lds(result: Result) -> list[Any]:
    made = Table(header_style="dim", expand=False)
    made.add_column("Estimator", no_wrap=True)
    for heading in ("Linear datamodeling\nscore", "Of the\nceiling"):
        made.add_column(heading, justify="right", no_wrap=True)
    for row in sorted(result.tables["estimators"], key=lambda row: -row["lds"]):
        share = "-" if row["of_ceiling"] is None else f"{row['of_ceiling']:.0%}"
        made.add_row(Text(row["estimator"]), _interval(row, "lds"), share)
    (most,), (bench,) = result.tables["ceiling"], result.tables["bench"]
    reading = Text(
        f"{result.settings['masks']} random halves of {bench['documents']} documents, {result.settings['seeds']} seeds "
        f"each, {bench['completions']} completions. The score is the rank correlation over halves of the summed "
        "influence with the log-probability after training, mean over completions, below it its 95% interval over "
        f"completions. A perfect prediction would come to {most['ceiling']:.2f}, as seeds differ too. "
        f"Took {format_seconds(result.seconds)}.",
        style="dim",
    )
    return [made, reading]


SHOWN = {"exact": _exact, "lds": _lds}
"""What is printed of each check."""
