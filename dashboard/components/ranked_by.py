"""What documents are ranked by: influence as it is, or over the size of the document or of the completion."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from dashboard import data
from dashboard.components.document_panel import Choice


@dataclass(frozen=True)
class RankedBy:
    """A way to rank.

    Attributes:
        size: What influence is divided by; None for nothing.
        column: Heading of the table's column.
        per: What follows its unit, and the name of what is counted.
        about: What it tells.
    """

    size: Literal["gradient_norm", "tokens", "nats"] | None
    column: str
    per: str
    about: str

    def unit(self, choice: Choice) -> str:
        """Unit of what is ranked by."""
        return f"{choice.unit} {self.per}".strip()


PLAIN = "Influence"
WAYS = {
    PLAIN: RankedBy(None, "Influence", "", ""),
    "Per norm": RankedBy(
        "gradient_norm", "Per norm", "per unit of gradient norm",
        "Divided by the norm of the document's gradient: what its direction does, however much it had to teach. Rare "
        "and badly predicted documents, whose gradients are large, do not lead for that reason.",
    ),
    "Per token": RankedBy(
        "tokens", "Per token", "per token of the document",
        "Divided by the document's tokens: long documents do not lead for being long.",
    ),
    "Per nat": RankedBy(
        "nats", "Per nat", "per nat of the completion",
        "Divided by the nats that the completion costs the model, one number for all documents: the order stays, and "
        "sure and unsure completions become comparable.",
    ),
}  # fmt: skip


def choose_way(run: data.Run) -> RankedBy:
    """Let a way to rank be chosen; the choice is in the address. An imported run knows the tokens' number only."""
    ways = {label: way for label, way in WAYS.items() if not run.imported or way.size in (None, "tokens")}
    label = st.segmented_control(
        "Ranked by", list(ways), default=PLAIN, required=True, key="ranked", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    return ways.get(label, ways[PLAIN])
