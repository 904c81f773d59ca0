"""Which documents stay in the corpus?"""

from dataclasses import replace

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import review as analyses
from dashboard.components import text, url
from dashboard.components.document_card import pick_table
from dashboard.components.document_panel import Choice
from dashboard.components.page import ask, choose_completion
from dashboard.components.review_actions import Sitting, actions, attempt, trouble
from dashboard.components.review_bulk import bulk
from dashboard.components.review_document import (
    decisions,
    document_head,
    document_text,
    influenced_completions,
    near_duplicates,
)  # fmt: skip
from dashboard.components.review_exchange import export_part, import_part
from dashboard.components.review_progress import progress
from dashboard.components.review_queue import ALL, SHOW, choose_queue, choose_show, clear_filters, saved_filters
from dashboard.components.review_team import team
from dashboard.components.reviewer import choose_reviewer
from dashboard.components.run_choice import WHAT_TO_DO

SAFETY = "safety"
"""Completions of a kind that has this in its name are offered first."""
OTHER_QUEUE = f"Go through all documents. For influence: {WHAT_TO_DO[0].lower()}{WHAT_TO_DO[1:]}"
HOW_TO_READ = """
**What a decision is.** Each one is kept for good: who, when, which label, what it was before, why, and of which run.
Undo does not erase; it adds that the decision no longer counts. The database itself refuses to change or delete any.
A decision holds in every run where a document of the same id has the same text.

**Keys.** They stand on the buttons and act unless you are typing; Esc leaves a field. After a decision the next
undecided document of the queue is shown.

**When the team has decided.** As soon as one reviewer, or two where the team asks for two, gave a label and nobody gave
another. Two labels that differ are a disagreement, until they agree.

**What influence says here.** It found the document, it is no verdict: what a document says decides. Documents are
coloured by what each token did to the completion under study.
"""


def main() -> None:
    """Draw the page."""
    run = ask("Which documents stay in the corpus?")
    review = _review(run)
    trouble()
    with st.container(horizontal=True, vertical_alignment="center"):
        reviewer = choose_reviewer()
        saved = st.container(width="content")
    completion = choose_completion(run, kinds=False, first=SAFETY)
    answer = st.container()
    with st.expander("Choose what to go through", icon=":material/filter_list:", key="choose"):
        queue = choose_queue(run, completion, answer)
        show = choose_show()
    if queue is None:
        st.stop()
    queue = replace(queue, show=show)
    with saved:
        saved_filters(run, review, reviewer, queue.query_string(), attempt)
    documents = analyses.documents_of(run, queue)
    if documents.empty:
        _nothing(run, queue)
        st.stop()
    with answer:
        sitting, shown = _sit_down(review, reviewer, queue, documents["document"].tolist())
    choice = Choice(run, completion, ())
    _document(choice, sitting)
    _parts(choice, sitting, documents[documents["document"].isin(shown)])
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(HOW_TO_READ)


def _review(run: data.Run) -> analyses.Review:
    try:
        return analyses.open_review(run)
    except analyses.WhenceError as error:
        st.error(text.escape(str(error), 600), icon=":material/error:")
        st.stop()


def _nothing(run: data.Run, queue: analyses.Queue) -> None:
    """Why no document is in the queue, and what to do."""
    if queue.completion and not run.scored_documents:
        st.info(f"This run scored no document, so none is the strongest. {OTHER_QUEUE}", icon=":material/info:")
        st.button("Go through all documents", on_click=_all_documents)
    else:
        st.info("No document passes the filters.", icon=":material/filter_alt_off:")
        st.button("Clear the filters", on_click=clear_filters)


def _all_documents() -> None:
    st.session_state["queue"] = ALL


def _sit_down(
    review: analyses.Review, reviewer: analyses.Reviewer | None, queue: analyses.Queue, base: list[int]
) -> tuple[Sitting, list[int]]:
    """Where the reviewer is in the queue, and which of its documents the filter by decisions shows."""
    undecided = analyses.to_show(review, base, "undecided", reviewer)
    shown = analyses.to_show(review, base, queue.show, reviewer)
    progress(review, queue, base, undecided, reviewer)
    if not shown and undecided:
        st.info(
            "None of these documents is shown: what was decided of them is otherwise.", icon=":material/filter_alt_off:"
        )
        st.button("Show all of them", on_click=_show_all)
    through, goals = (base, undecided) if queue.show in ("all", "undecided") else (shown, shown)
    ids = review.run.documents["id"].tolist()
    document = _in_view(ids, base, goals)
    place = base.index(document)
    after = [number for number in base[place + 1 :] + base[:place] if number in set(goals)]
    asked = queue.query_string()
    return Sitting(review, reviewer, ids, through, asked, document, next(iter(after), None)), shown


def _show_all() -> None:
    st.session_state["show"] = next(iter(SHOW))


def _in_view(ids: list[str], base: list[int], goals: list[int]) -> int:
    """Number of the document that the address names, else of the first one to go to."""
    named = url.get("document")
    if named and named not in ids:
        st.warning("The link names a document that this run does not have. Another one is shown below.")
    elif named and (number := ids.index(named)) in base:
        return number
    return next(iter(goals), base[0])


def _document(choice: Choice, sitting: Sitting) -> None:
    """The document in view: what it is, the buttons, its text; beside it what it did, what is like it, who decided."""
    ranking = data.ranking(choice.run, choice.completion.query).set_index("document")[["rank", "influence"]]
    document = choice.run.documents.iloc[sitting.document]
    document = pd.concat([document, ranking.reindex([sitting.document]).iloc[0]])
    left, right = st.columns([0.64, 0.36], gap="medium")
    with left:
        document_head(choice, document)
        actions(sitting)
        document_text(choice, document)
    with right:
        decisions(sitting)
        influenced_completions(choice.run, sitting.document)
        near_duplicates(sitting)


def _parts(choice: Choice, sitting: Sitting, shown: pd.DataFrame) -> None:
    """What concerns the whole queue, the team and its files; only the part that is open is computed."""
    review, reviewer = sitting.review, sitting.reviewer
    parts = {
        "The list": lambda: _list(shown),
        "Decide all at once": lambda: bulk(sitting, shown["document"].tolist()),
        "Team": lambda: team(review, reviewer),
        "Export": lambda: export_part(review, choice),
        "Import": lambda: import_part(review, reviewer),
    }
    for tab, draw in zip(
        st.tabs(list(parts), key="part", bind="query-params", on_change="rerun"), parts.values(), strict=True
    ):
        if tab.open:
            with tab:
                draw()


def _list(shown: pd.DataFrame) -> None:
    if shown.empty:
        st.caption("The filter shows no document.")
        return
    number = st.column_config.NumberColumn
    numbers = {
        "influence": number("Influence", format="%+.3g", width=90, help="On the completion under study."),
        "similarity": number("Alike", format="percent", width=70, help="Cosine of their words (TF-IDF)."),
    }
    pick_table(shown, {name: column for name, column in numbers.items() if shown[name].notna().any()}, "review")


main()
