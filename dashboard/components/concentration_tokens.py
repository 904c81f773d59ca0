"""Do frequent tokens draw on more documents than rare ones? Every completion token of a run in one picture."""

import pandas as pd
import streamlit as st

from dashboard import data, runs
from dashboard.analyses import concentration as analyses
from dashboard.components import text, url
from dashboard.components.concentration_charts import frequency_chart
from dashboard.components.document_panel import Choice
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure
from dashboard.components.imported import imported_note
from dashboard.components.row_list import row_list

MEASURES = {"Effective number of documents": "effective_number", "Share of the top 1%": "top_share"}
SIGNIFICANT = 0.05
TOP_DOCUMENTS = 5
MAX_ROWS = 1_000
HOW_TO_READ = """
**A point** is one token of one completion of this run. Across: how often the token occurs in the corpus. Up: how many
equal documents would be as concentrated as the influence on that token alone, or the share of its top 1%.

**Correlation** is Spearman's, of ranks. Its interval resamples whole completions; its p-value shuffles frequencies
among different tokens, so that a token seen in many completions is no evidence in itself.

**Loss.** Rare tokens also surprise the model more. *Loss held constant* takes out what the ranks of the loss predict
along a straight line, *among tokens of like loss* compares only those, in ten groups.

**What this cannot tell.** Completions were chosen by somebody, not drawn at random. What goes with frequency may be
owed to something else that does, such as the kind of word or the place in the completion.
"""


