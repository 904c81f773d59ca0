"""The job table: work that needs the model, asked for by a page and done by the one worker.

A page submits a job, calls :func:`engine.worker_process.ensure_worker` and reads how the job fares; the worker
(:mod:`engine.worker`) claims it, reports progress and stores the result. Nothing here
imports torch, so pages open at once.

Files in ``home``::

    jobs.sqlite     the table; WAL mode, so that reading pages never wait for a writer
    jobs/<id>.log   what a job noted, with times, and the traceback if it failed
    worker.lock     locked by the worker for as long as it lives; holds its process id
    guard.lock      locked for an instant, by whoever looks at or takes worker.lock
    worker.log      what the worker printed
"""

import functools
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Column

from engine.errors import WhenceError
from engine.sqlite import open_sqlite, transaction

State = Literal["queued", "running", "done", "failed", "cancelled"]

DEAD_AFTER_S = 15.0
MAX_ATTEMPTS = 3

STOPPED = "The worker stopped; the job is queued again."
DIED_TOO_OFTEN = (
    f"The worker died {MAX_ATTEMPTS} times while it did this job, most likely for lack of memory -- "
    "choose a smaller model, shorter windows or smaller batches, or free memory, then start the job again."
)


class _Text(sa.TypeDecorator[str]):
    """Text that may hold lone surrogates, as odd file names in messages do; SQLite would refuse it."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value and value.encode("utf-8", "backslashreplace").decode()


_jobs = sa.Table(
    "jobs",
    sa.MetaData(),
    Column("id", sa.Integer, primary_key=True),
    Column("kind", _Text, nullable=False),
    Column("title", _Text, nullable=False),
    Column("arguments", sa.JSON, nullable=False),
    Column("state", _Text, nullable=False, index=True),
    Column("step", _Text, nullable=False, default=""),
    Column("done", sa.Integer, nullable=False, default=0),
    Column("total", sa.Integer, nullable=False, default=0),
    Column("unit", _Text, nullable=False, default=""),
    Column("step_started", sa.Float),
    Column("advanced", sa.Float),
    Column("created", sa.Float, nullable=False),
    Column("started", sa.Float),
    Column("finished", sa.Float),
    Column("heartbeat", sa.Float),
    Column("message", _Text, nullable=False, default=""),
    Column("result", sa.JSON(none_as_null=True)),
    Column("cancel_requested", sa.Boolean, nullable=False, default=False),
    Column("attempts", sa.Integer, nullable=False, default=0),
    Column("worker_pid", sa.Integer),
    sqlite_autoincrement=True,  # an id, and so a log file, never serves twice
)


@dataclass(frozen=True)
class Job:
    """A job as it stood when it was read. Times are seconds since 1970.

    ``done`` of ``total`` ``unit`` of the current ``step`` are finished, as of ``advanced``.
    ``message`` is the last note, or the sentence that says why the job failed.
    """

    id: int
    kind: str
    title: str
    arguments: dict[str, Any]
    state: State
    step: str
    done: int
    total: int
    unit: str
    step_started: float | None
    advanced: float | None
    created: float
    started: float | None
    finished: float | None
    heartbeat: float | None
    message: str
    result: dict[str, Any] | None
    cancel_requested: bool
    attempts: int
    worker_pid: int | None

    @property
    def is_active(self) -> bool:
        """Whether the job waits or runs."""
        return self.state in ("queued", "running")

    @property
    def fraction(self) -> float:
        """How much of the current step is finished, 0 to 1; 1 for a job that is done."""
        if self.state == "done":
            return 1.0
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time left in the current step at its rate so far; None while there is no rate."""
        if self.state != "running" or self.step_started is None or self.advanced is None:
            return None
        if not 0 < self.done <= self.total:
            return None
        left = (self.advanced - self.step_started) * (self.total - self.done) / self.done
        return max(left - (time.time() - self.advanced), 0.0)


