"""Which documents made the model say this?"""

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components import text, url
from dashboard.components.calibration import calibration_sentence
from dashboard.components.completion_tokens import choose_tokens
from dashboard.components.document_panel import Choice, document_panel
from dashboard.components.document_table import document_table
from dashboard.components.downloads import download
from dashboard.components.leave_out_panel import leave_out_panel
from dashboard.components.page import ask, choose_completion
from dashboard.components.ranked_by import RankedBy, choose_way
from dashboard.components.report_button import report_button
from dashboard.components.review_queue import LISTED, STRONGEST, review_link
from dashboard.components.run_choice import need_scores
from dashboard.components.sampling import sampling_note
from dashboard.components.trust_answer import verdict_badge

DIRECTIONS = ("Raised it", "Lowered it")
HANDED_OVER = 50
"""Documents whose ids a link has room for."""
HOW_TO_READ = """
**Sign.** Blue and a plus: more weight on this document, or token, in training raises the measurement. Orange and a
minus: it lowers it.

**Unit.** {unit}

**What may be compared.** Documents and tokens for one completion. Sums are exact: tokens add up to their document, and
the completion's tokens add up to the completion. Numbers of different completions have different scales.

**What this cannot tell.** It is {estimate}. Influence is not proof of cause: to be sure, train without the document.
"""
UNIT = (
    "Influence is in {unit}: how much the measurement ({measurement}) would change, to first order, if the document "
    "counted once more in training, times the size of the training set."
)
IMPORTED_UNIT = "Influence was computed by {tool} and imported. What it measures, and in which unit, is not known here."
IMPORTED = "an estimate of {tool}, of whose curvature, damping and layers nothing is known here"
TRACKED = ", and only {share:.0%} of the parameters are tracked"
SOLVED = "a first-order estimate around the trained model, whose curvature is approximated ({curvature})"
SAMPLED = (
    "a covariance over weights drawn at random around the trained ones (Bayesian influence function), whose noise "
    "falls only with the root of the number of draws"
)


def main() -> None:
    """Draw the page."""
    run = ask("Which documents made the model say this?")
    completion = choose_completion(run)
    need_scores(run, "there is no document to rank")
    verdict_badge(run, completion)
    choice = Choice(run, completion, choose_tokens(run, completion))
    answer, filters = st.container(), st.container(horizontal=True, vertical_alignment="center")
    with filters:
        way = choose_way(run)
    ranking = data.ranking(run, completion.query, choice.tokens, way.size)
    with answer:
        _answer(choice, ranking, way)
        sampling_note(run, completion)
    with filters:
        shown = _filtered(ranking)
        if not shown.empty:
            _download(choice, shown, way)
            _review(choice, shown, way)
        report_button(run, completion)
    if way.about:
        st.caption(way.about)
    document = _document(ranking, shown)
    if shown.empty:
        _nothing(ranking)
    else:
        document_table(choice, shown, document, way, on_open=_open)
        if "left_out" in shown:
            st.caption(calibration_sentence())
        if not run.imported:
            leave_out_panel(choice, shown, document)
    _how_to_read(run)
    if document is not None:
        st.space("small")
        if document["id"] not in set(shown["id"]):
            st.caption("The document below is not among those in the table above.")
        document_panel(choice, document)


def _answer(choice: Choice, ranking: pd.DataFrame, way: RankedBy) -> None:
    """The page's answer in one sentence."""
    head = data.headline(ranking)
    what = ("these tokens" if len(choice.tokens) > 1 else "this token") if choice.tokens else "this completion"
    it = "them" if len(choice.tokens) > 1 else "it"
    if not head.raised:
        st.markdown(f"## None of {head.documents:,} documents raised {what}; {head.lowered:,} lowered {it}.")
        return
    first = ranking.iloc[0]
    strongest = "The strongest alone carries" if head.raised == 1 else f"The {min(10, head.raised)} strongest carry"
    st.markdown(f"## {head.raised:,} of {head.documents:,} documents raised {what}, {head.lowered:,} lowered {it}.")
    counted = f", counted {way.per}" if way.per else ""
    st.markdown(
        f"**{text.escape(first['title'])}** ({text.escape(first['source'])}) raised {it} most, by "
        f"**{text.number(first['normalised' if way.size else 'influence'])}** {way.unit(choice)}. {strongest} "
        f"**{text.share(head.top_share)}** of all that raised {it}{counted}."
    )


