"""What the literature says of a finding: the claim, where it stands, how good its evidence is."""

import streamlit as st

from dashboard.analyses import findings as analyses
from dashboard.components import text

PLANTED = ":violet-badge[:material/potted_plant: planted: tests the instrument]"
PLANTED_HELP = (
    "The documents that would bring the effect about were written into the corpus for it. That it is found says that "
    "the instrument works, not that the literature is right."
)


def claim_card(claim: analyses.Claim, planted: bool, of_sample: bool) -> None:
    """Show a claim.

    Args:
        claim: The claim.
        planted: Whether what would bring it about was written into the corpus at hand.
        of_sample: Whether the corpus at hand is the embedded sample.
    """
    with st.container(border=True):
        st.markdown("**What the literature says**")
        st.markdown(text.escape(claim.says, 600))
        for source in claim.sources:
            st.markdown(f"- {_source(source)}")
        st.markdown(f"**How good its evidence is.** {text.escape(claim.evidence, 600)}")
        if planted:
            st.markdown(f"{PLANTED} {PLANTED_HELP}")
        if of_sample:
            st.caption(f"In this corpus: {text.escape(claim.in_sample, 600)}")


def _source(source: analyses.Source) -> str:
    said = f"{text.escape(source.paper)}: {text.escape(source.place)}"
    return f"{said}, [arXiv {source.arxiv}](https://arxiv.org/abs/{source.arxiv})" if source.arxiv else said
