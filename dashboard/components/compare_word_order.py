"""Word order of two sides: what each variant leaves of the document that raised each most, on one scale."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import data, runs
from dashboard.analyses import word_order as analyses
from dashboard.components import text
from dashboard.components.compare_charts import word_orders
from dashboard.components.compare_sides import Chosen
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure
from dashboard.components.imported import imported_note
from dashboard.components.job_panel import job_panel
from dashboard.components.sampling import NO_VARIANTS

ROW_PX = 52
SIDES = ("left", "right")


def word_order_of_both(
    left: Chosen, right: Chosen, names: Sequence[str], provenance: dict[str, str | float]
) -> None:  # fmt: skip
    """Draw the section; offers to compute what is not there.

    Args:
        left: One side.
        right: The other.
        names: Their names.
        provenance: For the download.
    """
    st.subheader("What is left when the order is gone?", anchor=False)
    sides = [(name, chosen, _strongest(chosen)) for name, chosen in zip(SIDES, (left, right), strict=True)]
    if any(document is None for _, _, document in sides):
        st.caption("One side has no scored document.")
        return
    if any(imported_note(chosen.run, "Word order cannot be compared") for _, chosen, _ in sides):
        return
    if any(chosen.run.is_sampled for _, chosen, _ in sides):
        st.info(f"The variants of both sides cannot be compared: on one side {NO_VARIANTS}", icon=":material/info:")
        return
    found = [_kept(chosen, document) for _, chosen, document in sides]
    missing = [side for side, one in zip(sides, found, strict=True) if one is None]
    if missing:
        _compute(missing)
        return
    tables = [_left(one) for one in found if one is not None]
    titles = " and ".join(f"“{text.escape(document['title'], 80)}” ({name})" for name, _, document in sides)
    if all(table["left"].isna().all() for table in tables):
        st.info("On both sides the strongest document's influence is within the noise, so no share is given.")
    else:
        figure = word_orders(tables, names)
        show_figure(
            figure, key="compare_word_order", height=190 + ROW_PX * max(map(len, tables)),
            alt="Share of the strongest document's influence that each variant leaves, on both sides",
        )  # fmt: skip
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f"Share that hypothetical variants leave of the influence of the document that raised each most: "
                f"{titles}. Whiskers: range over draws. No bar where the document is within the noise."
            )
            both = pd.concat([table.assign(side=name) for (name, _, _), table in zip(sides, tables, strict=True)])
            download(
                both, provenance | analyses.DRAWN, "word_order", "download_word_orders", {"Word order": figure}
            )  # fmt: skip
    for name, chosen, _ in sides:
        address = runs.run_address(chosen.label) | {"query": chosen.completion.id}
        st.page_link(
            "views/word_order.py", label=f"Word order of the {name} completion", query_params=address,
            icon=":material/shuffle:",
        )  # fmt: skip


def _strongest(chosen: Chosen) -> pd.Series | None:
    """The document that raised the side's completion most."""
    ranking = data.ranking(chosen.run, chosen.completion.query)
    return None if ranking.empty else ranking.iloc[0]


def _kept(chosen: Chosen, document: pd.Series) -> analyses.Ablation | None:
    key = analyses.key_of(analyses.DEFAULT_VARIANTS)
    return analyses.ablation(chosen.run, chosen.completion.query, int(document["document"]), key)


def _compute(missing: Sequence[tuple[str, Chosen, pd.Series]]) -> None:
    """Offer the variants that are not there, or show how they fare."""
    key = analyses.key_of(analyses.DEFAULT_VARIANTS)
    waiting = []
    for name, chosen, document in missing:
        asked = (chosen.run, chosen.completion.query, int(document["document"]), key)
        job = analyses.ablation_job(*asked)
        if job is None or job.state == "done":
            waiting.append((chosen, document))
        else:
            job_panel(lambda asked=asked: analyses.ablation_job(*asked), key=f"word_order_{name}")
    if not waiting:
        return

    def compute() -> None:
        for chosen, document in waiting:
            analyses.submit_ablation(
                chosen.run, chosen.completion.query, int(document["document"]), analyses.DEFAULT_VARIANTS,
                f"Variants of {text.plain(document['title'], 80)}",
            )  # fmt: skip

    st.markdown("The document that raised each side most, scored with its words reversed, shuffled or cut: seconds.")
    st.button("Compute for both", key="compute_word_orders", on_click=compute, icon=":material/play_arrow:")


def _left(found: analyses.Ablation) -> pd.DataFrame:
    """Share left by each variant of the document's own words: variant, left, low, high (over draws), hypothetical."""
    rows = analyses.summarise(found.table())
    rows = rows[rows["variant"].isin(analyses.MADE)]
    return pd.DataFrame(
        {"variant": rows["variant"].map(analyses.LABELS), "left": rows["ratio"]}
        | {"low": rows["ratio_low"], "high": rows["ratio_high"]}
        | {"draws": rows["draws"], "hypothetical": rows["variant"].map(analyses.is_hypothetical)}
    ).reset_index(drop=True)
