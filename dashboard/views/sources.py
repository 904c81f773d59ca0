"""Where does the influence come from?"""

from dataclasses import replace

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import sources as analyses
from dashboard.components import text, url
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure
from dashboard.components.page import ask
from dashboard.components.query_group import QueryGroup, choose_group
from dashboard.components.report_button import report_button
from dashboard.components.run_choice import need_scores
from dashboard.components.source_answer import BY, SourceView, answer, asked, mass_sentence
from dashboard.components.source_charts import (
    highest,
    mass_chart,
    mass_height,
    multiplier_chart,
    multiplier_height,
    widest,
)
from dashboard.components.source_tables import ENDS, documents_table, mass_table, multiplier_table

WEIGHTS = {"Documents": "documents", "Tokens": "tokens"}
USUAL_K = 100
CHART_ALT = (
    "Multiplier of each {word} among the documents that {end} most, by their number, for {group}; the table below has "
    "the numbers at the chosen k."
)
MASS_ALT = (
    "Share of positive and of negative influence on {group} by {word}, beside its share of the corpus; the table below "
    "has the numbers."
)
HOW_TO_READ = """
**Multiplier.** Each completion ranks all documents by influence. The share of a {word} among the k documents at one
end of the ranking, averaged over the completions, divided by its share of the corpus: 1 if the ranking does not care,
2 if the {word} is there twice as often as in the corpus. At k = the whole corpus it is 1.

**95% interval.** What other documents and other completions of the same sort would give: both are drawn anew
{draws} times. A {word} with few documents has a wide one. With a single completion it speaks of documents only.

**By chance.** The labels are shuffled among the documents, the rankings stay. A multiplier inside this band is what
labels without meaning give. A {word} *stands out* where its interval lies above 1 and above this band; the strongest
is named, and the strongest of many is likely to be named somewhat too strong. Of more than {many:,} documents, those
in a small end are dealt their labels one by one, and ends reach to a block of neighbouring ranks.

**Signed influence.** Sums over all documents, not the ends only. Shares are taken per completion and then averaged, so
that each completion counts alike.

**What this cannot tell.** A {word} may be frequent at an end because its documents are longer, or on the subject of the
completions: the multiplier does not say that the {word} as such is the cause. Influence is a first-order estimate. Only
scored documents are ranked: where a prefilter chose them, “the corpus” means those.
"""


def main() -> None:
    """Draw the page."""
    run = ask("Where does the influence come from?")
    need_scores(run, "there is no influence that could come from anywhere")
    view = _choose(run)
    answer(view)
    _multipliers(view)
    _mass(view)
    _documents(view)
    _how_to_read(view)


