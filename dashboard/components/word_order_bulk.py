"""Word order over all completions: the job, the answer, the picture and the table."""

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import word_order as analyses
from dashboard.components import text
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure
from dashboard.components.job_panel import job_panel
from dashboard.components.variant_strips import VARIANTS_NEVER_SEEN
from dashboard.components.word_order_charts import axis_range, height, spread_figure
from dashboard.components.word_order_words import overall

MEASURES = {"Share left": "left", "Change against noise": "change"}
EXPLANATIONS = {
    "left": "Each point is a completion: the influence of its strongest documents as variants, over that of the "
    "documents themselves, sums over those above noise. Unrelated documents are within the noise and have no share; "
    "the change shows them. Diamonds are medians with 95% intervals.",
    "change": "Each point is a completion: by how much a variant's influence differs from the document's, in multiples "
    "of the size that 19 of 20 unrelated documents stay below. Grey: unrelated documents, the control. Large "
    "marks are medians with 95% intervals.",
}


def over_all_completions(run: data.Run) -> None:
    """Draw the section."""
    st.subheader("Over all completions", anchor=False)
    found = analyses.word_order_effects(run)
    done, wanted = int(found["query"].nunique()), len(run.queries)
    job = analyses.top_job(run)
    if job is not None and job.state != "done":
        job_panel(lambda: analyses.top_job(run), key="top_job")
    elif done < wanted:
        _offer(run, done, wanted)
    if done:
        _show(run, found, done, wanted)


def _offer(run: data.Run, done: int, wanted: int) -> None:
    each = analyses.PER_QUERY
    count = 2 * each * (wanted - done)
    some = f"{done:,} of {wanted:,} completions are done. " if done else ""
    st.markdown(
        f"{some}One document is an example, not a finding. This scores {count:,} documents in their variants: the "
        f"{each} strongest of each completion and {each} unrelated ones for comparison. It can be cancelled, and goes "
        "on later where it stopped."
    )
    st.button(
        "Compute for the strongest documents of all completions",
        key="compute_top",
        on_click=analyses.submit_top,
        args=(run,),
        icon=":material/play_arrow:",
    )


def _show(run: data.Run, found: pd.DataFrame, done: int, wanted: int) -> None:
    left, change = analyses.word_order_spread(run, "left"), analyses.word_order_spread(run, "change")
    strongest = found[~found["control"]]
    documents = int(strongest.groupby("query")["documents"].max().sum())
    head, sentence = overall(_all(left), _all(change), documents)
    st.markdown(f"#### {head}")
    st.markdown(sentence)
    if done < wanted:
        st.caption(f"So far {done:,} of {wanted:,} completions.")
    spreads = dict(zip(MEASURES, (left, change), strict=True))
    first = next((name for name, spread in spreads.items() if spread["control"].any()), next(iter(spreads)))
    with st.container(horizontal=True, vertical_alignment="center"):
        label = st.segmented_control(
            "Measure", list(MEASURES), default=first, required=True, key="measure", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        kind = _choose_kind(found)
    label = label if label in MEASURES else first
    measure, spread = MEASURES[label], spreads[label]
    if kind != analyses.ALL_KINDS:
        found, spread = found[found["kind"] == kind], analyses.word_order_spread(run, measure, kind)
    if spread.empty:
        st.info("No completion has a document that stands above the noise. Look at the change instead.")
        return
    medians = spread[spread["kind"] == kind]
    figure = spread_figure(found, medians, measure, analyses.LABELS)
    variants = spread["variant"].nunique()
    show_figure(
        figure, key=f"spread_{measure}", height=height(variants) + 40 + 12 * variants,
        alt=f"{label} by variant, one point per completion, with medians and intervals; the table has the numbers.",
    )  # fmt: skip
    low, high = axis_range(found, medians, measure)
    beyond = int((~found[measure].dropna().between(low, high)).sum())
    far = f" Beyond the axis: {beyond:,} point{'' if beyond == 1 else 's'}." if beyond else ""
    st.caption(f"{EXPLANATIONS[measure]} {VARIANTS_NEVER_SEEN}{far}")
    table = _readable(spread)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right"):
        download(table, _provenance(run), f"word_order_{measure}", "download_spread", figures={label: figure})
    _table(table, measure)


def _choose_kind(found: pd.DataFrame) -> str:
    """The kind of completions to show; all of them where there is one kind only."""
    kinds = list(dict.fromkeys(found["kind"]))
    if len(kinds) < 2:
        return analyses.ALL_KINDS
    labels = {text.escape(name): name for name in kinds}
    chosen = st.pills(
        "Kind of completions", [analyses.ALL_KINDS, *labels], default=analyses.ALL_KINDS, required=True,
        key="bulk_kind", bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    return labels.get(chosen, analyses.ALL_KINDS)


def _all(spread: pd.DataFrame) -> pd.DataFrame:
    return spread[spread["kind"] == analyses.ALL_KINDS]


def _readable(spread: pd.DataFrame) -> pd.DataFrame:
    order = list(analyses.LABELS)
    sort = spread.assign(at=spread["variant"].map(order.index)).sort_values(["at", "control"], kind="stable")
    return sort.drop(columns="at").assign(
        variant=sort["variant"].map(analyses.LABELS),
        control=sort["control"].map({False: "strongest", True: "unrelated"}),
        hypothetical=sort["variant"].map(analyses.is_hypothetical),
    ).rename(columns={"control": "documents"}).reset_index(drop=True)  # fmt: skip


def _table(table: pd.DataFrame, measure: str) -> None:
    number, words = st.column_config.NumberColumn, st.column_config.TextColumn
    form = "percent" if measure == "left" else "%+.2f"
    helped = "Bootstrap over completions; empty for fewer than three."
    st.dataframe(
        table.assign(kind=table["kind"].map(text.plain)),
        key=f"table_{measure}",
        hide_index=True,
        alt="What each variant leaves, by kind of completion",
        column_order=[name for name in table if name != "hypothetical"],
        column_config={
            "variant": words("Variant", width=230),
            "kind": words("Kind", width=130),
            "documents": words("Documents", width=90),
            "completions": number("Completions", width=95),
            "median": number("Median", format=form, width=80),
            "low": number("95% from", format=form, width=80, help=helped),
            "high": number("95% to", format=form, width=80, help=helped),
            "quarter": number("25% below", format=form, width=85, help="A quarter of the completions lies below."),
            "three_quarters": number("75% below", format=form, width=85, help="Three quarters lie below."),
        },
    )


def _provenance(run: data.Run) -> dict[str, str | float]:
    every = {"completion_under_study": "all", "prompt": "", "completion": ""}
    return data.provenance(run, data.completions(run)[0]) | every | analyses.DRAWN_OVER_ALL
