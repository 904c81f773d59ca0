"""A slip for each unit of work of a pass, in the run folder: an empty file whose name says what became of the unit.

``<unit>.todo`` is there to be taken. A process takes it by renaming it to ``<unit>.taken``, which succeeds for one
process only. When what comes of the unit is written, it is renamed to ``<unit>.done``.
"""

from collections.abc import Callable
from pathlib import Path

from engine.errors import RunError


class Slips:
    """The slips of a pass.

    Args:
        home: Folder for them.
        others: Called by :meth:`report` with each unit that another process finished.
    """

    def __init__(self, home: Path, others: Callable[[int], None]) -> None:
        self.home, self._others = home, others
        self._told: set[int] = set()

    def _slip(self, unit: int, state: str) -> Path:
        return self.home / f"{unit:05}.{state}"

    def lay_out(self, units: list[int]) -> None:
        """A slip for each unit; those of a group that ended early were removed when the step began."""
        self.home.mkdir(parents=True, exist_ok=True)
        for unit in units:
            self._slip(unit, "todo").touch()

    def check(self, rank: int) -> None:
        """Refuse a process that does not see them.

        Raises:
            RunError: That says so.
        """
        if not self.home.is_dir():
            raise RunError(
                f"process {rank} does not see {self.home}, which process 0 made -- a group works in one folder -- put "
                "--run on a file system that all machines share."
            )

    def take(self, unit: int) -> bool:
        """Whether the unit is this process's."""
        try:
            self._slip(unit, "todo").rename(self._slip(unit, "taken"))
        except FileNotFoundError:
            return False
        return True

    def finish(self, unit: int) -> None:
        """Its file is written."""
        self._slip(unit, "taken").rename(self._slip(unit, "done"))
        self._told.add(unit)

    def report(self) -> None:
        """Tell of the units that others have finished since."""
        done = {int(slip.stem) for slip in self.home.glob("*.done")}
        for unit in sorted(done - self._told):
            self._others(unit)
        self._told |= done
