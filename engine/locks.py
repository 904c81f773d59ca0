"""Who is the one worker of a home folder: two lock files and nothing else."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def guard(home: Path) -> Iterator[None]:
    """One process at a time: a glance at ``worker.lock`` must not look like a worker to somebody else."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "guard.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def open_worker_lock(home: Path) -> IO[str] | None:
    """Take ``worker.lock``; None if a worker holds it. Call it under :func:`guard`."""
    file = (home / "worker.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def write_worker_pid(lock: IO[str], pid: int) -> None:
    """Say in ``worker.lock`` who holds it. Call it under :func:`guard`."""
    lock.truncate(0)
    lock.write(str(pid))
    lock.flush()
