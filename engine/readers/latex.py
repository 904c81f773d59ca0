"""LaTeX sources: each file is a document, without comments and preamble, called by its title or first heading."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.readers.files import Skipped, source_in, texts_of
from engine.readers.settings import ReadingSettings

SUFFIXES = (".tex", ".ltx")
LEFT_OUT = re.compile(r"\\begin\{comment\}.*?\\end\{comment\}\n?", re.DOTALL)
VERBATIM = re.compile(r"(\\begin\{(verbatim\*?|lstlisting|minted)\}.*?\\end\{\2\})", re.DOTALL)
COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
COMMENT_LINE = re.compile(r"^[ \t]*%.*\n?", re.MULTILINE)
BODY = re.compile(r"\\begin\{document\}(.*?)(?:\\end\{document\}|\Z)", re.DOTALL)
HEADING = re.compile(r"\\(?:title|chapter|section|subsection)\*?\s*(?:\[[^\]]*\])?\s*\{")
NOTE = re.compile(r"\\(?:thanks|footnote|label)\s*\{[^{}]*\}")
ESCAPED = re.compile(r"\\([&%#_])")
ACCENT = re.compile(r"\\(['`\"^~=.]|[cvuHr](?![a-zA-Z]))\s*\{?\\?([a-zA-Z])\}?")
ACCENTS = dict(
    zip("'`\"^~=.cvuHr", "\u0301\u0300\u0308\u0302\u0303\u0304\u0307\u0327\u030c\u0306\u030b\u030a", strict=True)
)
COMMAND = re.compile(r"\\(?:[a-zA-Z]+\*?\s*|.)|~")
SIGN = re.compile(r"[{}$]")
LONGEST_TITLE = 300


def read(path: Path, settings: ReadingSettings, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of a folder of LaTeX sources, or of one file; ``\\input`` is not followed: that file is read too."""
    for name, file, raw in texts_of(path, SUFFIXES, skipped):
        source = without_comments(raw)
        body = BODY.search(source)
        text = (body[1] if body else source).strip() + "\n"
        title = title_of(source) or name
        yield str(file), {"id": name, "text": text, "source": source_in(name, path) or "LaTeX", "title": title}


def without_comments(source: str) -> str:
    """LaTeX without comments; what stands verbatim keeps its percent signs."""
    parts = VERBATIM.split(LEFT_OUT.sub("", source))
    for at in range(0, len(parts), 3):  # between come the environments, and their names
        parts[at] = COMMENT.sub(r"\1", COMMENT_LINE.sub("", parts[at]))
    return "".join(part for at, part in enumerate(parts) if at % 3 != 2)


def title_of(source: str) -> str:
    """The first title or heading as plain words; empty where there is none."""
    for found in HEADING.finditer(source):
        if title := plain_words(NOTE.sub("", _braced(source, found.end()))):
            return title
    return ""


def plain_words(latex: str) -> str:
    """LaTeX of a title without commands and braces; accented letters are single characters."""
    accented = ACCENT.sub(lambda found: found[2] + ACCENTS[found[1]], latex)
    return " ".join(unicodedata.normalize("NFC", SIGN.sub("", COMMAND.sub(" ", ESCAPED.sub(r"\1", accented)))).split())


def _braced(source: str, start: int) -> str:
    """What stands between an opened brace and its closing one."""
    depth = 1
    for at in range(start, min(start + LONGEST_TITLE, len(source))):
        depth += (source[at] == "{") - (source[at] == "}")
        if depth == 0:
            return source[start:at]
    return ""
