"""How far a run's influences can be trusted: what checks came to, or the command that would tell."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.check.effects import BM25, DOCUMENTS, INFLUENCE
from engine.check.found import (
    STABILITY,
    Calibration,
    Found,
    calibration_of,
    find_result,
    is_of_completion,
    is_of_run,
    leave_outs,
)
from engine.check.result import Result
from engine.checks import CHECKS, command
from engine.report.facts import file_name, shown_path
from engine.run import Run
from engine.settings import ESTIMATORS
from engine.words import between, correlation, date

Figures = list[tuple[str, str]]
VERDICTS = {
    "steady": "Its strongest documents stay when damping, fitted documents or sampled labels change.",
    "shaky": "Some of its strongest documents change with the damping, the fitted documents or the sampled labels.",
    "noise": "Its strongest documents stand out no more than those of random directions.",
}
ESTIMATED = {*ESTIMATORS.values(), "exact"}


@dataclass(frozen=True)
class Checked:
    """A check in the report.

    Attributes:
        title: Its name.
        question: What it answers.
        figures: What came out, by name; empty where it was not measured.
        measured: When, on what, and where that result lies; or why there is none.
        command: The command that measures it.
    """

    title: str
    question: str
    figures: Figures
    measured: str
    command: str


@dataclass(frozen=True)
class Trust:
    """All checks; the calibration of predicted changes; and by completion id verdicts and what was left out."""

    checks: tuple[Checked, ...]
    calibration: Calibration | None
    verdicts: Mapping[str, dict[str, Any]]
    left_out: Mapping[str, tuple[dict[str, Any], ...]]
    stability_command: str


def trust(run: Run, home: Path) -> Trust:
    """What is known of how far a run's influences can be trusted.

    Args:
        run: The run.
        home: Folder of the results of checks that belong to no run.
    """
    names = [name for name in CHECKS if not is_of_completion(name)]
    found = {name: find_result(name, run.path if is_of_run(name) else None, home) for name in names}
    steady = found[STABILITY].result
    rows = steady.tables["completions"] if steady is not None else []
    return Trust(
        checks=tuple(_checked(run, one) for one in found.values()),
        calibration=calibration_of(found["removal"]),
        verdicts={row["id"]: row for row in rows},
        left_out=_left_out(run),
        stability_command=_asked(run, STABILITY),
    )


def _checked(run: Run, found: Found) -> Checked:
    asked = _asked(run, found.name)
    if found.result is None:
        return Checked(found.check.title, found.check.question, [], found.trouble, asked)
    where = "on this run" if is_of_run(found.name) else f"on {_corpus(found.result)}, not on this run"
    came = " (came with the program)" if found.shipped else ""
    measured = f"Measured {where}, {date(found.result.finished)}{came}."
    figures = FIGURES[found.name](found.result)
    return Checked(
        found.check.title, found.check.question, figures, measured, command(found.name, _shown(found.result))
    )


def _shown(result: Result) -> dict[str, Any]:
    """A result's settings with its run's path as a reader would write it."""
    return {name: shown_path(value) if name == "run" else value for name, value in result.settings.items()}


def _asked(run: Run, name: str) -> str:
    given = {"run": shown_path(str(run.path))} if is_of_run(name) else {}
    return command(name, asdict(CHECKS[name].settings(**given)))


def _corpus(result: Result) -> str:
    given = result.settings.get("corpus")
    return file_name(given) if given else "the embedded sample"


def _left_out(run: Run) -> dict[str, tuple[dict[str, Any], ...]]:
    """By completion id: titles of the documents left out, predicted and measured change, size of chance."""
    found: dict[str, tuple[dict[str, Any], ...]] = {}
    for one in leave_outs(run.folder):
        if one.result is None:
            continue
        first, (chance,) = one.result.tables["completions"][0], one.result.tables["chance"]
        row = {name: first[name] for name in ("predicted", "measured")} | {"chance": chance["size"]}
        row["documents"] = [document["document"] for document in one.result.tables["documents"]]
        found[first["id"]] = (*found.get(first["id"], ()), row)
    return found


def _exact(result: Result) -> Figures:
    row = _row(result, "estimators", estimator=INFLUENCE)
    return [
        ("Correlation with exact influences", between(row, "correlation")),
        ("Correlation with what training answers", between(row, "response_correlation")),
        ("What training answers per predicted change", between(row, "response_slope")),
    ]


def _lds(result: Result) -> Figures:
    rows, (most,) = result.tables["estimators"], result.tables["ceiling"]
    baselines = [row for row in rows if row["estimator"] not in ESTIMATED]
    of = _row(result, "estimators", estimator=INFLUENCE)
    best = max(baselines, key=lambda row: row["lds"], default=None)
    return [
        (f"Rank correlation of {INFLUENCE} with training on halves", between(of, "lds")),
        ("A perfect prediction would come to", correlation(most["ceiling"])),
        *([(f"Best baseline: {best['estimator']}", between(best, "lds"))] if best else []),
    ]


def _removal(result: Result) -> Figures:
    rise = _row(result, "methods", what=DOCUMENTS, method=INFLUENCE)
    fit = _row(result, "calibration", what=DOCUMENTS)
    return [
        (f"Rise of the loss without the {result.settings['top']} strongest, nats", between(rise, "rise")),
        (f"Times the rise of {BM25}'s choice", between(rise, "of_bm25")),
        ("Correlation of predicted and measured changes", between(fit, "correlation")),
        ("Measured change per predicted change", between(fit, "slope")),
    ]


def _bif(result: Result) -> Figures:
    rows = result.tables["agreement"]
    return [(f"Rank correlation with sampling ({row['form']})", between(row, "rank_correlation")) for row in rows] + [
        (f"Perfect agreement would come to ({row['form']})", between(row, "ceiling")) for row in rows
    ]


def _stability(result: Result) -> Figures:
    given = [row["verdict"] for row in result.tables["completions"]]
    return [(f"Completions that are {one}", f"{given.count(one):,} of {len(given):,}") for one in VERDICTS]


FIGURES: Mapping[str, Callable[[Result], Figures]] = {
    "exact": _exact, "lds": _lds, "removal": _removal, "bif": _bif, STABILITY: _stability,
}  # fmt: skip
"""What is shown of each check."""


def _row(result: Result, table: str, **values: str) -> dict[str, Any]:
    return next(row for row in result.tables[table] if values.items() <= row.items())
