"""Prompt and completion as one text, whose completion tokens can be chosen; the address keeps them as ``tokens``."""

import math

import streamlit as st

from dashboard import data
from dashboard.components import text, url
from dashboard.components.token_strip import Look, Piece, token_strip

IMPORTED = (
    "Its influences were computed by {tool} and imported: for the whole completion, not by its tokens; what the model "
    "gives it is not known here."
)


def choose_tokens(run: data.Run, completion: data.Completion, done: str = "Ranked") -> tuple[int, ...]:
    """Show prompt and completion, let tokens of the completion be chosen, and return those that are.

    Args:
        run: The run.
        completion: The completion under study.
        done: What the page does for the chosen tokens, a participle.

    Returns:
        Places of the chosen tokens; empty for the whole completion.
    """
    known = run.tokens_of_query(completion.query)
    chosen = url.numbers("tokens", set(known["token"].tolist()))
    with st.container(border=True):
        for side in data.sides(run):
            if side == "contrast":
                st.caption("Compared with this alternative:")
            _side(run, completion.query, side, chosen)
        if run.imported:
            st.caption(IMPORTED.format(tool=run.imported))
            return ()
        st.caption(
            f"The model gives it a log-probability of {text.number(completion.log_prob)} nats, "
            f"a probability of {math.exp(completion.log_prob):.2g}."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            if chosen:
                tokens = f"{len(chosen)} chosen token{'' if len(chosen) == 1 else 's'}"
                st.caption(f"{done} for {tokens} of the completion.")
                st.button(
                    "Whole completion", on_click=url.put, args=("tokens",), icon=":material/close:", type="tertiary"
                )
            else:
                st.caption(f"{done} for the whole completion. Choose tokens of it to see those only.")
        if known["straddles"].any():
            st.caption("The completion's first token begins inside the prompt; it is counted whole.")
    return chosen


def _side(run: data.Run, query: int, side: str, chosen: tuple[int, ...]) -> None:
    """The completion, or what it is compared with, after its prompt."""
    body, units, rows = data.completion_units(run, query, side)
    log_probs = dict(zip(rows["token"], rows["log_prob"], strict=True))
    first_of = {token: unit.tokens[0] for unit in units for token in unit.tokens}
    whole = {unit.tokens[0]: unit.tokens for unit in units if unit.tokens}
    pieces = [
        Piece(
            body[unit.start : unit.end],
            sum(log_probs[token] for token in unit.tokens) if unit.tokens and not run.imported else None,
            unit.tokens[0] if unit.tokens else 0,
            tuple(log_probs[token] for token in unit.tokens if not run.imported),
        )
        for unit in units
    ]

    def choose(places: list[int]) -> None:
        kept = set(chosen) - set(first_of)  # of the other side
        tokens = kept | {token for place in places for token in whole.get(place, ())}
        every = len(tokens) == len(run.tokens_of_query(query))
        url.put("tokens", "" if every else ",".join(map(str, sorted(tokens))))

    token_strip(
        pieces,
        key=f"strip_of_{side}",
        label="The prompt and its completion; choose tokens of the completion",
        unit="nats log-probability",
        look=Look(mode="choices"),
        selected=sorted({first_of[token] for token in chosen if token in first_of}),
        on_choose=choose,
    )
