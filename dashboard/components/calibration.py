"""How predicted changes on leaving documents out compare with retraining: one sentence, its numbers from the check."""

from dashboard.analyses import trust as analyses
from dashboard.components import text
from dashboard.components.text import between

NOT_CALIBRATED = "Predicted changes are first-order estimates; none has been checked by training again yet."


def calibration_sentence() -> str:
    """How such predictions were found to compare with training again, as Markdown; or that nobody looked."""
    found = analyses.calibration()
    if found is None:
        return NOT_CALIBRATED
    settings, row = found.result.settings, found.row
    return (
        f"How such predictions fare: on {text.escape(found.corpus) or 'the sample'}, training again without "
        f"{settings['top']} of {settings['documents']:,} documents changed the log-probability by "
        f"**{between(row, 'slope')}** of what is predicted; predicted and measured changes correlate at "
        f"**{between(row, 'correlation')}** ({row['points']:,} removals, measured {text.date(found.result.finished)})."
    )
