"""How far a queue is decided, and what it holds, in a sentence."""

from collections import Counter

import streamlit as st

from dashboard import data
from dashboard.analyses import review as analyses
from dashboard.components import text


def progress(
    review: analyses.Review, queue: analyses.Queue, documents: list[int], undecided: list[int],
    reviewer: analyses.Reviewer | None,
) -> None:  # fmt: skip
    """Say how many documents of a queue are decided and what remains.

    Args:
        review: The team's review.
        queue: The queue.
        documents: Numbers of its documents, whatever was decided of them.
        undecided: Those that the reviewer has yet to decide.
        reviewer: Who looks; None for anybody.
    """
    total, left = len(documents), len(undecided)
    skipped = len(analyses.to_show(review, documents, "skipped", reviewer))
    passed = f", {skipped:,} skipped" if skipped else ""
    if left:
        st.markdown(f"## {total - left - skipped:,} of {total:,} decided{passed}, {left:,} to go")
    else:
        all_of = "All" if total > 1 else "The only one"
        st.markdown(f"## {all_of} {f'{total:,} ' if total > 1 else ''}decided{passed}: nothing is left in this queue")
    st.progress(1 - left / total)
    st.caption(f"{_what(review.run, queue, total)} {_team(review, documents)}")


def _what(run: data.Run, queue: analyses.Queue, total: int) -> str:
    """The queue in words, Markdown."""
    titles = run.documents.set_index("id")["title"]
    if queue.completion:
        label = next(one.label for one in data.completions(run) if one.id == queue.completion)
        said = f"{total:,} document{'s' if total > 1 else ''} that {queue.end} “{text.escape(label, 80)}” most"
    elif queue.like:
        said = f"Near-duplicates of “{text.escape(titles[queue.like], 80)}”, itself first"
    else:
        said = "Documents handed over" if queue.documents else "All documents, as they stand in the corpus"
    parts = [", ".join(map(text.escape, queue.sources)), ", ".join(map(text.language, queue.languages))]
    parts.append(f"with “{text.escape(queue.search, 60)}”" if queue.search else "")
    return " · ".join([said, *filter(None, parts)]) + "."


def _team(review: analyses.Review, documents: list[int]) -> str:
    """How many the team agreed on, and what it waits for."""
    standings = review.standings()
    states = Counter(standings[number].state for number in documents if number in standings)
    said = {"agreed": "agreed on", "waiting": "waiting for a second reviewer", "disagreed": "in disagreement"}
    told = [f"{states[state]:,} {words}" for state, words in said.items() if states[state]]
    return f"By the team: {', '.join(told)}." if told else "The team has decided none of them."
