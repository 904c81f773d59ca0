"""The rows of a table as a list: those of Streamlit's tables can be chosen with the mouse only."""

from collections.abc import Callable, Iterable

import streamlit as st

from dashboard.components import text

LIST_PX = 480


def row_list(
    label: str, names: Iterable[str], key: str, row: int | None = None, on_choose: Callable[[int], None] | None = None
) -> int | None:
    """Offer the rows of the table above for the keyboard.

    Args:
        label: What is chosen.
        names: What each row is called, in order; untrusted.
        key: Name of the list on the page.
        row: The row that is chosen in the table, if any; the list follows it.
        on_choose: Called with another row once it is chosen.

    Returns:
        The row that is chosen.
    """
    offered = [f"{place}. {text.plain(name, 80)}" for place, name in enumerate(names, 1)]
    if on_choose is not None:
        st.session_state[key] = row

    def chosen() -> None:
        picked = st.session_state[key]
        if on_choose is not None and picked is not None and picked != row:  # see url.py
            on_choose(picked)

    clearable = None if row is None else 0
    found: int | None = st.selectbox(
        label, range(len(offered)), index=clearable, key=key, format_func=offered.__getitem__, on_change=chosen,
        placeholder="Choose from the table above, or here", filter_mode="contains", width=LIST_PX,
    )  # fmt: skip
    return found
