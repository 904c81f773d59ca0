"""One label for everything that the filter shows: first the count, then, on a second press, the decision."""

import streamlit as st

from dashboard.analyses import review as analyses
from dashboard.components import text
from dashboard.components.review_actions import Sitting, attempt

_ARMED = "_bulk_armed"


def bulk(sitting: Sitting, shown: list[int]) -> None:
    """Offer to give all documents in the filter a label.

    Args:
        sitting: The reviewer at the queue.
        shown: Numbers of the documents in the filter.
    """
    labels = sitting.review.team.labels
    by_name = {text.plain(name): name for name in labels}
    count = _count(len(shown))
    st.markdown(f"The filter shows **{count}**. All get the same label and comment; Undo takes all of it back at once.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Label for all", list(by_name), key="bulk_label", bind="query-params", width=180)
        why = st.text_input("Comment for all", key="bulk_why", max_chars=2_000, width=360)
        asked = (by_name[chosen], tuple(shown), why)
        st.button(
            f"Label {count} “{text.escape(chosen)}” …", on_click=_arm, args=(asked,), key="bulk_arm",
            disabled=sitting.reviewer is None or not shown,
        )  # fmt: skip
    if sitting.reviewer is not None and st.session_state.get(_ARMED) == asked:
        _confirm(sitting, asked)


def _count(count: int) -> str:
    return f"{count:,} document{'' if count == 1 else 's'}"


def _arm(asked: tuple | None) -> None:
    st.session_state[_ARMED] = asked


def _confirm(sitting: Sitting, asked: tuple[str, tuple[int, ...], str]) -> None:
    """Name the count, whose labels change, and ask again; another filter or label needs another first press."""
    label, shown, _ = asked
    standings = sitting.review.standings(sitting.reviewer)
    own = [one.own.label for number, one in standings.items() if number in set(shown) and one.own and one.own.label]
    changed = sum(name != label for name in own)
    others = f" For {_count(changed)} this changes a label of yours." if changed else ""
    st.warning(f"This labels {_count(len(shown))} “{text.escape(label)}” in your name.{others}", icon=":material/rule:")
    with st.container(horizontal=True):
        st.button(
            f"Yes, label {_count(len(shown))}", type="primary", key="bulk_yes", on_click=_label_all,
            args=(sitting, asked, analyses.new_token()),
        )  # fmt: skip
        st.button("Cancel", key="bulk_no", on_click=_arm, args=(None,))


def _label_all(sitting: Sitting, asked: tuple[str, tuple[int, ...], str], token: str) -> None:
    assert sitting.reviewer is not None
    reviewer, (label, shown, why) = sitting.reviewer, asked
    attempt(lambda: sitting.review.label(reviewer, list(shown), label, why.strip(), sitting.asked, token))
    _arm(None)
