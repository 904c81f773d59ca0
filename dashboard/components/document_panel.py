"""One training document: which of its tokens raised or lowered the completion."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components import text, url
from dashboard.components.downloads import download
from dashboard.components.heat_map import heat_map
from dashboard.components.job_panel import job_panel
from dashboard.components.token_strip import START, Piece, token_strip

KINDS = {"By position": "position", "By prediction": "prediction"}
EXPLANATIONS = {
    "position": "**By position**: what flows through each token. It lights up the token *before* the one that is "
    "predicted.",
    "prediction": "**By prediction**: the influence of predicting each token, that is, what dropping this one loss "
    "term would take away.",
}
MAX_PIECES = 100_000
TABLE_ROWS = 200


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
        return f"{self.run.unit} per unit of weight"

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
    label = st.segmented_control(
        "Influence of each token", list(KINDS), default="By position", required=True, key="by", bind="query-params"
    )
    kind = KINDS.get(label, "position")
    st.caption(EXPLANATIONS[kind])
    number = int(document["document"])
    influence = choice.run.token_influence(choice.completion.query, number, kind)
    if influence is None:
        _not_stored(choice, document, kind)
    else:
        _tokens(choice, document, influence)


def _not_stored(choice: Choice, document: pd.Series, kind: str) -> None:
    """Offer to compute what the run does not hold."""
    wanted = (choice.run, choice.completion.query, int(document["document"]), kind)
    job = data.token_job(*wanted)
    if job is None or job.state == "done":
        st.info(
            "The influence of this document's tokens is stored only for the strongest documents. "
            "Computing it takes some seconds and is kept."
        )
        st.button(
            "Compute this document's tokens",
            type="primary",
            on_click=data.submit_tokens,
            args=(*wanted, text.plain(document["title"], 80)),
        )
        return
    job_panel(lambda: data.token_job(*wanted), key="tokens_job")


def _tokens(choice: Choice, document: pd.Series, influence: data.TokenInfluence) -> None:
    body, units = data.document_units(choice.run, int(document["document"]))
    summed = influence.influence[choice.rows].sum(0)
    pieces = _pieces(body, units, influence, summed)
    name = f"{choice.completion.query}_{int(document['document'])}_{influence.kind}"
    left, right = st.columns([0.64, 0.36], gap="medium")
    with left:
        token_strip(
            pieces[:MAX_PIECES],
            key=f"strip_{name}",
            label="The document's text with the influence of each token",
            unit=choice.unit,
            selected=_picked(pieces),
            on_choose=_pick,
        )
        if len(pieces) > MAX_PIECES:
            st.caption(f"The first {MAX_PIECES:,} of {len(pieces):,} pieces of the text; the table has the strongest of all.")
    with right:
        table = _table(pieces)
        _top(table, choice, f"top_{name}")
    _sums(summed, influence, document, choice)
    _picked_token(choice, pieces, units, influence)
    st.markdown("##### Which token of the completion each training token acts on")
    _matrix(choice, pieces, units, influence, f"map_{name}")
    download(
        table.assign(document=document["id"], title=document["title"], token_influence=influence.kind),
        data.provenance(choice.run, choice.completion) | {"completion_tokens": ",".join(map(str, choice.rows))},
        "token_influence",
        f"download_{name}",
    )


def _pieces(body: str, units: list[data.Unit], influence: data.TokenInfluence, summed: np.ndarray) -> list[Piece]:
    """The document as the strip shows it; the start token comes first where it has a value."""
    offset = int(influence.has_start)
    pieces = [Piece("", float(summed[0]), START)] if offset and summed[0] else []
    for unit in units:
        values = tuple(float(summed[token + offset]) for token in unit.tokens)
        value = sum(values) if values else None
        place = unit.tokens[0] if unit.tokens else 0
        pieces.append(Piece(body[unit.start : unit.end], value, place, values if len(values) > 1 else ()))
    return pieces


def _table(pieces: list[Piece]) -> pd.DataFrame:
    """Scored pieces, the strongest first, with their share of all that raises or all that lowers."""
    scored = [piece for piece in pieces if piece.value is not None]
    table = pd.DataFrame(
        {
            "token": [text.plain(piece.text.replace("\n", "↵")) or ("start" if piece.place == START else "␣") for piece in scored],
            "place": [piece.place + 1 for piece in scored],
            "influence": [piece.value for piece in scored],
        }
    )
    signs = np.sign(table["influence"])
    totals = table["influence"].abs().groupby(signs).transform("sum")
    table["share"] = (table["influence"].abs() / totals.where(totals > 0)).fillna(0.0)
    return table.sort_values("influence", key=abs, ascending=False, kind="stable", ignore_index=True)


def _top(table: pd.DataFrame, choice: Choice, key: str) -> None:
    st.dataframe(
        table.head(TABLE_ROWS),
        key=key,
        hide_index=True,
        height=560,
        alt="The document's tokens by strength of influence",
        column_config={
            "token": st.column_config.TextColumn("Token"),
            "place": st.column_config.NumberColumn("Place", help="Its number in the document; 0 is the start token."),
            "influence": st.column_config.NumberColumn("Influence", format="%+.3g", help=choice.unit),
            "share": st.column_config.NumberColumn(
                "Share", format="percent", help="Of all that raises in this document, or of all that lowers."
            ),
        },
    )


def _sums(summed: np.ndarray, influence: data.TokenInfluence, document: pd.Series, choice: Choice) -> None:
    start = " (the model's start token included)" if influence.has_start and summed[0] else ""
    st.caption(
        f"The tokens{start} add up to {text.number(float(summed.sum(dtype=np.float64)))}; the document's influence is "
        f"{text.number(document['influence'])} {choice.unit}."
    )


def _picked(pieces: list[Piece]) -> tuple[int, ...]:
    return url.numbers("token", {piece.place for piece in pieces if piece.value is not None})[:1]


def _pick(places: list[int]) -> None:
    url.put("token", str(places[0]) if places and places[0] >= 0 else "")


def _picked_token(choice: Choice, pieces: list[Piece], units: list[data.Unit], influence: data.TokenInfluence) -> None:
    """Say what a pinned training token did to each token of the completion."""
    picked = _picked(pieces)
    unit = next((unit for unit in units if picked and unit.tokens and unit.tokens[0] == picked[0]), None)
    if unit is None:
        return
    piece = next(piece for piece in pieces if piece.place == picked[0] and piece.value is not None)
    values = influence.of_tokens[:, list(unit.tokens)].sum(1)
    parts = [f"“{text.escape(name)}” {text.number(float(values[rows].sum()))}" for name, rows in _completion_pieces(choice)]
    st.markdown(
        f"Pinned: **“{text.escape(piece.text.replace(chr(10), '↵'))}”** (token {piece.place + 1:,}), "
        f"{text.number(piece.value or 0.0)} {choice.unit}. On each token of the completion: {' · '.join(parts)}."
    )


def _completion_pieces(choice: Choice) -> list[tuple[str, list[int]]]:
    """Chosen pieces of the completion and the rows of their tokens."""
    found = []
    for side in ("completion", "contrast") if choice.completion.contrast else ("completion",):
        body, units, _ = data.completion_units(choice.run, choice.completion.query, side)
        found += [
            (body[unit.start : unit.end], [token for token in unit.tokens if token in choice.rows])
            for unit in units
        ]
    return [(name, rows) for name, rows in found if rows]


def _matrix(choice: Choice, pieces: list[Piece], units: list[data.Unit], influence: data.TokenInfluence, key: str) -> None:
    rows = _completion_pieces(choice)
    by_row = np.stack([influence.influence[tokens].sum(0) for _, tokens in rows])
    offset = int(influence.has_start)
    scored = [piece for piece in pieces if piece.value is not None]
    columns = [by_row[:, 0]] if scored and scored[0].place == START else []
    columns += [by_row[:, [token + offset for token in unit.tokens]].sum(1) for unit in units if unit.tokens]
    heat_map(scored, np.stack(columns, axis=1), [name for name, _ in rows], choice.unit, key)
