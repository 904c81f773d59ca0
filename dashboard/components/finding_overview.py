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
PLANTED = ":violet-badge[:material/potted_plant: planted]"
ALONE, BESIDE, SENTENCE = (0.08, 0.33, 0.18, 0.41), (0.08, 0.27, 0.41, 0.24), 320

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
        more = [_planted(measured), f"{left} of {len(own)} are not measured." if left else ""]
        if any(more):
            st.markdown(" ".join(filter(None, more)))
    for label, results in beside.items():
        elsewhere = {name: one for name, one in results.items() if isinstance(one, analyses.Measured)}
        st.caption(f"Measured by us with {text.escape(label)}: of {len(elsewhere)}, {_told(elsewhere)}.")


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
    """Show a row for each finding; its number shows it below.

    Args:
        own: What was measured on the run in use.
        beside: What was measured elsewhere, by what it was measured on.
        planted: Whether a finding was planted in the run's corpus.
        shown: The finding that is shown below.
        on_choose: Called with the finding whose number is clicked.
    """
    with st.container(border=True, gap="small", key="overview"):
        for name, claim in analyses.CLAIMS.items():
            number, title, verdicts, sentence = st.columns(
                BESIDE if beside else ALONE, gap="medium", vertical_alignment="center"
            )
            number.button(
                f"{claim.number}.", key=f"show_{name}", on_click=on_choose, args=(name,), help="Show it below",
                type="primary" if name == shown else "secondary",
            )  # fmt: skip
            title.markdown(text.escape(claim.title))  # on the button a long one would be cut short
            verdicts.markdown(_verdicts(name, own, beside))
            found = own[name]
            said = text.escape(found.sentence, SENTENCE) if isinstance(found, analyses.Measured) else ""
            if planted(name):
                sentence.markdown(PLANTED)  # in a caption it would be too pale to read
            if said:
                sentence.caption(said)


def _verdicts(name: str, own: Results, beside: Mapping[str, Results]) -> str:
    """The verdict here; on further lines those elsewhere, where it was measured."""
    elsewhere = {label: results[name] for label, results in beside.items() if results[name] is not None}
    here = badge(own[name]) + (" this run" if elsewhere else "")
    return "  \n".join([here, *(f"{badge(one)} {text.escape(at, 50)}" for at, one in elsewhere.items())])


def overview_table(own: Results, beside: Mapping[str, Results], planted: Callable[[str], bool]) -> pd.DataFrame:
    """A row for each finding: number, title, a verdict for each place it was measured, sentence, planted."""
    rows = [
        {"number": claim.number, "title": claim.title}
        | {label: verdict_of(results[name]) for label, results in ({HERE: own} | dict(beside)).items()}
        | {"sentence": found.sentence if isinstance(found := own[name], analyses.Measured) else "",
           "planted": planted(name)}
        for name, claim in analyses.CLAIMS.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)
