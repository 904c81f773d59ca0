"""Progress of long work: how fast it goes is told by a number that says something, fast or slow."""

import pytest
from rich.console import Console
from rich.progress import Progress as RichProgress

from engine import progress
from engine.progress import PlainProgress, format_rate


@pytest.mark.parametrize(
    ("rate", "unit", "said"),
    [
        (12_345.6, "tokens", "12,346 tokens/s"),
        (1.0, "documents", "1 documents/s"),
        (0.8, "windows", "1.2 s per window"),
        (1 / 9.94, "layers", "9.9 s per layer"),
        (1 / 75, "completions", "75 s per completion"),
        (1 / 4_000, "trainings", "4,000 s per training"),
        (0.1, "queries", "10 s per query"),
        (0.1, "passes", "10 s per pass"),
        (0.1, "pass", "10 s per pass"),
        (0.1, "step", "10 s per step"),
        (0.0, "tokens", "0 tokens/s"),
    ],
)
def test_a_rate_below_one_is_told_as_seconds_per_unit(rate, unit, said):
    assert format_rate(rate, unit) == said


def test_a_slow_step_tells_a_log_how_long_one_unit_takes(monkeypatch, capsys):
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    shown = PlainProgress()
    shown.start("Measuring", 4, "completions")
    now += 75
    shown.advance(1)
    assert "Measuring: 25%, 75 s per completion, 3 min 45 s left" in capsys.readouterr().err


def test_a_slow_step_tells_the_terminal_how_long_one_unit_takes():
    now = 100.0
    bars = RichProgress(console=Console(quiet=True), get_time=lambda: now)
    bars.add_task("Measuring", total=4, unit="queries")
    (task,) = bars.tasks
    column = progress._RateColumn()
    assert column.render(task).plain == ""
    bars.advance(task.id, 0)
    now += 20
    bars.advance(task.id, 1)
    assert column.render(task).plain == "20 s per query"
