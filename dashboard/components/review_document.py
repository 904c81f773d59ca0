"""The document in view: its text with what it did to the completion, what else it did, what is like it, who decided."""

import pandas as pd
import streamlit as st

from dashboard import data, runs
from dashboard.analyses import review as analyses
from dashboard.components import text
from dashboard.components.document_panel import Choice, document_strip
from dashboard.components.review_actions import Sitting
from dashboard.components.review_comment import MOST
from dashboard.components.review_queue import go_through_alike, open_saved, queue_before

NEAR_SHOWN = 5
ALIKE_KEY = "Shift+G"  # no label can have it
COMPARED_AT_ONCE = 20_000
"""Documents up to which the corpus's words are compared without being asked: on 3,767 it takes 3 s, once."""
_COMPARE = "_compare_documents"


def document_head(choice: Choice, document: pd.Series) -> None:
    """Show what the document is called, where it is from, and its influence on the completion under study.

    Args:
        choice: Run and completion.
        document: Its number, title, source, language; and rank and influence where it was scored.
    """
    st.subheader(text.escape(document["title"]), anchor=False)
    about = [text.escape(document["source"]), text.escape(text.language(document["language"]))]
    about.append(f"{document['tokens']:,} tokens")
    if document["rank"] == document["rank"]:
        about.append(f"rank {int(document['rank']):,}, **{text.number(document['influence'])}** {choice.unit}")
    else:
        about.append("not scored for this completion")
    st.markdown(" · ".join(about))


def document_text(choice: Choice, document: pd.Series) -> None:
    """Show its text, coloured by each token's influence on the completion where that is stored."""
    document_strip(choice, document)
    address = runs.run_address() | {"query": choice.completion.id, "document": document["id"]}
    st.page_link(
        "views/influence.py", label="Open it on the influence page", icon=":material/alt_route:", query_params=address
    )


def influenced_completions(run: data.Run, document: int) -> None:
    """List the completions that the document influences most."""
    st.markdown("**What it influences most**")
    found = analyses.influenced_most(run, document)
    if found.empty:
        st.caption("It was not scored.")
    lines = [
        f"- {text.escape(row.label, 90)}  \n  {text.share(row.share)} of all that "
        f"{'raised' if row.influence > 0 else 'lowered'} it, rank {row.rank:,}"
        for row in found.itertuples()
    ]
    st.markdown("\n".join(lines))


def near_duplicates(sitting: Sitting) -> None:
    """List documents that are nearly the same, with what was decided of them."""
    run, count = sitting.review.run, len(sitting.ids)
    st.markdown("**Near-duplicates**")
    if count > COMPARED_AT_ONCE and not st.session_state.get(_COMPARE):
        st.caption(f"Comparing the words of {count:,} documents takes a while, once.")
        st.button("Compare them", key="compare_documents", on_click=_compare)
        return
    found = analyses.near_duplicates(run, sitting.document)
    if found.empty:
        st.caption("No other document shares half of its words (TF-IDF cosine of at least 0.5).")
    else:
        _alike(sitting, found)
    like, before = analyses.Queue.from_query(sitting.asked).like, queue_before()
    if like and before is not None:
        st.button("Back to the queue before", key="before_alike", shortcut=ALIKE_KEY, on_click=open_saved,
                  args=(run, before), icon=":material/undo:")  # fmt: skip
    elif len(found):
        st.button(
            f"Go through all {len(found) + 1}", key="alike", shortcut=ALIKE_KEY, icon=":material/content_copy:",
            on_click=go_through_alike, args=(sitting.ids[sitting.document], sitting.asked),
            help="The document and its near-duplicates become the queue; the same key leads back.",
        )  # fmt: skip


def _alike(sitting: Sitting, found: pd.DataFrame) -> None:
    run = sitting.review.run
    titles, labels = run.documents["title"], sitting.review.standings(sitting.reviewer)
    lines = []
    for row in found.head(NEAR_SHOWN).itertuples():
        standing = labels.get(row.document)
        said = f" · {_state(standing)}" if standing is not None else ""
        lines.append(f"- {text.escape(titles[row.document], 90)}  \n  {row.similarity:.0%} alike{said}")
    st.markdown("\n".join(lines))
    if len(found) > NEAR_SHOWN:
        st.caption(f"and {len(found) - NEAR_SHOWN:,} more")


def _compare() -> None:
    st.session_state[_COMPARE] = True


def _state(standing: analyses.Standing) -> str:
    """Where a document stands, in a word."""
    if standing.state == "agreed":
        return f"agreed: {text.escape(standing.label)}"
    if standing.own is not None and standing.own.skipped:
        return "skipped"
    return {"waiting": "waits for a second reviewer", "disagreed": "disagreement"}.get(standing.state, "undecided")


def decisions(sitting: Sitting) -> None:
    """List what was decided of the document so far, undone decisions struck through."""
    st.markdown("**Decisions so far**")
    standing = sitting.review.standing(sitting.document, sitting.reviewer)
    history = sitting.review.history(sitting.document, sitting.reviewer)
    if standing.hidden:
        st.caption(
            f"{standing.hidden} other{'s' if standing.hidden > 1 else ''} turned to it; what they decided stays hidden "
            "until you have given a label."
        )
    elif not history:
        st.caption("None.")
    if history:
        st.markdown("\n".join(f"- {_told(event, undone)}" for event, undone in history))
        st.caption(f"It stands as: {_state(standing)}.")


def _told(event: analyses.Event, undone: bool) -> str:
    what = text.escape(event.label) if event.kind == "label" else {"skip": "Skipped", "comment": "Comment"}[event.kind]
    before = f" instead of {text.escape(event.before)}" if event.before not in ("", event.label) else ""
    why = f": “{text.escape(event.why, MOST)}”" if event.why else ""
    said = f"**{what}**{before}, {text.escape(str(event.reviewer))}, {text.date(event.at[:19] + 'Z')}{why}"
    return f"~~{said}~~ undone" if undone else said
