"""What ``python -m engine ask`` prints: what is known so far, as tables for the terminal (no torch)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from engine.analysis.units import display_units
from engine.ask.answer import Answer, Damped, Way
from engine.run import Run
from engine.show import CONTROL, KIND_MEANS, number, print_all

BY = {
    Way.INDEX: "Quick order by the run's index of gradients and by shared tokens; scores have no unit.",
    Way.WORDS: "Quick order by shared tokens alone, as this run has no index (make one with python -m engine index); "
    "scores have no unit.",
}
PIECES = 3
"""Strongest pieces of a document that are shown."""


class Printer:
    """Prints an answer as it grows.

    Args:
        run: The run.
        top: Documents shown.
    """

    def __init__(self, run: Run, top: int) -> None:
        self._run, self._top = run, top

    def __call__(self, answers: Sequence[Answer]) -> None:
        """Print what is known so far, for every completion."""
        for answer in answers:
            print_all(self._exact(answer) if answer.influence else self._first(answer))

    def at_other_damping(self, answers: Sequence[Answer]) -> None:
        """Print how far the order of the documents shown holds at other damping."""
        for answer in answers:
            if answer.damped is not None and len(answer.damped.of) > 1:
                print_all([Text(_at_other_damping(answer.damped), style="dim")])

    def _first(self, answer: Answer) -> list[Any]:
        ranking = answer.ranking
        question = ranking.question
        told = f"{ranking.value:+.2f} {ranking.unit}"
        about = f"{BY[ranking.by]} {ranking.recall}".strip()
        rather = f" rather than {question.contrast!r}" if question.contrast else ""
        heading = Text.assemble("\n", _text(question.prompt, "dim"), _text(question.completion, "bold underline"))
        heading.append_text(_text(f"{rather}\n{told}, {len(ranking.tokens)} tokens. {about}"))
        table = ranking.table(self._run, self._top)
        return [heading, _table("First by the quick order", table, {"Score": [f"{one:.1f}" for one in table["score"]]})]

    def _exact(self, answer: Answer) -> list[Any]:
        ranking, table = answer.ranking, answer.table(self._run, self._top)
        title = f"Raised it most, of the {len(answer.influence):,} documents scored exactly"
        columns = {
            f"Influence\n({ranking.unit}/weight)": [number(one) for one in table["influence"]],
            "Strongest pieces": [self._pieces(answer, document) for document in table["document"]],
        }
        about = f"Pieces by position: {KIND_MEANS['position']}; all of a document's add up to its influence."
        return [Text(""), _table(title, table, columns), Text(about, style="dim")]

    def _pieces(self, answer: Answer, document: int) -> str:
        """A document's pieces of the largest influence, with their values."""
        text, values = self._run.text(document), answer.influence[document].of_tokens.sum(0)
        units = display_units(text, self._run.document_tokens(document))
        sums = [float(values[list(unit.tokens)].sum()) if unit.tokens else 0.0 for unit in units]
        order = sorted(range(len(units)), key=lambda place: -abs(sums[place]))[:PIECES]
        return ", ".join(f"{text[units[at].start : units[at].end].strip()!r} {number(sums[at])}" for at in order)


def _at_other_damping(damped: Damped) -> str:
    found = ", ".join(f"{one:g}: {damped.agreement(one):.2f}" for one in damped.factors if one != damped.own)
    return (
        f"Rank correlation of these {len(damped.of)} documents' influence (damping factor {damped.own:g}) with that at "
        f"other damping factors: {found}."
    )


def _table(title: str, rows: pd.DataFrame, columns: dict[str, list[str]]) -> Table:
    made = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    made.add_column("Document", overflow="ellipsis", no_wrap=True, max_width=40)
    made.add_column("Source", no_wrap=True)
    for name in columns:
        made.add_column(name, justify="left" if name == "Strongest pieces" else "right", overflow="ellipsis")
    for place, row in enumerate(rows.to_dict("records")):
        made.add_row(_text(row["title"]), _text(row["source"]), *(_text(values[place]) for values in columns.values()))
    return made


def _text(value: Any, style: str = "") -> Text:
    """Text as it stands; control characters, which could command the terminal, are spelled out."""
    return Text(CONTROL.sub(lambda found: repr(found[0])[1:-1], str(value)), style=style)
