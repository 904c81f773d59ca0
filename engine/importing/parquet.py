"""A Parquet file with a row for each pair: query, document, influence, and where known token_influences (a list).

Query and document are named by id, or by their number in their files, from 0. Documents without any row were not
scored; all others need one for each query.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.corpus import Query
from engine.errors import CorpusError
from engine.importing.part import MOST_DOCUMENTS, PART_NUMBERS, Part
from engine.tables import Connection, open_for_sorting

COLUMNS = ("query", "document", "influence")
TOKENS = "token_influences"


class ParquetScores:
    """Such a file, or a folder of them.

    Args:
        path: File or folder.
        queries: The queries, in order.

    Raises:
        CorpusError: If it cannot be read, or lacks a column.
    """

    def __init__(self, path: Path, queries: list[Query]) -> None:
        self.path, self.queries = path, queries
        try:
            schema = pq.ParquetDataset(path).schema
        except (OSError, pa.ArrowInvalid) as error:
            raise CorpusError(f"{path} cannot be read as Parquet ({error}) -- no scores -- mend it.") from None
        missing = [name for name in COLUMNS if name not in schema.names]
        if missing:
            raise CorpusError(
                f"{path} lacks the column {missing[0]!r} (it has {', '.join(schema.names)}) -- each row is one pair -- "
                f"name its columns {', '.join(COLUMNS)}, and {TOKENS} for a list of its tokens' influences."
            )
        self.has_tokens, self.longest = TOKENS in schema.names, 0
        self._types = {name: schema.field(name).type for name in COLUMNS}

    def parts(self, documents: Path) -> Iterator[Part]:
        """All scores (:class:`engine.importing.part.ScoreFile`)."""
        with open_for_sorting(documents.parent / "sorting", scores=self.path, documents=documents) as tables:
            ids = [query.id for query in self.queries]
            tables.register("queries", pa.table({"query": range(len(ids)), "id": ids}))
            tables.execute(f"CREATE TEMP VIEW numbered AS {self._numbered()}")
            self._check(tables)
            count = len(self.queries)
            tokens = f", {TOKENS}" if self.has_tokens else ""
            rows = tables.sql(f"SELECT document, influence{tokens} FROM numbered ORDER BY document, query")
            pairs = max(1, min(MOST_DOCUMENTS, PART_NUMBERS // (1024 * count if self.has_tokens else count)))
            for batch in _regrouped(rows.to_arrow_reader(pairs * count), pairs * count):
                values = batch["influence"].to_numpy().reshape(-1, count).T
                found = self._tokens(batch, count) if self.has_tokens else None
                yield Part(batch["document"].to_numpy()[::count], values, found)

    def _numbered(self) -> str:
        """The rows with numbers in place of names, which stay beside them."""
        joins, numbers = "", {}
        for name, table in (("query", "queries"), ("document", "documents")):
            by = name if pa.types.is_integer(self._types[name]) else "id"
            joins += f' LEFT JOIN {table} ON scores."{name}" = {table}.{by}'
            numbers[name] = f'{table}.{name} AS {name}, scores."{name}" AS {name}_named'
        tokens = f", {TOKENS}" if self.has_tokens else ""
        columns = f"{numbers['query']}, {numbers['document']}, influence::DOUBLE AS influence{tokens}"
        return f"SELECT {columns} FROM scores{joins}"

    def _check(self, tables: Connection) -> None:
        """Every name is known, every pair is there once, and every score is a number."""
        for name, where in (("query", "query file"), ("document", "corpus")):
            found = tables.execute(f"SELECT {name}_named FROM numbered WHERE {name} IS NULL LIMIT 1").fetchone()
            if found:
                raise CorpusError(
                    f"{self.path}: {name} {found[0]!r} is not in the {where} -- its scores belong to no text -- give "
                    f"the {where} that they were computed for, or name each {name} by its id or number."
                )
        wrong = tables.execute(
            "SELECT query_named, document_named, influence FROM numbered "
            "WHERE influence IS NULL OR NOT isfinite(influence)"
        ).fetchone()
        if wrong:
            raise CorpusError(
                f"{self.path}: the influence of document {wrong[1]!r} on query {wrong[0]!r} is {wrong[2]} -- it has no "
                "rank -- compute it again, or leave the document out."
            )
        pair = tables.execute(
            "SELECT any_value(document_named), count(*), count(DISTINCT query) FROM numbered GROUP BY document "
            f"HAVING count(*) != {len(self.queries)} OR count(DISTINCT query) != count(*) LIMIT 1"
        ).fetchone()
        if pair:
            twice = pair[1] > pair[2]
            raise CorpusError(
                f"{self.path}: document {pair[0]!r} has {pair[1]} rows for {pair[2]} of {len(self.queries)} queries -- "
                + ("which of two scores of a pair holds is unknown" if twice else "it cannot be ranked for the others")
                + " -- write one row for each query, or none for documents that were not scored."
            )

    def _tokens(self, batch: pa.Table, count: int) -> list[np.ndarray]:
        """Of each document ``[q, tokens]``."""
        lists = batch[TOKENS].to_pylist()
        found = []
        for first in range(0, len(lists), count):
            rows = lists[first : first + count]
            lengths = {-1 if row is None else len(row) for row in rows}
            if len(lengths) > 1 or -1 in lengths:
                name = batch["document"][first].as_py()
                raise CorpusError(
                    f"{self.path}: {TOKENS} of document {name} (counted from 0) are missing or differ in length "
                    "between queries -- its tokens cannot be told -- write one number for each token in every row."
                )
            found.append(np.array(rows, dtype=np.float64))
        return found


def _regrouped(batches: pa.RecordBatchReader, rows: int) -> Iterator[pa.Table]:
    """Tables of exactly so many rows; the last one has what is left."""
    held: list[pa.RecordBatch] = []
    waiting = 0
    for batch in batches:
        while waiting + len(batch) >= rows:
            taken = rows - waiting
            yield pa.Table.from_batches([*held, batch.slice(0, taken)])
            held, waiting, batch = [], 0, batch.slice(taken)
        held.append(batch)
        waiting += len(batch)
    if waiting:
        yield pa.Table.from_batches(held)
