"""What is left when the order is gone?"""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import word_order as analyses
from dashboard.components import text, url
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure
from dashboard.components.own_texts import own_texts
from dashboard.components.page import ask, choose_completion
from dashboard.components.report_button import report_button
from dashboard.components.run_choice import need_scores
from dashboard.components.sampling import need_variants
from dashboard.components.variant_strips import VARIANTS_NEVER_SEEN, Shown, pinned_word, variant_strips
from dashboard.components.variant_table import variant_rows, variant_table
from dashboard.components.variants_job import variants_or_job
from dashboard.components.word_order_bulk import over_all_completions
from dashboard.components.word_order_charts import Figure, height, variants_figure
from dashboard.components.word_order_words import answer

OWN = ("edit", "other_document")
"""Variants that a reader puts beside the document."""
RAISED, LOWERED = 40, 10
"""Documents offered, from either end of the ranking."""
HOW_TO_READ = """
**What is compared.** The document as it is, and texts made of it: its words or sentences in another order, or without
the completion's words or the rarest word of the prompt (the subject). Each is scored exactly, with the same model,
for the same completion. White space stays in its place, so that lines and paragraphs keep their shape.

Where the corpus records them, the same text with its relation flipped, and documents that say the same (paraphrases,
translations), stand beside it.

**What a variant is.** A hypothetical text. The model never saw it; it is scored as if it had been a document of the
corpus. So this says what the trained model makes of the words as they would stand, not what training on them would
have done.

**Unit.** Influence and differences are in {unit} per unit of weight. A share is given only where the original's
influence is larger than that of 19 of 20 unrelated documents: the noise. Shuffles depend on chance, so several draws
are made; mean and range are over them.

**Tokens.** By position: what flows through each token. It lights up the token before the one that is predicted. All
strips are on one scale. Pointing at a word, with the mouse or the arrow keys, marks the same word of the original in
every strip; a click or Enter pins it.

**What this cannot tell.** A text out of order is unlike anything the model has read, so its loss is higher and so are
its gradients: what is left is not all due to meaning. Influence is a first-order estimate around the trained model,
whose curvature is approximated ({curvature}).
"""


def main() -> None:
    """Draw the page."""
    run = ask("What is left when the order is gone?")
    completion = choose_completion(run)
    need_scores(run, "there is no document whose variants could be set beside it")
    need_variants(run)
    ranking = data.ranking(run, completion.query)
    document = _choose_document(ranking)
    st.caption(f"{text.escape(completion.prompt, 400)} **{text.escape(completion.text)}**")
    found = variants_or_job(run, completion, document, "variants_job")
    if found is not None:
        _document(run, completion, document, found, ranking)
    st.divider()
    over_all_completions(run)
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(HOW_TO_READ.format(unit=run.unit, curvature=run.estimator))


def _choose_document(ranking: pd.DataFrame) -> pd.Series:
    """The document: the address's, else the strongest."""
    named = ranking[ranking["id"] == url.get("document")]
    if url.get("document") and named.empty:
        st.warning("The link names a document that this run does not have. Another one is shown.")
    offered = pd.concat([ranking.head(RAISED), ranking.tail(LOWERED), named]).drop_duplicates("document")
    offered = offered.sort_values("rank")
    ids = dict(zip(_options(offered), offered["id"], strict=True))
    opened = (named if len(named) else ranking)["id"].iloc[0]
    current = next(label for label, one in ids.items() if one == opened)
    st.session_state["_document"] = current

    def chosen() -> None:
        if st.session_state["_document"] != current:  # see url.py
            url.put("document", ids[st.session_state["_document"]])
            for name in ("word", "edit", "other"):
                url.put(name)

    label = st.selectbox(
        "Document", list(ids), key="_document", on_change=chosen, filter_mode="contains",
        help=f"The {RAISED} documents that raised the completion most and the {LOWERED} that lowered it most. Any "
        "other can be opened from the address.",
    )  # fmt: skip
    return ranking[ranking["id"] == ids[label]].iloc[0]


def _options(documents: pd.DataFrame) -> list[str]:
    return [
        f"{row.rank:,}. {text.plain(row.title, 90)} ({text.number(row.influence)})" for row in documents.itertuples()
    ]


def _document(
    run: data.Run, completion: data.Completion, document: pd.Series, found: analyses.Ablation, ranking: pd.DataFrame
) -> None:
    """Everything about one document's variants."""
    head, sentence = answer(found, analyses.summarise(found.table()))
    st.markdown(f"## {head}")
    st.markdown(sentence)
    places = st.container()
    found = own_texts(run, completion, document, found, ranking)
    summary = analyses.summarise(found.table())
    labels = _labels(run, document, ranking)
    figure, rows = _figure(found, summary, labels), variant_rows(found, summary, _named(summary, labels).tolist())
    unit = f"{found.unit} per unit of weight"
    with places:
        show_figure(
            figure, key=f"chart_{completion.query}_{document['document']}", height=height(1 + len(summary)),
            alt="Influence of the document and of each of its variants, with draws and noise; the table has the "
            "numbers.",
        )  # fmt: skip
        st.caption(VARIANTS_NEVER_SEEN)
        variant_table(rows, unit, f"variants_{completion.query}_{document['document']}")
    shown = _shown(found, summary, labels)
    word = next(iter(url.numbers("word", set(range(len(found.original.origin))))), None)
    key = f"{completion.query}_{document['document']}"
    variant_strips(shown, found, key, word, lambda chosen: url.put("word", "" if chosen is None else str(chosen)))
    if word is not None:
        pinned_word(shown, found.original.text, word, found.unit)
    _download(run, completion, document, found, rows, labels, figure)


