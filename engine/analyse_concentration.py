"""``python -m engine analyse concentration``: every measure of one completion, or of all, for the terminal."""

import argparse
from dataclasses import asdict
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from engine.analysis.amounts import Sign
from engine.analysis.concentration import concentration_and_curve, lorenz_curve, tail_of
from engine.analysis.inside import inside_documents
from engine.analysis.rare_tokens import frequency_correlation, token_concentration
from engine.analysis.tails import TailFit
from engine.errors import WhenceError
from engine.run import Run
from engine.show import CONTROL

QUESTION = "Concentration: is a completion owed to a few documents or to many, to rare tokens or to frequent ones?"
SIGNS: dict[str, Sign] = {"raised": "positive", "lowered": "negative", "both": "both"}
DRAWS = 200
LABELS = {
    "documents": "Documents", "total": "Sum of influence", "top_10": "Share of the ten strongest",
    "top_share": "Share of the top 1%", "top_share_of_all": "Share of 1% of all documents",
    "gini": "Gini coefficient", "effective_number": "Effective number",
}  # fmt: skip
SHARES = ("top_10", "top_share", "top_share_of_all")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Which completion, which of its tokens, which sign."""
    parser.add_argument("--query", help="title or id of a completion (default: all, and tokens)")
    parser.add_argument("--tokens", type=_places, help="places of its tokens, from 0, such as 0,2 (default: all)")
    parser.add_argument("--sign", choices=list(SIGNS), default="raised", help="influence that (default: raised)")
    parser.add_argument("--draws", type=_positive, default=DRAWS, help=f"of every interval (default: {DRAWS})")


def compute(run: Run, given: argparse.Namespace) -> tuple[list[dict[str, Any]], list[Any]]:
    """Records for ``--json``, and what is printed without it.

    Raises:
        WhenceError: If tokens are given without a completion, or are not its.
    """
    sign = SIGNS[given.sign]
    if given.query is None:
        if given.tokens is not None:
            raise WhenceError("--tokens without --query -- they are of a completion -- say which.")
        return _of_all(run, sign, given.draws)
    query = run.find_query(given.query)
    found, curve = concentration_and_curve(run, query, given.tokens, sign, given.draws)
    tables = {"measures": found, "curve": curve}
    if given.json:  # they are not printed
        tables["lorenz"] = lorenz_curve(run, query, given.tokens, sign)
        tables["tokens"] = token_concentration(run, [query], sign).drop(columns="query")
        for kind in run.token_kinds[:1]:
            tables["inside"] = inside_documents(run, query, kind, given.tokens, sign).drop(columns="document")
    records = _records(tables)
    try:
        fit = tail_of(run, query, given.tokens, sign)
    except WhenceError as error:
        return records, [_measures(found, given.sign), Text(f"No tail: {error}")]
    return [*records, {"table": "tail", "sign": sign} | asdict(fit)], [_measures(found, given.sign), Text(_tail(fit))]


def _of_all(run: Run, sign: Sign, draws: int) -> tuple[list[dict[str, Any]], list[Any]]:
    """A row per completion, and whether frequent tokens draw on more documents."""
    whole = token_concentration(run, sign=sign, whole=True)
    by_token = None if run.imported else token_concentration(run, sign=sign)  # which is of whole completions
    columns = {"title": "Completion", "documents": "Documents", "top_10": "Ten\nstrongest", "top_share": "Top 1%"}
    columns |= {"gini": "Gini", "effective_number": "Effective\nnumber"}
    table = _table("Concentration of every completion", list(columns.values()))
    for row in whole.to_dict("records"):
        table.add_row(Text(CONTROL.sub("", row["title"])), *(_number(name, row[name]) for name in list(columns)[1:]))
    whole = whole.assign(query=whole["query"].map(run.queries.set_index("query")["id"]))
    if by_token is None:
        return _records({"completions": whole}), [table]
    link = frequency_correlation(by_token, draws=draws)
    links = _table("Do frequent tokens draw on more documents?", ["Version", "Rank correlation", "95% interval", "p"])
    for row in link.to_dict("records"):
        links.add_row(
            row["version"], f"{row['correlation']:+.2f}", f"{row['low']:+.2f} to {row['high']:+.2f}",
            f"{row['p_value']:.2g}",
        )  # fmt: skip
    return _records({"completions": whole, "frequency": link}), [table, links]


def _records(tables: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Rows of all tables, each with the name of its own."""
    return [{"table": name} | row for name, of in tables.items() for row in of.to_dict("records")]


def _measures(found: pd.DataFrame, sign: str) -> Table:
    """Measures of one completion with intervals and what chance gives."""
    heads = ["", "Value", "95% interval", "Normal influences", "Shuffled influences"]
    table = _table({"both": "Influence of either sign"}.get(sign, f"Influence that {sign} it"), heads)
    for row in found.to_dict("records"):
        name = row["measure"]
        bands = [f"{_number(name, row[f'{of}low'])} to {_number(name, row[f'{of}high'])}" for of in _BANDS]
        table.add_row(LABELS[name], _number(name, row["value"]), *bands)
    return table


_BANDS = ("", "null_", "shuffled_")


def _tail(fit: TailFit) -> str:
    return (
        f"Tail: the share of documents with influence of x or more falls like x^-{fit.exponent:.2f} (standard error "
        f"{fit.standard_error:.2f}) from {fit.x_min:.3g} to {fit.x_max:.3g}, {fit.tail:,} of {fit.values:,} documents. "
        f"Fit: p = {fit.p_value:.2g} (small: no power law). Against a lognormal: p = {fit.nested_p:.2g} (small: the "
        "lognormal is better)."
    )


def _table(title: str, heads: list[str]) -> Table:
    table = Table(title=title, title_justify="left", header_style="dim")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left", max_width=None if place else 48, no_wrap=not place)
    return table


def _number(measure: str, value: float) -> str:
    if pd.isna(value):
        return "-"
    if measure in SHARES:
        return f"{value:.1%}"
    if measure == "gini":
        return f"{value:.2f}"
    return f"{value:.3g}" if measure == "total" and value < 1000 else f"{value:,.0f}"


def _places(text: str) -> list[int]:
    """Numbers such as ``0,2``."""
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} are no places -- give numbers such as 0,2")
    return [int(part) for part in text.split(",")]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)
