"""Jobs: what a page may rely on, also when processes are killed. Handlers here stand in for the models."""

import fcntl
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from engine.errors import Cancelled, WhenceError
from engine.jobs import MAX_ATTEMPTS, Job, JobTable
from engine.locks import guard, open_worker_lock
from engine.machine import repository_folder
from engine.progress import Progress
from engine.worker import JobProgress, WorkerContext, serve
from engine.worker_process import ensure_worker, force_cancel, stop_worker, worker_alive, worker_pid

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "engine.worker"])  # once, and not in each of some thirty processes
PATIENCE_S = 120.0  # bound for things that take a second or two; only a failing test waits so long


def count(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Count to ``total``, writing the file that a finished job leaves behind only at the end."""
    part = context.home / "count.part"
    part.write_text("half")
    progress.start("Counting", arguments["total"], "sheep")
    for _ in range(arguments["total"]):
        time.sleep(0.01)
        progress.advance(1)
    progress.finish()
    part.rename(context.home / "count.txt")
    return {"counted": arguments["total"]}


def record(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Add the job's number to a file, so that a test sees what ran, and how often."""
    with (context.home / "ran.txt").open("a") as file:
        file.write(f"{arguments['number']}\n")
    return {}


def die(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Die as for lack of memory, the first ``times`` times."""
    with (context.home / "deaths.txt").open("a+") as file:
        file.write("x")
        file.flush()
        file.seek(0)
        if len(file.read()) <= arguments["times"]:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"lived": True}


def fail(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    progress.note("So far all is well.")
    raise TypeError("a list\nis not a tensor")


def refuse(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    raise WhenceError(f"The corpus {arguments['file']} is empty -- choose another.")


def unfit(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    return {"path": context.home}


def hang(context: WorkerContext, arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Neither report progress nor heed a polite signal, with a child that must not outlive the worker."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with (context.home / "hang.lock").open("w") as lock:  # free again once worker and child are gone
        fcntl.flock(lock, fcntl.LOCK_EX)
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        child = subprocess.Popen(sleep, pass_fds=(lock.fileno(),))
        (context.home / "hangs.txt").touch()
        child.wait()
    return {}


HANDLERS = {f.__name__: f for f in (count, record, die, fail, refuse, unfit, hang)}


def serve_tests(home: Path, idle_exit_s: float) -> None:
    """A worker with the handlers above and without the heavy libraries, in a session of its own."""
    os.setsid()
    serve(home, HANDLERS, idle_exit_s, preload=())


@pytest.fixture
def table(tmp_path: Path) -> JobTable:
    return JobTable(tmp_path / "home")


@pytest.fixture
def start(table: JobTable) -> Iterator[Callable[..., BaseProcess]]:
    """Start worker processes, which end at the latest with the test."""
    workers: list[BaseProcess] = []

    def start_worker(idle_exit_s: float = 60.0) -> BaseProcess:
        workers.append(PROCESSES.Process(target=serve_tests, args=(table.home, idle_exit_s)))
        workers[-1].start()
        return workers[-1]

    yield start_worker
    for worker in workers:
        worker.kill()
        worker.join()


def serve_here(table: JobTable) -> None:
    """Do what is queued in this process: for tests whose claim is not about processes."""
    serve(table.home, HANDLERS, idle_exit_s=0.01, preload=())


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def wait_for_end(table: JobTable, job: Job) -> Job:
    wait_until(lambda: not table.get(job.id).is_active)
    return table.get(job.id)


def test_a_job_ends_with_its_result_and_a_log(table: JobTable) -> None:
    job = table.submit("count", {"total": 2}, "Count two sheep")
    assert (job.state, job.fraction, job.seconds_left, job.is_active) == ("queued", 0.0, None, True)
    assert table.log(job.id) == ""
    serve_here(table)
    job = table.get(job.id)
    assert (job.state, job.result, job.fraction, job.attempts) == ("done", {"counted": 2}, 1.0, 1)
    assert (job.step, job.done, job.total, job.unit) == ("Counting", 2, 2, "sheep")
    assert job.created <= (job.started or 0) <= (job.finished or 0)
    assert "Counting: 2 sheep" in table.log(job.id) and "Count two sheep: done" in table.log(job.id)


def test_a_running_job_shows_its_progress_and_the_time_left(table: JobTable, start: Callable[..., BaseProcess]) -> None:
    job = table.submit("count", {"total": 100_000}, "Count sheep")
    start()
    wait_until(lambda: table.get(job.id).done > 0)
    job = table.get(job.id)
    assert (job.state, job.step, job.unit) == ("running", "Counting", "sheep")
    assert 0 < job.fraction < 0.1
    # 10 ms a sheep make 1000 s for all; the bound above leaves room for a busy machine
    assert job.seconds_left is not None and 500 < job.seconds_left < 50_000


def test_the_time_left_is_unknown_without_a_rate_and_never_negative(table: JobTable) -> None:
    table.submit("count", {}, "Count")
    job = table.claim(os.getpid())
    assert job is not None
    with JobProgress(table, job) as progress:
        progress.start("Counting", 10)
        assert table.get(job.id).seconds_left is None
        progress.advance(10)
    assert table.get(job.id).seconds_left == 0.0


def test_progress_is_stored_about_four_times_a_second(table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    table.submit("count", {}, "Count")
    job = table.claim(os.getpid())
    assert job is not None
    writes: list[dict[str, Any]] = []

    def report(_: Job, **values: Any) -> bool:
        writes.append(values)
        return True

    monkeypatch.setattr(table, "report", report)
    clock = itertools.count(1, 0.01)  # a hundredth of a second passes whenever anybody looks
    monkeypatch.setattr("engine.worker.time", SimpleNamespace(time=time.time, monotonic=lambda: next(clock)))
    progress = JobProgress(table, job)
    progress.start("Counting", 1_000_000)
    for _ in range(200):  # two seconds
        progress.advance(1)
    assert 7 <= len(writes) <= 9


def test_a_silent_job_still_shows_a_heartbeat(table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.worker.HEARTBEAT_S", 0.01)
    table.submit("count", {}, "Count")
    job = table.claim(os.getpid())
    assert job is not None and job.heartbeat is not None
    before = job.heartbeat
    with JobProgress(table, job):
        wait_until(lambda: (table.get(job.id).heartbeat or 0) > before)


def test_a_job_cancelled_in_the_queue_never_runs(table: JobTable) -> None:
    first = table.submit("record", {"number": 1}, "One")
    table.submit("record", {"number": 2}, "Two")
    assert table.cancel(first.id).state == "cancelled"
    serve_here(table)
    assert (table.home / "ran.txt").read_text() == "2\n"
    assert table.get(first.id).attempts == 0


def test_a_job_cancelled_while_running_stops_at_once_and_finishes_nothing(
    table: JobTable, start: Callable[..., BaseProcess]
) -> None:
    job = table.submit("count", {"total": 100_000}, "Count sheep")
    start()
    wait_until(lambda: table.get(job.id).done > 0)
    asked = table.cancel(job.id)
    assert asked.state == "running" and asked.cancel_requested
    again = table.submit("count", {"total": 100_000}, "Count sheep")
    assert again.id != job.id  # who asks again after cancelling gets a new job
    table.cancel(again.id)
    job = wait_for_end(table, job)
    assert (job.state, job.result) == ("cancelled", None)
    assert not (table.home / "count.txt").exists()
    after = table.submit("record", {"number": 1}, "One")
    assert wait_for_end(table, after).state == "done"  # by the same worker, which lives on


def test_cancelling_what_has_ended_changes_nothing(table: JobTable) -> None:
    job = table.submit("record", {"number": 1}, "One")
    serve_here(table)
    assert table.cancel(job.id) == table.get(job.id)
    assert table.get(job.id).state == "done"


def test_jobs_survive_a_reopened_table(table: JobTable) -> None:
    job = table.submit("record", {"number": 1, "text": "naïve \U0001f411 \udc80"}, "One")
    again = JobTable(table.home)
    assert again.get(job.id) == job
    assert again.recent() == [job]


def test_messages_and_titles_may_name_files_whose_names_are_no_text(table: JobTable) -> None:
    job = table.submit("refuse", {"file": "odd\udc80.txt"}, "Read odd\udc80.txt")
    assert job.title == "Read odd\\udc80.txt"
    serve_here(table)
    assert table.get(job.id).message == "The corpus odd\\udc80.txt is empty -- choose another."


def test_recent_jobs_come_newest_first(table: JobTable) -> None:
    ids = [table.submit("record", {"number": n}, "A number").id for n in range(3)]
    assert [job.id for job in table.recent(2)] == ids[:0:-1]


def test_an_unknown_job_is_refused_with_a_sentence(table: JobTable) -> None:
    with pytest.raises(WhenceError, match="no job 7 -- choose"):
        table.get(7)


def test_identical_submissions_are_one_job_until_it_ends(table: JobTable) -> None:
    job = table.submit("record", {"number": 1, "also": [1, 2]}, "One")
    assert table.submit("record", {"also": [1, 2], "number": 1}, "One, again") == job
    assert table.submit("record", {"number": 1, "also": [2, 1]}, "Other").id != job.id
    assert table.submit("count", {"number": 1, "also": [1, 2]}, "Other").id != job.id
    table.claim(os.getpid())
    assert table.submit("record", {"number": 1, "also": [1, 2]}, "One").id == job.id
    table.finish(table.get(job.id), "done")
    assert table.submit("record", {"number": 1, "also": [1, 2]}, "One").id != job.id


def test_the_next_worker_finishes_the_job_of_a_killed_one(table: JobTable, start: Callable[..., BaseProcess]) -> None:
    job = table.submit("count", {"total": 100}, "Count sheep")
    worker = start()
    wait_until(lambda: table.get(job.id).done > 0)
    worker.kill()
    worker.join()
    assert table.get(job.id).state == "running"  # nobody noticed yet
    start()
    job = wait_for_end(table, job)
    assert (job.state, job.attempts, job.result) == ("done", 2, {"counted": 100})
    assert (table.home / "count.txt").exists()


def test_a_job_that_kills_its_worker_three_times_fails_and_says_so(
    table: JobTable, start: Callable[..., BaseProcess]
) -> None:
    job = table.submit("die", {"times": 10}, "Die")
    spared = table.submit("record", {"number": 1}, "One")
    for _ in range(MAX_ATTEMPTS + 1):
        start(0.01).join(PATIENCE_S)
    job = table.get(job.id)
    assert (job.state, job.attempts) == ("failed", 3)
    assert "died 3 times" in job.message and "memory" in job.message
    assert job.message in table.log(job.id)
    assert table.get(spared.id).state == "done"


def test_two_deaths_are_forgiven(table: JobTable, start: Callable[..., BaseProcess]) -> None:
    job = table.submit("die", {"times": 2}, "Die")
    for _ in range(MAX_ATTEMPTS):
        start(0.01).join(PATIENCE_S)
    assert (table.get(job.id).state, table.get(job.id).attempts) == ("done", 3)


def test_a_job_is_lost_only_if_it_is_silent_and_its_worker_gone(table: JobTable) -> None:
    dead = PROCESSES.Process(target=int)
    dead.start()
    dead.join()
    assert dead.pid is not None
    impatient = JobTable(table.home, dead_after_s=-1.0)
    job = table.submit("record", {"number": 1}, "One")
    assert table.claim(os.getpid()) is not None
    assert impatient.claim(1) is None  # silent, but alive
    table.release(os.getpid())
    assert table.claim(dead.pid) is not None
    assert table.claim(1) is None  # gone, but heard of a moment ago
    claimed = impatient.claim(os.getpid())
    assert claimed is not None and (claimed.id, claimed.attempts) == (job.id, 2)


def test_a_worker_whose_job_was_taken_away_stops_and_changes_nothing(table: JobTable) -> None:
    table.submit("count", {}, "Count")
    job = table.claim(os.getpid())
    assert job is not None
    table.recover()
    table.claim(os.getpid())
    with pytest.raises(Cancelled):
        JobProgress(table, job).start("Counting", 3)
    table.finish(job, "done", result={"late": True})
    assert (table.get(job.id).state, table.get(job.id).step) == ("running", "")


def test_a_stopped_worker_puts_its_job_back_and_it_is_no_failed_attempt(
    table: JobTable, start: Callable[..., BaseProcess]
) -> None:
    job = table.submit("count", {"total": 100_000}, "Count sheep")
    worker = start()
    wait_until(lambda: table.get(job.id).done > 0)
    stop_worker(table.home)
    assert (table.get(job.id).state, table.get(job.id).attempts) == ("queued", 0)
    worker.join(PATIENCE_S)
    assert worker.exitcode == 0


def test_a_job_that_does_not_react_is_cancelled_by_force(table: JobTable, start: Callable[..., BaseProcess]) -> None:
    job = table.submit("hang", {}, "Hang")
    other = table.submit("record", {"number": 1}, "One")
    worker = start()
    wait_until(lambda: (table.home / "hangs.txt").exists())
    assert force_cancel(table.home, job.id, grace_s=0.1).state == "cancelled"
    worker.join(PATIENCE_S)
    assert worker.exitcode == -signal.SIGKILL
    with (table.home / "hang.lock").open("w") as lock:
        wait_until(lambda: _is_free(lock))
    assert table.get(other.id).state == "queued"
    serve_here(table)
    assert table.get(other.id).state == "done"


def _is_free(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_a_job_left_by_a_dead_worker_can_be_cancelled_by_force(table: JobTable) -> None:
    job = table.submit("hang", {}, "Hang")
    table.claim(os.getpid())
    assert force_cancel(table.home, job.id).state == "cancelled"


def ensure_and_count(home: Path, ready: Any) -> None:
    """Call ``ensure_worker`` together with others and write down every process that it starts."""
    popen = subprocess.Popen

    def counting(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        with (home / "started.txt").open("a") as file:
            file.write("x")
        return popen(*args, **kwargs)

    subprocess.Popen = counting  # type: ignore[assignment, misc]  # in this process of its own
    ready.wait()
    ensure_worker(home)


def test_several_calls_at_once_start_one_worker(table: JobTable) -> None:
    ready = PROCESSES.Barrier(3)
    callers = [PROCESSES.Process(target=ensure_and_count, args=(table.home, ready)) for _ in range(3)]
    try:
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(PATIENCE_S)
        assert (table.home / "started.txt").read_text() == "x"
        worker = worker_pid(table.home)
        assert worker is not None
        ensure_worker(table.home)
        assert worker_pid(table.home) == worker
    finally:
        stop_worker(table.home)
    assert not worker_alive(table.home)


def test_a_started_worker_does_what_is_queued(table: JobTable) -> None:
    job = table.submit("tidy the attic", {}, "Tidy the attic")
    try:
        ensure_worker(table.home)
        assert worker_alive(table.home)
        job = wait_for_end(table, job)
    finally:
        stop_worker(table.home)
    assert job.state == "failed"
    assert job.message.startswith("There is no kind of job 'tidy the attic' -- ")


def test_a_second_worker_is_refused(table: JobTable, start: Callable[..., BaseProcess]) -> None:
    start()
    wait_until(lambda: worker_alive(table.home))
    with pytest.raises(WhenceError, match="Another worker serves"):
        serve_here(table)


def test_looking_for_a_worker_never_keeps_one_from_starting(table: JobTable) -> None:
    look = "while True: worker_alive(pathlib.Path(sys.argv[1])); print(flush=True)"
    code = f"import sys, pathlib; from engine.worker_process import worker_alive\n{look}"
    command = [sys.executable, "-c", code, str(table.home)]
    looking = subprocess.Popen(command, cwd=repository_folder(), stdout=subprocess.PIPE)
    try:
        assert looking.stdout is not None and looking.stdout.readline()
        for _ in range(2000):
            with guard(table.home):
                lock = open_worker_lock(table.home)
                assert lock is not None
                lock.close()
        assert looking.poll() is None
    finally:
        looking.kill()
        looking.communicate()


def submit_many(home: Path, first: int) -> None:
    table = JobTable(home)
    for number in range(first, first + 25):
        table.submit("record", {"number": number}, "A number")


def claim_many(home: Path) -> None:
    """Claim and finish jobs until somebody wrote that there will be no more."""
    table, context = JobTable(home), WorkerContext(home)
    while True:
        complete = (home / "complete").exists()
        if job := table.claim(os.getpid()):
            table.finish(job, "done", result=record(context, job.arguments, JobProgress(table, job)))
        elif complete:
            return
        else:
            time.sleep(0.005)


def test_of_a_hundred_jobs_from_four_processes_none_is_lost_and_none_runs_twice(tmp_path: Path) -> None:
    submitters = [PROCESSES.Process(target=submit_many, args=(tmp_path, first)) for first in range(0, 100, 25)]
    claimers = [PROCESSES.Process(target=claim_many, args=(tmp_path,)) for _ in range(2)]
    for process in claimers + submitters:  # nobody made the table before: they also race for that
        process.start()
    for process in submitters:
        process.join(PATIENCE_S)
    (tmp_path / "complete").touch()
    for process in claimers:
        process.join(PATIENCE_S)
    assert [process.exitcode for process in claimers + submitters] == [0] * 6
    assert sorted(map(int, (tmp_path / "ran.txt").read_text().split())) == list(range(100))
    jobs = JobTable(tmp_path).recent(1000)
    assert len(jobs) == 100 and all((job.state, job.attempts) == ("done", 1) for job in jobs)


def test_an_unexpected_error_is_one_line_and_its_traceback_is_in_the_log(table: JobTable) -> None:
    job = table.submit("fail", {}, "Fail")
    serve_here(table)
    job = table.get(job.id)
    assert job.state == "failed"
    assert job.message == (
        "The job stopped on an unexpected error (TypeError: a list is not a tensor). The log has the details."
    )
    log = table.log(job.id)
    assert "So far all is well." in log and "Traceback" in log and "in fail" in log


def test_a_sentence_for_the_user_is_passed_on_as_it_is(table: JobTable) -> None:
    job = table.submit("refuse", {"file": "a.txt"}, "Refuse")
    serve_here(table)
    assert table.get(job.id).message == "The corpus a.txt is empty -- choose another."
    assert "Traceback" not in table.log(job.id)


def test_a_result_that_cannot_be_stored_fails_the_job_not_the_worker(table: JobTable) -> None:
    job = table.submit("unfit", {}, "Return a path")
    after = table.submit("record", {"number": 1}, "One")
    serve_here(table)
    assert (table.get(job.id).state, table.get(after.id).state) == ("failed", "done")


def test_the_context_keeps_the_two_entries_used_last(tmp_path: Path) -> None:
    context, made = WorkerContext(tmp_path), []

    def make(key: str) -> str:
        made.append(key)
        return key

    assert [context.cached(key, partial(make, key)) for key in "abacab"] == list("abacab")
    assert made == ["a", "b", "c", "b"]


def test_pages_import_jobs_without_the_heavy_libraries() -> None:
    code = "import sys, engine.worker_process; print({'torch', 'transformers', 'streamlit'} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=repository_folder(), capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"
