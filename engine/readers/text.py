"""A folder of text and Markdown files: each file is a document, called by its path in the folder."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.readers.files import Skipped, source_in, texts_of
from engine.readers.settings import ReadingSettings

MARKDOWN = (".md", ".markdown", ".mdx")
SUFFIXES = (".txt", ".text", ".rst", *MARKDOWN)
HEADING = re.compile(r"^#{1,2}[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
FENCED = re.compile(r"^(```|~~~).*?(^\1|\Z)", re.MULTILINE | re.DOTALL)


def read(path: Path, settings: ReadingSettings, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of a folder of texts, or of one text file."""
    for name, file, text in texts_of(path, SUFFIXES, skipped):
        heading = heading_of(text) if name.lower().endswith(MARKDOWN) else None
        yield str(file), {"id": name, "text": text, "source": source_in(name, path), "title": heading or name}


def heading_of(markdown: str) -> str | None:
    """The first heading of a Markdown text outside its code blocks."""
    found = HEADING.search(FENCED.sub("", markdown[:10_000]))
    return found[1] if found else None
