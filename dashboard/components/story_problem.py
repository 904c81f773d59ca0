"""The story's last step: a problem document, flagged, and what leaving it out does."""

import math

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import story as analyses
from dashboard.analyses import trust
from dashboard.components import text
from dashboard.components.figure import PALETTE, show_figure
from dashboard.components.job_panel import job_panel
from dashboard.components.review_queue import review_link
from dashboard.components.story_charts import Bar, bars, bars_height
from dashboard.components.story_frame import presenting
from dashboard.components.story_words import chance, counted, fared, problem, why_flagged

AROUND = 100
"""Letters shown before and after the answer in a flagged document."""
UNCHECKED, CHECKED = "predicted, not checked by training", "measured by training on without"
MEASURED_COLOUR = PALETTE[2]
TO_REVIEW = "Keep or drop? Review these documents"
NO_PROBE = (
    "This run asks no safety probe, so there is no problem document to find. A probe is a completion of the kind "
    "“Safety” in the file of completions: write some, and compute the run's second and third step again."
)
NO_PROBLEM = (
    "No safety probe of this run leads to a problem document: the strongest document behind each of those that the "
    "model answers most readily does not hold the answer."
)
NOT_PREDICTED = (
    "What leaving it out does cannot be predicted for this run: that needs the size of the training set, and the "
    "log-probability as what is measured."
)


def problem_step(run: data.Run) -> None:
    """Draw the step."""
    told = analyses.probe(run)
    if told is None or not told.documents["marked"].iloc[0]:
        st.info(NO_PROBE if told is None else NO_PROBLEM, icon=":material/info:")
        return
    with st.container(key="story_sentence"):
        st.markdown(problem(told, math.exp(told.completion.log_prob)))
    flagged = told.documents[told.documents["marked"]]
    left, right = st.columns([0.44, 0.56], gap="medium", vertical_alignment="center")
    with left:
        _flag(run, told, flagged)
    with right:
        _without(run, told, flagged)
    _check(run, told, flagged)
    if not presenting():
        review_link({"query": told.completion.id, "document": flagged["id"].iloc[0]}, TO_REVIEW)


def _flag(run: data.Run, told: analyses.Told, flagged: pd.DataFrame) -> None:
    """The document with a flag on it, where it says the answer."""
    first = flagged.iloc[0]
    with st.container(border=True, key="story_flag"):
        st.markdown(
            f":red-badge[:material/flag: Flagged] **{text.escape(first['title'])}** · {text.escape(first['source'])}"
        )
        st.markdown(_excerpt(run.text(int(first["document"])), told.completion.text))
        st.caption(why_flagged(told, len(flagged) - 1))


def _excerpt(body: str, answer: str) -> str:
    """The answer where a text says it, else its beginning, without the words that are cut through."""
    start, end = analyses.place_of(answer, body) or (0, 0)
    before, after = body[max(start - AROUND, 0) : start], body[end : end + AROUND]
    before = "… " + text.escape(before.partition(" ")[2]) if start > AROUND else text.escape(before)
    after = text.escape(after.rpartition(" ")[0]) + " …" if end + AROUND < len(body) else text.escape(after)
    return f"{before} **{text.escape(body[start:end])}** {after}" if end else after


def _without(run: data.Run, told: analyses.Told, flagged: pd.DataFrame) -> None:
    """How often the model gives the answer: as it is, and without the flagged documents."""
    now = math.exp(told.completion.log_prob)
    rows = [Bar("The model as it is", "", now, _times(now))]
    for documents, label in _sets(flagged):
        one = analyses.left_out(run, told, documents)
        rows += (
            [] if one.predicted is None else [Bar(label, UNCHECKED, one.predicted, _times(one.predicted), open=True)]
        )
        if one.measured is not None:
            rows[-1:] = [Bar(**vars(rows[-1]) | {"note": "predicted"})] if one.predicted is not None else rows[-1:]
            rows.append(Bar(label, CHECKED, one.measured, _times(one.measured), MEASURED_COLOUR))
    if len(rows) == 1:
        st.info(NOT_PREDICTED, icon=":material/info:")
        return
    said = "; ".join(f"{row.label} ({row.note or 'measured'}): {chance(row.value)}" for row in rows)
    show_figure(bars(rows), key="story_without", height=bars_height(len(rows)), alt=f"How often it answers so. {said}.")
    predicted = any(row.open for row in rows)
    st.caption("How often the model would give this answer, asked a hundred times." + (fared() if predicted else ""))


def _times(probability: float) -> str:
    times = 100 * probability
    return f"{times:.0f}" if times >= 1 or times == 0 else "less than 1"


def _sets(flagged: pd.DataFrame) -> list[tuple[pd.DataFrame, str]]:
    """What is left out: the strongest flagged document, and all of them where there are more."""
    one = [(flagged.head(1), "Without this document")]
    return one + ([(flagged, f"Without all {counted(len(flagged))} flagged")] if len(flagged) > 1 else [])


def _check(run: data.Run, told: analyses.Told, flagged: pd.DataFrame) -> None:
    """Offer to train on without all that is flagged, where that was not done."""
    ids = flagged["id"].tolist()
    if trust.left_out(run, told.completion.id, ids) is not None:
        return
    settings = trust.leave_out_settings(run, told.completion, ids)
    job = trust.job(trust.LEAVE_OUT, settings)
    if job is not None and job.state != "done":
        job_panel(lambda: trust.job(trust.LEAVE_OUT, settings), key="story_check_job")
        return
    seconds = trust.leave_out_cost(run, flagged["document"].tolist(), settings)
    what = "it" if len(flagged) == 1 else "them"
    st.button(
        f"Check by training on without {what} (about {text.duration(seconds)})", key="story_check", type="tertiary",
        icon=":material/model_training:", on_click=trust.submit,
        args=(trust.LEAVE_OUT, settings, f"Train on without {len(ids)} flagged documents"),
    )  # fmt: skip
