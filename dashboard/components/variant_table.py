"""The variants of a document as rows: what the chart above draws, in numbers."""

import pandas as pd
import streamlit as st

from dashboard.analyses import word_order as analyses
from dashboard.components import text

NUMBERS = ["draws", "influence", "low", "high", "difference", "difference_low", "difference_high"]
NUMBERS += ["ratio", "ratio_low", "ratio_high"]


def variant_rows(found: analyses.Ablation, summary: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """The original and its variants: variant, hypothetical, and the numbers of ``summary``.

    Args:
        found: The document's variants.
        summary: Of :func:`engine.analysis.ablation.summarise`.
        labels: What each row of ``summary`` is called.
    """
    total = found.original.total
    first = {"variant": analyses.LABELS["original"], "hypothetical": False, "draws": 1}
    first |= {"influence": total, "low": total, "high": total}
    rows = summary.assign(variant=labels, hypothetical=summary["variant"].map(analyses.is_hypothetical))
    made = rows[["variant", "hypothetical", *NUMBERS]].to_dict("records")
    return pd.DataFrame([first, *made], columns=["variant", "hypothetical", *NUMBERS])


def variant_table(rows: pd.DataFrame, unit: str, key: str) -> None:
    """Show the rows.

    Args:
        rows: Of :func:`variant_rows`.
        unit: Unit of the influences.
        key: Name of the table on the page.
    """
    shown = pd.DataFrame({"variant": rows["variant"].map(text.plain), "draws": rows["draws"]})
    for name, low, high, write in (
        ("influence", "low", "high", text.number),
        ("difference", "difference_low", "difference_high", text.number),
        ("ratio", "ratio_low", "ratio_high", text.share),
    ):
        shown[name] = rows[name]
        shown[f"{name}_range"] = [
            f"{write(least)} to {write(most)}" if draws > 1 and least == least else ""
            for draws, least, most in zip(rows["draws"], rows[low], rows[high], strict=True)
        ]
    number, words = st.column_config.NumberColumn, st.column_config.TextColumn
    drawn = "The least and the greatest of a draw, where there are several"
    st.dataframe(
        shown,
        key=key,
        hide_index=True,
        height="content",
        placeholder="–",
        alt="The original and each of its variants: influence, difference and share left, with ranges over draws",
        column_config={
            "variant": words("Variant", width=230),
            "draws": number("Draws", width=60, help="Influence, difference and share are means over them."),
            "influence": number("Influence", format="%+.3g", width=85, help=f"{unit}; plus raises."),
            "influence_range": words("Range over draws", width=130, help=f"{drawn}; {unit}."),
            "difference": number("Difference", format="%+.3g", width=85, help=f"To the original; {unit}."),
            "difference_range": words("Its range", width=130, help=f"{drawn}; {unit}."),
            "ratio": number(
                "Share left", format="percent", width=85,
                help="Of the original's influence, no unit; empty where the original is within the noise.",
            ),
            "ratio_range": words("Its range", width=110, help=f"{drawn}."),
        },
    )  # fmt: skip
