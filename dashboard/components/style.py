"""What the theme's settings cannot say."""

import streamlit as st

# Streamlit writes white on the primary colour in both themes; on the dark theme's that is a contrast of 2.9.
STYLE = "<style>[data-testid^=stBaseButton-primary] { color: light-dark(#FFFFFF, #15161B); }</style>"


def apply() -> None:
    """Put it into the page; it takes no room."""
    st.html(STYLE)
