"""The name a query is about: the rarest word of its prompt that stands in a document (no torch)."""

from collections.abc import Mapping, Sequence

import regex

from engine.run import Run
from engine.tables import open_tables
from engine.variants import occurrences

_WORD = regex.compile(r"[\p{L}\p{M}\p{N}_]+")


def find_subject(prompt: str, text: str, holding: Mapping[str, int], documents: int) -> str:
    """The rarest word of the prompt that stands in a document: usually the name it is about.

    Words in more than half of the documents are no subject. Of equally rare words the longest counts.
    In a language without spaces a prompt is one word, and a Korean name may carry a particle in the
    prompt only; give the subject there.

    Args:
        prompt: The query's prompt.
        text: The document.
        holding: Documents that hold each of :func:`prompt_words`.
        documents: Documents of the corpus.

    Returns:
        The word in lower case, or an empty string where there is none.
    """
    known = [word for word in prompt_words(prompt) if 2 * holding[word] <= documents and occurrences(text, word)]
    return min(known, key=lambda word: (holding[word], -len(word)), default="")


def prompt_words(prompt: str) -> list[str]:
    """Distinct words of a prompt in lower case, in order, without punctuation."""
    return list(dict.fromkeys(_WORD.findall(prompt.lower())))


def document_frequency(run: Run, strings: Sequence[str]) -> dict[str, int]:
    """Documents of a run in whose lower-cased text each string stands, within words too.

    One scan of the corpus, however many strings.
    """
    if not strings:
        return {}
    counts = ", ".join("count(*) FILTER (contains(lower(text), ?))" for _ in strings)
    with open_tables(documents=run.folder.documents) as tables:
        row = tables.execute(f"SELECT {counts} FROM documents", list(strings)).fetchone()
    assert row is not None
    return dict(zip(strings, row, strict=True))
