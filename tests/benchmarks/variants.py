"""How long the variants of one document take: ``python tests/benchmarks/variants.py [--run RUN] [--queries 20]``.

The run's model is loaded first, as it is in a worker that has done a job before. Prints the median and the longest
over completions, each with the document that raised it most.
"""

import argparse
import os
import statistics
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.ablations import ablate
from engine.analysis.ranking import rank_documents
from engine.live import load_run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", default="runs/sample-large", help="folder of a finished run")
    parser.add_argument("--queries", type=int, default=20, help="completions, evenly spaced")
    given = parser.parse_args()
    started = time.perf_counter()
    loaded = load_run(given.run)
    loading, times = time.perf_counter() - started, []
    for query in np.linspace(0, len(loaded.run.queries) - 1, given.queries).round().astype(int).tolist():
        document = int(rank_documents(loaded.run, query)["document"].iloc[0])
        started = time.perf_counter()
        made = ablate(loaded, query, document)
        times.append(time.perf_counter() - started)
    print(
        f"{given.run}: variants of one document in {statistics.median(times):.1f} s (median of {len(times)}), at most "
        f"{max(times):.1f} s; {len(made.variants)} of the last; loading the model took {loading:.1f} s before "
        f"({os.cpu_count()} cores, {date.today()})"
    )


if __name__ == "__main__":
    main()
