"""Start, find and stop the worker process of a home folder; what it does is :mod:`engine.worker`."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from engine.jobs import Job, JobTable
from engine.locks import guard, open_worker_lock, write_worker_pid
from engine.machine import repository_folder

KILL_WAIT_S = 5.0


def worker_pid(home: Path) -> int | None:
    """Process id of the worker that serves ``home``; None without one."""
    with guard(home):
        lock = open_worker_lock(home)
        if lock is None:
            return int((home / "worker.lock").read_text())
        lock.close()
    return None


def worker_alive(home: Path) -> bool:
    """Whether a worker serves ``home``."""
    return worker_pid(home) is not None


def ensure_worker(home: Path) -> None:
    """Start a worker for ``home`` unless one is alive. Returns at once.

    The lock is taken here and handed to the new process, so there is never a moment in
    which a second call could start a second worker.
    """
    home = home.resolve()
    with guard(home):
        lock = open_worker_lock(home)
        if lock is None:
            return
        command = [sys.executable, "-m", "engine.worker", "--home", str(home), "--lock", str(lock.fileno())]
        with lock, (home / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=repository_folder(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock.fileno(),),
                start_new_session=True,
            )
            write_worker_pid(lock, process.pid)
    threading.Thread(target=process.wait, daemon=True).start()  # else it stays a zombie after its end


def stop_worker(home: Path, grace_s: float = 5.0) -> None:
    """Stop the worker of ``home``, if any; its job is queued again.

    Args:
        home: The worker's home folder.
        grace_s: Seconds between asking and killing, together with whatever it started.
    """
    home = home.resolve()
    pid = worker_pid(home)
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not _wait_for_end(home, pid, grace_s):
        with contextlib.suppress(ProcessLookupError):
            leads_a_group = os.getpgid(pid) == pid  # not so for one that a script or a test started
            (os.killpg if leads_a_group else os.kill)(pid, signal.SIGKILL)
        _wait_for_end(home, pid, KILL_WAIT_S)
    JobTable(home).release(pid)


def _wait_for_end(home: Path, pid: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while worker_pid(home) == pid:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def force_cancel(home: Path, job_id: int, grace_s: float = 2.0) -> Job:
    """Cancel a job whose worker does not react, by stopping the worker; the next one serves the rest."""
    table = JobTable(home)
    job = table.cancel(job_id)
    if job.state == "running" and job.worker_pid is not None:
        stop_worker(home, grace_s)
        table.release(job.worker_pid)  # in case the worker was dead before
    return table.get(job_id)