class JobTable:
    """The jobs of one home folder; any number of processes and threads may use it at once.

    Args:
        home: Folder for the table and the logs; made if it is missing.
        dead_after_s: A running job whose worker is gone counts as lost after this silence.
    """

    def __init__(self, home: Path, dead_after_s: float = DEAD_AFTER_S) -> None:
        self.home = Path(home).resolve()
        self._dead_after_s = dead_after_s
        self._engine = open_sqlite(
            f"sqlite:///{self.home / 'jobs.sqlite'}",
            _jobs.metadata,
            synchronous="NORMAL",
            json_serializer=functools.partial(json.dumps, sort_keys=True),  # equal arguments, equal text
        )

    def submit(self, kind: str, arguments: dict[str, Any], title: str) -> Job:
        """Queue a job, or return the one that is queued or running with the same kind and arguments.

        A job that somebody has asked to cancel does not count: asking again means wanting it anew.
        """
        same = (_jobs.c.kind == kind, _jobs.c.arguments == arguments, _jobs.c.cancel_requested.is_(False))
        active = _jobs.c.state.in_(("queued", "running"))
        values: dict[str, Any] = {"kind": kind, "arguments": arguments, "title": title}
        values |= {"state": "queued", "created": time.time()}
        with transaction(self._engine) as connection:
            row = connection.execute(sa.select(_jobs).where(*same, active)).first()
            if row is None:
                row = connection.execute(sa.insert(_jobs).values(values).returning(_jobs)).one()
        return Job(**row._asdict())

    def get(self, job_id: int) -> Job:
        """Read one job.

        Raises:
            WhenceError: If there is no such job.
        """
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(_jobs).where(_jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise WhenceError(f"There is no job {job_id} -- choose one from the list of jobs.")
        return Job(**row._asdict())

    def recent(self, limit: int = 20) -> list[Job]:
        """The jobs submitted last, newest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_jobs).order_by(_jobs.c.id.desc()).limit(limit)).all()
        return [Job(**row._asdict()) for row in rows]

    def cancel(self, job_id: int) -> Job:
        """Cancel a queued job at once; ask a running one to stop, which it does at its next progress."""
        at_once = {"state": "cancelled", "finished": time.time(), "message": "Cancelled before it started."}
        this = sa.update(_jobs).where(_jobs.c.id == job_id)
        with transaction(self._engine) as connection:
            connection.execute(this.where(_jobs.c.state == "queued").values(at_once))
            connection.execute(this.where(_jobs.c.state == "running").values(cancel_requested=True))
        return self.get(job_id)

    def claim(self, pid: int) -> Job | None:
        """Give the oldest queued job to the worker ``pid``; jobs of dead workers are queued again first."""
        now = time.time()
        oldest = sa.select(_jobs.c.id).where(_jobs.c.state == "queued").order_by(_jobs.c.id).limit(1)
        anew = {"step": "", "done": 0, "total": 0, "unit": "", "step_started": None, "advanced": None}
        this = sa.update(_jobs).where(_jobs.c.id == oldest.scalar_subquery())
        mine = this.values(state="running", started=now, heartbeat=now, worker_pid=pid, **anew)
        self._put_back(self._is_lost, died=True)
        with self._engine.connect() as connection:  # one statement, so two workers never get the same job
            row = connection.execute(mine.values(attempts=_jobs.c.attempts + 1).returning(_jobs)).one_or_none()
        if row is None:
            return None
        job = Job(**row._asdict())
        self.append_log(job.id, f"{job.title}: started by worker {pid}, attempt {job.attempts}")
        return job

    def report(self, job: Job, **values: Any) -> bool:
        """Store a running job's progress and that its worker is alive.

        Returns:
            Whether to go on: False once the job is to be cancelled, or is no longer this worker's.
        """
        this = _as_claimed(job).values(heartbeat=time.time(), **values).returning(_jobs.c.cancel_requested)
        with self._engine.connect() as connection:
            return connection.execute(this).scalar_one_or_none() is False

    def finish(self, job: Job, state: State, message: str | None = None, result: dict[str, Any] | None = None) -> None:
        """End a running job; does nothing if it was taken from its worker meanwhile.

        Args:
            job: The job as claimed.
            state: How it ended.
            message: Why, if it did not end well; None keeps the last note.
            result: What it found, fit for JSON.
        """
        values: dict[str, Any] = {"state": state, "finished": time.time(), "result": result}
        if message is not None:
            values["message"] = message
        with self._engine.connect() as connection:
            ended = connection.execute(_as_claimed(job).values(values)).rowcount
        if ended:
            self.append_log(job.id, message or f"{job.title}: {state}")

    def recover(self) -> None:
        """Queue again whatever is marked as running. Only for the holder of the worker's lock."""
        self._put_back(lambda job: True, died=True)

    def release(self, worker_pid: int) -> None:
        """Queue again the job of a worker that was stopped on purpose; this is no failed attempt."""
        self._put_back(lambda job: job.worker_pid == worker_pid, died=False)

    def log(self, job_id: int) -> str:
        """Everything the job noted so far."""
        path = self._log_path(job_id)
        return path.read_text("utf-8") if path.exists() else ""

    def append_log(self, job_id: int, text: str) -> None:
        """Add a line, or a traceback, with the local time to the job's log."""
        path = self._log_path(job_id)
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text.rstrip()}\n")

    def _log_path(self, job_id: int) -> Path:
        return self.home / "jobs" / f"{job_id}.log"

    def _is_lost(self, job: Job) -> bool:
        """Both signs are needed: a process id may belong to another container, a heartbeat may be late."""
        silent = time.time() - (job.heartbeat or 0.0) > self._dead_after_s
        return silent and not _process_exists(job.worker_pid)

    def _put_back(self, which: Callable[[Job], bool], died: bool) -> None:
        """Queue again the running jobs that ``which`` names, unless cancelled or tried too often."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_jobs).where(_jobs.c.state == "running")).all()
            for job in filter(which, (Job(**row._asdict()) for row in rows)):
                values: dict[str, Any] = {"state": "queued", "message": STOPPED}
                if job.cancel_requested:
                    values = {"state": "cancelled", "finished": time.time(), "message": "Cancelled."}
                elif not died:
                    values["attempts"] = job.attempts - 1
                elif job.attempts >= MAX_ATTEMPTS:
                    values = {"state": "failed", "finished": time.time(), "message": DIED_TOO_OFTEN}
                if connection.execute(_as_claimed(job).values(values)).rowcount:
                    self.append_log(job.id, values["message"])


def _as_claimed(job: Job) -> sa.Update:
    """An update of ``job`` that finds nothing once another worker, or another attempt, has it."""
    c = _jobs.c
    mine = (c.id == job.id, c.state == "running", c.worker_pid == job.worker_pid, c.attempts == job.attempts)
    return sa.update(_jobs).where(*mine)


def _process_exists(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
