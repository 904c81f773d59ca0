"""The run of the embedded sample, computed by the command of the README beside the tests that can do without it."""

import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine.machine import repository_folder
from engine.pipeline import sample_file

TEST_PROCESSES = 2
"""Cores left to the tests while the sample is computed, where there are more."""


def start(home: Path) -> subprocess.Popen[bytes] | None:
    """Start to compute the sample; None if another process of this test session does.

    The child holds the lock through the descriptor it inherits: it is free once the child ends, however it ends.
    """
    with (home / "sample.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        with (home / "sample.log").open("wb") as log:
            return subprocess.Popen(**_command(home), pass_fds=[lock.fileno()], stdout=log, stderr=log)


def wait(home: Path) -> Path:
    """The folder of the finished sample; if no child has finished it, it is finished now."""
    with (home / "sample.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(**_command(home), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return home / "sample"


def _command(home: Path) -> dict[str, Any]:
    """``python -m engine run sample``, but into another folder."""
    folder, config = home / "sample", home / "sample.toml"
    text = sample_file("sample").read_text(encoding="utf-8")
    written, count = re.subn("^run = .*", lambda _: f"run = {json.dumps(str(folder))}", text, flags=re.MULTILINE)
    assert count == 1
    config.write_text(written, encoding="utf-8")
    threads = max(1, (os.cpu_count() or 1) - TEST_PROCESSES)
    return {
        "args": [sys.executable, "-m", "engine", "run", str(config)],
        "cwd": repository_folder(),
        "env": os.environ | {"OMP_NUM_THREADS": str(threads)},
    }