def rare_and_frequent(choice: Choice, sign: analyses.Sign) -> None:
    """Show every completion token of the run by its frequency; one that is clicked leads to its documents.

    Args:
        choice: Run and completion.
        sign: What is measured.
    """
    if imported_note(choice.run, "Tokens of completions cannot be compared"):
        return
    label = st.segmented_control(
        "Concentration as", list(MEASURES), default=next(iter(MEASURES)), required=True, key="measure",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    label = label if label in MEASURES else next(iter(MEASURES))
    measure, run = MEASURES[label], choice.run
    with st.spinner("Measuring every completion token of the run; the next time it is there at once."):
        tokens = analyses.every_token(run, sign)
        link = analyses.frequency_link(run, sign, measure)
    tokens = tokens[tokens[measure].notna()].reset_index(drop=True)
    if tokens.empty:
        st.info("No document has influence of this direction. Look at the other one.", icon=":material/swap_vert:")
        return
    _answer(link, measure)
    names = {completion.query: completion.label for completion in data.completions(run)}
    figure = frequency_chart(tokens, measure, label, choice.completion.query, names)
    table = _table(tokens, names)
    download(
        {"Each token": table, "Correlation": link.assign(measure=measure)}, _provenance(choice, sign),
        "completion_tokens", "download_completion_tokens", {"Tokens by frequency": figure},
    )  # fmt: skip
    key = f"chart_frequency_{measure}_{sign}"
    ids = {completion.query: completion.id for completion in data.completions(run)}

    def clicked() -> None:
        for point in st.session_state[key]["selection"]["points"][:1]:
            if point.get("customdata"):
                _pick(ids, str(point["customdata"]))

    show_figure(
        figure, key=key, height=460, on_select=clicked,
        alt=f"{label} of every completion token against its occurrences in the corpus; the table has the numbers.",
    )  # fmt: skip
    _picked(choice, tokens, names, sign)
    _list(table, tokens, ids, sign)
    _links(link)
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(HOW_TO_READ)


def _answer(link: pd.DataFrame, measure: str) -> None:
    rows = link.set_index("version")
    plain, matched = rows.loc["plain"], rows.loc["matched for loss"]
    if pd.isna(plain["correlation"]):
        st.markdown("## All tokens are equally frequent, or equally concentrated: there is nothing to compare.")
        return
    direction = 1 if measure == "effective_number" else -1
    more = "more" if direction * plain["correlation"] > 0 else "fewer"
    if not _is_clear(plain):
        st.markdown("## Whether frequent tokens draw on more documents than rare ones is not clear.")
    elif _is_clear(matched) and plain["correlation"] * matched["correlation"] > 0:
        st.markdown(f"## Frequent tokens draw on {more} documents than rare ones, also among tokens of like loss.")
    else:
        st.markdown(
            f"## Frequent tokens draw on {more} documents than rare ones; among tokens of like loss that is not clear."
        )
    st.markdown(
        f"Rank correlation of occurrences with this measure **{_number(plain['correlation'])}** ({_interval(plain)}, "
        f"{text.p_value(plain['p_value'])}) over {plain['tokens']:,.0f} tokens of {plain['completions']:,.0f} "
        f"completions; among tokens of like loss **{_number(matched['correlation'])}** ({_interval(matched)}, "
        f"{text.p_value(matched['p_value'])})."
    )


def _is_clear(row: pd.Series) -> bool:
    """Whether interval and p-value both leave no correlation out."""
    return row["p_value"] < SIGNIFICANT and row["low"] * row["high"] > 0


def _picked(choice: Choice, tokens: pd.DataFrame, names: dict[int, str], sign: str) -> None:
    """The token in the address: its numbers, its documents, and the way to them."""
    id_of, _, place = url.get("point").rpartition(":")
    queries = [one.query for one in data.completions(choice.run) if one.id == id_of]
    found = tokens[tokens["query"].isin(queries) & (tokens["token"].astype(str) == place)]
    if found.empty:
        st.caption("Choose a point, or a row of the table, to see the token's documents.")
        return
    row = found.iloc[0]
    query, token = int(row["query"]), int(row["token"])
    with st.container(border=True):
        st.markdown(
            f"**“{text.escape(row['text'])}”** in {text.escape(names[query])}: {row['occurrences']:,} times in the "
            f"corpus, in {row['document_frequency']:,} documents; loss {row['loss']:.2f} nats; effective number "
            f"{row['effective_number']:,.0f}, top 1% {text.share(row['top_share'])}."
        )
        ranking = data.ranking(choice.run, query, (token,))
        if sign == "both":
            ranking = ranking.sort_values("influence", key=abs, ascending=False)
        else:
            ranking = data.select(ranking, sign == "positive", (), ())
        shown = ranking.head(TOP_DOCUMENTS)
        st.dataframe(
            shown.assign(title=shown["title"].map(text.plain), source=shown["source"].map(text.plain)),
            key="documents_of_point", hide_index=True, column_order=["title", "source", "influence", "share"],
            alt="The strongest documents of the chosen token",
            column_config={
                "title": "Document", "source": "Source",
                "influence": st.column_config.NumberColumn("Influence", format="%+.3g", help=choice.unit),
                "share": st.column_config.NumberColumn(
                    "Share", format="percent", help="Of all that raised it, or of all that lowered it."
                ),
            },
        )  # fmt: skip
        st.page_link(
            "views/influence.py", label="All its documents", icon=":material/alt_route:",
            query_params=runs.run_address() | {"query": id_of, "tokens": str(token)},
        )  # fmt: skip


def _table(tokens: pd.DataFrame, names: dict[int, str]) -> pd.DataFrame:
    """What the table shows and the download holds."""
    columns = ["token", "text", "side", "loss", "occurrences", "document_frequency", "documents", "top_share", "gini",
               "effective_number"]  # fmt: skip
    return tokens[columns].assign(token=tokens["token"] + 1, of_completion=tokens["query"].map(names))


def _list(table: pd.DataFrame, tokens: pd.DataFrame, ids: dict[int, str], sign: str) -> None:
    """Every token; choosing a row is choosing its point."""
    key = f"table_of_tokens_{sign}"

    def choose(row: int) -> None:
        _pick(ids, f"{tokens['query'][row]}:{tokens['token'][row]}")

    def clicked() -> None:
        for row in st.session_state[key]["selection"]["rows"][:1]:
            choose(row)

    number, words = st.column_config.NumberColumn, st.column_config.TextColumn
    shown = table.head(MAX_ROWS).assign(
        text=table["text"].map(lambda name: text.plain(name.replace("\n", "↵")) or "␣"),
        of_completion=table["of_completion"].map(text.plain),
    )
    st.dataframe(
        shown, key=key, hide_index=True, height=320, on_select=clicked, selection_mode="single-row",
        column_order=["text", "of_completion", "occurrences", "loss", "effective_number", "top_share", "gini"],
        alt="Completion tokens with frequency and concentration; choosing a row shows its documents",
        column_config={
            "text": words("Token", width=90), "of_completion": words("Completion", width=280),
            "occurrences": number("Occurrences", format="localized", help="In the corpus."),
            "loss": number("Loss", format="%.2f", help="Nats; minus the token's log-probability."),
            "effective_number": number("Effective number", format="%.0f", help="Of documents."),
            "top_share": number("Top 1%", format="percent", help="Share of the top 1% of its documents."),
            "gini": number("Gini", format="%.2f"),
        },
    )  # fmt: skip
    names = (f"{token or '␣'} ({of})" for token, of in zip(shown["text"], shown["of_completion"], strict=True))
    row_list("Token whose documents to show", names, f"{key}_by_name", None, choose)
    if len(table) > MAX_ROWS:
        st.caption(f"The first {MAX_ROWS:,} of {len(table):,} tokens; the download has them all.")


VERSIONS = {
    "plain": "All tokens as they are", "given loss": "Loss held constant",
    "matched for loss": "Among tokens of like loss",
}  # fmt: skip


def _links(link: pd.DataFrame) -> None:
    """The correlation in its three versions."""
    shown = pd.DataFrame(
        {
            "Compared": link["version"].map(VERSIONS),
            "Rank correlation": link["correlation"].map(_number),
            "95% interval": [_interval(row) for _, row in link.iterrows()],
            "p-value": [text.p_value(value).removeprefix("p\u00a0=\u00a0") for value in link["p_value"]],
        }
    )
    st.dataframe(shown, hide_index=True, key="table_of_links", height="content", alt="Correlation with frequency")


def _pick(ids: dict[int, str], point: str) -> None:
    query, _, token = point.rpartition(":")
    url.put("point", f"{ids[int(query)]}:{token}")


def _provenance(choice: Choice, sign: str) -> dict[str, str | float]:
    every = data.provenance(choice.run, choice.completion)
    of_one = ("completion_under_study", "prompt", "completion")
    kept = {name: value for name, value in every.items() if name not in of_one}
    return kept | {"influence_sign": sign} | analyses.DRAWN_FREQUENCY


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:+.2f}".replace("-", "−")


def _interval(row: pd.Series) -> str:
    return "no interval" if pd.isna(row["low"]) else f"{_number(row['low'])} to {_number(row['high'])}"
