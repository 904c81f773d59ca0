"""What the literature's findings came to on a run, for its report."""

import shlex
from dataclasses import dataclass

from engine.findings.claims import CLAIMS
from engine.findings.findings import changes_since, kept_finding
from engine.report.facts import shown_path
from engine.run import Run
from engine.words import date

OLDER = "; the run or the program has changed since"


@dataclass(frozen=True)
class Finding:
    """A row: ``planted`` where the sample's own documents bring the effect about; ``measured`` says when.

    ``sentence`` is what came out; where nothing did, what is open.
    """

    number: int
    title: str
    verdict: str
    planted: bool
    sentence: str
    measured: str


def findings(run: Run) -> list[Finding]:
    """What was measured and kept in the run, in the order of the findings; others are left out."""
    found = []
    for name in CLAIMS:
        result = kept_finding(run.folder.finding(name))
        if result is None:
            continue
        (verdict,) = result.tables["verdict"]
        told = {column: verdict[column] for column in ("number", "title", "verdict", "planted", "sentence")}
        told["sentence"] = told["sentence"] or next((row["text"] for row in result.tables["open"]), "")
        older = OLDER if changes_since(run, name, result.settings, verdict["rule"]) else ""
        found.append(Finding(**told, measured=date(result.finished) + older))
    return found


def findings_command(run: Run) -> str:
    """What measures them."""
    return f"python -m engine findings --run {shlex.quote(shown_path(str(run.path)))}"
