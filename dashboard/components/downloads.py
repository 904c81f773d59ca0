"""Downloads of what a page shows, each row saying where it comes from."""

import io
from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.components import text
from dashboard.components.figure import MIMES, can_draw, picture

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


def download(
    table: pd.DataFrame | Mapping[str, pd.DataFrame],
    provenance: dict[str, str | float],
    name: str,
    key: str,
    figures: Mapping[str, go.Figure] | None = None,
) -> None:
    """Offer exactly ``table`` as CSV and Parquet, and charts as pictures; the files are made when they are asked for.

    Args:
        table: What the page shows; several tables by name, which is part of their file's name.
        provenance: Where the numbers come from: further columns of each table, lines under a picture.
        name: File name without ending.
        key: Name of the buttons on the page.
        figures: Charts by name, which is part of their file's name.
    """
    with st.popover("Download", icon=":material/download:"):
        for title, shown in (table if isinstance(table, Mapping) else {"": table}).items():
            rows = f"{len(shown):,} row{'' if len(shown) == 1 else 's'}"
            named = f"{title}: {rows}" if title else rows
            st.caption(f"{named}; each says where its numbers come from.")
            for label, make, ending, mime in (
                ("CSV", csv, "csv", "text/csv"),
                ("Parquet", parquet, "parquet", "application/vnd.apache.parquet"),
            ):
                _button(
                    label, lambda make=make, shown=shown: make(_full(shown, provenance)),
                    f"{name}{_slug(title)}.{ending}", mime, f"{key}{_slug(title)}_{ending}",
                )  # fmt: skip
        for title, drawn in (figures or {}).items():
            st.caption(f"Figure: {title}")
            drawable = can_draw()
            for ending, mime in MIMES.items():
                _button(
                    ending.upper(), lambda drawn=drawn, ending=ending: picture(drawn, provenance, ending),
                    f"{name}{_slug(title)}.{ending}", mime, f"{key}{_slug(title)}_{ending}",
                    disabled=ending != "html" and not drawable,
                )  # fmt: skip
            if not drawable:
                st.caption(
                    "PNG and SVG are drawn by Chrome or Chromium, which this computer lacks; HTML needs neither."
                )


def _full(table: pd.DataFrame, provenance: dict[str, str | float]) -> pd.DataFrame:
    """A table with where it comes from, its languages by the names that pages show."""
    full = table.assign(**{name: value for name, value in provenance.items() if name not in table})
    return full.assign(language=full["language"].map(text.language)) if "language" in full else full


def _slug(title: str) -> str:
    return f"_{title.lower().replace(' ', '_')}" if title else ""


def _button(label: str, make: Callable[[], bytes], file_name: str, mime: str, key: str, disabled: bool = False) -> None:
    st.download_button(
        label, data=make, file_name=file_name, mime=mime, key=key, on_click="ignore", width="stretch",
        disabled=disabled,
    )  # fmt: skip
