"""Decisions out and in: files, what leaving the documents to drop out would do, a preview of what a file changes."""

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import review as analyses
from dashboard.components import text
from dashboard.components.calibration import calibration_sentence
from dashboard.components.document_panel import Choice
from dashboard.components.downloads import download
from dashboard.components.leave_out_panel import NO_PREDICTION, NOT_SCORED, left_out_together
from dashboard.components.review_actions import attempt

OUT = {"To drop": "drop", "To keep": "keep", "Both": None}
ROW_PX, VISIBLE_ROWS = 35, 8
EFFECTS = {"change": "Change labels of mine too", "contradiction": "Take over what contradicts others too"}


def export_part(review: analyses.Review, choice: Choice) -> None:
    """Offer the documents that the team agreed to drop or keep, and what dropping them would do.

    Args:
        review: The team's review.
        choice: Run and completion.
    """
    outcomes = analyses.outcomes(review, review.standings())
    counts = {name: sum(outcome in ("drop", "keep") if what is None else outcome == what
                        for outcome in outcomes.values()) for name, what in OUT.items()}  # fmt: skip
    st.markdown(
        f"The team agreed to drop **{counts['To drop']:,}** and to keep **{counts['To keep']:,}** documents. Each row "
        "says who decided and why, its influence on the completion under study, and the hash of the run."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.segmented_control(
            "Documents to take away", list(OUT), default="To drop", required=True, key="out", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        outcome = OUT.get(wanted, "drop")
        for ending in analyses.FILES:
            st.download_button(
                ending.upper(), key=f"out_{ending}", icon=":material/download:", on_click="ignore",
                data=lambda ending=ending: analyses.decisions_file(review, outcome, choice.completion.query, ending),
                file_name=f"documents_{outcome or 'decided'}.{ending}", disabled=not counts[wanted or "To drop"],
            )  # fmt: skip
    dropped = [number for number, outcome in outcomes.items() if outcome == "drop"]
    if dropped:
        _without(review, choice, dropped)


def _without(review: analyses.Review, choice: Choice, dropped: list[int]) -> None:
    """The predicted change of every completion without the documents to drop, and the job that checks it."""
    run = choice.run
    st.markdown(f"**Without the {len(dropped):,} document{'' if len(dropped) == 1 else 's'} to drop**")
    changes = analyses.predicted(run, tuple(dropped))
    if changes["predicted"].isna().all():
        st.caption(NOT_SCORED if run.training_windows else NO_PREDICTION)
    else:
        _changes(run, changes, choice)
    chosen = run.documents.set_index("document").loc[dropped, ["id", "title"]].reset_index()
    with st.container(border=True, key="leave_out"):
        left_out_together(choice, chosen, analyses.leave_out_asked(run, choice.completion.query, dropped))


def _changes(run: data.Run, changes: pd.DataFrame, choice: Choice) -> None:
    number, words = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        changes.assign(title=changes["title"].map(text.plain), kind=changes["kind"].map(text.plain)),
        hide_index=True, height=_height(changes), column_order=["title", "kind", "predicted"], key="predicted_changes",
        column_config={
            "title": words("Completion", width=320),
            "kind": words("Kind", width=120),
            "predicted": number("Predicted change", format="%+.3g", width=130, help=f"In {run.unit}, by influence."),
        },
        alt="Predicted change of every completion without the documents to drop, the largest first",
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(calibration_sentence())
        about = {name: value for name, value in data.provenance(run, choice.completion).items()
                 if name not in ("completion_under_study", "prompt", "completion")}  # fmt: skip
        download(changes.drop(columns="query"), about, "predicted_changes", "download_predicted")


def _height(table: pd.DataFrame) -> int:
    return ROW_PX * (1 + min(len(table), VISIBLE_ROWS)) + 2


def import_part(review: analyses.Review, reviewer: analyses.Reviewer | None) -> None:
    """Let a file of decisions be taken over, after a preview of what it would do.

    Args:
        review: The team's review.
        reviewer: Whose decisions they become; None while nobody has said who they are.
    """
    st.markdown(
        "The files that Export makes, or any with the columns `id` and `label` (and `reasons`). First you see what "
        "they would do; nothing is written before you say so."
    )
    file = st.file_uploader("A file of decisions", type=list(analyses.FILES), key="decisions_in")
    if file is None:
        return
    if reviewer is None:
        st.info("Say who you are first: the decisions become yours.", icon=":material/person:")
        return
    try:
        previewed = analyses.conflicts(review, analyses.read_file(file.name, file.getvalue()), reviewer)
    except analyses.WhenceError as error:
        st.error(text.escape(str(error), 600), icon=":material/error:")
        return
    _preview(review, reviewer, previewed, file.name)


def _preview(review: analyses.Review, reviewer: analyses.Reviewer, previewed: pd.DataFrame, name: str) -> None:
    counts = previewed["effect"].value_counts()
    st.markdown("\n".join(f"- **{count:,}**: {analyses.EFFECTS[effect]}" for effect, count in counts.items()))
    titles = review.run.documents.set_index("document")["title"]
    told = previewed.assign(
        title=previewed["document"].map(titles).fillna(previewed["id"]).map(text.plain),
        effect=previewed["effect"].map(analyses.EFFECTS).map(text.heading),
        **{column: previewed[column].map(text.plain) for column in ("label", "reasons", "against")},
    )
    words = st.column_config.TextColumn
    st.dataframe(
        told, hide_index=True, key="preview_in", height=_height(told),
        column_order=["title", "label", "effect", "against", "reasons"],
        column_config={
            "title": words("Document", width=230), "label": words("Label", width=90), "effect": words("What it does"),
            "against": words("Differs from", width=170), "reasons": words("Reasons", width=200),
        },
        alt="What each row of the file would do",
    )  # fmt: skip
    effects = ["new", *(effect for effect, label in EFFECTS.items()
                        if counts.get(effect, 0) and st.checkbox(label, key=f"in_{effect}"))]  # fmt: skip
    count = sum(int(counts.get(effect, 0)) for effect in effects)
    st.button(
        f"Take over {count:,} decision{'' if count == 1 else 's'} as mine", type="primary", disabled=not count,
        key="take_over", on_click=_take_over, args=(review, previewed, reviewer, effects, name, analyses.new_token()),
    )  # fmt: skip


def _take_over(review: analyses.Review, previewed: pd.DataFrame, reviewer: analyses.Reviewer, effects: list[str],
               name: str, token: str) -> None:  # fmt: skip
    attempt(lambda: analyses.take_over(review, previewed, reviewer, effects, name, token))
