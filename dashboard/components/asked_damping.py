"""The answer to a live question at another damping, or through some blocks of the network only, at once."""

import pandas as pd
import streamlit as st

from dashboard.analyses.ask import Asked

DAMPING_HELP = (
    "Damping as a multiple of each layer's mean eigenvalue. Less of it trusts the curvature in directions that the "
    "corpus hardly uses; with very much of it, influence becomes the gradient dot."
)
BLOCKS_HELP = "Influence through the tracked layers of these blocks of the network only, counted from its input."


def answer_at(asked: Asked) -> pd.DataFrame:
    """Offer other damping and blocks; the documents shown with their influence as chosen, strongest first.

    Args:
        asked: A question whose documents are scored exactly.
    """
    damped, documents = asked.damped, asked.documents
    if damped is None:
        return documents
    left, right = st.columns(2, gap="large")
    factor = left.select_slider(
        "Damping factor", damped.factors, damped.own, key="damping", bind="query-params", help=DAMPING_HELP,
        format_func=lambda value: f"{value:g}",
    )  # fmt: skip
    numbers = [1 + block for block in damped.blocks]  # the network's own, as only some blocks may be tracked
    ends = first, last = (numbers[0], numbers[-1]) if numbers else (0, 0)
    if len(numbers) > 1:
        first, last = right.select_slider("Blocks", numbers, ends, key="blocks", bind="query-params", help=BLOCKS_HELP)
    whole = (first, last) == ends
    if whole and factor == damped.own:
        return documents
    blocks = None if whole else range(first - 1, last)
    agreement = damped.agreement(factor, blocks)
    through = "all layers" if whole else f"block {first}" if first == last else f"blocks {first} to {last}"
    said = f"At damping factor **{factor:g}**, through **{through}**"
    if agreement == agreement:
        said += f": rank correlation **{agreement:.2f}** over these {len(documents)} documents"
    st.markdown(f"{said}. The answer above and the tokens below are at {damped.own:g}, through all layers.")
    influence = documents["document"].map(damped.influence(factor, blocks))
    return documents.assign(influence=influence).sort_values("influence", ascending=False, ignore_index=True)
