"""Which documents made the model say this?"""

import math

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components import text, url
from dashboard.components.document_panel import Choice, document_panel
from dashboard.components.document_table import document_table
from dashboard.components.downloads import download
from dashboard.components.token_strip import Piece, token_strip

DIRECTIONS = ("Raised it", "Lowered it")
ALL_KINDS = "All"
HOW_TO_READ = """
**Sign.** Blue and a plus: more weight on this document, or token, in training raises the measurement. Orange and a
minus: it lowers it.

**Unit.** Influence is in {unit} per unit of weight: how much the measurement ({measurement}) would change, to first
order, if the document counted once more in training, times the size of the training set.

**What may be compared.** Documents and tokens for one completion. Sums are exact: tokens add up to their document, and
the completion's tokens add up to the completion. Numbers of different completions have different scales.

**What this cannot tell.** It is a first-order estimate around the trained model, EK-FAC approximates the curvature, and
only {tracked:.0%} of the parameters are tracked. Influence is not proof of cause: to be sure, train without the
document.
"""


def main() -> None:
    """Draw the page."""
    st.title("Which documents made the model say this?", anchor=False)
    run = data.run_in_use()
    if run is None:
        st.info("There is no finished run to look at yet. Start one from Home.", icon=":material/info:")
        st.page_link("views/home.py", label="Go to Home", icon=":material/home:")
        st.stop()
    completion = _choose(data.completions(run))
    choice = Choice(run, completion, _chosen_tokens(run, completion))
    _show_completion(choice)
    ranking = data.ranking(run, completion.query, choice.tokens)
    _answer(choice, ranking)
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = _filtered(ranking)
        if not shown.empty:
            _download(choice, shown)
    document = _document(ranking, shown)
    if shown.empty:
        _nothing(ranking)
    else:
        document_table(choice, shown, document, on_open=_open)
    _how_to_read(run)
    if document is not None:
        st.space("small")
        if document["id"] not in set(shown["id"]):
            st.caption("The document below is not among those in the table above.")
        document_panel(choice, document)


