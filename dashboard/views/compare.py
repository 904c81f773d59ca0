"""Do these two agree?"""

from dataclasses import asdict

import pandas as pd
import streamlit as st

from dashboard import data, runs
from dashboard.analyses import comparison as analyses
from dashboard.components import compare_charts, text, url
from dashboard.components.compare_sides import Chosen, choose_sides, names_of
from dashboard.components.compare_word_order import word_order_of_both
from dashboard.components.document_card import document_card, pick_table
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure
from dashboard.components.page import ask
from dashboard.components.report_button import report_button
from dashboard.components.run_choice import need_scores

AXES = ("Influence", "Rank")
ORDERS = ("Left first", "Right first", "Most different first")
SCATTER_PX = 430
HOW_TO_READ = """
**Ranks** count the documents that both sides scored; rank 1 raised the completion most. **Spearman** is the correlation
of the two rankings: 1 if they are the same, 0 if they have nothing to do with each other, −1 if one is the other turned
round. Its interval comes from drawing the documents anew with replacement; of more than {many:,} documents, so many of
them, and the interval is narrowed to the number there are.

**Chance**: two rankings of n documents that know nothing of each other share k²/n of their first k on average.

**What may be compared.** Ranks and shares. The influences themselves have another scale for each completion, model and
damping, so that a point off the diagonal says nothing by itself.

**What this cannot tell.** Two sides that disagree may both be right: two completions may owe themselves to different
documents. Most documents have almost no influence on either side, and their order is mostly noise. It pulls Spearman
towards 0; the documents at the ends may agree more, or less, than Spearman says. That two sides agree is no proof that
they are right: they may share the same error.
"""


def main() -> None:
    """Draw the page."""
    run = ask("Do these two agree?")
    st.caption("Two completions, or one completion in two runs: do the same documents raise and lower both?")
    left, right = choose_sides(run)
    for name, side in (("left", left), ("right", right)):
        whose = "This run" if left.label == right.label else f"The run on the {name}"
        need_scores(side.run, "there are no rankings to compare", whose)
    if left.side == right.side:
        st.info("Both sides are the same completion of the same run. Choose another on either side.")
        st.stop()
    names = names_of(left, right)
    _differences(left, right)
    found = analyses.compared(left.side, right.side)
    if found is None:
        st.info(
            "The two runs have no scored document in common: none has the same id and the same text. Choose a run of "
            "the same corpus.",
            icon=":material/join_inner:",
        )
        st.stop()
    _answer(found)
    _matched(found)
    _documents(found, left, right, names)
    _overlap(found, left, right)
    _concentration(left, right, names)
    _sources(left, right, names)
    word_order_of_both(left, right, names, _provenance(left, right))
    _reports(left, right)
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(HOW_TO_READ.format(many=analyses.FEW_ENOUGH))


def _differences(left: Chosen, right: Chosen) -> None:
    """What was set otherwise in the two runs."""
    if left.label == right.label:
        return
    table = analyses.differing_settings(left.run, right.run)
    if table.empty:
        st.caption("The two runs have the same settings, model and corpus.")
        return
    what = ", ".join(text.escape(name).lower() for name in table["setting"])
    with st.expander(f"The two runs differ in: {what}", icon=":material/difference:", expanded=len(table) <= 3):
        readable = {"Setting": table["setting"], "Left": table["left"].map(text.escape)}
        st.table(
            pd.DataFrame(readable | {"Right": table["right"].map(text.escape)}).set_index("Setting"),
            border="horizontal",
        )


def _answer(found: analyses.Compared) -> None:
    """The page's answer in one sentence, and what a longer list and the lower end say."""
    documents, rho = len(found.pairs.table), found.agreement
    raised, lowered = (found.tops[found.tops["end"] == end] for end in ("raised", "lowered"))
    first, worst = raised.iloc[0], lowered.iloc[0]
    st.markdown(
        f"## The two rankings share {first['shared']} of the {_count(first['k'])} strongest documents "
        f"({_chance(first)} by chance)."
    )
    if rho.spearman == rho.spearman:
        value, low, high = map(text.correlation, (rho.spearman, rho.low, rho.high))
        said = (
            f"Spearman's rank correlation is **{value}**, 95% interval {low} to {high}, over {documents:,} documents."
        )
    else:
        said = "Their rank correlation is not defined: on one side all influences are equal."
    telling = raised[2 * raised["k"] <= documents].iloc[1:]  # of all documents two rankings share all
    if len(telling):
        last = telling.iloc[-1]
        said += f" Of the {last['k']:,} strongest they share **{last['shared']:,}** ({_chance(last)} by chance)."
    st.markdown(
        f"{said} Of the {_count(worst['k'])} that lowered most they share **{worst['shared']}** "
        f"({_chance(worst)} by chance)."
    )


