"""Scores of another program, with the texts that they are of, written as a run.

The run has documents, completions, the influence of the one on the other, BM25, and token influences where the file
has them. It has no model, curvature, gradients or hidden states, so that whatever needs these is refused. Its
completions count as one token each, as their scores are not split. It is written beside its place and moved there
when it is whole.
"""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.corpus import Counted, Query, corpus_hash, queries_hash, read_corpus, read_queries, tokenize
from engine.errors import CorpusError, RunError
from engine.importing.bergson import INFO, BergsonScores
from engine.importing.kronfluence import NAME, KronfluenceScores
from engine.importing.parquet import ParquetScores
from engine.importing.part import Part, ScoreFile, check_finite
from engine.importing.settings import TOOLS, ImportSettings
from engine.importing.tokenizing import tokenizer_of
from engine.lexical import write_lexical
from engine.machine import peak_memory, versions
from engine.progress import Progress, SilentProgress
from engine.readers.files import Skipped
from engine.readers.settings import ReadingSettings
from engine.run import TABLE_OF_KIND
from engine.store import FORMAT, RunFolder
from engine.token_pass import token_table
from engine.windows import Cutting, positions, write_corpus
from engine.writing import write_json, write_table

WHOLE = 1 << 30
"""Context in which every document is one window."""
TOGETHER = 0.01
"""Token influences must add up to their document's, within this share of the sum of their sizes."""
UNKNOWN = ("log_prob", "gradient_norm")
UNKNOWN_OF_QUERY = ("gradient_dot", "hidden")
"""Columns of a run's scores that no import knows."""


def import_scores(
    run: str | Path,
    scores: str | Path,
    corpus: str | Path,
    queries: str | Path,
    settings: ImportSettings | None = None,
    progress: Progress | None = None,
    reading: ReadingSettings | None = None,
) -> None:
    """Write a run of scores that another program computed.

    Args:
        run: Folder of the new run.
        scores: File or folder of scores.
        corpus: The documents that they are of, in the same order (Parquet may name them by id).
        queries: The completions, likewise.
        settings: Settings; None for the defaults.
        progress: Where progress is reported.
        reading: How the corpus is read; None for what is seen from it.

    Raises:
        WhenceError: If an input cannot be used, or the folder is in use.
    """
    settings, progress, path = settings or ImportSettings(), progress or SilentProgress(), Path(run)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} is there already -- an import writes a whole run -- use another --run folder.")
    folder = RunFolder(path.with_name(path.name + ".part"))
    with folder.locked():
        _clear(folder)
        try:
            _Import(folder, settings, progress).run(Path(scores), corpus, queries, reading or ReadingSettings())
        except BaseException:
            shutil.rmtree(folder.path)
            raise
        folder.path.replace(path)  # over an empty folder at most


def _clear(folder: RunFolder) -> None:
    """Remove what a killed import left."""
    for left in folder.path.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name != ".lock":
            left.unlink()


def open_scores(path: Path, settings: ImportSettings, queries: list[Query], documents: int) -> tuple[str, ScoreFile]:
    """A file of scores and its format.

    Raises:
        CorpusError: If its format is not plain, or it cannot be used.
    """
    if not path.exists():
        raise CorpusError(f"{path} is not there -- there are no scores to import -- check the name.")
    made = settings.format or _format(path)
    if made == "parquet":
        return made, ParquetScores(path, queries)
    opened = KronfluenceScores if made == "kronfluence" else BergsonScores
    return made, opened(path, len(queries), documents)


def _format(path: Path) -> str:
    names = {one.name for one in path.iterdir()} if path.is_dir() else {path.name}
    if NAME in names or any(name.endswith(".safetensors") for name in names):
        return "kronfluence"
    if INFO in names and path.is_dir():
        return "bergson"
    if any(name.endswith(".parquet") for name in names):
        return "parquet"
    raise CorpusError(f"{path}: what wrote it is not seen from its name -- give --format {', '.join(TOOLS)}.")


