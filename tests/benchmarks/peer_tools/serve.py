"""A tool in a process of its own: one work per line of standard input, one answer per line of standard output.

A tool has ``fit()``, ``documents(queries, setting)`` and ``tokens(queries, setting)``; it says itself which part of
each is timed (:class:`Clock`), so that reading, loading and the preparation of queries are kept apart in all alike.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass
class Clock:
    """Seconds by the wall and of the processor, summed over what was timed."""

    seconds: float = 0.0
    processor_seconds: float = 0.0

    def __enter__(self) -> "Clock":
        self._started = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started[0]
        self.processor_seconds += time.process_time() - self._started[1]

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return wrapper

    def take(self) -> dict[str, float]:
        """What was measured; the clock starts again."""
        told = {"seconds": self.seconds, "processor_seconds": self.processor_seconds}
        self.seconds = self.processor_seconds = 0.0
        return told


def forget_peak() -> None:
    """From now on :func:`peak_bytes` tells of what comes (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Most resident memory of this process since :func:`forget_peak`."""
    told = Path("/proc/self/status").read_text()
    return 1024 * int(told.split("VmHWM:")[1].split()[0])


def serve(make: Callable[[dict, Clock, Clock], Any]) -> None:
    """Make the tool of the task named on the command line and do what standard input asks for."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a tool prints is no answer
    task = json.loads(Path(sys.argv[1]).read_text())
    clock, preparation = Clock(), Clock()
    tool = make(task, clock, preparation)
    print(json.dumps({"layers": getattr(tool, "layer_names", [])}), file=answers)
    for line in sys.stdin:
        asked = json.loads(line)
        forget_peak()
        scores = getattr(tool, asked.pop("work"))(**asked.get("with", {}))
        answer = clock.take() | {"peak_bytes": peak_bytes(), "preparation_seconds": preparation.take()["seconds"]}
        if "keep" in asked:
            np.save(asked["keep"], scores)
        print(json.dumps(answer), file=answers)
