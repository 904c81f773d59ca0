"""How soon is a live question answered? Seconds until the first ranking and until the exact top, model held.

    python tests/benchmarks/ask.py RUN [--prompt TEXT] [--completion TEXT] [--rounds 5] [--json]

The questions differ in their last words, so that nothing is answered from what was kept. Medians over rounds, after one
that warms up; processor seconds stand beside, as they do not grow when the machine is busy.
"""

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.ask.answer import Answer
from engine.ask.ask import ask
from engine.ask.settings import AskSettings
from engine.live import LoadedRun, load_run

STAGES = ("first ranking", "exact, top 20")


@dataclass
class Clock:
    """Seconds by the wall and of the processor when each stage was told."""

    started: tuple[float, float] = field(default_factory=lambda: (time.perf_counter(), time.process_time()))
    told: list[tuple[float, float]] = field(default_factory=list)

    def __call__(self, answers: list[Answer]) -> None:
        wall, processor = self.started
        self.told.append((time.perf_counter() - wall, time.process_time() - processor))


def one_round(loaded: LoadedRun, prompt: str, completion: str) -> list[tuple[float, float]]:
    """When each stage of one question was reached."""
    clock = Clock()
    clock(ask(loaded, AskSettings(prompt, [completion], exact=20), told=clock))
    return clock.told


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--prompt", default="The city of Velmora was founded by")
    parser.add_argument("--completion", default=" Oren Tasvik")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    loaded = load_run(given.run)
    rounds = [one_round(loaded, given.prompt, f"{given.completion} {n}") for n in range(given.rounds + 1)][1:]
    rows = [
        {
            "stage": stage,
            "seconds": statistics.median(told[place][0] for told in rounds),
            "processor_seconds": statistics.median(told[place][1] for told in rounds),
        }
        for place, stage in enumerate(STAGES)
    ]
    load = os.getloadavg()[0]
    if given.json:
        print(json.dumps({"cores": os.cpu_count(), "load": load, "rounds": given.rounds, "stages": rows}, indent=2))
        return
    print(f"{os.cpu_count()} cores, load {load:.1f}, {given.rounds} rounds\n")
    print("| until | seconds | processor seconds |\n|---|---|---|")
    for row in rows:
        print(f"| {row['stage']} | {row['seconds']:.2f} | {row['processor_seconds']:.2f} |")


if __name__ == "__main__":
    main()