def _filtered(ranking: pd.DataFrame) -> pd.DataFrame:
    """The documents to show, by the address's direction and filters."""
    direction = st.segmented_control(
        "Documents that", DIRECTIONS, default=DIRECTIONS[0], required=True, key="direction", bind="query-params",
        on_change=url.put, args=("document",), label_visibility="collapsed",
    )  # fmt: skip
    sources = st.multiselect(
        "Source", sorted(ranking["source"].unique()), key="source", bind="query-params", placeholder="All sources",
        format_func=text.plain, label_visibility="collapsed", width=220,
    )  # fmt: skip
    languages = st.multiselect(
        "Language", sorted(ranking["language"].unique()), key="language", bind="query-params",
        placeholder="All languages", format_func=text.language, label_visibility="collapsed", width=220,
    )  # fmt: skip
    return data.select(ranking, direction != DIRECTIONS[1], sources, languages)


def _download(choice: Choice, shown: pd.DataFrame, way: RankedBy) -> None:
    """Offer the documents in the table, and those it has no room for."""
    asked = {"completion_tokens": ",".join(map(str, choice.rows))}
    asked |= {"normalised_unit": way.unit(choice)} if way.size else {}
    download(
        shown.drop(columns="document"),
        data.provenance(choice.run, choice.completion) | asked,
        "influence",
        "download_documents",
    )


def _review(choice: Choice, shown: pd.DataFrame, way: RankedBy) -> None:
    """Hand the table over to be reviewed: as a filter where it is one, else its first documents by their ids."""
    if not choice.tokens and way.size is None:
        filters = {name: url.every(name) for name in ("source", "language", "direction")}
        review_link({"queue": STRONGEST, "query": choice.completion.id} | filters)
    else:
        handed = shown["id"].head(HANDED_OVER).tolist()
        address = {"queue": LISTED, "query": choice.completion.id, "documents": handed}
        review_link(address, f"Review the first {len(handed)}")


def _document(ranking: pd.DataFrame, shown: pd.DataFrame) -> pd.Series | None:
    """The opened document: the address's, else the first shown; None where nothing is."""
    named = ranking[ranking["id"] == url.get("document")]
    if len(named):
        return named.iloc[0]
    if url.get("document"):
        st.warning("The link names a document that this run does not have. Another one is shown below.")
    return None if shown.empty else shown.iloc[0]


def _open(document: str) -> None:
    url.put("document", document)
    url.put("token")


def _nothing(ranking: pd.DataFrame) -> None:
    if st.session_state["source"] or st.session_state["language"]:
        st.info("No document passes the filters.", icon=":material/filter_alt_off:")
        st.button("Show all sources and languages", on_click=_clear_filters)
    else:
        st.info("There is no such document. Look at the other direction.", icon=":material/swap_vert:")


def _clear_filters() -> None:
    st.session_state["source"] = st.session_state["language"] = []


def _how_to_read(run: data.Run) -> None:
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(
            HOW_TO_READ.format(
                unit=_unit(run),
                estimate=_estimate(run),
            )
        )


def _unit(run: data.Run) -> str:
    if run.imported:
        return IMPORTED_UNIT.format(tool=run.imported)
    measured = text.MEASUREMENTS[run.measurement]
    return UNIT.format(unit=run.influence_unit, measurement=measured[0].lower() + measured[1:])


def _estimate(run: data.Run) -> str:
    """What kind of estimate it is, and through which parameters."""
    if run.imported:
        return IMPORTED.format(tool=run.imported)
    kind = SAMPLED if run.is_sampled else SOLVED.format(curvature=run.estimator)
    return kind + TRACKED.format(share=run.fit["tracked"]["share"])


main()
