"""Downloads of what a page shows, each row saying where it comes from."""

import io

import pandas as pd
import streamlit as st

RISKY = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula."""


def csv(table: pd.DataFrame) -> bytes:
    """A table as CSV that no spreadsheet takes for formulas."""
    safe = table.copy()
    for name in safe.select_dtypes(["object", "string"]):
        cells = safe[name].astype(str)
        safe[name] = cells.where(~cells.str.startswith(RISKY), "'" + cells)
    return safe.to_csv(index=False).encode("utf-8")


def parquet(table: pd.DataFrame) -> bytes:
    """A table as Parquet."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def download(table: pd.DataFrame, provenance: dict[str, str | float], name: str, key: str) -> None:
    """Offer exactly ``table`` as CSV and Parquet; the files are made when they are asked for.

    Args:
        table: What the page shows.
        provenance: Columns that say where the numbers come from.
        name: File name without ending.
        key: Name of the buttons on the page.
    """
    full = table.assign(**provenance)
    with st.popover("Download", icon=":material/download:"):
        st.caption(f"{len(table):,} rows, with run, model, measurement and damping in each.")
        for label, make, ending, mime in (
            ("CSV", csv, "csv", "text/csv"),
            ("Parquet", parquet, "parquet", "application/vnd.apache.parquet"),
        ):
            st.download_button(
                label,
                data=lambda make=make: make(full),
                file_name=f"{name}.{ending}",
                mime=mime,
                key=f"{key}_{ending}",
                on_click="ignore",
                width="stretch",
            )
