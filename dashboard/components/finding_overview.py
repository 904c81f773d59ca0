"""All findings at a glance: how many hold, and a row for each, here and wherever else they were measured."""

from collections.abc import Callable, Mapping

import pandas as pd
import streamlit as st

from dashboard.analyses import findings as analyses
from dashboard.components import text

HERE = "This run"
NOT_MEASURED, UNREADABLE = "not measured", "not readable"
COLOURS = {
    "holds": "green",
    "does not hold": "red",
    "cannot tell": "gray",
    NOT_MEASURED: "yellow",
    UNREADABLE: "orange",
}
ICONS = {"holds": "check_circle", "does not hold": "cancel", "cannot tell": "help", NOT_MEASURED: "hourglass_empty",
         UNREADABLE: "error"}  # fmt: skip
PLANTED = "tests the instrument"
PLANTED_HELP = "What would bring the effect about was written into this run's corpus for it."
ROW_PX, HEADER_PX = 56, 36

Results = Mapping[str, analyses.Kept]
"""What was measured of each finding, by the finding's name."""


def verdict_of(found: analyses.Kept) -> str:
    """The verdict, or why there is none, in a few words."""
    if isinstance(found, analyses.Measured):
        return found.verdict
    return NOT_MEASURED if found is None else UNREADABLE


def badge(found: analyses.Kept) -> str:
    """The verdict as a badge, Markdown."""
    said = verdict_of(found)
    return f":{COLOURS[said]}-badge[:material/{ICONS[said]}: {said}]"


def answer(own: Results, beside: Mapping[str, Results]) -> None:
    """How many findings hold, in a sentence; and elsewhere."""
    measured = {name: one for name, one in own.items() if isinstance(one, analyses.Measured)}
    if not measured:
        st.markdown("## None of the literature's findings has been measured on this run yet.")
    else:
        which = f"Of {len(own)} findings" if len(measured) == len(own) else f"Of the {len(measured)} findings measured"
        st.markdown(f"## {which}, {_told(measured)} here.")
        left = len(own) - len(measured)
        st.markdown(_planted(measured) + (f" {left} of {len(own)} are not measured." if left else ""))
    for label, results in beside.items():
        elsewhere = {name: one for name, one in results.items() if isinstance(one, analyses.Measured)}
        st.caption(f"Measured by us on {text.escape(label)}: of {len(elsewhere)}, {_told(elsewhere)}.")


def _told(measured: Mapping[str, analyses.Measured]) -> str:
    verdicts = [one.verdict for one in measured.values()]
    holds, not_so, open = (verdicts.count(verdict) for verdict in analyses.VERDICTS)
    return (
        f"**{holds}** {'holds' if holds == 1 else 'hold'}, **{not_so}** {'does' if not_so == 1 else 'do'} not, and "
        f"**{open}** cannot be told"
    )


def _planted(measured: Mapping[str, analyses.Measured]) -> str:
    planted = [one for one in measured.values() if one.planted]
    if not planted:
        return ""
    holding = sum(one.verdict == "holds" for one in planted)
    were = "was" if len(planted) == 1 else "were"
    return (
        f"{len(planted)} of them {were} planted in this corpus: they test the instrument, not the literature "
        f"({holding} of {len(planted)} {'holds' if holding == 1 else 'hold'})."
    )


def overview(
    own: Results, beside: Mapping[str, Results], planted: Callable[[str], bool], shown: str,
    on_choose: Callable[[str], None],
) -> None:  # fmt: skip
    """Show a row for each finding; a row puts its finding into the address.

    Args:
        own: What was measured on the run in use.
        beside: What was measured elsewhere, by what it was measured on.
        planted: Whether a finding was planted in the run's corpus.
        shown: The finding that is shown below.
        on_choose: Called with the finding whose row is clicked.
    """
    names, key = list(analyses.CLAIMS), f"overview_{len(beside)}"
    verdicts = {HERE: own} | dict(beside)
    table = overview_table(own, beside, planted)

    def clicked() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows and rows[0] < len(names) and names[rows[0]] != shown:  # see url.py
            on_choose(names[rows[0]])

    words = st.column_config.TextColumn
    columns = {
        "number": st.column_config.NumberColumn("No.", width=45),
        "title": words("Finding", width=250),
        "sentence": words("What came out on this run", width=520),
        "planted": words("Planted", width=150, help=PLANTED_HELP),
    } | {
        label: st.column_config.MultiselectColumn(
            text.plain(label, 30), width=130, options=list(COLOURS), color=list(COLOURS.values()),
            help=f"Verdict on {text.escape(label, 80)}" if label != HERE else "Verdict on the run in use",
        )
        for label in verdicts
    }  # fmt: skip
    st.dataframe(
        table.assign(**{label: [[cell] for cell in table[label]] for label in verdicts}),
        key=key, hide_index=True, row_height=ROW_PX, height=ROW_PX * len(table) + HEADER_PX + 2,
        on_select=clicked, selection_mode="single-row",
        selection_default={"selection": {"rows": [names.index(shown)]}},
        column_order=["number", "title", *verdicts, "sentence", "planted"], column_config=columns,
        alt="The literature's findings with their verdicts; choosing a row shows the finding below",
    )  # fmt: skip


def overview_table(own: Results, beside: Mapping[str, Results], planted: Callable[[str], bool]) -> pd.DataFrame:
    """A row for each finding: number, title, a verdict for each place it was measured, sentence, planted."""
    rows = [
        {"number": claim.number, "title": claim.title}
        | {label: verdict_of(results[name]) for label, results in ({HERE: own} | dict(beside)).items()}
        | {"sentence": found.sentence if isinstance(found := own[name], analyses.Measured) else "",
           "planted": PLANTED if planted(name) else ""}
        for name, claim in analyses.CLAIMS.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)
