"""What a run says of its completions and documents: cached reads. No torch."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.components import text
from dashboard.runs import OF_RUN
from engine.analysis.document_tokens import START_PLACE, scale_of, token_table, unit_influence
from engine.analysis.ranking import Size, headline, rank_by_size, rank_documents
from engine.analysis.units import Unit, display_units
from engine.corpus import Tokens
from engine.mixing import mixing, sampled
from engine.run import Run, TokenInfluence

__all__ = [
    "START_PLACE", "Run", "TokenInfluence", "Unit", "headline", "mixing", "sampled", "scale_of", "token_table",
    "unit_influence",
]  # fmt: skip


@dataclass(frozen=True)
class Completion:
    """A completion under study, as the address and the pages name it.

    Attributes:
        query: Its number.
        id: Its id, for the address.
        label: Its title, made unique.
        kind: Its kind.
        prompt: Text before it.
        text: The completion.
        contrast: The completion it is compared with; else empty.
        log_prob: Log-probability the model gives it, nats.
    """

    query: int
    id: str
    label: str
    kind: str
    prompt: str
    text: str
    contrast: str
    log_prob: float


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=OF_RUN)
def completions(run: Run) -> list[Completion]:
    """The completions under study of a run, in order."""
    seen: dict[str, int] = {}
    found = []
    for row in run.queries.itertuples():
        title = " ".join(str(row.title).split()) or "Untitled"
        seen[title] = seen.get(title, 0) + 1
        label = title if seen[title] == 1 else f"{title} ({seen[title]})"
        found.append(
            Completion(row.query, row.id, label, row.kind, row.prompt, row.completion, row.contrast, row.log_prob)
        )
    return found


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=OF_RUN)
def ranking(run: Run, query: int, tokens: tuple[int, ...] = (), size: Size | None = None) -> pd.DataFrame:
    """Documents by influence on a completion, or on its tokens ``tokens`` (:func:`rank_documents`).

    With a ``size`` by influence over it, the column ``normalised`` (:func:`rank_by_size`).

    Adds ``id`` and, where the size of the training set is known, ``left_out``: the predicted
    change of the measurement on leaving the document out. Not to be changed by who asks: copies of
    a million rows would cost each page a quarter of a second.
    """
    chosen = tokens or None
    table = rank_documents(run, query, chosen) if size is None else rank_by_size(run, query, size, chosen)
    table["id"] = run.documents["id"].take(table["document"]).to_numpy()
    if run.training_windows:
        table["left_out"] = -table["influence"] / run.training_windows
    return table


def select(table: pd.DataFrame, raised: bool, sources: Collection[str], languages: Collection[str]) -> pd.DataFrame:
    """Documents of a ranking that raised (or lowered) the completion, the strongest first.

    Args:
        table: A :func:`ranking`.
        raised: Those with positive influence; else those with negative.
        sources: Sources to keep; empty for all.
        languages: Languages to keep; empty for all.
    """
    table = table[table["influence"] > 0] if raised else table[table["influence"] < 0].iloc[::-1]
    for column, wanted in (("source", sources), ("language", languages)):
        if wanted:
            table = table[table[column].isin(list(wanted))]
    return table.reset_index(drop=True)


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=OF_RUN)
def document_units(run: Run, document: int) -> tuple[str, list[Unit]]:
    """A document's text and the pieces it is shown in."""
    text = run.text(document)
    return text, display_units(text, run.document_tokens(document))


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=OF_RUN)
def completion_units(run: Run, query: int, side: str = "completion") -> tuple[str, list[Unit], pd.DataFrame]:
    """Prompt and completion as one text, its pieces, and the rows of its tokens.

    Args:
        run: The run.
        query: Number of the query.
        side: ``completion``, or ``contrast`` for what it is compared with.

    Returns:
        The text; its units, whose ``tokens`` are places in the completion; the token rows.
    """
    row = run.queries.set_index("query").loc[query]
    rows = run.tokens_of_query(query)
    rows = rows[rows["side"] == side].reset_index(drop=True)
    tokens = Tokens(*(rows[name].to_numpy(dtype="int32") for name in ("token_id", "start", "end")))
    text = row["prompt"] + row[side]
    places = rows["token"].tolist()
    units = [
        Unit(unit.start, unit.end, tuple(places[token] for token in unit.tokens))
        for unit in display_units(text, tokens)
    ]
    return text, units, rows


def sides(run: Run) -> tuple[str, ...]:
    """What completion tokens belong to: the completion and, where it is measured, its alternative."""
    return ("completion", "contrast") if run.measurement == "contrast" else ("completion",)


def provenance(run: Run, completion: Completion) -> dict[str, str | float]:
    """What every downloaded row says about where it comes from."""
    return {
        "run": run.name,
        "model": run.model_name,
        "completion_under_study": completion.label,
        "prompt": completion.prompt,
        "completion": completion.text,
        "measurement": text.MEASUREMENTS[run.measurement],
        "influence_unit": run.influence_unit,
        "curvature": run.estimator,
        "damping_factor": run.query["settings"]["damping_factor"],
        "computed": run.score.get("finished", ""),
    }
