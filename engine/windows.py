"""The corpus inside a run: written once as tables, cut into windows again for each pass."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.corpus import Document, Window, cut_windows, tokenize_all
from engine.progress import Progress
from engine.store import RunFolder
from engine.writing import write_table, writing

T = TypeVar("T", int, np.ndarray)
DOCUMENTS_PER_SHARD = 256
"""Documents that are one unit of work and of resuming, up to :data:`VERY_MANY`; of more documents a group is."""
DOCUMENTS_PER_GROUP = 2048
"""Documents that lie together in the run's tables: fewer make every read slow where there are very many."""
VERY_MANY = 2**16
SHARD_SIZE = b"documents_per_shard"
"""Where the table of documents says how many are a unit, among its metadata."""
DOCUMENTS_SCHEMA = pa.schema(
    [
        ("document", pa.int32()),
        ("id", pa.string()),
        ("title", pa.string()),
        ("source", pa.string()),
        ("language", pa.string()),
        ("text", pa.string()),
        ("relation_flipped", pa.string()),
        ("same_content", pa.list_(pa.string())),
        ("tokens", pa.int32()),
        ("windows", pa.int32()),
    ]
)
TOKENS_SCHEMA = pa.schema(
    [
        ("document", pa.int32()),
        ("token_ids", pa.list_(pa.int32())),
        ("starts", pa.list_(pa.int32())),
        ("ends", pa.list_(pa.int32())),
    ]
)


@dataclass(frozen=True)
class Cutting:
    """How documents are cut into windows; fixed by the fit step for the whole run."""

    start_token: int | None
    context: int
    overlap: int

    def windows(self, document: int, id: str, token_ids: np.ndarray) -> list[Window]:
        return cut_windows(document, id, token_ids, self.start_token, self.context, self.overlap)


def write_corpus(
    folder: RunFolder, documents: Iterable[Document], tokenizer: Any, cutting: Cutting, progress: Progress
) -> dict[str, Any]:
    """Tokenise the corpus into the run's two tables, streaming.

    Returns:
        Counts for the manifest: documents, tokens, windows, documents without anything to predict.
    """
    counts = {"documents": 0, "tokens": 0, "windows": 0, "nothing_to_predict": 0}
    stream, frequencies = iter(enumerate(documents)), _Frequencies()
    with (
        writing(folder.documents) as documents_part,
        writing(folder.tokens) as tokens_part,
        pq.ParquetWriter(documents_part, DOCUMENTS_SCHEMA, compression="zstd") as documents_writer,
        pq.ParquetWriter(tokens_part, TOKENS_SCHEMA, compression="zstd") as tokens_writer,
    ):
        while group := list(islice(stream, DOCUMENTS_PER_GROUP)):
            document_rows, token_rows = [], []
            found = tokenize_all(tokenizer, [document.text for _, document in group])
            for (number, document), tokens in zip(group, found, strict=True):
                windows = len(cutting.windows(number, document.id, tokens.ids))
                document_rows.append({"document": number, **vars(document), "tokens": len(tokens), "windows": windows})
                token_rows.append(
                    {"document": number, "token_ids": tokens.ids, "starts": tokens.starts, "ends": tokens.ends}
                )
                counts["documents"] += 1
                counts["tokens"] += len(tokens)
                counts["windows"] += windows
                counts["nothing_to_predict"] += windows == 0
            documents_writer.write_table(pa.Table.from_pylist(document_rows, schema=DOCUMENTS_SCHEMA))
            tokens_writer.write_table(pa.Table.from_pylist(token_rows, schema=TOKENS_SCHEMA))
            frequencies.add([tokens.ids for tokens in found])
            progress.advance(len(group))
        size = DOCUMENTS_PER_SHARD if counts["documents"] <= VERY_MANY else DOCUMENTS_PER_GROUP
        documents_writer.add_key_value_metadata({SHARD_SIZE: str(size)})
    write_table(frequencies.table(), folder.frequencies)
    return counts


