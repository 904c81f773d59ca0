"""The pages' door to the map of documents: as the worker kept it, and what lies near what. No torch."""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.runs import OF_RUN
from engine.analysis import nearness
from engine.analysis.nearness import Nearness
from engine.document_map import DocumentMap, read_map
from engine.run import Run

__all__ = ["DocumentMap", "Nearness"]


def document_map(run: Run, features: str) -> DocumentMap | None:
    """The map of a run's documents; None where there is none that this version reads."""
    file = run.folder.map(features)
    return _map(run, features, file.stat().st_mtime_ns) if file.is_file() else None


def is_of_another_version(run: Run, features: str) -> bool:
    """Whether a map is there, but in a format that this version does not read."""
    return run.folder.map(features).is_file() and document_map(run, features) is None


@st.cache_data(max_entries=6, show_spinner=False, hash_funcs=OF_RUN)
def _map(run: Run, features: str, changed: int) -> DocumentMap | None:
    return read_map(run.folder, features)


_OF_MAP = {DocumentMap: lambda found: (found.settings.features, found.settings.seed, found.places.tobytes())}


@st.cache_data(max_entries=6, show_spinner=False, hash_funcs=OF_RUN | _OF_MAP)
def map_table(run: Run, found: DocumentMap) -> pd.DataFrame:
    """The map's documents: document, id, title, source, language, x, y."""
    table = run.documents.set_index("document").loc[found.documents, ["id", "title", "source", "language"]]
    return table.assign(x=found.places[:, 0], y=found.places[:, 1]).reset_index()


@st.cache_data(max_entries=6, show_spinner=False, hash_funcs=_OF_MAP)
def _neighbours(found: DocumentMap) -> np.ndarray:
    return nearness.neighbours(found.places)


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=OF_RUN | _OF_MAP)
def nearness_of_labels(run: Run, found: DocumentMap, by: str) -> Nearness:
    """How often a document's neighbours on the map share its source or language."""
    return nearness.same_label(map_table(run, found)[by].tolist(), _neighbours(found))


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=OF_RUN | _OF_MAP)
def nearness_of_influence(run: Run, found: DocumentMap, query: int) -> Nearness:
    """How well neighbours' influence on a completion foretells a document's own; documents without a score left out."""
    table = run.influence(query, baselines=False).set_index("document")
    influence = table["influence"].reindex(found.documents).to_numpy()
    scored = np.isfinite(influence)
    near = _neighbours(found) if scored.all() else nearness.neighbours(found.places[scored])
    return nearness.foretold(influence[scored], near)


def inside_area(table: pd.DataFrame, corners: list[tuple[float, float]]) -> pd.DataFrame:
    """The documents of a map that lie inside a drawn outline."""
    return table[nearness.inside(table[["x", "y"]].to_numpy(), corners)].reset_index(drop=True)
