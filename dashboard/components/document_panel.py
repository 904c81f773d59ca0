"""One training document: which of its tokens raised or lowered the completion."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import data, jobs
from dashboard.components import text, url
from dashboard.components.downloads import download
from dashboard.components.heat_map import heat_map
from dashboard.components.job_panel import job_panel
from dashboard.components.token_strip import Piece, token_strip

KINDS = {"By position": "position", "By prediction": "prediction"}
EXPLANATIONS = {
    "position": "**By position**: what flows through each token. It lights up the token *before* the one that is "
    "predicted.",
    "prediction": "**By prediction**: the influence of predicting each token, that is, what dropping this one loss "
    "term would take away.",
}
NO_OTHER = {
    "position": "Influence by prediction was not imported.",
    "prediction": "Influence was sampled in this run, so there is none by position.",
    "imported": "Influence by position was not imported.",
}
NO_TOKENS = (
    "Influence of tokens was not imported with this run, and without its model and curvature none can be computed."
)
MAX_PIECES = 100_000
TABLE_ROWS = 200
TABLE_PX = 560


@dataclass(frozen=True)
class Choice:
    """What the page is about.

    Attributes:
        run: The run.
        completion: The completion under study.
        tokens: Chosen completion tokens; empty for the whole completion.
    """

    run: data.Run
    completion: data.Completion
    tokens: tuple[int, ...]

    @property
    def unit(self) -> str:
        """Unit of every influence on the page."""
        return self.run.influence_unit

    @property
    def rows(self) -> list[int]:
        """Chosen completion tokens, spelled out."""
        return list(self.tokens) or self.run.tokens_of_query(self.completion.query)["token"].tolist()


def document_panel(choice: Choice, document: pd.Series) -> None:
    """Show a document.

    Args:
        choice: Run, completion and its chosen tokens.
        document: The document's row of the ranking.
    """
    st.subheader(text.escape(document["title"]), anchor=False)
    st.markdown(
        f"{text.escape(document['source'])} · {text.escape(text.language(document['language']))} · "
        f"rank {document['rank']:,} · **{text.number(document['influence'])}** {choice.unit}"
    )
    if not choice.run.token_kinds:
        st.info(NO_TOKENS, icon=":material/info:")
        _without_influence(choice, document)
        return
    kind = choose_kind(choice.run, "by")
    number = int(document["document"])
    influence = choice.run.token_influence(choice.completion.query, number, kind)
    if influence is None:
        _not_stored(choice, document, kind)
    else:
        _tokens(choice, document, influence)


def choose_kind(run: data.Run, key: str, label_visibility: Literal["visible", "collapsed"] = "visible") -> str:
    """The definition of token influence that the reader chooses, with a word on what it means.

    Args:
        run: The run.
        key: Name of the choice in the address.
        label_visibility: Of the choice.
    """
    if len(run.token_kinds) == 1:
        (only,) = run.token_kinds
        why = NO_OTHER["imported" if run.imported and only == "prediction" else only]
        st.caption(f"{EXPLANATIONS[only]} {why}")
        return only
    label = st.segmented_control(
        "Influence of each token", list(KINDS), default="By position", required=True, key=key, bind="query-params",
        label_visibility=label_visibility,
    )  # fmt: skip
    kind = KINDS.get(label, "position")
    st.caption(EXPLANATIONS[kind])
    return kind


def document_strip(choice: Choice, document: pd.Series) -> None:
    """Show a document's text alone, with the influence of each token where that is stored.

    By position; in a run that knows none, by prediction.

    Args:
        choice: Run, completion and its chosen tokens.
        document: The document's row of the ranking.
    """
    if not choice.run.token_kinds:
        _without_influence(choice, document)
        st.caption(NO_TOKENS)
        return
    kind = choice.run.token_kinds[0]
    influence = choice.run.token_influence(choice.completion.query, int(document["document"]), kind)
    if influence is None:
        _without_influence(choice, document)
        _offer(choice, document, kind, aside=True)
        return
    body, units = data.document_units(choice.run, int(document["document"]))
    summed = data.unit_influence(influence, units)[choice.rows].sum(0)
    _strip(choice, units, _pieces(body, units, influence, choice.rows, summed))


def _not_stored(choice: Choice, document: pd.Series, kind: str) -> None:
    """Offer to compute what the run does not hold, above the text."""
    _offer(choice, document, kind)
    _without_influence(choice, document)


def _offer(choice: Choice, document: pd.Series, kind: str, aside: bool = False) -> None:
    if choice.run.imported:
        st.caption(NO_TOKENS)
        return
    wanted = (choice.run, choice.completion.query, int(document["document"]), kind)
    job = jobs.token_job(*wanted)
    if job is None or job.state == "done":
        say = st.caption if aside else st.info
        say(
            "The influence of tokens is stored beforehand only for the documents that are strongest on the whole "
            "completion. Computing it for this one takes some seconds and is kept."
        )
        st.button(
            "Compute this document's tokens",
            type="tertiary" if aside else "primary",
            on_click=jobs.submit_tokens,
            args=(*wanted, text.plain(document["title"], 80)),
        )
    else:
        job_panel(lambda: jobs.token_job(*wanted), key="tokens_job")


def _without_influence(choice: Choice, document: pd.Series) -> None:
    body, units = data.document_units(choice.run, int(document["document"]))
    pieces = [Piece(body[unit.start : unit.end], None) for unit in units[:MAX_PIECES]]
    token_strip(
        pieces, key="strip_of_document", label="The document's text", unit=choice.unit, on_choose=lambda places: None
    )


def _tokens(choice: Choice, document: pd.Series, influence: data.TokenInfluence) -> None:
    body, units = data.document_units(choice.run, int(document["document"]))
    by_row = data.unit_influence(influence, units)
    summed = by_row[choice.rows].sum(0)
    pieces = _pieces(body, units, influence, choice.rows, summed)
    table = data.token_table(body, units, summed)
    name = f"{choice.completion.query}_{int(document['document'])}_{influence.kind}"
    left, right = st.columns([0.66, 0.34], gap="medium")
    with left:
        _strip(choice, units, pieces)
        if len(pieces) > MAX_PIECES:
            st.caption(f"The first {MAX_PIECES:,} of {len(pieces):,} pieces; the table has the strongest of all.")
        _sums(summed, document, choice)
        _pinned(choice, body, units, by_row)
        _matrix(choice, body, units, by_row, f"map_{name}")
    with right:
        _top(table, choice, f"top_{name}")
        download(
            table.assign(
                place=table["place"] + 1,  # as the table beside it counts; the start token is 0
                document=document["id"],
                title=document["title"],
                token_influence=influence.kind,
            ),
            data.provenance(choice.run, choice.completion) | {"completion_tokens": ",".join(map(str, choice.rows))},
            "token_influence",
            f"download_{name}",
        )


def _strip(choice: Choice, units: list[data.Unit], pieces: list[Piece]) -> None:
    token_strip(
        pieces[:MAX_PIECES],
        key="strip_of_document",
        label="The document's text with the influence of each token",
        unit=choice.unit,
        selected=_picked(units),
        on_choose=lambda places: url.put("token", str(places[0]) if places else ""),
    )


def _pieces(
    body: str, units: list[data.Unit], influence: data.TokenInfluence, rows: list[int], summed: np.ndarray
) -> list[Piece]:
    """The document as the strip shows it; the start token comes first where it has influence."""
    of_tokens = influence.of_tokens[rows].sum(0)
    pieces = [Piece("", float(summed[0]), data.START_PLACE)] if summed[0] else []
    for unit, value in zip(units, summed[1:], strict=True):
        text_of = body[unit.start : unit.end]
        if not unit.tokens:
            pieces.append(Piece(text_of, None))
            continue
        parts = tuple(of_tokens[list(unit.tokens)].tolist()) if len(unit.tokens) > 1 else ()
        pieces.append(Piece(text_of, float(value), unit.tokens[0], parts))
    return pieces


def _top(table: pd.DataFrame, choice: Choice, key: str) -> None:
    shown = table.head(TABLE_ROWS)
    st.dataframe(
        shown.assign(
            text=[_name(body, place) for body, place in zip(shown["text"], shown["place"], strict=True)],
            place=shown["place"] + 1,
        ),
        key=key,
        hide_index=True,
        height=TABLE_PX,
        column_order=["rank", "text", "influence", "share", "place"],
        alt="The document's tokens by strength of influence",
        column_config={
            "rank": st.column_config.NumberColumn("Rank", width=50),
            "text": st.column_config.TextColumn("Token", width=90),
            "influence": st.column_config.NumberColumn("Influence", format="%+.3g", help=choice.unit, width=80),
            "share": st.column_config.NumberColumn(
                "Share", format="percent", width=70, help="Of all that raises in this document, or of all that lowers."
            ),
            "place": st.column_config.NumberColumn("Place", width=60, help="Its number in the document."),
        },
    )
    few = f"The {TABLE_ROWS} strongest of {len(table):,} tokens; the download has them all. "
    what = "Shares: of all that raises in this document, or of all that lowers."
    st.caption((few if len(table) > TABLE_ROWS else "") + what)


def _name(body: str, place: int) -> str:
    """A token as tables and charts name it."""
    return "start" if place == data.START_PLACE else text.plain(body.replace("\n", "↵")) or "␣"


def _sums(summed: np.ndarray, document: pd.Series, choice: Choice) -> None:
    start = " (the model's start token among them)" if summed[0] else ""
    st.caption(
        f"The tokens{start} add up to {text.number(float(summed.sum()))}; the document's influence is "
        f"{text.number(document['influence'])} {choice.unit}."
    )


def _picked(units: list[data.Unit]) -> tuple[int, ...]:
    """Place of the pinned token, if any."""
    return url.numbers("token", {unit.tokens[0] for unit in units if unit.tokens})[:1]


def _pinned(choice: Choice, body: str, units: list[data.Unit], by_row: np.ndarray) -> None:
    """Say what the pinned training token did to each token of the completion."""
    for place in _picked(units):
        column, unit = next((i, unit) for i, unit in enumerate(units) if unit.tokens and unit.tokens[0] == place)
        values = by_row[:, 1 + column]
        parts = [
            f"“{text.escape(name)}” {text.number(float(values[rows].sum()))}"
            for name, rows in _completion_pieces(choice)
        ]
        st.markdown(
            f"Pinned: **“{text.escape(_name(body[unit.start : unit.end], place))}”** (token {place + 1:,}), "
            f"{text.number(float(values[choice.rows].sum()))} {choice.unit}. On each token of the completion: "
            f"{' · '.join(parts)}."
        )


def _completion_pieces(choice: Choice) -> list[tuple[str, list[int]]]:
    """Chosen pieces of the completion, and of its alternative, with the rows of their tokens."""
    found = []
    for side in data.sides(choice.run):
        body, units, _ = data.completion_units(choice.run, choice.completion.query, side)
        found += [(body[unit.start : unit.end], [row for row in unit.tokens if row in choice.rows]) for unit in units]
    return [(name, rows) for name, rows in found if rows]


def _matrix(choice: Choice, body: str, units: list[data.Unit], by_row: np.ndarray, key: str) -> None:
    st.markdown("#### Which token of the completion each training token acts on")
    rows = _completion_pieces(choice)
    columns = [(_name("", data.START_PLACE), data.START_PLACE, 0)] if by_row[:, 0].any() else []
    columns += [
        (_name(body[unit.start : unit.end], unit.tokens[0]), unit.tokens[0], 1 + i)
        for i, unit in enumerate(units)
        if unit.tokens
    ]
    values = np.stack([by_row[tokens].sum(0) for _, tokens in rows])[:, [column for _, _, column in columns]]
    heat_map(
        [(name, place + 1) for name, place, _ in columns],
        [name for name, _ in rows],
        values,
        choice.unit,
        key,
    )
