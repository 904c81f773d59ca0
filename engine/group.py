"""A group of processes that do a step together: ``torchrun ... -m engine fit ...``, on one machine or on many.

The work is cut into units. Which of them are unfinished is seen from the run folder, which all processes share: the
first process lays out a slip for each, and whoever renames it first does that unit (:mod:`engine.slips`). What comes of
a unit is a file of its own, written whole and the same whoever writes it. So when a process dies the group ends, and
the next group does what has no file yet: nothing lost, nothing double.

Files do all of the sharing; no tensor travels. torch.distributed (gloo, with GPUs too, as NCCL would have nothing to
carry) does what files do badly: start together with the same settings, wait, and end together when one is gone.
"""

import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import RunError, WhenceError
from engine.progress import Progress, SilentProgress
from engine.slips import Slips
from engine.steps import running_step
from engine.store import RunFolder

T = TypeVar("T")
POLL_SECONDS = 0.1
PATIENCE = timedelta(days=30)
"""How long processes wait for one that lives; a dead one is noticed at once."""
ATTEMPTS, ATTEMPT_SECONDS = 600, 0.5
"""To reach the first process, which may have to load its libraries yet."""
TOLD = ("RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process besides ``WORLD_SIZE``."""


class Group:
    """The processes that do a step together.

    The first one leads: it alone holds the run's lock, writes its manifest, shows progress and does what cannot be
    shared, while the others wait. Every process calls the same methods in the same order.

    Args:
        rank: Number of this process.
        size: Number of processes; 1 is a process on its own, for which nothing here costs anything.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.leads = rank == 0
        self._gloo: Any = None
        if size > 1:
            self._join()

    def _join(self) -> None:
        import torch
        from torch import distributed

        if torch.cuda.is_available():  # then the device "cuda" is this one; more processes than GPUs share them
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", self.rank)) % torch.cuda.device_count())
        with _together():
            if not distributed.is_initialized():
                self._store = self._meet()
                distributed.init_process_group("gloo", store=self._store, rank=self.rank, world_size=self.size)
            self._gloo = distributed.new_group(backend="gloo", timeout=PATIENCE)

    def _meet(self) -> Any:
        """A store of this group's own, kept by its first process.

        torchrun's outlives a group that it starts again, and gloo would connect to addresses of the dead; a stale port
        of the first process is refused, and asked for again.
        """
        from torch import distributed

        host, (common, _, _) = os.environ["MASTER_ADDR"], next(iter(distributed.rendezvous("env://")))
        if self.leads:
            own = distributed.TCPStore(host, 0, is_master=True, wait_for_workers=False)
            common.set("whence", str(own.port))
            return own
        for _ in range(ATTEMPTS):
            port = int(common.get("whence"))
            try:
                socket.create_connection((host, port), ATTEMPT_SECONDS).close()
            except OSError:
                time.sleep(ATTEMPT_SECONDS)
            else:
                return distributed.TCPStore(host, port, is_master=False)
        raise RunError(
            f"process {self.rank} cannot reach process 0 on {host} -- a group works together -- start it again."
        )

    def progress(self, progress: Progress | None) -> Progress:
        """What reports to the user: the first process for all."""
        return progress if progress is not None and self.leads else SilentProgress()

    def wait(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Until all processes are here.

        Args:
            meanwhile: Called every now and then.

        Raises:
            RunError: If one of them is gone.
        """
        if self.size == 1:
            return
        from torch import distributed

        with _together():
            barrier = distributed.barrier(self._gloo, async_op=True)
            while not barrier.is_completed():  # by turns, so that the user can interrupt it
                meanwhile()
                time.sleep(POLL_SECONDS)
            barrier.wait()

    def agree(self, find: Callable[[], T]) -> T:
        """What the first process finds, for all; others do not look, as NFS goes on missing a file it once missed."""
        if self.size == 1:
            return find()
        from torch import distributed

        self.wait()
        told: list[Any] = [find() if self.leads else None]
        with _together():
            distributed.broadcast_object_list(told, group=self._gloo, group_src=0)
        found: T = told[0]
        return found

    def share(
        self, unfinished: Callable[[], list[int]], home: Path, others: Callable[[int], None] = lambda unit: None
    ) -> Iterator[int]:
        """The units that this process is to do; ends when all units of the group have their files.

        Args:
            unfinished: The units without a file; the first process's answer counts.
            home: Folder of these files; slips lie in it for the time being.
            others: Called in the first process with each unit that another one finished.

        Raises:
            RunError: If a process is gone, or does not see the folder.
        """
        if self.size == 1:
            yield from unfinished()
            return
        while todo := self.agree(unfinished):
            yield from self._share(todo, Slips(home / "slips", others))

    def _share(self, todo: list[int], slips: Slips) -> Iterator[int]:
        report = slips.report if self.leads else lambda: None
        if self.leads:
            slips.lay_out(todo)
        self.wait()
        slips.check(self.rank)
        for unit in todo:
            if slips.take(unit):
                yield unit
                slips.finish(unit)
                report()
        self.wait(report)
        if self.leads:
            shutil.rmtree(slips.home)

    @contextmanager
    def step(
        self, folder: RunFolder, step: str, settings: dict[str, Any], inputs: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """A step that the group does together, as :func:`engine.store.running_step`.

        Args:
            folder: The run, which the first process holds for all.
            step: ``fit``, ``query`` or ``score``.
            settings: What the user chose.
            inputs: What the step depends on.

        Yields:
            The manifest's entry; what others than the first process add to it is not kept.

        Raises:
            RunError: If the step may not begin, a process was started with other settings, or one is gone.
        """
        self._compare({"step": step} | settings | inputs)
        entered = False
        try:
            if self.leads:
                with folder.locked(), running_step(folder, step, settings, inputs) as entry:
                    entered = True
                    self.agree(lambda: (entry, ""))
                    yield entry
                    self.wait()
            else:
                entry, refusal = self.agree(lambda: ({}, ""))
                if refusal:
                    raise RunError(refusal)
                yield entry
                self.wait()
        except WhenceError as error:
            if self.leads and not entered:
                told = str(error)
                self.agree(lambda: ({}, told))
            raise
        self.wait()  # the manifest is written

    def _compare(self, asked: dict[str, Any]) -> None:
        if self.size == 1:
            return
        from torch import distributed

        found: list[Any] = [None] * self.size
        self.wait()
        with _together():
            distributed.all_gather_object(found, asked, group=self._gloo)
        for rank, theirs in enumerate(found):
            for name in found[0].keys() | theirs.keys():
                if theirs.get(name) != found[0].get(name):
                    raise RunError(
                        f"process {rank} of the group has {name} {theirs.get(name)!r}, process 0 has "
                        f"{found[0].get(name)!r} -- results must not be mixed -- start all with the same command, on "
                        "the same model and corpus."
                    )


@contextmanager
def _together() -> Iterator[None]:
    """Say what it means when processes lose each other."""
    try:
        yield
    except RuntimeError as error:  # what torch.distributed raises derives from it
        why = re.sub(r"^\[.*?\] ", "", str(error)).split(". ")[0]  # without its line of C++ and its advice
        raise RunError(
            f"the group has lost a process ({why}) -- what that one was at is unfinished -- start the same command "
            "again: only what is unfinished is done."
        ) from error


ALONE = Group()


def processes() -> int:
    """How many processes the environment says there are, as torchrun sets it."""
    return int(os.environ.get("WORLD_SIZE") or 1)


@cache
def this_group() -> Group:
    """The group of this process.

    Raises:
        WhenceError: If the environment does not say enough of it.
        RunError: If the others cannot be reached.
    """
    size = processes()
    if size == 1:
        return ALONE
    if missing := [name for name in TOLD if name not in os.environ]:
        raise WhenceError(
            f"WORLD_SIZE is {size}, but {' and '.join(missing)} not set -- the processes would not find each other -- "
            "start them by torchrun."
        )
    return Group(int(os.environ["RANK"]), size)
