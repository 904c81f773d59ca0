"""Which reader a corpus is read by: the one that was asked for, else by what the path is."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import CorpusError
from engine.readers import arxiv, code, csv, hugging_face, jsonl, latex, parquet, stackexchange, text
from engine.readers.files import Skipped, files_below, plain_name, suffix
from engine.readers.settings import ReadingSettings

Read = Callable[[Path, ReadingSettings, Skipped], Iterator[tuple[str, dict[str, Any]]]]


@dataclass(frozen=True)
class Reader:
    """One format of a corpus.

    Attributes:
        reads: What it reads, in words.
        suffixes: Endings, or whole names, of its files, however they are compressed.
        read: From path, settings and a count of what is skipped to ``(place, fields)``.
    """

    reads: str
    suffixes: Collection[str]
    read: Read


READERS = {
    "jsonl": Reader("JSON Lines, also of the Pile, RedPajama and Dolma", jsonl.SUFFIXES, jsonl.read),
    "parquet": Reader("Parquet", parquet.SUFFIXES, parquet.read),
    "csv": Reader("CSV or TSV", csv.SUFFIXES, csv.read),
    "stackexchange": Reader("a Stack Exchange dump's Posts.xml", stackexchange.NAMES, stackexchange.read),
    "arxiv": Reader("arXiv metadata", (), arxiv.read),
    "latex": Reader("LaTeX sources", latex.SUFFIXES, latex.read),
    "text": Reader("text and Markdown files", text.SUFFIXES, text.read),
    "code": Reader("a tree of source code", code.SUFFIXES, code.read),
    "huggingface": Reader("a Hugging Face dataset", (), hugging_face.read),
}
"""By name; where a file could be of several, the first counts."""


def choose(path: Path, asked: str | None) -> str:
    """Name of the reader for a path.

    Raises:
        CorpusError: If there is no such reader, nothing at the path, or nothing there that a reader knows.
    """
    if asked is not None:
        if asked not in READERS:
            raise CorpusError(f"reader {asked!r} is unknown -- choose one of {', '.join(READERS)}.")
        return asked
    if not path.exists():
        raise CorpusError(
            f"{path} is not a file or folder -- there is nothing to read -- check the path; a Hugging Face dataset is "
            "read by its name with --reader huggingface."
        )
    found = _of_folder(path) if path.is_dir() else _of_file(path)
    if found is None:
        raise CorpusError(
            f"{path} is not a file or folder that a reader knows -- name one with --reader: "
            f"{', '.join(f'{name} ({reader.reads})' for name, reader in READERS.items())}."
        )
    return found


def _of_file(path: Path) -> str | None:
    """By the file's name; of JSON, and where the name says nothing, by its first line."""
    known = _by_name(path)
    if known not in (None, "jsonl"):
        return known
    first = jsonl.first_object(path)
    return "arxiv" if arxiv.is_metadata(first) else known or ("jsonl" if first else None)


def _by_name(path: Path) -> str | None:
    ends = {suffix(path), plain_name(path.name)}
    return next((name for name, reader in READERS.items() if ends & set(reader.suffixes)), None)


def _of_folder(folder: Path) -> str | None:
    """What most of a folder's bytes are; JSON counts where it is one object a line, as settings are not."""
    if hugging_face.is_saved(folder):
        return "huggingface"
    sizes: Counter[str] = Counter()
    for file in files_below(folder, Counter()):
        name = _by_name(file)
        if name == "jsonl":
            name = _of_file(file) if suffix(file) != ".json" or jsonl.first_object(file) else None
        if name is not None:
            sizes[name] += file.stat().st_size + 1
    return max(sizes, key=sizes.__getitem__, default=None)