class _Import:
    """One import into a folder of its own."""

    def __init__(self, folder: RunFolder, settings: ImportSettings, progress: Progress) -> None:
        self.folder, self.settings, self.progress = folder, settings, progress
        self.started = time.monotonic()
        self.cutting = Cutting(0 if settings.start_token else None, WHOLE, 0)

    def run(self, scores: Path, corpus: str | Path, queries: str | Path, reading: ReadingSettings) -> None:
        """Write the run; its manifest last."""
        asked, documents = read_queries(queries), Counted(read_corpus(corpus, reading))
        hashed = corpus_hash(documents)
        made, opened = open_scores(scores, self.settings, asked, documents.count)
        if opened.has_tokens and self.settings.model is None:
            raise CorpusError(
                f"{scores} has influence of tokens -- which piece of text each number belongs to is known to the "
                "tokenizer only -- give --model NAME, the model that was scored."
            )
        tokenizer = tokenizer_of(self.settings.model)
        skipped: Skipped = Counter()
        self.progress.start("Reading the corpus", documents.count, "documents")
        counts = write_corpus(
            self.folder, read_corpus(corpus, reading, skipped), tokenizer, self.cutting, self.progress
        )
        self.progress.finish()
        self._queries(asked)
        texts = [one.prompt + one.completion for one in asked]
        self.progress.start("Lexical scores", len(asked), "queries")
        write_lexical(self.folder, [tokenize(tokenizer, text).ids for text in texts], texts)
        self.progress.finish()
        scored = self._scores(scores, opened, len(asked), documents.count)
        about = {"path": str(corpus), "reading": asdict(reading), "skipped": dict(skipped)} | counts
        kinds = [self.settings.token_kind] if opened.has_tokens else []
        imported = {"tool": TOOLS[made], "format": made, "scores": str(scores), "token_kinds": kinds}
        self._manifest((hashed, queries_hash(asked)), about, str(queries), imported, scored)

    def _queries(self, asked: list[Query]) -> None:
        """The completions, each one token, of which the model's view is unknown."""
        nothing = dict.fromkeys(("value", "log_prob"), float("nan"))
        rows = [{"query": n, **asdict(one), **nothing, "gradient_norm": float("nan")} for n, one in enumerate(asked)]
        tokens = [
            {"query": n, "token": 0, "side": "completion", "token_id": -1, "start": len(one.prompt),
             "end": len(one.prompt + one.completion), "straddles": False, **nothing}
            for n, one in enumerate(asked)
        ]  # fmt: skip
        write_table(pa.Table.from_pylist(tokens), self.folder.query_tokens)
        write_table(pa.Table.from_pylist(rows), self.folder.queries)

    def _scores(self, file: Path, opened: ScoreFile, queries: int, documents: int) -> int:
        """Tables of scores, a file a part; how many documents have them."""
        self.progress.start("Importing scores", documents, "documents")
        scored, sign = 0, -1.0 if self.settings.negate else 1.0
        for number, part in enumerate(opened.parts(self.folder.documents)):
            check_finite(file, part)
            write_table(_table(part, sign, queries), self.folder.shard("documents", number))
            for kind, table in TABLE_OF_KIND.items():
                of_kind = opened.has_tokens and kind == self.settings.token_kind
                found = self._tokens(file, opened, part, sign) if of_kind else iter(())
                write_table(token_table(found), self.folder.shard(table, number))
            scored += len(part.documents)
            self.progress.advance(len(part.documents))
        self.progress.finish()
        if not scored:
            raise CorpusError(f"{file} holds no score -- there is nothing to show -- check the file.")
        return scored

    def _tokens(self, file: Path, opened: ScoreFile, part: Part, sign: float) -> Iterator[tuple[int, int, np.ndarray]]:
        """Influence by position of each query and document, ``[1, positions]``."""
        assert part.tokens is not None
        wanted = [("document", "in", part.documents.tolist())]
        lengths = pq.read_table(self.folder.documents, columns=["tokens"], filters=wanted)["tokens"].to_pylist()
        for place, values in enumerate(part.tokens):
            document, count = int(part.documents[place]), positions(self.cutting, lengths[place])
            fitted = _fitted(file, document, values, count, opened.longest)
            _check_sum(file, document, fitted, part.influence[:, place])
            for query, row in enumerate(fitted):
                yield query, document, sign * row[None]

    def _manifest(
        self, hashes: tuple[str, str], corpus: dict[str, Any], queries: str, imported: dict[str, Any], scored: int
    ) -> None:
        """The three steps as if they had been taken; what is not known is not in it."""
        seconds, finished = time.monotonic() - self.started, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        step = {"state": "finished", "versions": versions(), "finished": finished, "seconds": 0.0}
        fit = {
            "settings": {"training_windows": None}, "inputs": {"corpus_hash": hashes[0]},
            "model": self.settings.model or "", "cutting": asdict(self.cutting), "corpus": corpus,
        }  # fmt: skip
        query = {
            "settings": {"measurement": "imported", "damping_factor": None}, "inputs": {"queries_hash": hashes[1]},
            "queries": {"path": queries},
        }  # fmt: skip
        score = {
            "settings": asdict(self.settings), "inputs": {}, "imported": imported, "seconds": round(seconds, 3),
            "results": {"scored_documents": scored}, "peak_memory_bytes": peak_memory(),
        }  # fmt: skip
        steps = {"fit": step | fit, "query": step | query, "score": step | score}
        write_json({"format": FORMAT, "steps": steps}, self.folder.path / "manifest.json")


