"""Questions answered while the user waits: what needs the model of a finished run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from engine.directions import read_directions
from engine.ekfac import LayerFactors
from engine.errors import RunError
from engine.factors import load_fitted, read_factors, run_cutting
from engine.model import LanguageModel
from engine.progress import Progress, SilentProgress
from engine.run import Run, TokenInfluence
from engine.sampled_scores import sampled_prediction, stored_readings
from engine.token_pass import Scorer, TokenCompute, token_table
from engine.windows import document_windows, positions
from engine.writing import write_table


@dataclass
class LoadedRun:
    """A finished run with its model and factors in memory."""

    run: Run
    model: LanguageModel
    layers: list

    @cached_property
    def factors(self) -> dict[str, LayerFactors]:
        return read_factors(self.run.folder, str(self.model.device))


def load_run(path: str | Path) -> LoadedRun:
    """Open a run and load the model it was made with.

    Raises:
        RunError: If a step is not finished or the model is another one.
    """
    run = Run(path)
    return LoadedRun(run, *load_fitted(run.folder))


def query_scorer(loaded: LoadedRun, query: int) -> Scorer:
    """What scores any windows for one query, along the very directions the run was scored with.

    Raises:
        RunError: If the run has no such query, or was sampled.
    """
    loaded.run.need_directions()
    reader, device = loaded.run, str(loaded.model.device)
    counts = reader.query_tokens.groupby("query").size().tolist()
    if not 0 <= query < len(counts):
        raise RunError(f"query {query} is not in this run -- it has queries 0 to {len(counts) - 1}.")
    directions = read_directions(reader.folder, [query], counts, loaded.factors, device)
    return Scorer(loaded.model, loaded.layers, directions, {query: 0}, reader.score["settings"]["batch_tokens"])


def token_influence(
    run: str | Path | LoadedRun,
    query: int,
    document: int,
    kind: str = "position",
    progress: Progress | None = None,
) -> TokenInfluence:
    """Token influences of any document on a completion, computed and kept if they are not stored.

    Args:
        run: Folder of a finished run, or the loaded run.
        query: Number of the query.
        document: Number of the document.
        kind: ``position`` or ``prediction``.
        progress: Where progress is reported.

    Raises:
        RunError: If the run is not finished, has no such query or document, or was sampled and has none by position.
    """
    progress = progress or SilentProgress()
    reader = run.run if isinstance(run, LoadedRun) else Run(run)
    stored = reader.token_influence(query, document, kind)
    if stored is not None:
        return stored
    length = len(reader.document_tokens(document))
    cutting = run_cutting(reader.folder)
    windows = document_windows(reader.folder, document, cutting)
    compute = _compute(run, reader, query, kind)
    repeats = len(reader.tokens_of_query(query)) if kind == "prediction" else 1
    progress.start("Token influence", repeats * sum(len(window) for window in windows))
    found = compute({document: [query]}, windows, {document: positions(cutting, length)}, progress)
    write_table(token_table(found), reader.folder.on_demand(kind, query, document))
    progress.finish()
    result = reader.token_influence(query, document, kind)
    assert result is not None
    return result


def _compute(run: str | Path | LoadedRun, reader: Run, query: int, kind: str) -> TokenCompute:
    """What computes token influences; of a sampled run its readings, without the model."""
    if kind not in reader.token_kinds:
        reader.need_directions()
    if reader.is_sampled:
        return partial(sampled_prediction, stored_readings(reader.folder))
    scorer = query_scorer(run if isinstance(run, LoadedRun) else load_run(run), query)
    return {"position": scorer.position, "prediction": scorer.prediction}[kind]


def influence_by_layer(
    loaded: LoadedRun, scorer: Scorer, query: int, documents: Sequence[int]
) -> dict[int, dict[str, tuple[float, float]]]:
    """Influence and gradient dot of some documents on a completion by layer, by document; nothing is kept.

    Args:
        loaded: The loaded run.
        scorer: Of the query, by :func:`query_scorer`.
        query: Number of the query.
        documents: Numbers of the documents.
    """
    cutting = run_cutting(loaded.run.folder)
    windows = [window for number in documents for window in document_windows(loaded.run.folder, number, cutting)]
    found = scorer.layers_of_documents({number: [query] for number in documents}, windows, SilentProgress())
    return {document: of for (_, document), of in found.items()}
