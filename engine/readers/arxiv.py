"""arXiv metadata, one JSON object a line, as arXiv gives them away: title and abstract are the text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.readers.files import Skipped, files_of
from engine.readers.jsonl import SUFFIXES, read_objects, text_field
from engine.readers.settings import ReadingSettings

FIELDS = ("id", "title", "abstract", "categories")


def is_metadata(first: dict[str, Any]) -> bool:
    """Whether an object is of arXiv's metadata."""
    return all(field in first for field in FIELDS) and "text" not in first


def read(path: Path, settings: ReadingSettings, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of a file of arXiv metadata, or of those in a folder."""
    for _, file in files_of(path, SUFFIXES, skipped):
        for place, fields in read_objects(file):
            title = " ".join(text_field(fields, "title", place).split())
            abstract = text_field(fields, "abstract", place).strip()
            archive = text_field(fields, "categories", place).split(" ")[0].split(".")[0]
            source = f"arXiv {archive}".strip()
            text = f"{title}\n\n{abstract}"
            yield place, {"id": fields.get("id"), "text": text, "source": source, "title": title}
