"""The comment that goes with a decision, reached and left by key."""

from pathlib import Path

import streamlit as st

COMMENT_KEY = "N"
COMMENT, FIELDS = ".st-key-comment_field input", "[class*=st-key-comment_field] input, .st-key-_reviewer_field input"
"""Where in the page the comment is, and which fields Enter leaves."""
MOST = 2_000
"""Characters of a comment."""
_keys = st.components.v2.component(
    "whence_comment_key",
    html='<div class="whence-comment-key" hidden></div>',
    js=(Path(__file__).parent / "review_comment.js").read_text("utf-8"),
)


def comment_field(document: int) -> None:
    """Show the field for a comment on a document.

    Args:
        document: Its number; each document has a field of its own.
    """
    with st.container(key="comment_field", gap=None):
        st.text_input(
            f"Comment · {COMMENT_KEY} to write, Enter or Esc to leave", key=f"comment_{document}", max_chars=MOST,
            placeholder="Why? It is stored with the decision.",
        )  # fmt: skip
        _keys(key="comment_key", data={"comment": COMMENT, "fields": FIELDS, "key": COMMENT_KEY.lower()})


def written_comment(document: int) -> str:
    """What stands in the field."""
    return (st.session_state.get(f"comment_{document}") or "").strip()
