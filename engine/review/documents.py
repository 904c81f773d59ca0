"""The documents of a run as decisions name them, by id and text, and the run by a hash of what it was made from."""

import hashlib
import json

from engine.review.events import DocumentKey, storable
from engine.run import Run
from engine.settings import deciding
from engine.tables import open_tables


def run_hash(run: Run) -> str:
    """SHA-256 of the settings and inputs of a run's three steps, the same wherever its folder lies."""
    steps = {"fit": run.fit, "query": run.query, "score": run.score}
    made_from = {name: [deciding(name, step["settings"]), step["inputs"]] for name, step in steps.items()}
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def document_keys(run: Run) -> list[DocumentKey]:
    """Id and SHA-256 of the text of each document of a run, in order."""
    with open_tables(documents=run.folder.documents) as tables:
        rows = tables.execute("SELECT id, sha256(text) FROM documents ORDER BY document").fetchall()
    return [DocumentKey(storable(id), content_hash) for id, content_hash in rows]
