"""How predicted changes on leaving documents out compare with training again: one sentence, its numbers measured."""

from dashboard.analyses import trust as analyses
from dashboard.components import text


def calibration_sentence() -> str:
    """How such predictions were found to compare with training again, as Markdown; or that nobody looked."""
    found = analyses.calibration()
    if found is None:
        return analyses.NOT_CALIBRATED
    figures = analyses.calibration_figures(found)
    told = {name: f"**{figures[name]}**" for name in ("slope", "correlation")}
    return analyses.CALIBRATED.format_map(figures | told | {"corpus": text.escape(figures["corpus"])})
