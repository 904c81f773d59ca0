"""What surrounds each step of the story: where one is, back and next by key, and nothing else while it is presented."""

from pathlib import Path

import streamlit as st

from dashboard.components import url
from dashboard.components.story_words import TITLES

HERE = Path(__file__).parent
STEPS = len(TITLES)


def step_shown() -> int:
    """The step that the address names, else the first."""
    named = url.get("step")
    return int(named) if named in {str(step) for step in range(1, STEPS + 1)} else 1


def presenting() -> bool:
    """Whether the story stands alone on the screen."""
    return url.get("present") == "yes"


def dress() -> None:
    """Large type; while it is presented, without menu and choice of a run."""
    st.html(HERE / "story.css")
    if presenting():
        st.html(HERE / "story_present.css")


def controls(step: int) -> None:
    """Progress, back, next, present."""
    with st.container(horizontal=True, vertical_alignment="center", key="story_controls"):
        st.progress(step / STEPS, text=f"{step} of {STEPS}", width=180)
        st.button(
            "Back",  shortcut="Left", disabled=step == 1,
            on_click=url.put, args=("step", str(step - 1)), key="story_back",
        )  # fmt: skip
        st.button(
            "Next",   shortcut="Right", type="primary",
            disabled=step == STEPS, on_click=url.put, args=("step", str(step + 1)), key="story_next",
        )  # fmt: skip
        st.space("stretch")
        alone = presenting()
        st.button(
            "Show the menu" if alone else "Present", shortcut="P", type="tertiary", key="story_present",
            icon=":material/close_fullscreen:" if alone else ":material/present_to_all:",
            on_click=url.put, args=("present", "" if alone else "yes"),
            help="Hides the menu of pages. F11 fills the screen.",
        )  # fmt: skip
