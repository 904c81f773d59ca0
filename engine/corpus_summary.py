"""``python -m engine corpus``: what would be read of a corpus, before anything is computed."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from rich.table import Table

from engine.corpus import Document, read_corpus, tokenize
from engine.readers.choice import READERS, choose
from engine.readers.files import Skipped, skipped_note
from engine.readers.settings import ReadingSettings
from engine.show import add_column, printable
from engine.words import language

TITLES = 5
GROUPS = 20
"""Sources, and languages, that are printed; ``--json`` has all."""


@dataclass
class CorpusSummary:
    """What a corpus holds.

    Attributes:
        path: File, folder or dataset.
        reader: Name of what it is read by.
        first: Whether only its first documents were looked at.
        documents: Number of documents.
        characters: Of all texts.
        tokens: Of all texts; None where no model was named.
        sources: Documents of each source.
        languages: Documents of each language.
        titles: Titles of the first documents.
        skipped: What was not read, by what it is.
    """

    path: str
    reader: str
    first: bool = False
    documents: int = 0
    characters: int = 0
    tokens: int | None = None
    sources: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    titles: list[str] = field(default_factory=list)
    skipped: Skipped = field(default_factory=Counter)

    def add(self, document: Document) -> None:
        """Count a document."""
        self.documents += 1
        self.characters += len(document.text)
        self.sources[document.source] += 1
        self.languages[document.language] += 1
        if len(self.titles) < TITLES:
            self.titles.append(document.title)


def summarise(
    path: str, settings: ReadingSettings, model: str | None = None, first: int | None = None
) -> CorpusSummary:
    """Read a corpus, one document at a time, and say what it holds.

    Args:
        path: File or folder; name of a dataset if the settings say so.
        settings: How to read it.
        model: Hugging Face name or folder whose tokenizer counts tokens; None to leave them.
        first: Documents to look at; None for all.

    Raises:
        WhenceError: If the corpus cannot be read, or the tokenizer cannot be loaded.
    """
    summary = CorpusSummary(path, choose(Path(path), settings.reader))
    documents: Iterable[Document] = read_corpus(path, settings, summary.skipped)
    count = _token_counter(model)
    for document in islice(documents, first):
        summary.add(document)
        if count:
            summary.tokens = (summary.tokens or 0) + count(document.text)
    summary.first = summary.documents == first
    return summary


def _token_counter(model: str | None) -> Callable[[str], int] | None:
    if model is None:
        return None
    from engine.loading import load_tokenizer  # takes seconds to import

    tokenizer = load_tokenizer(model)
    return lambda text: len(tokenize(tokenizer, text))


def summary_tables(summary: CorpusSummary) -> list[Any]:
    """The summary for the terminal."""
    tokens = "" if summary.tokens is None else f", {summary.tokens:,} tokens"
    sentence = (
        f"{summary.path}: read as {READERS[summary.reader].reads} (--reader {summary.reader}). "
        f"{'The first ' * summary.first}{summary.documents:,} document{'s' * (summary.documents != 1)}, "
        f"{summary.characters:,} characters{tokens}."
    )
    shown: list[Any] = [printable(sentence, "bold")]
    shown += [
        _groups(name, found, summary.documents)
        for name, found in (("Source", summary.sources), ("Language", summary.languages))
    ]
    titles = _table("First titles")
    for title in summary.titles:
        titles.add_row(printable(title))
    return [*shown, titles, *(printable(told) for told in [skipped_note(summary.skipped)] if told)]


def _groups(name: str, found: Counter[str], documents: int) -> Table:
    table = _table(name)
    for heading in ("Documents", "Share"):
        add_column(table, heading, right=True)
    for group, count in found.most_common(GROUPS):
        table.add_row(
            printable(language(group) if name == "Language" else group), f"{count:,}", f"{count / documents:.1%}"
        )
    if len(found) > GROUPS:
        rest = sum(count for _, count in found.most_common()[GROUPS:])
        table.add_row(f"{len(found) - GROUPS:,} more", f"{rest:,}", f"{rest / documents:.1%}")
    return table


def _table(name: str) -> Table:
    table = Table(header_style="dim")
    add_column(table, name, max_width=80)
    return table
