"""What every page of a run begins with: the question, the run it is asked of, and the completion under study."""

import streamlit as st

from dashboard import data, runs
from dashboard.components import text, url
from dashboard.components.run_choice import unreadable

ALL_KINDS = "All"


def ask(question: str) -> data.Run:
    """Write the page's question as its title and return the run in use; without one, say what to do and stop."""
    st.title(question, anchor=False)
    run = runs.run_in_use()
    if (found := runs.unreadable_in_use()) is not None:
        unreadable(found)
        if runs.finished_runs():
            st.caption("Other runs can be chosen at the top right.")
        st.page_link("views/home.py", label="Go to Home", icon=":material/home:", query_params=runs.run_address())
        st.stop()
    if run is None:
        st.info("There is no finished run to look at yet. Start one from Home.", icon=":material/info:")
        st.page_link("views/home.py", label="Go to Home", icon=":material/home:")
        st.stop()
    return run


def choose_completion(
    run: data.Run, name: str = "query", label: str = "Completion under study", kinds: bool = True, first: str = ""
) -> data.Completion:
    """Let a completion be chosen: the address's, else the one chosen last on any page, else the first.

    Args:
        run: The run.
        name: What the address calls it.
        label: What the page calls it.
        kinds: Whether kinds of completions are offered to choose among first.
        first: Completions whose kind has this word come first.
    """
    completions = sorted(data.completions(run), key=lambda one: not (first and first in one.kind.lower()))
    offered = _of_kind(completions) if kinds else completions
    by_label = {text.plain(completion.label): completion for completion in offered}
    by_id = {completion.id: label for label, completion in by_label.items()}
    last, widget = f"_last_{name}", f"_{name}"
    wanted = url.get(name)
    if wanted and wanted not in {completion.id for completion in completions}:
        st.warning("The link names a completion that this run does not have. Another one is shown.")
    current = by_id.get(wanted) or by_id.get(st.session_state.get(last, "")) or next(iter(by_label))
    st.session_state[widget] = current

    def chosen() -> None:
        if st.session_state[widget] != current:  # see url.py
            runs.forget_choices(name)
            url.put(name, by_label[st.session_state[widget]].id)

    found = by_label[st.selectbox(label, list(by_label), key=widget, on_change=chosen, filter_mode="contains")]
    st.session_state[last] = found.id
    return found


def _of_kind(completions: list[data.Completion]) -> list[data.Completion]:
    """Those of the kind that the address names; all of them where there is one kind only."""
    found = list(dict.fromkeys(completion.kind for completion in completions))
    if len(found) < 2:
        return completions
    labels = {text.escape(name): name for name in found}
    chosen = st.pills(
        "Kind", [ALL_KINDS, *labels], default=ALL_KINDS, required=True, key="kind", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    kind = labels.get(chosen, ALL_KINDS)
    return [completion for completion in completions if kind in (ALL_KINDS, completion.kind)]
