"""The story in five steps, for people who have read nothing about it: one sentence and one picture each."""

import math

import streamlit as st

from dashboard import data, runs
from dashboard.analyses import story as analyses
from dashboard.components import text
from dashboard.components.figure import LOWERS, NEUTRAL, RAISES, show_figure
from dashboard.components.imported import imported_note
from dashboard.components.job_panel import job_panel
from dashboard.components.page import ask
from dashboard.components.run_choice import need_scores
from dashboard.components.story_charts import Bar, bars, bars_height, hundred
from dashboard.components.story_frame import STEPS, controls, dress, presenting, step_shown
from dashboard.components.story_problem import problem_step
from dashboard.components.story_words import CAVEAT, INVENTED, TITLES, behind, carried, reordered, says
from dashboard.components.token_strip import Look, Piece, token_strip
from dashboard.components.variants_job import ask_for_variants, variants_or_job

ORDERS = {
    "original": "As it is written",
    "words_reversed": "Its words in reverse order",
    "words_shuffled": "Its words shuffled",
    "completion_removed": "Without the words of the answer",
}
NOTHING_RAISED = "No document of this run raised what the model says, so there is no story to tell about it."
WITHIN_NOISE = (
    "The influence of this document is no larger than that of unrelated ones, so no share of it is given for other "
    "orders of its words."
)
NO_WORDS = "The influence of this document's words is not stored. Computing it takes some seconds and is kept."


def main() -> None:
    """Draw the page."""
    step = step_shown()
    dress()
    with st.container(key="story"):
        run = ask(TITLES[step - 1])
        need_scores(run, "there is no document to tell of")
        if imported_note(run, "The story cannot be told"):
            st.stop()
        controls(step)
        if step == STEPS:
            problem_step(run)
            st.caption(CAVEAT + (INVENTED if analyses.is_invented(run) else ""))
        else:
            _of_the_fact(run, step)


def _of_the_fact(run: data.Run, step: int) -> None:
    """One of the first four steps."""
    told = analyses.fact(run)
    if told is None:
        st.info(NOTHING_RAISED, icon=":material/info:")
        return
    (_says, _behind, _inside, _reordered)[step - 1](run, told)
    if step > 1:  # while the second step is told, the fourth is computed
        ask_for_variants(run, told.completion, told.documents.iloc[0])


def _sentence(said: str) -> None:
    with st.container(key="story_sentence"):
        st.markdown(said)


def _says(run: data.Run, told: analyses.Told) -> None:
    probability = math.exp(told.completion.log_prob)
    _sentence(says(told, probability))
    left, right = st.columns([0.58, 0.42], gap="medium", vertical_alignment="center")
    with left, st.container(border=True, key="story_quote"):
        st.markdown(f"{text.escape(told.completion.prompt)} **:primary[{text.escape(told.completion.text)}]**")
    with right:
        filled = round(100 * probability)
        st.html(
            hundred(filled, f"A hundred dots, {filled} of them filled: how often the model would say exactly this.")
        )
        st.caption("Filled: how often in a hundred times it says exactly this.")


def _behind(run: data.Run, told: analyses.Told) -> None:
    _sentence(behind(told, trained_on=run.training_windows == run.fit["corpus"]["windows"]))
    rows = [
        Bar(row.title, row.source, row.times, f"{row.times:,.0f}" if row.times >= 10 else f"{row.times:.1f}",
            RAISES if row.marked else NEUTRAL)
        for row in told.documents.itertuples()
    ]  # fmt: skip
    listed = "; ".join(f"{text.plain(row.label, 60)}: {row.said}" for row in rows)
    show_figure(bars(rows), key="story_behind", height=bars_height(len(rows)), alt=f"Influence of documents. {listed}.")
    grey = "" if told.documents["marked"].all() else " Grey: does not hold those very words."
    st.caption(
        "Influence: how far a document moved the model. Bars count it in typical documents that moved it this way."
        + grey
    )
    _closer("influence", run, told)


def _inside(run: data.Run, told: analyses.Told) -> None:
    first = told.documents.iloc[0]
    asked = (run, told.completion.query, int(first["document"]))
    found = analyses.inside(*asked)
    if found is None:
        job = analyses.words_job(*asked)
        if job is not None and job.state != "done":
            job_panel(lambda: analyses.words_job(*asked), key="story_words_job")
            return
        st.info(NO_WORDS, icon=":material/info:")
        st.button("Compute its words", on_click=analyses.submit_words, args=(*asked, text.plain(first["title"], 80)))
        return
    _sentence(carried(told, found))
    token_strip(
        [Piece(one.text, None if one.share is None else 100 * one.share, one.place,
               tuple(100 * part for part in one.parts)) for one in found.words],
        key="story_strip", label=f"{text.plain(first['title'])}: its text with the influence of each word",
        unit="% of all that moved it towards the answer", on_choose=lambda places: None,
        look=Look(legend=False, large=True),
    )  # fmt: skip
    st.caption("Blue: learning this word moved the model towards its answer. Orange: away from it. Darker: further.")
    _closer("influence", run, told)


def _reordered(run: data.Run, told: analyses.Told) -> None:
    first = told.documents.iloc[0]
    found = variants_or_job(run, told.completion, first, "story_variants_job")
    if found is None:
        st.caption("Other orders of the strongest document's words are scored by the model itself; that takes seconds.")
        return
    if not abs(found.original.total) > found.noise:
        st.info(WITHIN_NOISE, icon=":material/info:")
        return
    made = analyses.in_other_orders(found)
    _sentence(reordered(told, made, found.noise / abs(found.original.total)))
    rows = [
        Bar(ORDERS[one.name], _beginning(one.text), one.share, text.share(one.share),
            colour=LOWERS if one.share < 0 else RAISES, open=one.name != "original", low=one.low, high=one.high)
        for one in made
    ]  # fmt: skip
    listed = "; ".join(f"{row.label}: {row.said}" for row in rows)
    show_figure(bars(rows), key="story_orders", height=bars_height(len(rows)), alt=f"Influence that is left. {listed}.")
    drawn = next((one.draws for one in made if one.draws > 1), 0)
    shuffles = f" Shuffled: the mean of {drawn}, from least to most." if drawn else ""
    away = " Orange: away from its answer." if any(one.share < 0 for one in made) else ""
    st.caption(f"Share of the document's influence. Hatched: texts the model never read.{away}{shuffles}")
    _closer("word_order", run, told)


def _beginning(body: str) -> str:
    """The beginning of a text, for a label."""
    return f"“{text.plain(body, 44)}”"


def _closer(view: str, run: data.Run, told: analyses.Told) -> None:
    """The way to the page with everything, unless the story stands alone."""
    if not presenting():
        st.page_link(
            f"views/{view}.py", label="Look closer", icon=":material/search:",
            query_params=runs.run_address() | {"query": told.completion.id},
        )  # fmt: skip


main()
