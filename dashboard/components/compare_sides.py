"""The two sides that are compared: a completion of the run in use, and one of any run."""

from dataclasses import dataclass

import streamlit as st

from dashboard import data, runs
from dashboard.analyses import comparison as analyses
from dashboard.components import text, url
from dashboard.components.page import choose_completion
from dashboard.components.run_choice import unreadable


@dataclass(frozen=True)
class Chosen:
    """One side as the page knows it.

    Attributes:
        run: The run.
        label: The run's name, for addresses.
        completion: The completion.
    """

    run: data.Run
    label: str
    completion: data.Completion

    @property
    def side(self) -> analyses.Side:
        """For the analyses."""
        return analyses.Side(self.run, self.completion.query)

    @property
    def unit(self) -> str:
        """Unit of its influences."""
        return self.run.influence_unit


def choose_sides(run: data.Run) -> tuple[Chosen, Chosen]:
    """The two sides: the run in use on the left, any run on the right."""
    finished = runs.finished_runs()
    label = st.session_state.get("run", next(iter(finished)))
    first, second = st.columns(2, gap="medium")
    with first, st.container(border=True):
        st.markdown(f"**Left** · {text.escape(run.name)}")
        left = Chosen(run, label, choose_completion(run, label="Left completion", kinds=False))
    with second, st.container(border=True):
        other_label = label
        _lost_run(list(finished))
        if len(finished) > 1:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown("**Right**", width="content")
                other_label = _other_run(list(finished), label)
        else:
            st.markdown(f"**Right** · {text.escape(run.name)}")
        other = run if other_label == label else runs.open_run(finished[other_label])
        _default(other, left, same=other_label == label)
        right = Chosen(other, other_label, choose_completion(other, "other_query", "Right completion", kinds=False))
    st.button("Swap left and right", icon=":material/swap_horiz:", on_click=_swap, args=(left, right), type="tertiary")
    return left, right


def _lost_run(labels: list[str]) -> None:
    """Say that the address's run on the right cannot be shown."""
    wanted = url.get("other_run")
    if wanted in runs.unreadable_runs():
        unreadable(runs.unreadable_runs()[wanted])
        st.warning("The run in use is shown instead.")
    elif wanted and wanted not in labels:
        st.warning("The link names a run that is not here. The run in use is shown instead.")


def _other_run(labels: list[str], label: str) -> str:
    """The run on the right: the address's, else the one in use."""
    wanted = url.get("other_run")
    current = wanted if wanted in labels else label
    st.session_state["_other_run"] = current

    def chosen() -> None:
        if st.session_state["_other_run"] != current:  # see url.py
            url.put("other_run", st.session_state["_other_run"])
            url.put("other_query")

    return st.selectbox("Run on the right", labels, key="_other_run", on_change=chosen, label_visibility="collapsed")


def _default(other: data.Run, left: Chosen, same: bool) -> None:
    """Where nothing was chosen on the right: the same completion in another run, the next one in the same run."""
    last = st.session_state.get("_last_other_query")
    ids = [completion.id for completion in data.completions(other)]
    if url.get("other_query") in ids or (last in ids and not (same and last == left.completion.id)):
        return
    rest = [found for found in ids if found != left.completion.id] if same else [left.completion.id]
    st.session_state["_last_other_query"] = next((found for found in rest if found in ids), ids[0])


def _swap(left: Chosen, right: Chosen) -> None:
    if left.label != right.label:
        st.session_state["run"] = right.label
        url.put("other_run", left.label)
    url.put("query", right.completion.id)
    url.put("other_query", left.completion.id)


def names_of(left: Chosen, right: Chosen) -> tuple[str, str]:
    """What tells the two sides apart: completion, run, or both."""
    parts = [(left.completion.label, right.completion.label), (left.label, right.label)]
    differing = [pair for pair in parts if pair[0] != pair[1]] or parts
    first, second = zip(*differing, strict=True)
    return " · ".join(first), " · ".join(second)
