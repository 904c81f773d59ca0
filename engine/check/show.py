"""What ``python -m engine check`` prints: tables for the terminal."""

from typing import Any

from rich.table import Table
from rich.text import Text

from engine.check.effects import by_kind
from engine.check.result import Result
from engine.checks import CHECKS
from engine.progress import format_seconds

SHOWN_BESIDE = 10
"""Other completions listed."""


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
    return [made, _kinds(result), reading]


def _kinds(result: Result) -> Table:
    """The score by kind of completion: where a rare name tells, words alone do well."""
    rows = by_kind(result.tables["queries"])
    made = Table(header_style="dim", expand=False)
    made.add_column("Kind", no_wrap=True)
    for heading in list(rows[0])[1:]:
        made.add_column(heading.capitalize() if heading == "completions" else heading, justify="right")
    for kind, completions, *scores in (row.values() for row in rows):
        made.add_row(Text(kind), str(completions), *(f"{score:.2f}" for score in scores))
    return made


def _removal(result: Result) -> list[Any]:
    made = Table(header_style="dim", expand=False)
    for heading in ("Left out", "Chosen by"):
        made.add_column(heading, no_wrap=True)
    for heading in ("Rise of the\nloss, nats", "Times\nBM25's"):
        made.add_column(heading, justify="right", no_wrap=True)
    for row in result.tables["methods"]:
        made.add_row(row["what"], row["method"], _interval(row, "rise"), _interval(row, "of_bm25"))
    fit = Table(header_style="dim", expand=False)
    fit.add_column("Left out", no_wrap=True)
    for heading in ("Measured change per\npredicted change", "Correlation"):
        fit.add_column(heading, justify="right", no_wrap=True)
    for row in result.tables["calibration"]:
        fit.add_row(row["what"], _interval(row, "slope"), _interval(row, "correlation"))
    rare = Table(header_style="dim", expand=False)
    rare.add_column("Tokens", no_wrap=True)
    for heading in ("Their loss,\nnats", "Share of the\nten strongest", "Lost of what\nwas learned", "Without\nothers"):
        rare.add_column(heading, justify="right", no_wrap=True)
    for row in result.tables["rare_groups"]:
        shares = (f"{round(row[name], 2) + 0.0:.0%}" for name in ("top_10", "lost", "lost_random"))  # no "-0%"
        rare.add_row(f"{row['tokens']} {row['group']}", f"{row['loss']:.2f}", *shares)
    settings = result.settings
    reading = Text(
        f"For {settings['removed_for']} completions the {settings['top']} documents, and apart from that "
        f"{settings['share']:.0%} of all loss terms, were left out and the model trained anew, in "
        f"{settings['seeds']} order{'s' * (settings['seeds'] > 1)} of batches each. "
        "Rise: of the completion's loss against training on everything. "
        "95% intervals over completions. "
        "Rare tokens stand beside frequent ones of like loss; what reading all documents taught the model of them is "
        f"lost when their {settings['top']} strongest are left out, and more where the others teach something else. "
        f"Took {format_seconds(result.seconds)}.",
        style="dim",
    )
    return [made, fit, rare, reading]


def _leave_out(result: Result) -> list[Any]:
    (chance,) = result.tables["chance"]
    made = Table(header_style="dim", expand=False)
    made.add_column("Completion", no_wrap=True, max_width=60)
    for heading in ("Predicted\nchange", "Measured\nchange", "Leaving out\nothers"):
        made.add_column(heading, justify="right", no_wrap=True)
    first, *others = result.tables["completions"]
    for row in [first, *sorted(others, key=lambda row: -abs(row["measured"]))[:SHOWN_BESIDE]]:
        numbers = (row[name] for name in ("predicted", "measured", "chance"))
        made.add_row(Text(row["completion"]), *("-" if number is None else f"{number:+.3g}" for number in numbers))
    reading = Text(
        f"{len(result.tables['documents'])} documents left out; changes in {chance['unit']}; the completion asked "
        "about first, then those that changed most. 95% of the changes by leaving out others stay below "
        f"{chance['size']:.2g}. Took {format_seconds(result.seconds)}.",
        style="dim",
    )
    return [made, reading]


