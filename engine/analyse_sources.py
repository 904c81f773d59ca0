"""``python -m engine analyse sources``: which sources, or languages, the influence comes from, for the terminal."""

import argparse
from typing import Any, get_args

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from engine.analysis.sources import (
    By,
    Weight,
    log_ks,
    multipliers_of_groups,
    queries_by_kind,
    signed_mass,
    stands_out,
)
from engine.errors import WhenceError
from engine.run import Run
from engine.show import CONTROL, number

QUESTION = "Sources: which sources, or languages, does the influence come from?"
ALL = "All completions"
CHOSEN = "Chosen completions"
ENDS = {"raised": "raised it most", "lowered": "lowered it most"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The analysis's own flags."""
    parser.add_argument(
        "--kind",
        action="append",
        help="kind of completions; given several times, groups side by side (default: all)",
    )
    parser.add_argument("--query", action="append", help="title or id of a completion; given several times, one group")
    parser.add_argument("--by", choices=get_args(By), default="source", help="what documents have in common")
    parser.add_argument("--weight", choices=get_args(Weight), default="documents", help="what shares are counted in")
    parser.add_argument("--k", type=int, default=100, help="documents at each end that are shown (default: 100)")
    parser.add_argument("--draws", type=int, default=200, help="resamplings for each interval (default: 200)")


def compute(run: Run, given: argparse.Namespace) -> tuple[list[dict[str, Any]], list[Any]]:
    """Rows for ``--json`` (``table`` says of which table), and what is printed without it.

    Raises:
        WhenceError: If there is no such kind or completion, or a number is out of range.
    """
    groups = _groups(run, given)
    ks = _ks(run, given.k) if given.json else [given.k]  # the terminal shows one
    found = multipliers_of_groups(run, groups, given.by, given.weight, ks, given.draws)
    masses = {name: signed_mass(run, queries, given.by) for name, queries in groups.items()}
    records = [
        {"table": "multiplier"} | row for row in found.drop(columns=_without_second(groups)).to_dict("records")
    ] + [{"table": "mass", "queries": name} | row for name, mass in masses.items() for row in mass.to_dict("records")]
    k = min(given.k, int(found["k"].max()))
    shown: list[Any] = []
    for name, queries in groups.items():
        table = found[found["queries"] == name]
        shown += [_sentence(table, name, len(queries), k, given), _multipliers(table[table["k"] == k], name, k, given)]
        shown.append(_masses(run, masses[name], name, given.by))
    return records, shown


def _groups(run: Run, given: argparse.Namespace) -> dict[str, list[int]]:
    kinds, groups = queries_by_kind(run), {}
    for kind in given.kind or []:
        if kind not in kinds:
            raise WhenceError(f"no completion is of the kind {kind!r} -- choose one of {', '.join(kinds)}.")
        groups[kind] = kinds[kind]
    if given.query:
        groups[CHOSEN] = list(dict.fromkeys(run.find_query(name) for name in given.query))
    return groups or {ALL: run.queries["query"].tolist()}


def _ks(run: Run, k: int) -> list[int]:
    """The sizes of the figure, and the one that is shown; ``multipliers`` refuses one below 1."""
    return sorted({k, *log_ks(run.corpus_documents)})


def _without_second(groups: dict[str, list[int]]) -> list[str]:
    return [] if len(groups) > 1 else ["difference", "difference_low", "difference_high"]


def _sentence(table: pd.DataFrame, name: str, queries: int, k: int, given: argparse.Namespace) -> Text:
    row, tokens = stands_out(table, k), given.weight == "tokens"
    start = (
        f"\n{name} ({queries}). {'Of the tokens of' if tokens else 'Among'} the {k:,} documents that raised each most, "
    )
    if row is None:
        return _text(f"{start}no {given.by} has more than its share of the corpus beyond what chance explains.", "bold")
    return _text(
        f"{start}{row['group']} has {row['multiplier']:.2f} times its share of the corpus (95% interval "
        f"{row['low']:.2f} to {row['high']:.2f}; with shuffled labels up to {row['null_high']:.2f}).",
        "bold",
    )


def _multipliers(table: pd.DataFrame, name: str, k: int, given: argparse.Namespace) -> Table:
    made = _table(given.by, f"{name}: share among {k:,} over share of the corpus, by {given.weight}")
    for heading in ("Documents", "Share of corpus", *(f"{end}\n(95%, by chance)" for end in ENDS.values())):
        made.add_column(heading, justify="right", no_wrap=True)
    ends = {end: table[table["end"] == end].set_index("group") for end in ENDS}
    for group, row in ends["raised"].iterrows():
        cells = [_multiplier(ends[end].loc[group]) for end in ENDS]
        made.add_row(_text(str(group)), f"{row['documents']:,}", f"{row['corpus_share']:.1%}", *cells)
    return made


def _multiplier(row: pd.Series) -> str:
    if not np.isfinite(row["multiplier"]):
        return "-"
    interval, chance = (f"{row[f'{band}low']:.2f} to {row[f'{band}high']:.2f}" for band in ("", "null_"))
    return f"{row['multiplier']:.2f} ({interval}, {chance})"


def _masses(run: Run, mass: pd.DataFrame, name: str, by: str) -> Table:
    made = _table(by, f"{name}: influence, mean over the completions, {run.influence_unit}")
    for heading in ("Positive", "of all positive", "Negative", "of all negative", "Net", "of all"):
        made.add_column(heading, justify="right", no_wrap=True)
    for group, rows in mass.groupby("group"):
        cells = [cell for row in rows.itertuples() for cell in (number(row.influence), f"{row.share:.1%}")]
        made.add_row(_text(str(group)), *cells)
    return made


def _table(by: str, title: str) -> Table:
    made = Table(title=_text(title), title_justify="left", title_style="bold", header_style="dim")
    made.add_column(by.capitalize(), overflow="fold")
    return made


def _text(told: str, style: str = "") -> Text:
    """Text that cannot command the terminal."""
    return Text(CONTROL.sub("�", told), style=style)
