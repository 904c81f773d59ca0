"""Note how long finished runs of the samples took: ``python -m sample_data.times RUN [RUN ...]``.

Writes ``times.json``, which the dashboard shows before a sample is computed, and the table of the card.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from engine.run import Run
from sample_data.card import rewrite_section, table

FILE = Path(__file__).parent / "times.json"
STEPS = ("fit", "query", "score")


def times_of(run: Run) -> dict[str, Any]:
    """Seconds of each step, peak memory in GB, processor cores and date of a finished run."""
    steps = {"fit": run.fit, "query": run.query, "score": run.score}
    return {
        "seconds": {step: round(entry["seconds"]) for step, entry in steps.items()},
        "memory_gb": round(max(entry["peak_memory_bytes"] for entry in steps.values()) / 1e9, 1),
        "cores": os.cpu_count(),
        "date": run.score["finished"][:10],
    }


def main() -> None:
    """Note the runs named; those of other samples stay as they are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", help="folders of finished runs, named as the samples are")
    noted = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for folder in parser.parse_args().runs:
        run = Run(folder)
        noted[run.path.resolve().name] = times_of(run)
    FILE.write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")
    rows = [
        [
            f"`{name}`",
            *(f"{one['seconds'][step]} s" for step in STEPS),
            f"{one['memory_gb']} GB",
            str(one["cores"]),
            one["date"],
        ]
        for name, one in noted.items()
    ]
    body = table(["run", *STEPS, "memory", "cores", "date"], rows)
    rewrite_section("times", body)
    print(body)


if __name__ == "__main__":
    main()