def _table(part: Part, sign: float, queries: int) -> pa.Table:
    """A part as a table of a run's scores; what an import does not know is null."""
    columns: dict[str, Any] = {"document": part.documents.astype(np.int32)}
    nothing = pa.nulls(len(part.documents), pa.float32())
    columns |= dict.fromkeys(UNKNOWN, nothing)
    columns |= {f"influence.{query}.0": (sign * part.influence[query]).astype(np.float32) for query in range(queries)}
    return pa.table(columns | {f"{name}.{query}": nothing for name in UNKNOWN_OF_QUERY for query in range(queries)})


def _fitted(file: Path, document: int, values: np.ndarray, count: int, longest: int) -> np.ndarray:
    """Token influences ``[q, t]`` at the positions of a document, ``[q, count]``: cut where they are padded with zeros,
    filled with zeros where the last token predicts nothing, or where the document was cut at ``longest`` positions.

    Raises:
        CorpusError: If there are others than these.
    """
    found = values.shape[1]
    if values[:, count:].any() or (found < count - 1 and found != longest):
        raise CorpusError(
            f"{file}: document {document} (counted from 0) has influence at {found} positions, but {count} tokens here "
            "-- its numbers would stand beside other words -- give as --model the tokenizer that was scored with, and "
            "--start-token where it put a start token first."
        )
    return np.pad(values[:, :count], ((0, 0), (0, max(0, count - values.shape[1]))))


def _check_sum(file: Path, document: int, tokens: np.ndarray, influence: np.ndarray) -> None:
    """Refuse token influences ``[q, t]`` that do not add up to the document's, ``[q]``."""
    apart = np.abs(tokens.sum(1) - influence) > TOGETHER * np.abs(tokens).sum(1) + 1e-30
    if not np.isfinite(tokens).all() or apart.any():
        query = int((apart | ~np.isfinite(tokens).all(1)).argmax())
        raise CorpusError(
            f"{file}: the token influences of document {document} on query {query} (counted from 0) add up to "
            f"{tokens[query].sum():.4g}, its influence is {influence[query]:.4g} -- they are of different things -- "
            "export both from one computation."
        )
