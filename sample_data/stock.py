"""Read the hand-written stock in ``texts/`` and expand each entry into its documents.

An entry is a header line, a title line, and a body::

    @@ source=Web|News fact=velmora
    # A slow weekend | The tram stands still
    {First version of a sentence.|Second version.} Shared words.

It becomes one document per title. Every ``{a|b|c}`` takes the alternative with the
document's number, so that the alternatives of one column read as one coherent text.
Braces without a bar of their own, as in code and LaTeX, are left alone, and an entry with a
single title is taken as it stands.
"""

from dataclasses import dataclass, field
from pathlib import Path

TEXTS = Path(__file__).parent / "texts"
MARKER = "@@ "


@dataclass(frozen=True)
class Draft:
    """One document before it has an id.

    Attributes:
        title: Readable title, unique in the corpus.
        text: The document.
        source: Readable name of the source.
        language: ISO 639-1 code.
        tags: What the builder planted, e.g. ``{"fact": "velmora"}``; goes to ``truth.json`` only.
    """

    title: str
    text: str
    source: str
    language: str
    tags: dict[str, str] = field(default_factory=dict)


def pick(options: list[str], column: int) -> str:
    """Return the option for one column; short lists start over."""
    return options[column % len(options)]


def closing_brace(text: str, start: int) -> int:
    """Return the index of the brace that closes the one at ``start``, or -1."""
    depth = 0
    for index in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return index
    return -1


def split_options(inside: str) -> list[str]:
    """Split at the bars that stand in no inner braces."""
    options, depth = [""], 0
    for letter in inside:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "|" and depth == 0:
            options.append("")
        else:
            options[-1] += letter
    return options


def fill(body: str, column: int) -> str:
    """Replace every ``{a|b|c}`` by the option for one column."""
    filled, index = "", 0
    while index < len(body):
        end = closing_brace(body, index) if body[index] == "{" else -1
        options = split_options(body[index + 1 : end]) if end > 0 else []
        if len(options) > 1:
            filled, index = filled + pick(options, column), end + 1
        else:
            filled, index = filled + body[index], index + 1
    return filled


def expand(header: str, titles: str, body: str, language: str) -> list[Draft]:
    """Turn one entry into its documents.

    Raises:
        ValueError: If the header has a word without ``=`` or names no source.
    """
    words = header.split()
    if any("=" not in word for word in words):
        raise ValueError(f"header {header!r} has a word without '=' -- write name=value pairs")
    tags = dict(word.split("=", 1) for word in words)
    if "source" not in tags:
        raise ValueError(f"header {header!r} names no source -- add source=NAME")
    sources = tags.pop("source")
    language = tags.pop("lang", language)
    names = [title.strip() for title in titles.split(" | ")]
    drafts = []
    for column, title in enumerate(names):
        text = fill(body, column) if len(names) > 1 else body
        text = "\n".join(line.rstrip() for line in text.split("\n"))  # a slot may end a line with a blank
        chosen = {name: pick(value.split("|"), column) for name, value in tags.items()}
        drafts.append(Draft(title, text.strip(), pick(sources.split("|"), column), language, chosen))
    return drafts


def read_stock(path: Path, language: str) -> list[Draft]:
    """Read one stock file; its documents are in ``language`` unless a header says ``lang=``."""
    drafts: list[Draft] = []
    for entry in ("\n" + path.read_text(encoding="utf-8")).split("\n" + MARKER)[1:]:
        header, titles, body = entry.split("\n", 2)
        drafts += expand(header, titles.removeprefix("# "), body, language)
    return drafts


def read_all() -> list[Draft]:
    """Read every stock file in the order of their names, which begin with the language: ``en_prose.txt``."""
    paths = sorted(TEXTS.glob("*.txt"))
    return [draft for path in paths for draft in read_stock(path, path.stem.split("_")[0])]
