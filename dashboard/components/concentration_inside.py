"""How few of a document's tokens carry its influence, where they stand and how frequent they are."""

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import concentration as analyses
from dashboard.components import text
from dashboard.components.concentration_charts import VERBS, multiplier_chart
from dashboard.components.document_panel import NO_TOKENS, Choice, choose_kind
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure

NORMAL_TENTH = 0.26
"""Share that the largest tenth holds of the sizes of a normal: ``exp(-z^2 / 2)`` with ``P(|X| > z) = 0.1``."""
HOW_TO_READ = """
**Which documents.** Only those whose token influences are stored: the strongest at both ends of the completion's
ranking, and any that were opened and computed. Weak documents may look different.

**Sizes** are meant: a token that raises and one that lowers by as much count the same. The model's start token is left
out.

**By place and by frequency.** Each bar compares the share of influence in tokens there with the share of tokens there:
1 means that they weigh as much as any. Every document counts the same; the intervals resample documents.

**What this cannot tell.** A first-order estimate is noisy for single tokens, and noise spreads over all of them. By
position, a token is lit up for what follows it.
"""
FEW = 8
"""Rows of the table that need no scrolling."""


def inside_documents(choice: Choice, sign: analyses.Sign) -> None:
    """Show how the influence inside documents is shared out among their tokens.

    Args:
        choice: Run, completion and its chosen tokens.
        sign: Which documents: those that raised it, lowered it, or both.
    """
    if not choice.run.token_kinds:
        st.info(NO_TOKENS, icon=":material/info:")
        return
    kind = choose_kind(choice.run, "inside", "collapsed")
    with st.spinner("Reading the tokens of the strongest documents; the next time they are there at once."):
        table, pooled = analyses.inside(choice.run, choice.completion.query, kind, choice.tokens, sign)
    table = table.sort_values("influence", key=abs, ascending=False, kind="stable")
    if pooled.empty:
        st.info(
            f"The run holds no token influences of documents that {VERBS[sign]} it. Open a document on the page "
            "Influence and compute its tokens, or look at the other direction.",
            icon=":material/info:",
        )
        return
    _answer(table, sign)
    charts = {
        "By place": multiplier_chart(pooled, "place", sign),
        "By frequency": multiplier_chart(pooled, "frequency", sign),
    }
    provenance = data.provenance(choice.run, choice.completion) | {
        "completion_tokens": ",".join(map(str, choice.rows)), "token_influence": kind, "documents_that": VERBS[sign],
    } | analyses.DRAWN_INSIDE  # fmt: skip
    with st.container(horizontal=True):
        download(
            {"Documents": table.drop(columns=["document", "place_correlation", "frequency_correlation"]),
             "By place and frequency": pooled},
            provenance, "inside_documents", "download_inside", charts,
        )  # fmt: skip
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("### By place in the document")
        show_figure(charts["By place"], key="chart_place", alt="Influence per token by place in the document.")
    with right:
        st.markdown("### By frequency in the corpus")
        show_figure(charts["By frequency"], key="chart_rarity", alt="Influence per token by frequency in the corpus.")
    _list(table)
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(HOW_TO_READ)


def _answer(table: pd.DataFrame, sign: str) -> None:
    lower, middle, upper = table["top_tenth"].quantile([0.25, 0.5, 0.75])
    count = f"{len(table):,} document{'' if len(table) == 1 else 's'}"
    st.markdown(f"## The strongest tenth of a document's tokens carries {text.share(middle)} of its influence.")
    st.markdown(
        f"Median of the {count} with stored tokens that {VERBS[sign]} it; the middle half lies between "
        f"{text.share(lower)} and {text.share(upper)}. Were the sizes those of a normal distribution, it would be "
        f"{NORMAL_TENTH:.0%}. The median document's influence is as concentrated as in "
        f"**{table['effective_tokens'].median():,.0f}** equal tokens, of {table['tokens'].median():,.0f}."
    )


def _list(table: pd.DataFrame) -> None:
    number, words = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        table.assign(title=table["title"].map(text.plain), source=table["source"].map(text.plain)),
        key="table_inside", hide_index=True, height=320 if len(table) > FEW else "content",
        alt="Documents with the share of influence in few tokens",
        column_order=["title", "source", "tokens", "influence", "top_1", "top_10", "top_tenth", "effective_tokens"],
        column_config={
            "title": words("Document", width=260), "source": words("Source", width=110),
            "tokens": number("Tokens", format="localized"),
            "influence": number("Influence of its tokens", format="%+.3g"),
            "top_1": number("Strongest token", format="percent", help="Share of the sum of sizes."),
            "top_10": number("Ten strongest", format="percent", help="Share of the sum of sizes."),
            "top_tenth": number("Strongest tenth", format="percent", help="Share of the sum of sizes."),
            "effective_tokens": number("Effective tokens", format="%.0f", help="As many equal tokens."),
        },
    )  # fmt: skip
