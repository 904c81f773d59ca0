"""Strongest documents with their order reversed, scored by the model as :mod:`engine.ablations` does, for findings.

Three variants of the documents that lead by influence, and by gradient dot, on each completion; both scores come from
one pass. A completion's scores are kept in the run under a name made of all they depend on, so that a killed
measurement goes on where it stopped. The model is not trained anew.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engine.analysis.ablation import noise_level
from engine.findings.rules import TOP
from engine.findings.study import CONTROLS, INFLUENCE, Study, key_of, score_matrices
from engine.findings.texts import strongest, texts
from engine.progress import SilentProgress
from engine.run import Run
from engine.subject import document_frequency, find_subject, prompt_words
from engine.variants import remove, reverse_words
from engine.writing import write_table

if TYPE_CHECKING:
    from engine.live import LoadedRun

FLIPPED, REVERSED, DELETED = "relation_flipped", "words_reversed", "subject_removed"
SCORES = {INFLUENCE: INFLUENCE, "gradient_dot": CONTROLS["gradient_dot"]}
"""Columns of :meth:`engine.run.Run.influence` that one pass gives, and their names on pages."""
FORMAT = 1
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("score", "variant")),
        *((name, pa.int32()) for name in ("query", "document")),
        *((name, pa.float64()) for name in ("original", "influence", "noise")),
    ]
)


def scored_variants(study: Study) -> pd.DataFrame:
    """Variants of the :data:`TOP` documents strongest on each completion, by each of :data:`SCORES`.

    Returns:
        One row per score, completion, document and variant, strongest documents first: score, variant, query,
        document, original and influence (of document and variant, by that score), noise (19 of 20 unrelated documents
        stay below it), and control and draw as :func:`engine.analysis.word_order.effects` takes them.

    Raises:
        WhenceError: If variants are not kept and the model does not load.
    """
    queries = study.run.queries["query"].tolist()
    files = {query: _file(study.run, query) for query in queries}
    todo = [query for query, file in files.items() if not file.is_file()]
    if todo:
        _score(study, {query: files[query] for query in todo})
    tables = [pq.read_table(file, schema=_SCHEMA) for file in files.values()]
    return pa.concat_tables(tables).to_pandas().assign(control=False, draw=0)


def _file(run: Run, query: int) -> Path:
    """Where a completion's scores are kept."""
    return run.folder.reversed_order(query, key_of(run, FORMAT, TOP))


def _score(study: Study, files: Mapping[int, Path]) -> None:
    from engine.live import load_run

    loaded = load_run(study.run.path)
    study.progress.start("Scoring documents in reversed order", len(files), "completions")
    matrices = score_matrices(study.run)
    rows = {query: place for place, query in enumerate(study.run.queries["query"].tolist())}
    scores = {query: {name: matrices[name][rows[query]] for name in SCORES} for query in files}
    tops = {query: {name: _top(of[name]) for name in SCORES} for query, of in scores.items()}
    wanted = {document for top in tops.values() for documents in top.values() for document in documents}
    held = {place: text for place, text in enumerate(texts(study.run)) if place in wanted}
    flipped = _flipped(study.run)
    for query, file in files.items():
        made = _variants(study.run, query, held, flipped, sorted(set().union(*tops[query].values())))
        values = dict(zip(made, _values(loaded, query, list(made.values())).T, strict=True)) if made else {}
        kept = [row for name in SCORES for row in _rows(query, name, scores[query][name], tops[query][name], values)]
        write_table(pa.Table.from_pylist(kept, schema=_SCHEMA), file)
        study.progress.advance(1)
    study.progress.finish()


def _flipped(run: Run) -> dict[int, str]:
    """Texts with the relation told the other way round, of the documents that the corpus records one of."""
    file = run.folder.documents
    if FLIPPED not in pq.read_schema(file).names:
        return {}  # a run of an earlier version
    column = pq.read_table(file, columns=[FLIPPED])[FLIPPED].to_pylist()
    return {place: text for place, text in enumerate(column) if text}


def _top(scores: np.ndarray) -> list[int]:
    """Numbers of the documents that raised the completion most."""
    top = strongest(scores, TOP)
    documents: list[int] = top[scores[top] > 0].tolist()
    return documents


def _variants(
    run: Run, query: int, held: Mapping[int, str], flipped: Mapping[int, str], documents: list[int]
) -> dict[tuple[int, str], str]:
    """Texts by document and variant; what changes nothing is left out."""
    prompt = str(run.queries.set_index("query").at[query, "prompt"])
    holding = document_frequency(run, prompt_words(prompt))
    made = {}
    for document in documents:
        text = held[document]
        made[document, REVERSED] = reverse_words(text).text
        made[document, FLIPPED] = flipped.get(document) or text
        deleted = remove(DELETED, text, find_subject(prompt, text, holding, len(run.documents)))
        made[document, DELETED] = deleted.text if deleted else text
    return {(document, name): text for (document, name), text in made.items() if text != held[document]}


def _values(loaded: "LoadedRun", query: int, of: list[str]) -> np.ndarray:
    """Scores of texts as the corpus pass would give them, in the order of :data:`SCORES`, float64 ``[2, n]``."""
    from engine.corpus import tokenize
    from engine.document_pass import score_documents
    from engine.factors import run_cutting
    from engine.live import query_scorer

    scorer, cutting = query_scorer(loaded, query), run_cutting(loaded.run.folder)
    windows = [
        window
        for place, text in enumerate(of)
        for window in cutting.windows(place, str(place), tokenize(loaded.model.tokenizer, text).ids)
    ]
    places = list(range(len(of)))
    found = score_documents(
        loaded.model, loaded.layers, scorer.directions, places, windows, scorer.batch_tokens, SilentProgress()
    ).rows.numpy()
    return np.stack([found[:-1].sum(0), found[-1]])  # completion tokens' rows, then the plain gradient's


def _rows(
    query: int, name: str, scores: np.ndarray, top: list[int], values: Mapping[tuple[int, str], np.ndarray]
) -> list[dict[str, object]]:
    """Of one score, ``[d]`` of all documents."""
    noise = noise_level(pd.DataFrame({"influence": scores}).dropna())
    place = list(SCORES).index(name)
    return [
        {"score": SCORES[name], "variant": variant, "query": query, "document": document,
         "original": float(scores[document]), "influence": float(values[document, variant][place]), "noise": noise}
        for document in top for variant in (FLIPPED, REVERSED, DELETED) if (document, variant) in values
    ]  # fmt: skip
