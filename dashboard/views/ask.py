"""Which documents made the model say this? Of any prompt and completion, answered while one waits."""

import streamlit as st

from dashboard import data
from dashboard.analyses import ask as analyses
from dashboard.components import text, url
from dashboard.components.asked_damping import answer_at
from dashboard.components.asked_document import asked_document
from dashboard.components.document_card import pick_table
from dashboard.components.job_panel import REFRESH_S, job_panel
from dashboard.components.page import ask

FIELDS = ("prompt", "completion", "rather")
LONGEST = 2_000
"""Characters of a field: the address holds them."""
QUICK = {
    True: "The order goes by the run's index of gradients and by shared tokens",
    False: "The order goes by shared tokens alone, as this run has no index",
}
HOW_TO_READ = """
**How the answer comes.** All documents are first put in a quick order. Then those that come first, 5% of the corpus,
are scored exactly, twenty before the others: by the same formulas as the run's own completions, token by token.

**What this cannot tell.** A document that the quick order puts far back is not scored, so the list can miss some; how
many such orders missed of the run's own completions stands above where it was measured. Documents that *lowered* the
completion are not looked for. And influence is a first-order answer about this trained model, no proof of cause.
"""


def main() -> None:
    """Draw the page."""
    run = ask("And what made it say anything else?")
    if why := analyses.cannot_answer(run):
        st.info(text.escape(why, 600), icon=":material/info:")
        st.stop()
    _form(run)
    if not url.get("prompt") and not url.get("completion"):
        st.info("Write a prompt, and what the model is to have said after it; or leave that to the model.")
        st.stop()
    settings = analyses.question(*(url.get(name) for name in FIELDS))
    if isinstance(settings, str):
        st.error(text.escape(settings, 600))
        st.stop()
    _follow(run, settings)
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(HOW_TO_READ)


def _form(run: data.Run) -> None:
    """What is asked; the address holds it."""

    def asked() -> None:
        given = {name: st.session_state[f"_asked_{name}"][:LONGEST] for name in FIELDS}
        for name, value in given.items():
            url.put(name, value)
        url.put("document")
        settings = analyses.question(*given.values())
        if not isinstance(settings, str):
            _submit(run, settings)

    with st.form("question", border=False):
        st.text_area("Prompt", url.get("prompt"), key="_asked_prompt", height=90, max_chars=LONGEST)
        left, right = st.columns(2)
        left.text_input(
            "Completion", url.get("completion"), key="_asked_completion", max_chars=LONGEST,
            placeholder="empty: what the model itself goes on with",
            help="It follows the prompt directly: begin with a blank where a new word begins.",
        )  # fmt: skip
        right.text_input(
            "Rather than", url.get("rather"), key="_asked_rather", max_chars=LONGEST,
            placeholder="empty: the completion alone",
            help="Another completion: then the question is why the model prefers the one to the other.",
        )  # fmt: skip
        st.form_submit_button("Ask", type="primary", on_click=asked, icon=":material/forum:")


def _submit(run: data.Run, settings: analyses.AskSettings) -> None:
    found = analyses.answered(run, settings)
    if found is None or not found.finished:
        analyses.submit_question(run, settings)


def _follow(run: data.Run, settings: analyses.AskSettings) -> None:
    """The answer as it grows, below how its job fares."""
    job = analyses.question_job(run, settings)
    if job is None and analyses.answered(run, settings) is None:
        st.info("This question has not been asked of this run yet.", icon=":material/forum:")
        st.button("Ask it", type="primary", on_click=_submit, args=(run, settings))
        return
    if job is not None and job.state != "done":
        job_panel(lambda: analyses.question_job(run, settings), key="question_job")
    active = job is not None and job.is_active
    st.fragment(lambda: _answer(run, settings), run_every=REFRESH_S if active else None)()


def _answer(run: data.Run, settings: analyses.AskSettings) -> None:
    asked = analyses.answered(run, settings)
    if asked is None:
        return
    record = asked.record
    rather = f" rather than “{text.escape(record['contrast'])}”" if record["contrast"] else ""
    blank = "&nbsp;" if record["completion"][:1].isspace() else ""
    st.caption(
        f"{text.escape(record['prompt'], 400)}{blank}**{text.escape(record['completion'], 400)}**{rather} · "
        f"{text.MEASUREMENTS[record['measurement']]} {text.number(record['value'])} {record['unit']}"
    )
    documents = asked.documents
    if documents.empty:
        st.markdown("## These documents come first in a quick order; their exact influence is on its way.")
    else:
        first = documents.iloc[0]
        st.markdown(
            f"## “{text.escape(first['title'])}” did most: {text.number(first['influence'])} {record['unit']} per unit "
            f"of weight; {record['raised_documents']:,} of {record['exact_documents']:,} documents scored exactly "
            "raised it."
        )
    st.caption(f"{QUICK[asked.by_index]}. {record['recall']}".strip())
    if not asked.by_index:
        _offer_index(run)
    number = st.column_config.NumberColumn
    score = number(
        "Quick order", format="%.1f", width=95, help="Sum of standard scores; no unit, only its order counts."
    )
    if documents.empty:
        pick_table(asked.ranked, {"score": score}, "ranked")
        return
    unit = f"{record['unit']} per unit of weight; plus raises."
    influence = number("Influence", format="%+.3g", width=95, help=unit)
    pick_table(answer_at(asked), {"influence": influence, "score": score}, "exact")
    picked = documents[documents["id"] == url.get("document")]
    asked_document(run, asked, (picked if len(picked) else documents).iloc[0])


def _offer_index(run: data.Run) -> None:
    job = analyses.index_job(run)
    if job is None or job.state == "done":
        st.button(
            "Make an index", on_click=analyses.submit_index, args=(run,), type="tertiary", icon=":material/database:",
            help="One pass over the corpus; it keeps a few kilobytes of each document, and questions find more.",
        )  # fmt: skip
    else:
        job_panel(lambda: analyses.index_job(run), key="index_job")


main()
