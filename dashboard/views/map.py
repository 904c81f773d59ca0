"""What lies near what?"""

from dataclasses import astuple

import pandas as pd
import streamlit as st

from dashboard import data, jobs, runs
from dashboard.analyses import document_map as analyses
from dashboard.components import map_chart, text, url
from dashboard.components.document_card import document_card, pick_table
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure
from dashboard.components.job_panel import job_panel
from dashboard.components.page import ask, choose_completion
from dashboard.components.report_button import report_button
from dashboard.components.review_queue import LISTED, review_link
from dashboard.components.run_choice import WHAT_TO_DO, need_scores

ABOUT = {
    "words": "Documents that use the same words lie near each other (TF-IDF; no model is needed).",
    "hidden": "Documents that the model reads alike lie near each other (mean of its last hidden states).",
    "gradients": "Documents that would teach the model the same lie near each other (gradients, whitened by the "
    "curvature: what their influence on each other is made of).",
}
WAIT = {
    "words": "The first map takes half a minute to get ready, then it depends on the number of documents.",
    "hidden": "It loads the model, which then reads every document once.",
    "gradients": "It loads the model and its curvature and takes every document's gradient: one pass over the corpus, "
    "as in the run's first step.",
}
COLOURS = ("Influence", "Source", "Language")
OTHER_COLOUR = f"Colour it by source or language. For influence: {WHAT_TO_DO[0].lower()}{WHAT_TO_DO[1:]}"
TOOLS = {"Lasso": "lasso", "Box": "select", "Click": "zoom"}
TOOL_HELP = {
    "Lasso": "Draw around documents to list them below.",
    "Box": "Drag a box over documents to list them below.",
    "Click": "Click a document to read it; drag to zoom in, double-click to zoom out.",
}
MAP_PX = 560
WEAK = 0.1
"""Correlation up to which colours hardly gather, even if that is beyond chance."""
HOW_TO_READ = """
**What is shown.** Each point is a document. UMAP lays them out so that those which are alike lie near each other. The
two directions have no unit and no meaning of their own.

**What may be read.** Which documents are neighbours, and whether a colour gathers in one place. The sentence above
counts it: it compares each document with its ten nearest on the map, and with the same colours dealt out at random.

**What this cannot tell.** Distances between clusters, their sizes and their density mean little; UMAP makes clusters
even of noise. Another seed gives another picture: what matters should be there in both. Two documents far apart on the
map may still be alike, as a plane has too little room for all neighbours. And where influence gathers, likeness is one
explanation, not the only one.
"""


def main() -> None:
    """Draw the page."""
    run = ask("What lies near what?")
    offered = [label for label, name in map_chart.FEATURES.items() if name == "words" or not run.imported]
    label = st.segmented_control(
        "Laid out by", offered, default="Words", required=True, key="features", bind="query-params",
        on_change=url.put, args=("area",),
    )  # fmt: skip
    features = map_chart.FEATURES[label] if label in offered else "words"
    st.caption(ABOUT[features])
    found = analyses.document_map(run, features)
    if found is None:
        _compute(run, features)
        st.stop()
    by = st.segmented_control(
        "Coloured by", COLOURS, default=COLOURS[0], required=True, key="colour", bind="query-params"
    )
    completion = choose_completion(run) if by == COLOURS[0] else None
    if completion is not None:
        need_scores(run, "there is no influence to colour the map by", what_to_do=OTHER_COLOUR)
    table = analyses.map_table(run, found)
    if completion is not None:
        ranking = data.ranking(run, completion.query).set_index("document")
        table = table.join(ranking[["influence", "rank"]], on="document")
    _answer(run, found, completion, by.lower())
    figure = _picture(run, table, completion, by.lower())
    _settings(run, found)
    _chosen(run, found, table, completion, figure)
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(HOW_TO_READ)


def _compute(run: data.Run, features: str) -> None:
    """Offer to compute a map that is not there, or show how that fares."""
    job = jobs.map_job(run, features)
    if job is None or job.state == "done":
        why, button = f"This map has not been computed yet. {WAIT[features]} It is kept in the run.", "Compute the map"
        if analyses.is_of_another_version(run, features):
            why = (
                "This map was made by another version of the program, so its places would be misread. Compute it "
                f"again; the new map takes its place. {WAIT[features]}"
            )
            button = "Compute the map again"
        st.info(why, icon=":material/map:")
        st.button(button, type="primary", on_click=jobs.submit_map, args=(run, features))
    else:
        job_panel(lambda: jobs.map_job(run, features), key="map_job")


def _answer(run: data.Run, found: analyses.DocumentMap, completion: data.Completion | None, by: str) -> None:
    """Whether the colour goes with the place, in one sentence."""
    if completion is not None:
        near = analyses.nearness_of_influence(run, found, completion.query)
        if near.value != near.value:
            st.markdown("## There are too few documents to say whether influence gathers on the map.")
            return
        beyond_chance = near.value > near.null_high
        gathers = ("gathers" if near.value > WEAK else "hardly gathers") if beyond_chance else "does not gather"
        value, low, high, null_low, null_high = map(text.correlation, astuple(near))
        st.markdown(
            f"## Influence {gathers} on this map: a document's and that of its ten neighbours correlate at {value} "
            f"(chance: {null_low} to {null_high})."
        )
        st.caption(
            f"Spearman correlation over documents, 95% interval {low} to {high}; chance: influences dealt out at "
            "random, 95%."
        )
        return
    near = analyses.nearness_of_labels(run, found, by)
    if near.value != near.value:
        st.markdown(f"## There are too few documents to say whether each {by} gathers on the map.")
        return
    st.markdown(
        f"## {near.value:.0%} of a document's ten neighbours have its {by} (chance: {near.null_low:.0%} to "
        f"{near.null_high:.0%})."
    )
    st.caption(
        f"Mean over documents, 95% interval {near.low:.1%} to {near.high:.1%}; chance: labels dealt out at random, 95%."
    )


