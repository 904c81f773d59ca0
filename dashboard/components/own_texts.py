"""What a reader puts beside a document: a text of their own, or another document of the corpus."""

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import word_order as analyses
from dashboard.components import text, url
from dashboard.components.job_panel import job_panel
from dashboard.components.variants_job import Wanted, variants_or_job

OFFERED = 300
MAX_CHARACTERS = 20_000
AREA_PX = 220


def own_texts(
    run: data.Run,
    completion: data.Completion,
    document: pd.Series,
    found: analyses.Ablation,
    ranking: pd.DataFrame,
) -> analyses.Ablation:
    """Let texts be put beside a document.

    Args:
        run: The run.
        completion: The completion under study.
        document: The document's row of the ranking.
        found: Its variants.
        ranking: All documents, to choose another one from.

    Returns:
        ``found`` with what the reader put beside it.
    """
    opened = bool(url.get("edit") or url.get("other"))
    with st.expander("Try a text of your own, or another document", expanded=opened, icon=":material/edit_note:"):
        left, right = st.columns(2, gap="large")
        with left:
            edited = _edit(run, completion, document, found)
        with right:
            other = _other(run, completion, document, ranking)
    return analyses.joined(found, edited, other)


def _edit(
    run: data.Run, completion: data.Completion, document: pd.Series, found: analyses.Ablation
) -> analyses.Ablation | None:
    """The reader's own text in the document's place; the address holds the name of what was asked for."""
    asked, key, original = (run, completion.query, int(document["document"])), url.get("edit"), found.original.text
    edited = analyses.ablation(*asked, key) if key else None
    job = analyses.ablation_job(*asked, key) if key and edited is None else None
    written = original
    if edited is not None:
        written = edited.variants[-1].text
    elif job is not None:
        written = job.arguments["settings"]["texts"].get("edit", original)
    area = f"_edit_{asked[1:]}_{key}"

    def score() -> None:
        given = st.session_state[area]
        if not given.strip() or given == original:
            st.session_state["_edit_refused"] = True
            return
        settings = analyses.edit_settings(given)
        if analyses.ablation(*asked, analyses.key_of(settings)) is None:
            analyses.submit_ablation(*asked, settings, f"Your text in the place of {text.plain(document['title'], 80)}")
        url.put("edit", analyses.key_of(settings))

    with st.form(f"form_{area}", border=False):
        st.text_area(
            "Your text in the document's place", written, key=area, height=AREA_PX,
            max_chars=max(MAX_CHARACTERS, 2 * len(original)),
        )  # fmt: skip
        st.form_submit_button("Score this text", on_click=score, icon=":material/play_arrow:")
    if st.session_state.pop("_edit_refused", False):
        st.warning("Change the text first: it is empty, or the document's own.")
    if edited is not None:
        _result(found, edited)
    elif job is not None and job.state != "done":
        job_panel(lambda: analyses.ablation_job(*asked, key), key="edit_job")
    elif key:
        st.warning("The link names a text of yours that this run does not hold. Write it anew.")
    return edited


def _result(found: analyses.Ablation, scored: analyses.Ablation) -> None:
    one = scored.variants[-1]
    ratio = found.ratio(one)
    left = "" if ratio is None else f", {text.share(ratio)} of the original's"
    st.markdown(
        f"**{text.number(one.total)}** {found.unit} per unit of weight{left}: a difference of "
        f"**{text.number(found.difference(one))}** {found.unit} per unit of weight."
    )
    st.button("Take it away", key=f"away_{one.name}", on_click=url.put, type="tertiary", icon=":material/close:",
              args=("edit" if one.name == "edit" else "other",))  # fmt: skip


def _other(
    run: data.Run, completion: data.Completion, document: pd.Series, ranking: pd.DataFrame
) -> analyses.Ablation | None:
    """Another document of the corpus: a paraphrase, a translation, or what the reader wants to compare."""
    offered = ranking[ranking["id"] != document["id"]]
    named = offered[offered["id"] == url.get("other")]
    strongest = offered["influence"].abs().sort_values(ascending=False, kind="stable").index[:OFFERED]
    offered = pd.concat([offered.loc[strongest], named]).drop_duplicates("document").sort_values("rank")
    labels = [f"{row.rank:,}. {text.plain(row.title, 90)}" for row in offered.itertuples()]
    ids = dict(zip(labels, offered["id"], strict=True))
    widget = "_other"
    st.session_state[widget] = next((label for label, one in ids.items() if one == url.get("other")), None)

    def chosen() -> None:
        url.put("other", ids.get(st.session_state[widget] or "", ""))

    st.selectbox(
        "Another document, for example a paraphrase or a translation", labels, index=None, key=widget,
        on_change=chosen, placeholder="Choose a document", filter_mode="contains",
        help=f"The {OFFERED} documents with the strongest influence of either sign, by rank.",
    )  # fmt: skip
    if named.empty:
        if url.get("other"):
            st.warning("The link names another document that this run does not have.")
        return None
    number = int(named["document"].iloc[0])
    wanted = Wanted(analyses.other_settings(number), "Another document beside")
    beside = variants_or_job(run, completion, document, "other_job", wanted)
    if beside is not None:
        _result(beside, beside)
    return beside
