"""Runs that are cut short at a chosen moment, and whether their files end up the same all the same."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from engine.errors import Cancelled
from engine.progress import SilentProgress

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "HF_DEACTIVATE_ASYNC_LOAD": "1",  # transformers does not wait for the end of the threads that read its weights
    "TOKENIZERS_PARALLELISM": "false",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's allocator starts a thread where it is imported
    "PYTHONPATH": str(ROOT),
}

ENDING_S = 30.0  # a thread that has ended, even one that was waited for, is listed until the system has cleared it away


class Interrupter(SilentProgress):
    """Counts events; at the one asked for it kills its process, or raises Cancelled."""

    def __init__(self, at: int, way: str) -> None:
        self.at, self.way, self.events = at, way, 0

    def start(self, step: str, total: int, unit: str = "tokens") -> None:
        self._event()

    def advance(self, amount: int) -> None:
        self._event()

    def rename(self, part: Path, target: Path) -> None:
        def cut_short() -> None:
            """What a process killed while writing leaves behind, safetensors its own temporary file."""
            os.truncate(part, part.stat().st_size // 2)
            if "safetensors" in part.name:
                os.rename(part, part.with_name(".tmpAbC123"))

        if self.way == "kill":
            self._event(cut_short)
        os.replace(part, target)
        if self.way == "kill":
            self._event()

    def _event(self, last_act: Any = lambda: None) -> None:
        self.events += 1
        if self.events == self.at:
            last_act()
            if self.way == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise Cancelled


def forked() -> int:
    """As os.fork, for a process that has one thread: a child would wait for ever for a lock that another one held."""
    end = time.monotonic() + ENDING_S
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/task")) == 1, threading.enumerate()
    return os.fork()


def driven(driver: str, spec: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
    """What a test file reports that is run as a program: one process, without threads or libraries of the tests'."""
    command = [sys.executable, driver, json.dumps(spec)]
    found = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=timeout)
    assert found.returncode == 0, found.stderr
    report: dict[str, Any] = json.loads(found.stdout)
    return report


def contents(run: Path) -> dict[str, Any]:
    """Bytes of every file of a run; the manifest without time and memory."""
    files: dict[str, Any] = {
        str(file.relative_to(run)): file.read_bytes()
        for file in run.rglob("*")
        if file.is_file() and file.name != ".lock"
    }
    manifest = json.loads(files["manifest.json"])
    for step in manifest["steps"].values():
        for name in ("seconds", "finished", "peak_memory_bytes"):
            del step[name]
    return files | {"manifest.json": manifest}


def differences(run: Path, whole: dict[str, Any]) -> list[str]:
    """Names of files that are not as in the uninterrupted run."""
    mine = contents(run)
    return sorted(name for name in mine.keys() | whole.keys() if mine.get(name) != whole.get(name))