class _Frequencies:
    """How often each token occurs in documents, and in how many. Ids may be far apart: without a model, they are."""

    def __init__(self) -> None:
        self._tokens = np.zeros(0, dtype=np.int64)
        self._counts = np.zeros((2, 0), dtype=np.int64)

    def add(self, documents: Sequence[np.ndarray]) -> None:
        """Count the token ids of some documents, each ``[t]``."""
        ids = np.concatenate(documents)
        owner = np.repeat(np.arange(len(documents)), [len(one) for one in documents])
        known, self._tokens = self._tokens, np.unique(np.concatenate([self._tokens, ids]))
        many = len(self._tokens)
        places = np.searchsorted(self._tokens, ids)
        held = np.unique(owner * many + places) % max(many, 1)  # each document's tokens once
        counts = np.stack([np.bincount(each, minlength=many) for each in (places, held)])
        counts[:, np.searchsorted(self._tokens, known)] += self._counts
        self._counts = counts

    def table(self) -> pa.Table:
        """The tokens that occur, in order: token_id, occurrences, document_frequency."""
        return pa.table([self._tokens, *self._counts], ["token_id", "occurrences", "document_frequency"])


def shard_documents(folder: RunFolder) -> list[range]:
    """Numbers of the documents of each shard of a run's corpus: one unit of work and of resuming."""
    documents, size = _sizes(folder)
    return [range(first, min(first + size, documents)) for first in range(0, documents, size)]


def shard_numbers(folder: RunFolder) -> range:
    """Numbers of the shards of a run's corpus."""
    documents, size = _sizes(folder)
    return range(-(-documents // size))


def _sizes(folder: RunFolder) -> tuple[int, int]:
    """Documents of the corpus, and of a shard; runs of earlier versions do not name the latter."""
    about = pq.read_metadata(folder.documents)
    return about.num_rows, int((about.metadata or {}).get(SHARD_SIZE, DOCUMENTS_PER_SHARD))


def shard_windows(folder: RunFolder, shard: int, cutting: Cutting, only: Collection[int] | None = None) -> list[Window]:
    """All windows of a shard's documents, in order.

    Args:
        folder: The run.
        shard: Number of the shard.
        cutting: How the run cuts documents.
        only: Documents to keep; None for all.
    """
    size = _sizes(folder)[1]
    between = [("document", ">=", shard * size), ("document", "<", (shard + 1) * size)]
    tokens = pq.read_table(folder.tokens, columns=["document", "token_ids"], filters=between)
    ids = pq.read_table(folder.documents, columns=["id"], filters=between)["id"].to_pylist()
    lists = tokens["token_ids"].combine_chunks()
    windows: list[Window] = []
    for row, document in enumerate(tokens["document"].to_pylist()):
        if only is None or document in only:
            windows += cutting.windows(document, ids[row], lists[row].values.to_numpy())
    return windows


def windows_by_shard(folder: RunFolder, documents: Collection[int], cutting: Cutting) -> Iterator[list[Window]]:
    """Windows of some documents, in order, those of a shard at a time."""
    size = _sizes(folder)[1]
    for shard in sorted({document // size for document in documents}):
        yield shard_windows(folder, shard, cutting, documents)


def document_windows(folder: RunFolder, document: int, cutting: Cutting) -> list[Window]:
    """Windows of one document."""
    return next(windows_by_shard(folder, {document}, cutting))


def sample_documents(folder: RunFolder, count: int | None, seed: int) -> set[int] | None:
    """A random sample of documents that does not depend on their order; None for all of them.

    The documents whose ids have the smallest keyed hashes are taken.
    """
    if count is None or count >= pq.read_metadata(folder.documents).num_rows:
        return None
    batches = pq.ParquetFile(folder.documents).iter_batches(DOCUMENTS_PER_GROUP, columns=["id"])
    ids = chain.from_iterable(batch["id"].to_pylist() for batch in batches)
    keys = ((hashlib.sha256(f"{seed}\x1f{id}".encode()).digest(), number) for number, id in enumerate(ids))
    return {number for _, number in nsmallest(count, keys)}


def positions(cutting: Cutting, tokens: T) -> T:
    """Positions of a document, or of each of several: its tokens, and the start token where the model has one."""
    return tokens + (cutting.start_token is not None)
