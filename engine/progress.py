"""Progress of long work: one small interface, three ways to show it.

Every long function takes a ``progress`` and reports to it. A job's progress
(:mod:`engine.jobs`) uses the same interface to store its state and to cancel:
``start`` and ``advance`` may raise :class:`engine.errors.Cancelled`.
"""

import atexit
import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

PLAIN_INTERVAL_S = 5.0


class Progress(Protocol):
    """What long work tells its caller."""

    def start(self, step: str, total: int, unit: str = "tokens") -> None:
        """Begin a step of ``total`` units; ends the step before it."""

    def advance(self, amount: int) -> None:
        """Add finished units to the current step."""

    def finish(self) -> None:
        """End the current step."""

    def note(self, text: str) -> None:
        """Tell the user something once: an estimate, a warning."""


class SilentProgress:
    """Shows nothing: the default in Python."""

    def start(self, step: str, total: int, unit: str = "tokens") -> None: ...

    def advance(self, amount: int) -> None: ...

    def finish(self) -> None: ...

    def note(self, text: str) -> None: ...


class PlainProgress:
    """One line at the start and end of a step, and one every few seconds between: for logs."""

    def __init__(self) -> None:
        self._step, self._unit, self._total, self._done = "", "", 0, 0
        self._started = self._printed = 0.0

    def start(self, step: str, total: int, unit: str = "tokens") -> None:
        self.finish()
        self._step, self._unit, self._total, self._done = step, unit, total, 0
        self._started = self._printed = time.monotonic()
        self.note(f"{step}: {total:,} {unit}")

    def advance(self, amount: int) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._printed >= PLAIN_INTERVAL_S and self._done < self._total:
            self._printed = now
            rate = self._done / (now - self._started)
            left = (self._total - self._done) / rate if rate else float("nan")
            self.note(
                f"{self._step}: {self._done / self._total:.0%}, {format_rate(rate, self._unit)}, "
                f"{format_seconds(left)} left"
            )

    def finish(self) -> None:
        if self._step:
            self.note(f"{self._step}: done in {format_seconds(time.monotonic() - self._started)}")
            self._step = ""

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _RateColumn(ProgressColumn):
    """Finished units per second, or seconds per unit."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else format_rate(speed, task.fields["unit"]), style="dim")


class TerminalProgress:
    """A bar per step with its rate and time left."""

    def __init__(self) -> None:
        self._rich = RichProgress(
            TextColumn("{task.description:<26}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task: int | None = None
        atexit.register(self._rich.stop)  # else a step that fails leaves the terminal without its cursor

    def start(self, step: str, total: int, unit: str = "tokens") -> None:
        self.finish()
        self._rich.start()
        self._task = int(self._rich.add_task(step, total=total, unit=unit))

    def advance(self, amount: int) -> None:
        if self._task is not None:
            self._rich.advance(self._task, amount)  # type: ignore[arg-type]

    def finish(self) -> None:
        if self._task is not None:
            self._rich.refresh()
            self._rich.stop()
            self._rich.remove_task(self._task)  # type: ignore[arg-type]
            self._task = None

    def note(self, text: str) -> None:
        self._rich.console.print(text, style="dim", highlight=False)


def for_terminal() -> Progress:
    """Bars on a terminal, plain lines otherwise."""
    return TerminalProgress() if sys.stderr.isatty() else PlainProgress()


def format_rate(rate: float, unit: str) -> str:
    """Units per second; seconds per unit where the rate is below 1, as ``0 completions/s`` would tell nothing.

    Args:
        rate: Units per second.
        unit: What is counted, in the plural: ``tokens``, ``queries``.
    """
    if not 0 < rate < 1:
        return f"{rate:,.0f} {unit}/s"
    seconds = 1 / rate
    return f"{seconds:,.{1 if seconds < 10 else 0}f} s per {_singular(unit)}"


def _singular(unit: str) -> str:
    """``queries`` -> ``query``, ``passes`` -> ``pass``; steps of one unit name it in the singular already."""
    if unit.endswith("ies"):
        return unit.removesuffix("ies") + "y"
    if unit.endswith("ss"):
        return unit
    return unit.removesuffix("es" if unit.endswith("sses") else "s")


def format_seconds(seconds: float) -> str:
    """``75.2`` -> ``1 min 15 s``; short times keep one decimal."""
    if seconds != seconds:
        return "unknown time"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