def _picture(run: data.Run, table: pd.DataFrame, completion: data.Completion | None, by: str):
    """The map; what is drawn around, or clicked, goes to the address."""
    with st.container(horizontal=True, vertical_alignment="center"):
        tool = st.segmented_control(
            "Pick with", list(TOOLS), default="Lasso", required=True, key="tool", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        st.caption(TOOL_HELP.get(tool, ""))
    unit = run.influence_unit
    figure = map_chart.influence_map(table, unit) if completion is not None else map_chart.label_map(table, by)
    figure.update_layout(dragmode=TOOLS.get(tool, "lasso"))
    map_chart.outline(figure, map_chart.read(url.get("area")))
    show_figure(
        figure, key="map_of_documents", height=MAP_PX, on_select=_drawn,
        alt=f"Documents in a plane, like ones near each other, coloured by {by}; the table below lists the chosen ones",
    )  # fmt: skip
    if completion is not None:
        most = map_chart.colour_limit(table["influence"].dropna())
        st.caption(
            f"Blue raised the completion, orange lowered it, grey did little. Colours are full from ±{most:.3g} "
            f"{unit} on, which 1% of the documents exceed."
        )
    return figure


def _drawn() -> None:
    selection = st.session_state["map_of_documents"]["selection"]
    corners = map_chart.drawn_corners(selection)
    if corners:
        url.put("area", map_chart.written(corners))
    elif len(selection["points"]) == 1:
        found = selection["points"][0]["customdata"]
        url.put("document", found if isinstance(found, str) else found[0])


def _settings(run: data.Run, found: analyses.DocumentMap) -> None:
    """How the map was made, and the way to another one."""
    made = found.settings
    some = (
        f"{len(found.documents):,} of {found.of:,} documents: the strongest of every completion, the others at random. "
        if len(found.documents) < found.of
        else f"All {found.of:,} documents. "
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"{some}UMAP with {made.neighbours} neighbours, minimum distance {made.min_distance:g}, seed {made.seed}; "
            f"made in {text.duration(found.seconds)}."
        )
        job = jobs.map_job(run, made.features)
        if job is None or not job.is_active:
            st.button(
                "Lay out again with another seed", on_click=jobs.submit_map, args=(run, made.features, made.seed + 1),
                type="tertiary", icon=":material/casino:",
            )  # fmt: skip
    if job is not None and job.state != "done":
        job_panel(lambda: jobs.map_job(run, made.features), key="map_again")


def _chosen(
    run: data.Run, found: analyses.DocumentMap, table: pd.DataFrame, completion: data.Completion | None, figure
) -> None:
    """The documents that were drawn around, as a table; all of them where nothing was."""
    corners = map_chart.read(url.get("area"))
    shown = analyses.inside_area(table, corners) if corners else table
    if completion is not None:
        shown = shown.sort_values("influence", key=abs, ascending=False, ignore_index=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        if corners:
            st.markdown(f"**{len(shown):,} of {len(table):,} documents lie in the area you drew.**")
            if len(shown):
                laid_out = next(name for name, one in map_chart.FEATURES.items() if one == found.settings.features)
                review_link({"queue": LISTED, "features": laid_out, "area": url.get("area")})
            st.button("Clear the area", on_click=url.put, args=("area",), icon=":material/close:", type="tertiary")
        else:
            st.markdown(f"**All {len(table):,} documents of the map**")
        if len(shown):
            download(shown.drop(columns="document"), _provenance(run, found, completion), "map", "download_map",
                     {"Map": figure})  # fmt: skip
            report_button(run, *([completion] if completion else []))
    if shown.empty:
        st.info("No document lies in that area. Draw another one, or clear it.", icon=":material/select:")
    else:
        number = st.column_config.NumberColumn
        influence = number("Influence", format="%+.3g", width=90, help=f"{run.influence_unit}; plus raises.")
        rank = number("Rank", width=60, help="Among all scored documents; 1 raised it most.")
        numbers = {"influence": influence, "rank": rank} if completion is not None else {}
        pick_table(shown, numbers, f"map {found.settings.features}")
    picked = table[table["id"] == url.get("document")]
    if len(picked):
        _card(run, picked.iloc[0], completion)


def _card(run: data.Run, document: pd.Series, completion: data.Completion | None) -> None:
    address = runs.run_address() | {"document": document["id"]}
    lines = []
    if completion is not None:
        address |= {"query": completion.id}
        if document["influence"] == document["influence"]:
            influence = text.number(document["influence"])
            lines.append(f"Rank {int(document['rank']):,}, **{influence}** {run.influence_unit}")
    document_card(run, document, lines, {"Open it on the influence page": address}, key="picked_document")


def _provenance(
    run: data.Run, found: analyses.DocumentMap, completion: data.Completion | None
) -> dict[str, str | float]:
    """Where the map and its colours come from."""
    made = found.settings
    settings = {"laid_out_by": jobs.MAP_FEATURES[made.features], "seed": made.seed, "neighbours": made.neighbours}
    settings |= {"min_distance": made.min_distance, "documents_laid_out": len(found.documents), "of": found.of}
    if completion is not None:
        return data.provenance(run, completion) | settings
    return {"run": run.name, "model": run.model_name, "computed": run.score.get("finished", "")} | settings


main()
