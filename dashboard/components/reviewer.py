"""Who reviews: whoever signed in where sign-in is configured, else whoever types a name, which counts as unverified."""

import streamlit as st
from streamlit.errors import StreamlitAuthError

from dashboard.analyses import review as analyses
from dashboard.components import text
from dashboard.components.review_actions import TROUBLE

NAME_PX = 260
_KEPT, _WIDGET = "_reviewer", "_reviewer_field"
NO_NAME = "Type your name to decide; until then you can look at everything."
UNVERIFIED = (
    "Nobody checks this name, so decisions are recorded as unverified. It stays out of the address: a link that is "
    "passed on must not decide in your name. Sign-in (`[auth]` in `.streamlit/secrets.toml`) vouches for names."
)


def choose_reviewer() -> analyses.Reviewer | None:
    """The reviewer, or None while nobody has said who they are; drawn in a line."""
    user = st.user.to_dict()
    return _signed_in(user) if "is_logged_in" in user else _typed()  # the key is there where sign-in is configured


def _signed_in(user: dict) -> analyses.Reviewer | None:
    if not user["is_logged_in"]:
        st.button(
            "Sign in to decide", type="primary", on_click=_sign_in, icon=":material/login:",
            help="Signing in ends on Home; come back here from there.",
        )  # fmt: skip
        return None
    reviewer = analyses.Reviewer(_vouched(user), verified=True)
    st.markdown(f"Signed in as **{text.escape(reviewer.name)}**", width="content")
    st.button("Sign out", type="tertiary", on_click=st.logout, icon=":material/logout:")
    return reviewer


def _sign_in() -> None:
    try:
        st.login()
    except StreamlitAuthError as error:  # Streamlit's own words for what is missing, Authlib or a setting
        first = str(error).strip().splitlines()[0]
        st.session_state[TROUBLE] = (
            f"Nobody can sign in ({first}) -- a decision must say whose it is -- mend [auth] in "
            ".streamlit/secrets.toml."
        )


def _vouched(user: dict) -> str:
    """The name that only one person has: the address that the provider has checked, else its number for them."""
    if user.get("email") and str(user.get("email_verified", True)).lower() != "false":  # some send it as text
        return str(user["email"])
    return f"{user['name']} ({user['sub']})" if user.get("name") else str(user["sub"])


def _typed() -> analyses.Reviewer | None:
    st.session_state[_WIDGET] = st.session_state.get(_KEPT, "")  # a widget's own value is lost on other pages
    name = st.text_input(
        "Your name", key=_WIDGET, on_change=_keep, max_chars=analyses.LONGEST_NAME, width=NAME_PX, help=UNVERIFIED,
        placeholder="Your name, to decide", autocomplete="username", icon=":material/person:",
        label_visibility="collapsed",
    )  # fmt: skip
    if not name or not name.strip():
        st.caption(NO_NAME, width="content")
        return None
    st.badge("Unverified name", icon=":material/help:", color="orange")
    try:
        return analyses.Reviewer(name)
    except analyses.WhenceError as error:
        st.error(text.escape(str(error), 400))
        return None


def _keep() -> None:
    st.session_state[_KEPT] = st.session_state[_WIDGET]
