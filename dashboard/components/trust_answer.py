"""How far influences can be trusted, in a sentence, and a completion's verdict in a word."""

import streamlit as st

from dashboard import data, runs
from dashboard.analyses import trust as analyses
from dashboard.components.calibration import calibration_sentence

NOT_MEASURED = "How much leaving documents out really changes has not been measured yet."
BADGES = {
    "steady": ("green", ":material/check:", "Its strongest documents stay when damping, fitted documents or sampled "
               "labels change."),
    "shaky": ("orange", ":material/warning:", "Some of its strongest documents change with the damping, the fitted "
              "documents or the sampled labels."),
    "noise": ("gray", ":material/blur_on:", "Its strongest documents stand out no more than those of random "
              "directions."),
}  # fmt: skip
FEW_TOKENS = "One of its strongest documents has its influence in few tokens, which is often noise."


def answer() -> tuple[str, str]:
    """What training without documents says of which matter and of how much; the sentence, and its numbers."""
    found = analyses.calibration()
    if found is None:
        return NOT_MEASURED, calibration_sentence()
    row = found.row
    which = (
        "They tell which documents matter"
        if row["correlation_low"] > 0
        else "Whether they tell which documents matter is open"
    )
    much = (
        "but overstate by how much" if row["slope_high"] < 1
        else "but understate by how much" if row["slope_low"] > 1
        else "and by how much, as far as was measured"
    )  # fmt: skip
    return f"{which}, {much}.", calibration_sentence()


def verdict_badge(run: data.Run, completion: data.Completion) -> None:
    """The verdict on a completion, with the way to where it comes from; nothing where it was not checked."""
    row = analyses.verdict(run, completion.id)
    if row is None or row["verdict"] not in BADGES:
        return
    colour, icon, says = BADGES[row["verdict"]]
    with st.container(horizontal=True, vertical_alignment="center", key="verdict"):
        st.badge(f"Ranking: {row['verdict']}", icon=icon, color=colour)
        st.page_link("views/trust.py", label="How far to trust it", query_params=runs.run_address())
    st.caption(f"{says} {FEW_TOKENS}" if row.get("few_tokens") else says)
