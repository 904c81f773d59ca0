"""What a team settles for itself: labels, how many must agree and whether blind; and how far reviewers agree."""

import pandas as pd
import streamlit as st

from dashboard.analyses import review as analyses
from dashboard.components import text
from dashboard.components.review_actions import OUTCOME, attempt

MEANS = {"Drop the document": "drop", "Keep the document": "keep", "Settles nothing": "none"}
KAPPA = (
    "Cohen's kappa: 1 is full agreement, 0 what chance alone would give these two, below 0 less than that. The "
    "interval is 95% over documents; below 20 documents in common there is none."
)


def team(review: analyses.Review, reviewer: analyses.Reviewer | None) -> None:
    """Show the team's labels, rules and agreement, and let them be changed.

    Args:
        review: The team's review.
        reviewer: Who may change them; None while nobody has said who they are.
    """
    if reviewer is None:
        st.caption("Say who you are to change any of this: the record keeps who did.")
    left, right = st.columns(2, gap="medium")
    with left:
        _labels(review, reviewer)
    with right:
        _rules(review, reviewer)
        _agreement(review)


def _labels(review: analyses.Review, reviewer: analyses.Reviewer | None) -> None:
    labels = review.team.labels
    st.markdown("**Labels**")
    for place, label in enumerate(labels.values()):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{text.escape(label.name)}** · key {label.key.upper()} · {OUTCOME[label.outcome]}")
            st.button(
                "Retire", key=f"retire_{place}", type="tertiary", disabled=reviewer is None or len(labels) == 1,
                help="It is no longer offered; documents keep it.", on_click=_retire, args=(review, reviewer, label),
            )  # fmt: skip
    with st.form("define_label", border=True):
        st.markdown("Add a label, or change the one of the same name")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Name", max_chars=40, width=170, key="label_name")
            key = st.text_input("Key", max_chars=1, width=60, key="label_key", help=_taken(labels))
            colour = st.color_picker("Colour", "#CC79A7", key="label_colour")
            means = st.selectbox("Agreed on, it means", list(MEANS), width=190, key="label_means")
        if st.form_submit_button("Save this label", disabled=reviewer is None) and reviewer is not None:
            outcome: analyses.Outcome = MEANS[means]
            attempt(lambda: review.team.define_label(
                reviewer, analyses.Label(name.strip(), colour, key.lower(), outcome)
            ))  # fmt: skip
            st.rerun()


def _taken(labels: dict[str, analyses.Label]) -> str:
    taken = sorted({*analyses.RESERVED_KEYS, *(label.key for label in labels.values())})
    return f"A letter or digit. Taken: {', '.join(key.upper() for key in taken)}."


def _retire(review: analyses.Review, reviewer: analyses.Reviewer, label: analyses.Label) -> None:
    attempt(lambda: review.team.retire_label(reviewer, label.name))


def _rules(review: analyses.Review, reviewer: analyses.Reviewer | None) -> None:
    rules = review.team.rules
    st.markdown("**Rules**")
    with st.form("rules", border=True):
        two = st.checkbox("Two reviewers must agree", rules.needed == 2, key="rule_two")
        blind = st.checkbox(
            "Blind: what others decided stays hidden until you have given a label", rules.blind, key="rule_blind"
        )
        if st.form_submit_button("Save these rules", disabled=reviewer is None) and reviewer is not None:
            attempt(lambda: review.team.set_rules(reviewer, analyses.Rules(2 if two else 1, blind)))
            st.rerun()


def _agreement(review: analyses.Review) -> None:
    st.markdown("**Agreement**", help=KAPPA)
    found = analyses.agreement(review)
    if found.empty:
        st.caption("No two reviewers have labelled the same document yet.")
    for row in found.itertuples():
        st.markdown(
            f"{text.escape(str(row.first))} and {text.escape(str(row.second))}: the same label on {row.same:.0%} of "
            f"{row.documents:,} documents, {_kappa(row)}"
        )


def _kappa(row: tuple) -> str:
    if row.kappa is None:
        return "kappa undefined, as both gave one and the same label throughout."
    between = "" if pd.isna(row.low) else f" ({text.correlation(row.low)} to {text.correlation(row.high)})"
    return f"kappa **{text.correlation(row.kappa)}**{between}."