def _choose(completions: list[data.Completion]) -> data.Completion:
    """The completion under study: the address's, else the first of the chosen kind."""
    kinds = list(dict.fromkeys(completion.kind for completion in completions))
    kind = ALL_KINDS
    if len(kinds) > 1:
        labels = {text.escape(name): name for name in kinds}
        label = st.pills(
            "Kind", [ALL_KINDS, *labels], default=ALL_KINDS, required=True, key="kind", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        kind = labels.get(label, ALL_KINDS)
    offered = [completion for completion in completions if kind in (ALL_KINDS, completion.kind)]
    by_label = {text.plain(completion.label): completion for completion in offered}
    wanted = url.get("query")
    if wanted and wanted not in {completion.id for completion in completions}:
        st.warning("The link names a completion that this run does not have. Another one is shown.")
    st.session_state["_completion"] = next(
        (label for label, completion in by_label.items() if completion.id == wanted), next(iter(by_label))
    )

    def chosen() -> None:
        data.forget_choices()
        url.put("query", by_label[st.session_state["_completion"]].id)

    label = st.selectbox(
        "Completion under study", list(by_label), key="_completion", on_change=chosen, filter_mode="contains"
    )
    return by_label[label]


def _chosen_tokens(run: data.Run, completion: data.Completion) -> tuple[int, ...]:
    return url.numbers("tokens", set(run.tokens_of_query(completion.query)["token"].tolist()))


def _show_completion(choice: Choice) -> None:
    """Prompt and completion, whose tokens can be chosen."""
    with st.container(border=True):
        for side in data.sides(choice.run):
            if side == "contrast":
                st.caption("Compared with this alternative:")
            _side(choice, side)
        st.caption(_likelihood(choice.completion))
        with st.container(horizontal=True, vertical_alignment="center"):
            if choice.tokens:
                st.caption(f"Ranked for {_count(len(choice.tokens), 'chosen token')} of the completion.")
                st.button(
                    "Whole completion", on_click=url.put, args=("tokens",), icon=":material/close:", type="tertiary"
                )
            else:
                st.caption("Ranked for the whole completion. Choose tokens of it to rank for those only.")
        if choice.run.tokens_of_query(choice.completion.query)["straddles"].any():
            st.caption("The completion's first token begins inside the prompt; it is counted whole.")


def _likelihood(completion: data.Completion) -> str:
    """How readily the model says it."""
    return (
        f"The model gives it a log-probability of {text.number(completion.log_prob)} nats, "
        f"a probability of {math.exp(completion.log_prob):.2g}."
    )


def _side(choice: Choice, side: str) -> None:
    query = choice.completion.query
    body, units, rows = data.completion_units(choice.run, query, side)
    log_probs = dict(zip(rows["token"], rows["log_prob"], strict=True))
    first_of = {token: unit.tokens[0] for unit in units for token in unit.tokens}
    whole = {unit.tokens[0]: unit.tokens for unit in units if unit.tokens}
    pieces = [
        Piece(
            body[unit.start : unit.end],
            sum(log_probs[token] for token in unit.tokens) if unit.tokens else None,
            unit.tokens[0] if unit.tokens else 0,
            tuple(log_probs[token] for token in unit.tokens),
        )
        for unit in units
    ]

    def choose(places: list[int]) -> None:
        kept = set(choice.tokens) - set(first_of)  # of the other side
        tokens = kept | {token for place in places for token in whole.get(place, ())}
        every = len(tokens) == len(choice.run.tokens_of_query(query))
        url.put("tokens", "" if every else ",".join(map(str, sorted(tokens))))

    token_strip(
        pieces,
        key=f"strip_of_{side}",
        label="The prompt and its completion; choose tokens of the completion",
        unit="nats log-probability",
        mode="choices",
        selected=sorted({first_of[token] for token in choice.tokens if token in first_of}),
        on_choose=choose,
    )


def _answer(choice: Choice, ranking: pd.DataFrame) -> None:
    """The page's answer in one sentence."""
    head = data.headline(ranking)
    what = ("these tokens" if len(choice.tokens) > 1 else "this token") if choice.tokens else "this completion"
    it = "them" if len(choice.tokens) > 1 else "it"
    if not head.raised:
        st.markdown(f"## None of {head.documents:,} documents raised {what}; {head.lowered:,} lowered {it}.")
        return
    first = ranking.iloc[0]
    strongest = "The strongest alone carries" if head.raised == 1 else f"The {min(10, head.raised)} strongest carry"
    st.markdown(f"## {head.raised:,} of {head.documents:,} documents raised {what}, {head.lowered:,} lowered {it}.")
    st.markdown(
        f"**{text.escape(first['title'])}** ({text.escape(first['source'])}) raised {it} most, by "
        f"**{text.number(first['influence'])}** {choice.unit}. {strongest} **{text.share(head.top_share)}** of all "
        f"that raised {it}."
    )


def _filtered(ranking: pd.DataFrame) -> pd.DataFrame:
    """The documents to show, by the address's direction and filters."""
    direction = st.segmented_control(
        "Documents that", DIRECTIONS, default=DIRECTIONS[0], required=True, key="direction", bind="query-params",
        on_change=url.put, args=("document",), label_visibility="collapsed",
    )  # fmt: skip
    sources = st.multiselect(
        "Source", sorted(ranking["source"].unique()), key="source", bind="query-params", placeholder="All sources",
        format_func=text.plain, label_visibility="collapsed", width=220,
    )  # fmt: skip
    languages = st.multiselect(
        "Language", sorted(ranking["language"].unique()), key="language", bind="query-params",
        placeholder="All languages", format_func=text.language, label_visibility="collapsed", width=220,
    )  # fmt: skip
    return data.select(ranking, direction != DIRECTIONS[1], sources, languages)


def _download(choice: Choice, shown: pd.DataFrame) -> None:
    """Offer the documents in the table, and those it has no room for."""
    download(
        shown.drop(columns="document"),
        data.provenance(choice.run, choice.completion) | {"completion_tokens": ",".join(map(str, choice.rows))},
        "influence",
        "download_documents",
    )


def _document(ranking: pd.DataFrame, shown: pd.DataFrame) -> pd.Series | None:
    """The opened document: the address's, else the first shown; None where nothing is."""
    named = ranking[ranking["id"] == url.get("document")]
    if len(named):
        return named.iloc[0]
    if url.get("document"):
        st.warning("The link names a document that this run does not have. Another one is shown below.")
    return None if shown.empty else shown.iloc[0]


def _open(document: str) -> None:
    url.put("document", document)
    url.put("token")


def _nothing(ranking: pd.DataFrame) -> None:
    if st.session_state["source"] or st.session_state["language"]:
        st.info("No document passes the filters.", icon=":material/filter_alt_off:")
        st.button("Show all sources and languages", on_click=_clear_filters)
    elif ranking.empty:
        st.info("This run scored no documents for this completion. Score it with other settings.")
    else:
        st.info("There is no such document. Look at the other direction.", icon=":material/swap_vert:")


def _clear_filters() -> None:
    st.session_state["source"] = st.session_state["language"] = []


def _how_to_read(run: data.Run) -> None:
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(
            HOW_TO_READ.format(
                unit=run.unit,
                measurement=text.MEASUREMENTS[run.measurement][0].lower() + text.MEASUREMENTS[run.measurement][1:],
                tracked=run.fit["tracked"]["share"],
            )
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


main()
