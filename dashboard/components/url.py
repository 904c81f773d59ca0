"""What the address holds that no widget can be bound to: ids of things, and picked tokens.

The address is the state: callbacks write to it, pages read from it, a bad value falls back.

A callback acts only where its widget's value differs from the one it was drawn with. When a reader chooses twice
in a row, the page may be drawn anew before it came to a widget; the browser, which still holds that widget, then sends
the value it was drawn with, and Streamlit calls that a change.
"""

import streamlit as st


def get(name: str) -> str:
    """A value of the address; empty if it is not there."""
    return st.query_params.get(name, "")


def every(name: str) -> list[str]:
    """All values of a name that may stand in the address several times."""
    return st.query_params.get_all(name)


def put(name: str, value: str = "") -> None:
    """Set a value of the address, or with an empty one drop it."""
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)


def numbers(name: str, allowed: set[int]) -> tuple[int, ...]:
    """Numbers such as ``0,2``; empty unless each is one of ``allowed``."""
    parts = get(name).split(",")
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        return ()
    found = {int(part) for part in parts}
    return tuple(sorted(found)) if found <= allowed else ()
