"""The pages served by a process of their own, for a browser to look at."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.worker_process import stop_worker

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("WHENCE_CHROMIUM", "/usr/bin/chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
START_S = 120.0


@contextmanager
def served(runs: Path, *flags: str, run: str = "small", **environment: str) -> Iterator[str]:
    """Serve the pages on a folder of runs; yields their address.

    Args:
        runs: The folder; the server's log lies in it.
        flags: Further flags of ``streamlit run``.
        run: The run shown first.
        environment: Further variables.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.port", str(port), *flags]
    surroundings = os.environ | {"WHENCE_RUNS": str(runs), "WHENCE_RUN": run} | environment
    with (runs / f"server-{port}.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=REPOSITORY, env=surroundings, stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)
            stop_worker(runs)  # it would wait half an hour for jobs


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the server did not start")
