"""Which documents are gone through: a queue chosen by filters, every one of them in the address."""

import shlex
from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import data, runs
from dashboard.analyses import document_map as maps
from dashboard.analyses import review as analyses
from dashboard.components import map_chart, text, url

STRONGEST, ALL, ALIKE, LISTED = (
    "Strongest on the completion", "All documents", "Near-duplicates of a document", "Documents handed over",
)  # fmt: skip
ENDS = {"Raised it": "raised", "Lowered it": "lowered"}
TOPS = ("20", "50", "100", "200", "500", "1000")
SHOW = {
    "All": "all", "Undecided": "undecided", "Waiting for a second": "waiting", "Disagreements": "disagreed",
    "Agreed": "agreed", "Skipped": "skipped",
}  # fmt: skip
_BEFORE = "_queue_before_alike"
NONE_YET = {
    ALIKE: "Near-duplicates of which document? Open one, and choose “Go through all” beside its text.",
    LISTED: "No documents were handed over. Draw around some on the Map, or filter the table of the Influence page, "
    "and choose “Review these” there.",
}


def choose_queue(run: data.Run, completion: data.Completion, place: DeltaGenerator) -> analyses.Queue | None:
    """Let a queue be chosen.

    Args:
        run: The run.
        completion: The completion under study, by whose influence the strongest are found.
        place: Where it is said what is wrong with the choice.

    Returns:
        The queue; None where it is of documents that the address does not name, which is then said.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.selectbox(
            "Documents", [STRONGEST, ALL, ALIKE, LISTED], key="queue", bind="query-params", width=270,
            on_change=url.put, args=("document",),
        )  # fmt: skip
        base = _strongest(completion) if kind == STRONGEST else _named(run, kind, place)
        filters = _filters(run)
    if base is None:
        place.info(NONE_YET[kind], icon=":material/playlist_add:")
        return None
    return analyses.Queue(**base, **filters)


def _strongest(completion: data.Completion) -> dict:
    end = st.segmented_control(
        "Which end", list(ENDS), default="Raised it", required=True, key="direction", bind="query-params",
        on_change=url.put, args=("document",), label_visibility="collapsed",
    )  # fmt: skip
    top = st.selectbox("How many", TOPS, index=TOPS.index("100"), key="top", bind="query-params", width=100)
    return {"completion": completion.id, "end": ENDS.get(end, "raised"), "top": int(top)}


def _named(run: data.Run, kind: str, place: DeltaGenerator) -> dict | None:
    return {} if kind == ALL else _alike(run, place) if kind == ALIKE else _listed(run, place)


def _alike(run: data.Run, place: DeltaGenerator) -> dict | None:
    like = url.get("like")
    if like and like not in set(run.documents["id"]):
        place.warning("The link names a document that this run does not have.")
        return None
    return {"like": like} if like else None


def _listed(run: data.Run, place: DeltaGenerator) -> dict | None:
    """Ids that the address names, or those inside the area that it says was drawn on the map."""
    known, named = set(run.documents["id"]), url.every("documents")
    ids = [one for one in named if one in known]
    if len(ids) < len(named):
        place.warning(f"The link names {len(named) - len(ids):,} documents that this run does not have.")
    corners = map_chart.read(url.get("area"))
    found = maps.document_map(run, map_chart.FEATURES.get(url.get("features"), "words")) if corners else None
    if found is not None:
        ids = maps.inside_area(maps.map_table(run, found), corners)["id"].tolist()
    return {"documents": tuple(ids)} if ids else None


def _filters(run: data.Run) -> dict:
    sources = st.multiselect(
        "Source", sorted(run.documents["source"].unique()), key="source", bind="query-params",
        placeholder="All sources", format_func=text.plain, width=190,
    )  # fmt: skip
    languages = st.multiselect(
        "Language", sorted(run.documents["language"].unique()), key="language", bind="query-params",
        placeholder="All languages", format_func=text.language, width=190,
    )  # fmt: skip
    search = st.text_input(
        "Search", key="search", bind="query-params", placeholder="Words as they stand", width=190,
        help="In titles and texts, whether large or small.",
    )  # fmt: skip
    return {"sources": tuple(sources), "languages": tuple(languages), "search": (search or "").strip()}


def review_link(address: dict[str, str | list[str]], label: str = "Review these") -> None:
    """Link to the review of documents.

    Args:
        address: The queue, as the review page's address says it.
        label: What the link is called.
    """
    st.page_link(
        "views/review.py", label=label, icon=":material/rate_review:", query_params=runs.run_address() | address,
        width="content",
    )  # fmt: skip


def choose_show() -> str:
    """Let it be chosen which of the queue's documents are shown, by what was decided of them."""
    shown = st.pills(
        "Show", list(SHOW), default="All", required=True, key="show", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    return SHOW.get(shown, "all")


def clear_filters() -> None:
    """Choose nothing but the kind of queue."""
    st.session_state["source"], st.session_state["language"], st.session_state["search"] = [], [], ""
    st.session_state["show"] = "All"


def go_through_alike(document: str, before: str) -> None:
    """Make the near-duplicates of a document the queue.

    Args:
        document: Its id.
        before: The queue in use until now, as a query string; :func:`queue_before` knows it then.
    """
    st.session_state[_BEFORE] = before
    clear_filters()
    st.session_state["queue"] = ALIKE
    url.put("like", document)


def queue_before() -> str | None:
    """The queue that near-duplicates were gone to from, as a query string; None if they were not."""
    return st.session_state.get(_BEFORE)


def open_saved(run: data.Run, saved: str) -> None:
    """Choose what a saved filter says.

    Args:
        run: The run.
        saved: A queue as a query string.
    """
    queue = analyses.Queue.from_query(saved)
    kind = STRONGEST if queue.completion else ALIKE if queue.like else LISTED if queue.documents else ALL
    wanted = {
        "queue": kind,
        "source": [one for one in queue.sources if one in set(run.documents["source"])],
        "language": [one for one in queue.languages if one in set(run.documents["language"])],
        "search": queue.search,
        "show": next(label for label, show in SHOW.items() if show == queue.show),
    }
    if kind == STRONGEST:
        wanted |= {
            "direction": next(label for label, end in ENDS.items() if end == queue.end),
            "top": next((top for top in TOPS if int(top) >= queue.top), TOPS[-1]),
        }
        url.put("query", queue.completion)
    for name, value in wanted.items():
        st.session_state[name] = value
    url.put("like", queue.like)
    for name in ("area", "document", "token"):
        url.put(name)
    st.query_params["documents"] = list(queue.documents)


def saved_filters(run: data.Run, review: analyses.Review, reviewer: analyses.Reviewer | None, queue: str,
                  attempt: Callable) -> None:  # fmt: skip
    """Offer the team's saved filters, and to save the one in use.

    Args:
        run: The run.
        review: The team's review.
        reviewer: Who may save; None while nobody has said who they are.
        queue: The queue in use as a query string.
        attempt: Carries out what changes the record.
    """
    with st.popover("Saved filters", icon=":material/bookmark:"):
        filters = review.team.filters
        for place, (name, saved) in enumerate(filters.items()):
            with st.container(horizontal=True):
                st.button(
                    text.escape(name, text.NAME), key=f"filter_{place}", on_click=open_saved, args=(run, saved),
                    width="stretch", help=text.escape(name) if len(name) > text.NAME else None,
                )  # fmt: skip
                st.button(
                    "Forget", key=f"forget_{place}", type="tertiary", disabled=reviewer is None, on_click=attempt,
                    args=(lambda name=name: review.team.forget_filter(reviewer, name),),
                )  # fmt: skip
        if not filters:
            st.caption("None yet. A saved filter is there for the whole team.")
        with st.form("save_filter", border=False, clear_on_submit=True):
            name = st.text_input("Save what is chosen now as", max_chars=80)
            if st.form_submit_button("Save", disabled=reviewer is None) and name.strip():
                attempt(lambda: review.team.save_filter(reviewer, name, queue))
                st.rerun()
        st.caption("The same queue in a terminal:")
        st.code(f"python -m engine review --run {shlex.quote(str(run.path))} list --queue {shlex.quote(queue)}",
                language=None, wrap_lines=True)  # fmt: skip
