"""The pages' door to reports: one HTML file of the run, or of one completion, to hand on."""

from collections.abc import Sequence

from dashboard import runs
from engine.report import choose_completions, render_report
from engine.run import Run


def report(run: Run, queries: Sequence[int] = ()) -> bytes:
    """The report on these completions, by number; on the first of each kind where none is given."""
    chosen = list(queries) or choose_completions(run)
    return render_report(run, chosen, runs.runs_folder() / "checks").encode("utf-8")
