"""A Stack Exchange dump's ``Posts.xml``: each question with its answers is a document, called by the question's title.

Answers stand anywhere after their question, so the file is read twice: answers are laid on disk, then questions are
joined with theirs, the accepted one first, then by score. Only tags are looked at, as they come: no tree is built. A
declaration of entities, by which XML reads other files or fills the memory, is refused.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from engine.errors import CorpusError
from engine.readers.disk import temporary_table
from engine.readers.files import Skipped, files_of, opened, readable
from engine.readers.html import html_to_text
from engine.readers.settings import ReadingSettings

NAMES = ("Posts.xml", "posts.xml")
QUESTION, ANSWER = "1", "2"
CHUNK_BYTES = 1 << 16
ANSWERS = "(question TEXT, id INTEGER, score INTEGER, body TEXT)"
FIND = "SELECT body FROM kept WHERE question = ? ORDER BY id = ? DESC, score DESC, id"


def read(path: Path, settings: ReadingSettings, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of a ``Posts.xml``, or of those of several sites in a folder."""
    for name, file in files_of(path, NAMES, skipped):
        with temporary_table(ANSWERS) as answers:
            missing = _keep_answers(file, answers, skipped)
            site = readable(file.resolve().parent.name)
            before = f"{Path(name).parent}/" if "/" in name else ""
            for place, question, bodies in _questions(file, answers):
                missing -= len(bodies)
                about = {"id": f"{before}{question['Id']}", "source": site if "." in site else "Stack Exchange"}
                yield place, about | _joined(question, bodies)
            skipped.update({"answers without their question": missing} if missing else {})


def _keep_answers(file: Path, answers: sqlite3.Connection, skipped: Skipped) -> int:
    """Lay the answers on disk; how many there are."""
    count = 0
    for place, row in _rows(file):
        if row.get("PostTypeId") == ANSWER:
            values = (_number(row, "Id", place), _number(row, "Score", place, "0"), row.get("Body", ""))
            answers.execute("INSERT INTO kept VALUES (?, ?, ?, ?)", (row.get("ParentId"), *values))
            count += 1
        elif row.get("PostTypeId") != QUESTION:
            skipped["posts that are neither question nor answer"] += 1
    answers.execute("CREATE INDEX by_question ON kept (question)")
    return count


def _questions(file: Path, answers: sqlite3.Connection) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """Place and fields of each question, with the bodies of its answers."""
    for place, row in _rows(file):
        if row.get("PostTypeId") == QUESTION:
            _number(row, "Id", place)
            accepted = _number(row, "AcceptedAnswerId", place, "0")
            yield place, row, [body for (body,) in answers.execute(FIND, (row["Id"], accepted))]


def _joined(question: dict[str, str], bodies: list[str]) -> dict[str, str]:
    title = " ".join(question.get("Title", "").split())
    asked = f"Q: {title}\n\n{html_to_text(question.get('Body', ''))}".strip()
    return {"text": "\n\n".join([asked, *(f"A: {html_to_text(body)}" for body in bodies)]), "title": title}


def _number(row: dict[str, str], name: str, place: str, default: str | None = None) -> int:
    value = row.get(name, default)
    try:
        return int(value or "")
    except ValueError:
        raise CorpusError(
            f"{place}: {name} is {value!r}, not a number -- question and answers could not be joined -- mend the row."
        ) from None


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and attributes of each ``row`` of a file, a piece of the file at a time."""
    found: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "row":
            found.append((f"{path}, line {parser.CurrentLineNumber}", attributes))

    def refuse(*_: Any) -> None:
        raise CorpusError(
            f"{path}, line {parser.CurrentLineNumber}: a document type declaration -- its entities could read other "
            "files or fill the memory, and dumps have none -- take the file from the dump itself."
        )

    parser.StartElementHandler, parser.StartDoctypeDeclHandler = start, refuse
    with opened(path) as content:
        while True:
            chunk = content.read(CHUNK_BYTES)
            try:
                parser.Parse(chunk, not chunk)
            except expat.ExpatError as error:
                raise CorpusError(f"{path}: not valid XML ({error}) -- posts would be missing -- mend it.") from None
            yield from found
            found.clear()
            if not chunk:
                return