def _count(number: int) -> str:
    return "ten" if number == 10 else f"{number:,}"


def _chance(row: pd.Series) -> str:
    return f"{row['chance']:,.0f}" if row["chance"] >= 10 else f"{row['chance']:.2g}"


def _matched(found: analyses.Compared) -> None:
    """How the documents were matched, where that is worth a word."""
    first, second = found.pairs.documents
    matched = len(found.pairs.table)
    if matched == first == second:
        return
    changed = found.pairs.changed
    left_out = f" {changed:,} with the same id but another text are left out." if changed else ""
    st.caption(
        f"{matched:,} documents are matched by id and text, of {first:,} scored on the left and {second:,} on the "
        f"right.{left_out}"
    )


def _documents(found: analyses.Compared, left: Chosen, right: Chosen, names: tuple[str, str]) -> None:
    """The documents as points and as rows; a click on either shows one."""
    table = found.pairs.table
    st.subheader("Document by document", anchor=False)
    axes = st.segmented_control(
        "Axes", AXES, default=AXES[0], required=True, key="axes", bind="query-params", label_visibility="collapsed"
    )
    drawn = table[found.drawn]
    figure = compare_charts.scatter(drawn, names, (left.unit, right.unit), by_rank=axes == AXES[1])
    show_figure(
        figure, key="compare_scatter", height=SCATTER_PX, on_select=_picked_point,
        alt="Each document's influence, or rank, on the left against the right; the table below has the numbers",
    )  # fmt: skip
    some = (
        f" {len(drawn):,} of {len(table):,} documents are drawn: the strongest at both ends of both sides, and a "
        "random sample of the others; the table and the download have all."
        if len(drawn) < len(table)
        else ""
    )
    st.caption(f"A point is a document; click one to read it.{some}")
    with st.container(horizontal=True, vertical_alignment="center"):
        order = st.segmented_control(
            "Order", ORDERS, default=ORDERS[0], required=True, key="order", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        shown = _ordered(table, order)
        agreed = pd.DataFrame([asdict(found.agreement) | {"documents": len(table)}])
        download(
            {"Documents": shown.drop(columns=["document", "other_document"]), "Agreement": agreed},
            _provenance(left, right) | analyses.DRAWN_AGREEMENT, "comparison", "download_comparison",
            {"Documents": figure},
        )  # fmt: skip
    number = st.column_config.NumberColumn
    numbers = {
        "rank": number("Left rank", width=75, help="1 raised it most."),
        "other_rank": number("Right rank", width=80, help="1 raised it most."),
        "influence": number("Left influence", format="%+.3g", width=105, help=f"{left.unit}; plus raises."),
        "other_influence": number("Right influence", format="%+.3g", width=110, help=f"{right.unit}; plus raises."),
    }
    pick_table(shown, numbers, f"compared {left.completion.id} {right.label} {right.completion.id}")
    picked = table[table["id"] == url.get("document")]
    if len(picked):
        _card(picked.iloc[0], left, right)
    elif url.get("document"):
        st.warning("The link names a document that the two sides do not share.")


def _picked_point() -> None:
    points = st.session_state["compare_scatter"]["selection"]["points"]
    if points:
        found = points[0]["customdata"]
        url.put("document", found if isinstance(found, str) else found[0])


def _ordered(table: pd.DataFrame, order: str | None) -> pd.DataFrame:
    if order == ORDERS[2]:
        apart = (table["rank"] - table["other_rank"]).abs()
        return table.loc[apart.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)
    by = "other_rank" if order == ORDERS[1] else "rank"
    return table.sort_values(by, ignore_index=True)


def _card(document: pd.Series, left: Chosen, right: Chosen) -> None:
    lines, links = [], {}
    for name, prefix, side in (("left", "", left), ("right", "other_", right)):
        lines.append(
            f"{name.capitalize()}: rank {document[f'{prefix}rank']:,}, "
            f"**{text.number(document[f'{prefix}influence'])}** {side.unit}"
        )
        address = {"query": side.completion.id, "document": document["id"]}
        links[f"Open it for the {name} completion"] = runs.run_address(side.label) | address
    document_card(left.run, document, lines, links, key="picked_document")


def _overlap(found: analyses.Compared, left: Chosen, right: Chosen) -> None:
    """What the ends of the two rankings share."""
    st.subheader("What the strongest documents have in common", anchor=False)
    figure = compare_charts.overlap(found.curve, found.tops)
    show_figure(figure, key="compare_overlap", alt="Share of the strongest documents that both sides have, with chance")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("The grey band holds 95% of what two rankings share by chance.")
        download(
            {"At some k": found.tops, "Curve": found.curve}, _provenance(left, right), "overlap", "download_overlap",
            {"Overlap": figure},
        )  # fmt: skip


def _concentration(left: Chosen, right: Chosen, names: tuple[str, str]) -> None:
    """The concentration of both on one scale."""
    st.subheader("Owed to a few documents, or to many?", anchor=False)
    found = [analyses.side_concentration(chosen.side) for chosen in (left, right)]
    tables, curves = [table for table, _ in found], [curve for _, curve in found]
    figure = compare_charts.concentrations(curves, names)
    show_figure(figure, key="compare_concentration", alt="Cumulative share of positive influence of both sides")
    st.table(
        pd.DataFrame(
            {"Of the positive influence": tables[0]["measure"]}
            | {
                side: [_measured(row) for row in table.itertuples()]
                for side, table in zip(("Left", "Right"), tables, strict=True)
            }
        ).set_index("Of the positive influence"),
        border="horizontal",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("In brackets 95% intervals, documents drawn anew. Grey: normal influences of the same spread.")
        download(
            {"Measures": _of_both(tables), "Curves": _of_both(curves)},
            _provenance(left, right) | analyses.DRAWN_CONCENTRATION, "concentration", "download_curves",
            {"Concentration": figure},
        )  # fmt: skip


def _of_both(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables of the left and of the right side as one."""
    return pd.concat([table.assign(side=side) for side, table in zip(("left", "right"), tables, strict=True)])


def _measured(row: tuple) -> str:
    """A measure with its interval."""
    if row.value != row.value:
        return "none raised it"
    shown = (f"{value:.1%}" if "Share" in row.measure else f"{value:,.3g}" for value in (row.value, row.low, row.high))
    value, low, high = shown
    return f"{value} ({low} to {high})"


def _sources(left: Chosen, right: Chosen, names: tuple[str, str]) -> None:
    """The sources of the documents that raised each most."""
    tables = [analyses.side_sources(chosen.side) for chosen in (left, right)]
    st.subheader(f"Where the {int(tables[0]['k'].max()):,} strongest documents come from", anchor=False)
    figure, missing = compare_charts.source_bars(tables, names)
    rows = min(len(tables[0]), compare_charts.MOST_SOURCES)
    show_figure(figure, key="compare_sources", height=150 + 44 * rows, alt="Share of each source on both sides")
    with st.container(horizontal=True, vertical_alignment="center"):
        more = f" The {missing} sources with the smallest shares are in the download only." if missing else ""
        st.caption(f"Whiskers: 95% intervals, documents drawn anew. Grey marks: share of the corpus.{more}")
        download(
            _of_both(tables), _provenance(left, right) | analyses.DRAWN_SOURCES, "sources", "download_sources",
            {"Sources": figure},
        )  # fmt: skip


def _reports(left: Chosen, right: Chosen) -> None:
    """One on both completions; of two runs one on each."""
    with st.container(horizontal=True):
        if left.label == right.label:
            report_button(left.run, left.completion, right.completion)
            return
        for name, side in (("left", left), ("right", right)):
            report_button(side.run, side.completion, label=f"Report on the {name} run")


def _provenance(left: Chosen, right: Chosen) -> dict[str, str | float]:
    """Where the numbers of both sides come from."""
    kept = (
        *("run", "model", "completion_under_study", "measurement", "influence_unit", "curvature", "damping_factor"),
        "computed",
    )
    return {
        f"{name}_{key}": data.provenance(chosen.run, chosen.completion)[key]
        for name, chosen in (("left", left), ("right", right))
        for key in kept
    }


main()
