"""The worker: one process per home folder that holds the models and does the jobs, one after another.

Importing this module is quick; :func:`serve` imports the heavy libraries, so that the first
job need not wait for them. Models that a handler keeps in the context serve the next job too.
"""

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

from engine.errors import Cancelled, WhenceError
from engine.jobs import Job, JobTable
from engine.locks import guard, open_worker_lock, write_worker_pid
from engine.progress import Progress, format_seconds

if TYPE_CHECKING:
    from engine.live import LoadedRun

POLL_S = 0.25
WRITE_INTERVAL_S = 0.25
"""Progress is stored, and a wish to cancel is seen, this often at most."""
HEARTBEAT_S = 1.0
CACHE_SIZE = 2
MAX_ERROR_CHARS = 300
IDLE_EXIT_S = 1800.0
HEAVY_MODULES = ("torch", "transformers", "transformers.models.auto.modeling_auto")

T = TypeVar("T")


class WorkerContext:
    """What handlers share from one job to the next.

    Attributes:
        home: The worker's home folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._cache: OrderedDict[Hashable, Any] = OrderedDict()

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` made for ``key``; the two entries used last are kept.

        The oldest goes before the new one is made, so that memory never holds three models.
        """
        if key not in self._cache:
            while len(self._cache) >= CACHE_SIZE:
                self._cache.popitem(last=False)
            self._cache[key] = make()
        self._cache.move_to_end(key)
        value: T = self._cache[key]
        return value


class JobProgress:
    """Progress of a running job, stored in the table; ``with`` it, a silent job shows its heartbeat.

    ``start`` and ``advance`` raise :class:`engine.errors.Cancelled` once somebody cancelled the job.
    """

    def __init__(self, table: JobTable, job: Job) -> None:
        self._table, self._job = table, job
        self._shown: dict[str, Any] = {}
        self._in_step = False
        self._written = 0.0
        self._wanted = True
        self._writing = threading.Lock()  # else a slow heartbeat might put older figures over newer ones
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._heart.join()
        self._write()

    def start(self, step: str, total: int, unit: str = "tokens") -> None:
        self.finish()
        now = time.time()
        self._shown |= {
            "step": step,
            "done": 0,
            "total": total,
            "unit": unit,
            "step_started": now,
            "advanced": now,
        }
        self._in_step = True
        self._table.append_log(self._job.id, f"{step}: {total:,} {unit}")
        self._write_sometimes()

    def advance(self, amount: int) -> None:
        self._shown |= {"done": self._shown.get("done", 0) + amount, "advanced": time.time()}
        self._write_sometimes()

    def finish(self) -> None:
        if self._in_step:
            self._in_step = False
            seconds = format_seconds(time.time() - self._shown["step_started"])
            self._table.append_log(self._job.id, f"{self._shown['step']}: done in {seconds}")

    def note(self, text: str) -> None:
        self._table.append_log(self._job.id, text)
        self._shown |= {"message": text}
        self._write()

    def _write_sometimes(self) -> None:
        if time.monotonic() - self._written >= WRITE_INTERVAL_S:
            self._write()
        if not self._wanted:
            raise Cancelled

    def _write(self) -> None:
        with self._writing:
            self._wanted = self._table.report(self._job, **self._shown)
            self._written = time.monotonic()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            self._write()


Handler = Callable[[WorkerContext, dict[str, Any], Progress], dict[str, Any]]
"""Does one kind of job: what is shared, the job's arguments, its progress -> its result, fit for JSON."""


