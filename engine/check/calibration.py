"""How predicted changes on leaving documents out compare with training again: one sentence, on pages and in reports."""

from engine.check.found import Calibration
from engine.words import between, date

NOT_CALIBRATED = "Predicted changes are first-order estimates; none has been checked by training again yet."
CALIBRATED = (
    "How such predictions fare: on {documents} documents of {corpus}, training again without {top} of them changed the "
    "log-probability {slope} times as much as predicted; predicted and measured changes correlate at {correlation} "
    "({removals} removals, 95% intervals, measured {measured})."
)
"""Filled in with :func:`calibration_figures`, escaped for its place."""
SAMPLE = "the embedded sample"


def calibration_figures(found: Calibration) -> dict[str, str]:
    """What stands in :data:`CALIBRATED`, as plain text; the corpus is a file's name, so not to be trusted."""
    settings, row = found.result.settings, found.row
    return {
        "corpus": found.corpus or SAMPLE,
        "top": f"{settings['top']:,}",
        "documents": f"{settings['documents']:,}",
        "slope": between(row, "slope"),
        "correlation": between(row, "correlation"),
        "removals": f"{row['points']:,}",
        "measured": date(found.result.finished),
    }