def _choose(run: data.Run) -> SourceView:
    """The choices that the address holds, and the multipliers of what was chosen."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first = choose_group(run, "completions", "Completions")
        second = choose_group(run, "beside", "Side by side with", second=True)
        word = st.segmented_control("Group documents by", list(BY), default="Source", required=True, key="grouping",
                                    bind="query-params", on_change=url.put, args=("focus",))  # fmt: skip
        counted = st.segmented_control("Count shares in", list(WEIGHTS), default="Documents", required=True,
                                       key="counted", bind="query-params")  # fmt: skip
    if first is None:
        st.info("Pick the completions to look at, or choose a kind.", icon=":material/touch_app:")
        st.stop()
    groups = _groups(first, second)
    try:
        with st.spinner("Drawing documents and completions anew…"):
            table = analyses.source_multipliers(run, asked(groups), BY[word], WEIGHTS[counted])
    except analyses.WhenceError as error:
        st.error(text.escape(str(error), 600), icon=":material/error:")
        st.stop()
    names = _names(table, word)
    if len(names) < 2:
        st.info(f"All documents have the same {word.lower()}, {text.escape(next(iter(names.values())))}: there is "
                f"nothing to tell apart. Group them by {'language' if word == 'Source' else 'source'}.")  # fmt: skip
        st.stop()
    left, right = st.columns([0.6, 0.4], vertical_alignment="bottom")
    with left:
        k = _size(table)
    with right:
        focus = _focus(names, _notable(table, groups, k), word)
    return SourceView(run, groups, word, WEIGHTS[counted], table, k, names, focus)


def _groups(first: QueryGroup, second: QueryGroup | None) -> tuple[QueryGroup, ...]:
    """The groups to show, by different names."""
    if second is None:
        return (first,)
    if set(first.queries) == set(second.queries):
        st.caption("Both groups are the same completions; choose others to see a difference.")
        return (first,)
    if common := len(set(first.queries) & set(second.queries)):
        st.caption(f"{common:,} of the completions are in both groups, so the interval of their difference is wider "
                   "than it need be.")  # fmt: skip
    return first, second if second.name != first.name else replace(second, name=f"{second.name} (2)")


def _names(table: pd.DataFrame, word: str) -> dict[str, str]:
    shares = table.drop_duplicates("group").sort_values("corpus_share", ascending=False, kind="stable")
    readable = text.language if word == "Language" else str
    return {group: text.plain(readable(group), 60) for group in shares["group"]}


def _size(table: pd.DataFrame) -> int:
    """How many documents an end has: the address's k, else the usual one where it is an end at all."""
    sizes = sorted(int(size) for size in table["k"].unique())
    if len(sizes) == 1:
        return sizes[0]
    usual = max([size for size in sizes if size <= min(USUAL_K, sizes[-1] // 4)], default=sizes[0])
    return st.select_slider("k: documents at each end of a ranking", sizes, value=usual, key="k", bind="query-params")


def _notable(table: pd.DataFrame, groups: tuple[QueryGroup, ...], k: int) -> str | None:
    """The source that the answer tells of, if any."""
    if len(groups) > 1:
        rows = [analyses.differs_most(table, k, end) for end in ENDS]
    else:
        rows = [analyses.stands_out(table, k, end) for end in ENDS]
    return next((row["group"] for row in rows if row is not None), None)


def _focus(names: dict[str, str], notable: str | None, word: str) -> str:
    """The source in focus: the address's, else the one that the answer tells of, else the most frequent."""
    wanted = url.get("focus")
    if wanted and wanted not in names:
        st.warning(f"The link names a {word.lower()} that this run does not have. Another one is shown.")
    focus = wanted if wanted in names else notable or next(iter(names))
    key = f"focus_{hash((focus, *names))}"  # a new choice is a new widget: an answer to the old one changes nothing

    def chosen() -> None:
        if st.session_state[key] != focus:  # see url.py
            url.put("focus", st.session_state[key])

    st.selectbox(
        f"{word} in focus",
        list(names),
        index=list(names).index(focus),
        key=key,
        format_func=names.get,
        on_change=chosen,
    )
    return focus


def _multipliers(view: SourceView) -> None:
    """Multiplier against k, a row per group of completions and a column per end; the table at the chosen k."""
    figures, top = {}, highest(view.table, view.focus)
    for place, group in enumerate(view.groups):
        for end, column in zip(ENDS, st.columns(len(ENDS)), strict=True):
            rows = view.table[(view.table["queries"] == group.name) & (view.table["end"] == end)]
            title = f"{ENDS[end]}: {text.chart_text(group.name, 30)}"
            figure = multiplier_chart(rows, view.names, view.focus, view.k, top, title)
            with column:
                show_figure(
                    figure,
                    key=f"multipliers_{place}_{end}",
                    height=multiplier_height(len(view.names)),
                    alt=CHART_ALT.format(end=end, group=group.name, word=view.word.lower()),
                )
            figures[f"{ENDS[end]} {_letters(group.name)}"] = figure
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Bands are those of {text.escape(view.names[view.focus])}, the {view.word.lower()} in focus. "
                   "Hover over a line for its numbers.")  # fmt: skip
        download(view.readable(view.table), view.provenance, "multipliers", "download_multipliers", figures)
    _tables(view)


def _letters(name: str) -> str:
    """A name as part of a file's."""
    return "".join(letter for letter in text.plain(name, 30) if letter.isalnum() or letter == " ")


def _tables(view: SourceView) -> None:
    """The numbers at the chosen k: both ends in one table, or two groups of completions in a table for each end."""
    ends = [list(ENDS)] if len(view.groups) == 1 else [[end] for end in ENDS]
    for some in ends:
        if len(some) == 1:
            st.markdown(f"**{ENDS[some[0]]}**")
        rows = view.at_k[view.at_k["end"].isin(some)]
        key = f"table_{hash((view.asked, view.k, view.word, view.weight, view.focus, *some))}"
        multiplier_table(rows, view.names, view.focus, view.word, key, lambda group: url.put("focus", group))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"At k = {view.k:,}. Choose a row to put its {view.word.lower()} into focus.")
        download(view.readable(view.at_k), view.provenance, f"multipliers_at_{view.k}", "download_table")


def _mass(view: SourceView) -> None:
    """Signed mass of each source."""
    st.markdown("## How much of all influence each one holds")
    tables = [analyses.source_mass(view.run, group.queries, BY[view.word]) for group in view.groups]
    st.markdown(" ".join(mass_sentence(view, group, table) for group, table in zip(view.groups, tables, strict=True)))
    figures, most = {}, widest(tables)
    for place, (group, table, column) in enumerate(zip(view.groups, tables, st.columns(len(view.groups)), strict=True)):
        title = f"Signed influence: {text.chart_text(group.name, 30)}"
        figure = mass_chart(table, view.names, most, view.unit, title)
        figures[_letters(group.name)] = figure
        with column:
            alt = MASS_ALT.format(word=view.word.lower(), group=group.name)
            show_figure(figure, key=f"mass_{place}", height=mass_height(len(view.names)), alt=alt)
            mass_table(table, view.names, view.word, view.unit, group.name, f"mass_table_{place}")
    whole = [table.assign(queries=group.name) for group, table in zip(view.groups, tables, strict=True)]
    provenance = view.provenance | {"resamplings": analyses.MASS_DRAWS}
    table = view.readable(pd.concat(whole, ignore_index=True))
    download(table, provenance, "signed_influence", "download_mass", figures)


def _documents(view: SourceView) -> None:
    """Documents of the source in focus, each leading to its page."""
    st.markdown(f"## Documents: {text.escape(view.names[view.focus])}")
    with st.container(horizontal=True, vertical_alignment="center"):
        label = st.segmented_control("Documents that", list(ENDS.values()), default=ENDS["raised"], required=True,
                                     key="end", bind="query-params", label_visibility="collapsed")  # fmt: skip
        group = view.groups[0]
        if len(view.groups) > 1:
            by_name = {text.plain(group.name, 40): group for group in view.groups}
            group = by_name[st.segmented_control("Of", list(by_name), default=next(iter(by_name)), required=True,
                                                 key="of", bind="query-params",
                                                 label_visibility="collapsed")]  # fmt: skip
        end = next(end for end, name in ENDS.items() if name == label)
        table = analyses.source_documents(view.run, group.queries, BY[view.word], view.focus)
        table = table[table["influence"] > 0] if end == "raised" else table[table["influence"] < 0].iloc[::-1]
        if not table.empty:
            about = {"completions": group.name, "completions_in_group": len(group.queries)}
            shown = view.readable(table.drop(columns="document"))
            download(shown, view.provenance | about, "documents", "download_documents")
            report_button(view.run)
    if table.empty:
        st.info(f"No document of this {view.word.lower()} {end} {group.each} on average. Look at the other end, or "
                f"put another {view.word.lower()} into focus.", icon=":material/swap_vert:")  # fmt: skip
        return
    st.caption(f"By mean influence on {group.size}. Choose a row to open the document on the completion it {end} most.")
    members = [one for one in data.completions(view.run) if one.query in set(group.queries)]
    key = f"documents_{hash((group.queries, view.focus, end))}"
    opened = documents_table(table, members, end, view.unit, key)
    if opened:
        address = {"run": url.get("run")} if url.get("run") else {}
        st.switch_page("views/influence.py", query_params=address | {"query": opened[0], "document": opened[1]})


def _how_to_read(view: SourceView) -> None:
    with st.expander("How to read this", icon=":material/help:"):
        draws = analyses.source_draws(view.run, view.asked)
        st.markdown(HOW_TO_READ.format(word=view.word.lower(), draws=draws, many=analyses.FEW_ENOUGH))


main()
