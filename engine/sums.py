"""Sums over the units of a pass: the same bits whoever computed which unit, and however often they were interrupted.

Floating-point addition depends on its order. So the terms of a unit are added up on their own, and the sums of the
units one after the other by number. The first process of a group (:mod:`engine.group`) holds the sum of units ``0`` to
``done - 1``, adds to it what the others write, one file a unit, and saves it now and then; a process alone has every
unit at hand when its turn comes, and writes no other file.
"""

import time
from pathlib import Path

import torch
from torch import Tensor

from engine.tensors import read_tensors, write_tensors

Sums = dict[str, Tensor]
CHECKPOINT_SECONDS = 20.0
MOST_UNITS = 128
"""Each has a file as large as that of the whole when a group shares the pass; larger groups have idle processes."""


def cut_into_units(shards: range) -> list[range]:
    """At most ``MOST_UNITS`` units of consecutive shards, by the corpus alone."""
    size = max(1, -(-len(shards) // MOST_UNITS))
    return [shards[first : first + size] for first in range(0, len(shards), size)]


def add_term(sums: Sums, name: str, term: Tensor) -> None:
    """Add a term to one of some sums, on the CPU."""
    term = term.cpu()
    sums[name] = sums[name] + term if name in sums else term


class UnitSums:
    """The sums of a pass.

    Args:
        home: Folder for what is unfinished.
        units: Number of units.
        leads: Whether this process holds the sum.
    """

    def __init__(self, home: Path, units: int, leads: bool) -> None:
        self.home, self._units, self._leads = home, units, leads
        self._total: Sums = {}
        self._done = 0
        self._saved = time.monotonic()
        if leads and self._file.is_file():
            self._total = read_tensors(self._file)
            self._done = int(self._total.pop("done"))

    @property
    def _file(self) -> Path:
        return self.home / "sum.checkpoint.safetensors"

    def _part(self, unit: int) -> Path:
        return self.home / f"{unit:05}.checkpoint.safetensors"

    def unfinished(self) -> list[int]:
        """Units that are neither in the sum nor in a file."""
        return [unit for unit in range(self._done, self._units) if not self._part(unit).is_file()]

    def add(self, unit: int, sums: Sums) -> None:
        """Take the sums of a unit."""
        if self._leads and unit == self._done:
            self._fold(sums)
        else:
            write_tensors(sums, self._part(unit))
        if self._leads:
            self._fold_waiting()
            if time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
                self._save()

    def whole(self) -> Sums:
        """The sums of all units, in the process that leads."""
        self._fold_waiting()
        assert self._done == self._units
        return self._total

    def _fold(self, sums: Sums) -> None:
        for name, tensor in sums.items():
            add_term(self._total, name, tensor)
        self._done += 1

    def _fold_waiting(self) -> None:
        while self._part(self._done).is_file():
            self._fold(read_tensors(self._part(self._done)))

    def _save(self) -> None:
        write_tensors(self._total | {"done": torch.tensor(self._done)}, self._file)
        for unit in range(self._done):
            self._part(unit).unlink(missing_ok=True)
        self._saved = time.monotonic()
