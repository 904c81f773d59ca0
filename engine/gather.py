"""The shards of a finished score step in one file each: opening thousands takes longer than reading them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engine.store import GATHERED, RunFolder
from engine.writing import writing

MANY = 64
"""Shards from which on they are gathered."""
TABLES = ("documents", "tokens", "prediction")
TOGETHER, ROWS = 256, 2**16
"""Shards in memory at once, which become one row group: so many, or fewer with so many rows."""


def gather(folder: RunFolder) -> None:
    """Put the shards of each table of scores into one file where there are many; killed, it goes on the next time.

    Args:
        folder: A run whose score step is finished, locked.
    """
    for table in TABLES:
        shards = sorted(file for file in folder.shards(table).glob("*.parquet") if file.name != GATHERED)
        gathered = folder.shards(table) / GATHERED
        if len(shards) > MANY and not gathered.is_file():
            _join(shards, gathered)
        if gathered.is_file():
            for shard in shards:
                shard.unlink()


def _join(shards: list[Path], gathered: Path) -> None:
    schema = pq.read_schema(shards[0])
    with writing(gathered) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        some: list[pa.Table] = []
        for shard in shards:
            some.append(pq.read_table(shard, schema=schema))
            if len(some) == TOGETHER or sum(table.num_rows for table in some) >= ROWS or shard == shards[-1]:
                writer.write_table(pa.concat_tables(some).combine_chunks())
                some = []
