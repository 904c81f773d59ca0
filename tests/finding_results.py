"""Results of findings that a test chooses, written by the program itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import Mock, patch

import numpy as np

from engine.check.result import Result
from engine.findings.findings import measure_findings
from engine.findings.rules import RULES, Estimate
from engine.findings.settings import FindingsSettings
from engine.findings.study import CONTROLS, Found
from engine.run import Run


@contextmanager
def measuring(found: Mapping[str, Found | Exception]) -> Iterator[None]:
    """Within it, measuring a finding gives what is named here, or raises it."""

    def imported(name: str) -> SimpleNamespace:
        return SimpleNamespace(measure=Mock(side_effect=[found[name.rsplit(".", 1)[-1]]]))

    with patch("engine.findings.findings.import_module", imported):
        yield


def write_findings(run: Run, found: Mapping[str, Found], **settings: object) -> list[Result]:
    """Keep what was found of some findings in a run's folder, as if it had been measured.

    Args:
        run: The run.
        found: What was found, by the finding's name.
        settings: As in :class:`engine.findings.settings.FindingsSettings`.
    """
    with measuring(found):
        return measure_findings(FindingsSettings(str(run.path), only=list(found), **settings))


def estimates(name: str, far: float = 1.0, across: bool = False) -> dict[str, Estimate]:
    """Estimates of every part of a finding's rule: on the asked side of the bound, or with ``far`` < 0 on the other.

    Args:
        name: The finding.
        far: How far from the bound, in widths of about the bound.
        across: Whether the intervals lie across the bound instead.
    """
    made = {}
    for key, part in RULES[name].parts.items():
        width = 0.3 * abs(part.bound) or 0.1
        shift = 0.0 if across else far * 2 * width * (1 if part.side == "above" else -1)
        value = part.bound + shift
        null = part.bound - (width if part.side == "above" else -width) if part.beyond_null else float("nan")
        made[key] = Estimate(value, value - width, value + width, 20, null)
    return made


def some_found(name: str, run: Run, far: float = 1.0, across: bool = False, **more: object) -> Found:
    """A whole result: estimates, controls on the other side of the bound, rows for a picture, a table behind it."""
    random = np.random.default_rng(len(name))
    documents = run.documents.head(4)
    picture = [
        {"score": score, "completion": row.title, "id": row.id, "kind": row.kind, "share": float(random.random())}
        for score in ("influence", *CONTROLS.values())
        for row in run.queries.itertuples()
    ]
    behind = [
        {"document": row.title, "id": row.id, "language": row.language, "influence": 1.5 * place}
        for place, row in enumerate(documents.itertuples())
    ]
    controls = {control: estimates(name, -far) for control in CONTROLS.values()}
    fields = {"sentence": f"What came out of {name} is 42 nats.", "tables": {"picture": picture, "documents": behind}}
    return Found(estimates(name, far, across), controls, **(fields | more))
