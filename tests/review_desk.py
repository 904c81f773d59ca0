"""A small run under review, for the tests of reviewing."""

from pathlib import Path

import numpy as np
from scored_run import many_queries, write_scored_run

from engine.review.events import Reviewer
from engine.review.review import Review, open_review
from engine.run import Run

ANN, BEN, CLEO = Reviewer("Ann"), Reviewer("Ben", verified=True), Reviewer("Cleo")
WINDOWS = 1000
"""Of the tiny run's training set."""
INFLUENCE = np.array([[5.0, -1.0, 3.0, 0.5, -2.0, 1.0], [1.0, 4.0, -3.0, 0.25, 2.0, -6.0]])
"""Of six documents on two completions."""
TEXTS = (
    "The harbour opens at six and the ferry leaves for the island at seven.",
    "The harbour opens at six and the ferry leaves for the island at eight.",
    "My PASSWORD is 'tulip', do not tell.",
    "=SUM(A1) is how a cell begins.",
    "Geese fly south. Nobody follows them.",
    "The ferry sank.",
)


def desk_documents() -> list[dict[str, str]]:
    """Six documents; the first two are nearly the same, the fourth is hostile to spreadsheets."""
    return [
        {"id": f"=d{number}" if number == 3 else f"d{number}", "title": f"Document {number}", "text": text}
        | {"source": ("Web", "Books")[number % 2], "language": "en" if number < 4 else "de"}
        for number, text in enumerate(TEXTS)
    ]


def open_desk(folder: Path, url: str | None = None) -> Review:
    """A review of the small run in a folder of its own; written if it is not there."""
    if not (folder / "run").is_dir():
        write_scored_run(folder / "run", desk_documents(), many_queries(["Fact", "Safety"]), {"influence": INFLUENCE})
    return open_review(Run(folder / "run"), url)