def _stability(result: Result) -> list[Any]:
    rows = result.tables["completions"]
    made = Table(header_style="dim", expand=False)
    made.add_column("Completion", no_wrap=True, max_width=44)
    made.add_column("Verdict")
    for heading in ("Kept:\ndamping", "\nhalves", "\nlabels", "Share of\nthe ten", "In few\ntokens"):
        made.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        counts = (f"{row[f'kept_{name}']:g}" for name in ("damping", "halves", "seeds"))
        few = {None: "-", True: f"{row['l2_l1'] or 0:.2f}", False: ""}[row["few_tokens"]]
        made.add_row(Text(row["completion"]), row["verdict"], *counts, _share(row["top_share"]), few)
    rule = [Text(row["text"], style="dim") for row in result.tables["rule"]]
    return [made, _verdicts(rows), _null(result), *rule, Text(f"Took {format_seconds(result.seconds)}.", style="dim")]


def _verdicts(rows: list[dict[str, Any]]) -> Table:
    made = Table(header_style="dim", expand=False)
    made.add_column("Kind", no_wrap=True)
    for verdict in ("steady", "shaky", "noise"):
        made.add_column(verdict.capitalize(), justify="right")
    for kind in dict.fromkeys(row["kind"] for row in rows):
        given = [row["verdict"] for row in rows if row["kind"] == kind]
        made.add_row(Text(kind), *(str(given.count(verdict)) for verdict in ("steady", "shaky", "noise")))
    return made


def _null(result: Result) -> Table:
    made = Table(header_style="dim", expand=False)
    made.add_column("Random directions", no_wrap=True)
    for heading in ("Median", "95% stay\nbelow"):
        made.add_column(heading, justify="right", no_wrap=True)
    names = {"damping": "kept: damping", "halves": "kept: halves", "seeds": "kept: labels"}
    for row in result.tables["null"]:
        kept = row["figure"].removeprefix("kept_")
        written = (f"{row[name]:g}" if kept in names else _share(row[name]) for name in ("median", "high"))
        made.add_row(names.get(kept, "share of the ten"), *written)
    return made


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _bif(result: Result) -> list[Any]:
    (about,) = result.tables["chains"]
    made = Table(header_style="dim", expand=False)
    made.add_column("Sampled", no_wrap=True)
    names = ("correlation", "rank_correlation", "ceiling", "slope")
    for heading in ("Correlation", "Of ranks", "Ceiling\nof ranks", "Sampled per\ncomputed influence"):
        made.add_column(heading, justify="right", no_wrap=True)
    for row in result.tables["agreement"]:
        made.add_row(row["form"], *(_interval(row, name) for name in names))
    settings = result.settings
    reading = Text(
        f"Influence of {about['documents']} documents on {len(result.tables['completions'])} completions by sampling, "
        f"against {about['estimator']}: means over completions, below them 95% intervals over completions. Ceiling: "
        f"what perfect agreement would come to with so few draws. {about['chains']} chains of {settings['burn_in']} "
        f"steps and {about['draws']} draws, one every {settings['every']} steps of {about['step_size']:.2g}; n beta "
        f"{about['n_beta']:,.0f}, damping {settings['damping_factor']:g} times the mean eigenvalue. Of the "
        f"completions: R-hat at most {about['largest_r_hat']:.2f} (1 when chains have mixed), effective draws "
        f"{about['median_ess']:.0f} (median), at least {about['smallest_ess']:.0f}. Sampled weights raise a document's "
        f"loss by {about['rise']:.3g} nats, {about['expected_rise']:.3g} expected. "
        f"Took {format_seconds(result.seconds)}.",
        style="dim",
    )
    return [made, reading]


SHOWN = {
    "exact": _exact,
    "lds": _lds,
    "removal": _removal,
    "bif": _bif,
    "leave-out": _leave_out,
    "stability": _stability,
}
"""What is printed of each check."""
