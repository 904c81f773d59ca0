"""Many shards of a finished run become one file, and the run reads as before."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_run import plain_documents, plain_queries, write_tiny_run

import engine.gather
from engine import Run
from engine.gather import gather
from engine.store import GATHERED
from engine.writing import write_table


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """A run whose scores lie in a shard for each of twelve documents."""
    monkeypatch.setattr(engine.gather, "MANY", 5)
    monkeypatch.setattr(engine.gather, "TOGETHER", 4)
    run = Run(write_tiny_run(tmp_path / "run", plain_documents(12), plain_queries()))
    for table in engine.gather.TABLES:
        whole = pq.read_table(run.folder.shard(table, 0))
        for number in range(12):
            write_table(whole.filter(pa.compute.equal(whole["document"], number)), run.folder.shard(table, number))
    return run


def read(run: Run) -> list:
    tokens = [found.influence.tolist() for _, found in run.token_influences(1, "prediction")]
    return [run.influence(0).to_dict(), run.scored_documents, tokens, run.documents_with_tokens(2)]


def test_a_gathered_run_reads_as_before(run):
    before = read(run)
    gather(run.folder)
    for table in engine.gather.TABLES:
        assert [file.name for file in run.folder.shards(table).iterdir()] == [GATHERED]
        assert pq.ParquetFile(run.folder.shards(table) / GATHERED).num_row_groups == 3
    assert read(Run(run.path)) == before
    gather(run.folder)
    assert read(Run(run.path)) == before


def test_shards_that_a_killed_process_left_beside_the_whole_are_not_counted_twice(run):
    before = read(run)
    left = run.folder.shard("documents", 3).read_bytes()
    gather(run.folder)
    run.folder.shard("documents", 3).write_bytes(left)
    assert read(Run(run.path)) == before
    gather(run.folder)
    assert not run.folder.shard("documents", 3).exists()
