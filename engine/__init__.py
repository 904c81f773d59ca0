"""Per-token influence of training documents on a causal language model, by EK-FAC.

Three verbs, each of which reads a run folder and writes the next part of it::

    fit(run, model, corpus)  ->  query(run, queries)  ->  score(run)

and :class:`Run` reads the result. Importing this package loads neither torch nor
transformers; the verbs do when they are first used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.analysis.ranking import rank_documents
from engine.corpus import Document, Query, read_corpus, read_queries
from engine.errors import Cancelled, CorpusError, ModelError, RunError, WhenceError
from engine.readers.settings import ReadingSettings
from engine.run import Run, TokenInfluence
from engine.settings import FitSettings, QuerySettings, ScoreSettings

# Idle threads of a parallel product sleep rather than spin: with a browser, a dashboard and a
# worker on few cores, spinning made a fit 1.5 times as slow. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from engine.ablations import ablate
    from engine.factors import fit
    from engine.live import token_influence
    from engine.loading import load_model
    from engine.queries import query
    from engine.scores import score

__version__ = "0.1.0"
__all__ = [
    "Cancelled",
    "CorpusError",
    "Document",
    "FitSettings",
    "ModelError",
    "Query",
    "QuerySettings",
    "ReadingSettings",
    "Run",
    "RunError",
    "ScoreSettings",
    "TokenInfluence",
    "WhenceError",
    "ablate",
    "fit",
    "load_model",
    "query",
    "rank_documents",
    "read_corpus",
    "read_queries",
    "score",
    "token_influence",
]

_HEAVY = {
    "ablate": "engine.ablations",
    "fit": "engine.factors",
    "load_model": "engine.loading",
    "query": "engine.queries",
    "score": "engine.scores",
    "token_influence": "engine.live",
}


def __getattr__(name: str) -> Any:
    if name in _HEAVY:
        return getattr(import_module(_HEAVY[name]), name)
    raise AttributeError(f"module 'engine' has no attribute {name!r}")
