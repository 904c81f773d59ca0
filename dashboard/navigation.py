"""Navigation and the run in use: what every visit of a page runs first."""

from pathlib import Path

import streamlit as st

from dashboard.loading import loading

ICON = Path(__file__).with_name("icon.svg")  # a material icon would be fetched from fonts.gstatic.com
st.set_page_config(page_title="Whence", page_icon=ICON, layout="wide")
if not loading().done():
    with st.spinner("Loading what the pages need, once after the start"):
        loading().result()

from dashboard.components import style  # noqa: E402  # not before it is loaded
from dashboard.components.run_choice import choose_run  # noqa: E402

page = st.navigation(  # words without icons, so that all pages stand beside one another in 1280 pixels
    [
        st.Page("views/home.py", title="Home", default=True),
        st.Page("views/story.py", title="Story", url_path="story"),
        st.Page("views/influence.py", title="Influence", url_path="influence"),
        st.Page("views/ask.py", title="Ask", url_path="ask"),
        st.Page("views/concentration.py", title="Concentration", url_path="concentration"),
        st.Page("views/sources.py", title="Sources", url_path="sources"),
        st.Page("views/word_order.py", title="Word order", url_path="word-order"),
        st.Page("views/findings.py", title="Findings", url_path="findings"),
        st.Page("views/compare.py", title="Compare", url_path="compare"),
        st.Page("views/map.py", title="Map", url_path="map"),
        st.Page("views/review.py", title="Review", url_path="review"),
        st.Page("views/trust.py", title="Trust", url_path="trust"),
    ],
    position="top",
)
style.apply()
choose_run(page.title)
page.run()