Labels = Callable[[str, int], str]
"""From a variant's name and draw to what it is called."""


def _labels(run: data.Run, document: pd.Series, ranking: pd.DataFrame) -> Labels:
    """What each variant is called; documents of the corpus by their titles."""
    titles = run.documents.set_index("document")["title"]
    same = [f"Same content: {titles[other]}" for other in analyses.same_content(run, int(document["document"]))]
    other = ranking.loc[ranking["id"] == url.get("other"), "title"].tolist()
    known = {"same_content": same, "other_document": other}

    def label(name: str, draw: int) -> str:
        titled = known.get(name, [])
        return titled[draw] if draw < len(titled) else analyses.LABELS[name]

    return label


def _named(table: pd.DataFrame, labels: Labels) -> pd.Series:
    pairs = zip(table["variant"], table["draw"], strict=True)
    return pd.Series([labels(name, draw) for name, draw in pairs], table.index, dtype=str)


def _figure(found: analyses.Ablation, summary: pd.DataFrame, labels: Labels) -> Figure:
    original = {"variant": "original", "draw": 0, **dict.fromkeys(("influence", "low", "high"), found.original.total)}
    rows = pd.concat([pd.DataFrame([original]), summary[["variant", "draw", "influence", "low", "high"]]])
    rows = rows.reset_index(drop=True)
    table = found.table()
    of_chance = (table.groupby("variant")["draw"].transform("size") > 1) & ~table["variant"].isin(analyses.OF_CORPUS)
    several = table[of_chance]
    return variants_figure(
        rows.assign(label=_named(rows, labels)), several.assign(label=_named(several, labels)), found.noise, found.unit
    )


def _shown(found: analyses.Ablation, summary: pd.DataFrame, labels: Labels) -> list[Shown]:
    """The variants chosen to stand side by side: the original and the reader's own always do."""
    made = {one.name for one in found.variants}
    draws = 1 + max(one.draw for one in found.variants if one.name not in analyses.OF_CORPUS)
    # the same options for all documents, so that the choice stays
    options = {analyses.LABELS[name]: name for name in (*analyses.MADE, *analyses.RECORDED)}
    chosen = st.pills(
        "Side by side with the original", list(options), selection_mode="multi", default=list(options), key="show",
        bind="query-params", help="A flipped relation and the same content are there where the corpus records them.",
    )  # fmt: skip
    draw = 1
    if draws > 1:
        draw = st.segmented_control(
            "Draw of the shuffles", range(1, draws + 1), default=1, required=True, key="draw", bind="query-params"
        )
    for why, kinds in (
        ("Cannot be made of this text, or would not change it", analyses.MADE),
        ("The corpus records none of this document", analyses.RECORDED),
    ):
        lacking = [label for label, name in options.items() if name in {*kinds} - made and label in chosen]
        if lacking:
            st.caption(f"{why}: {', '.join(lacking).lower()}.")
    names = {*OWN, *(options[label] for label in chosen if label in options)}
    rows = {(row["variant"], row["draw"]): row for _, row in summary.iterrows()}
    shown = [Shown(found.original, labels("original", 0), None, analyses.strip_of(found.original))]
    for one in found.variants[1:]:
        row = rows[one.name, one.draw if one.name in analyses.OF_CORPUS else 0]
        several = row["draws"] > 1
        if one.name in names and (not several or one.draw == draw - 1):
            label = labels(one.name, one.draw) + (f", draw {one.draw + 1}" if several else "")
            shown.append(Shown(one, label, row, analyses.strip_of(one)))
    if len(shown) == 1:
        _no_variant(list(options), chosen)
    return shown


def _no_variant(options: list[str], chosen: list[str]) -> None:
    """Say that the original stands alone, and offer the way back where there is one."""
    why = "None of the chosen variants is there for this document" if chosen else "No variant is chosen"
    st.info(f"{why}, so the original stands alone.", icon=":material/filter_alt_off:")
    if len(chosen) < len(options):
        st.button("Show all variants", on_click=_show_all, args=(options,))


def _show_all(options: list[str]) -> None:
    st.session_state["show"] = options


def _download(
    run: data.Run, completion: data.Completion, document: pd.Series, found: analyses.Ablation, rows: pd.DataFrame,
    labels: Labels, figure: Figure,
) -> None:  # fmt: skip
    texts = {(one.name, one.draw): one.text for one in found.variants}
    table, about = found.table(), {"document": document["id"], "title": document["title"]}
    table = table.assign(
        hypothetical=table["variant"].map(analyses.is_hypothetical),
        text=[texts[pair] for pair in zip(table["variant"], table["draw"], strict=True)],
        variant=_named(table, labels),
        draw=table["draw"] + 1,
    )
    with st.container(horizontal=True):
        download(
            {"Variants": rows, "Each draw": table}, data.provenance(run, completion) | about | analyses.DRAWN,
            "word_order", f"download_{completion.query}_{document['document']}", figures={"Variants": figure},
        )  # fmt: skip
        report_button(run, completion)


main()
