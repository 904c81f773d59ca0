"""Studies: scores in bulk are those of each completion."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_run import plain_documents, plain_queries, write_tiny_run

from engine.findings.study import CONTROLS, score_matrices, stored_columns
from engine.run import Run
from engine.writing import write_table


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(write_tiny_run(tmp_path / "run", plain_documents(20), plain_queries()))


@pytest.mark.parametrize("prefiltered", [False, True])
def test_matrices_hold_what_the_run_gives_for_each_completion(run, prefiltered):
    if prefiltered:
        shard = run.folder.shard("documents", 0)
        write_table(pq.read_table(shard).slice(3, 9), shard)
    matrices = score_matrices(run)
    assert list(matrices) == ["influence", *CONTROLS]
    for query in run.queries["query"]:
        table = run.influence(int(query))
        assert len(table) == (9 if prefiltered else 20)
        for name, matrix in matrices.items():
            # The made-up baselines are stored in float64, and read in float32.
            assert matrix[query, table["document"]] == pytest.approx(table[name].to_numpy(), rel=1e-5, abs=1e-5)
            assert np.isnan(matrix[query]).sum() == 20 - len(table)


def test_gradient_norms_are_those_that_make_cosines(run):
    table, norm = run.influence(0), run.queries.at[0, "gradient_norm"]
    cosine = table["gradient_dot"] / (stored_columns(run, ["gradient_norm"])[0] * norm)
    assert cosine.to_numpy() == pytest.approx(table["gradient_cosine"].to_numpy())