def _run(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from engine.pipeline import run_config

    return {"run": str(run_config(arguments["config"], progress, arguments.get("run")))}


def _tokens(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from engine.live import token_influence

    loaded = _loaded(context, arguments)
    token_influence(loaded, arguments["query"], arguments["document"], arguments["kind"], progress)
    return {}


def _ablate(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from engine.ablations import kept_ablation
    from engine.variants import VariantSettings

    settings = VariantSettings(**arguments["settings"])
    kept_ablation(_loaded(context, arguments), arguments["query"], arguments["document"], settings, progress)
    return {}


def _ablate_top(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from engine.ablations import ablate_top

    loaded = _loaded(context, arguments)
    ablate_top(loaded, loaded.run.queries["query"].tolist(), arguments["per_query"], progress=progress)
    return {}


def _ask(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from engine.ask.ask import ask
    from engine.ask.kept import keep_answers
    from engine.ask.settings import AskSettings

    loaded, settings = _loaded(context, arguments), AskSettings(**arguments["settings"])

    def keep(answers: list[Any], finished: bool = False) -> None:
        records = [answer.record(loaded.run, settings.top) for answer in answers]
        keep_answers(loaded.run, settings, records, finished)

    keep(ask(loaded, settings, progress, keep), finished=True)
    return {}


def _index(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from engine.index.build import build_index
    from engine.index.settings import IndexSettings

    build_index(_loaded(context, arguments), IndexSettings(**arguments["settings"]), progress)
    return {}


def _loaded(context: WorkerContext, arguments: dict[str, Any]) -> "LoadedRun":
    """The job's run with its model, from the last job if it used the same."""
    from engine.live import load_run

    path = Path(arguments["run"])
    if not (path / "manifest.json").is_file():
        raise WhenceError(f"The run {path.name!r} is not there any more -- compute it again.")
    changed = (path / "manifest.json").stat().st_mtime_ns
    return context.cached((str(path), changed), lambda: load_run(path))


def _map(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from engine.document_map import MapSettings, make_map
    from engine.run import Run

    settings = MapSettings(arguments["features"], arguments["seed"])
    made = make_map(Run(arguments["run"]), settings, progress, lambda: _loaded(context, arguments))
    return {"documents": len(made.documents), "seconds": made.seconds}


def _findings(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from engine.findings.findings import measure_findings
    from engine.findings.settings import FindingsSettings

    measure_findings(FindingsSettings(**arguments), progress)
    return {}


def _check(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from engine.checks import run_check, settings_of

    settings = settings_of(arguments["check"], arguments["settings"])
    run_check(arguments["check"], settings, Path(arguments["out"]), progress)
    return {}


HANDLERS: Mapping[str, Handler] = {
    "run": _run,
    "tokens": _tokens,
    "ablate": _ablate,
    "ablate_top": _ablate_top,
    "map": _map,
    "findings": _findings,
    "check": _check,
    "ask": _ask,
    "index": _index,
}


def serve(
    home: Path,
    handlers: Mapping[str, Handler] = HANDLERS,
    idle_exit_s: float = IDLE_EXIT_S,
    *,
    lock: IO[str] | None = None,
    preload: Sequence[str] = HEAVY_MODULES,
) -> None:
    """Do the jobs of ``home`` until there were none for ``idle_exit_s`` seconds, or until a signal.

    Args:
        home: Folder of the job table.
        handlers: What to call for each kind of job.
        idle_exit_s: Seconds without a job after which the worker ends.
        lock: The worker's lock, if whoever started the worker took it already.
        preload: Modules to import before the first job.

    Raises:
        WhenceError: If another worker serves ``home``.
    """
    home = home.resolve()
    with lock or _take_lock(home) as held:
        table = JobTable(home)
        table.recover()
        for name in preload:
            with contextlib.suppress(ImportError):  # the job that needs it will say so
                importlib.import_module(name)
        with _signals_interrupt():
            try:
                context = WorkerContext(home)
                while job := _next_job(table, held, idle_exit_s):
                    _do(job, table, handlers, context)
            except KeyboardInterrupt:
                print("The worker was asked to stop.", file=sys.stderr)
            finally:
                table.release(os.getpid())


def _take_lock(home: Path) -> IO[str]:
    with guard(home):
        lock = open_worker_lock(home)
        if lock is None:
            raise WhenceError(f"Another worker serves {home} -- one is enough; use it, or stop it first.")
        write_worker_pid(lock, os.getpid())
    return lock


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and Ctrl-C raise KeyboardInterrupt, once: a second one must not disturb the clearing up."""

    def interrupt(number: int, frame: object) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        for one in before:
            signal.signal(one, interrupt)
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _next_job(table: JobTable, lock: IO[str], idle_exit_s: float) -> Job | None:
    """Wait for a job; None, with the lock given back, if none came for ``idle_exit_s`` seconds."""
    deadline = time.monotonic() + idle_exit_s
    while time.monotonic() < deadline:
        if job := table.claim(os.getpid()):
            return job
        time.sleep(min(POLL_S, idle_exit_s))
    with guard(table.home):  # whoever submits now is either seen here or finds no worker, never neither
        job = table.claim(os.getpid())
        if job is None:
            lock.close()
    return job


def _do(job: Job, table: JobTable, handlers: Mapping[str, Handler], context: WorkerContext) -> None:
    """Do one job and store how it ended; whatever a handler raises, the worker goes on."""
    try:
        if job.kind not in handlers:
            known = ", ".join(sorted(handlers))
            raise WhenceError(f"There is no kind of job {job.kind!r} -- this worker does: {known}.")
        with JobProgress(table, job) as progress:
            result = handlers[job.kind](context, job.arguments, progress)
        table.finish(job, "done", result=result)
    except Cancelled:
        table.finish(job, "cancelled", "Cancelled.")
    except WhenceError as error:
        table.finish(job, "failed", str(error))
    except (Exception, SystemExit) as error:
        table.append_log(job.id, traceback.format_exc())
        table.finish(job, "failed", _unexpected(error))


def _unexpected(error: BaseException) -> str:
    """One line for an error that nobody foresaw."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    short = text if len(text) <= MAX_ERROR_CHARS else text[: MAX_ERROR_CHARS - 3] + "..."
    return f"The job stopped on an unexpected error ({short.rstrip(':')}). The log has the details."


def main() -> None:
    """Entry point of the process that :func:`engine.worker_process.ensure_worker` starts."""
    parser = argparse.ArgumentParser(prog="engine.worker", description="Do the jobs of a home folder.")
    parser.add_argument("--home", type=Path, required=True, help="folder of the job table")
    parser.add_argument("--idle-exit", type=float, default=IDLE_EXIT_S, help="seconds without a job to end after")
    parser.add_argument("--lock", type=int, help="open file descriptor of the worker's lock, if already taken")
    given = parser.parse_args()
    lock = None
    if given.lock is not None:
        os.set_inheritable(given.lock, False)  # processes that a job starts must not keep it
        lock = os.fdopen(given.lock, "a+")
    serve(given.home, idle_exit_s=given.idle_exit, lock=lock)


if __name__ == "__main__":
    main()
