"""Where tables and JSON objects keep what a document needs, also in the schemas of the Pile, RedPajama and Dolma.

The Pile has ``{"text", "meta": {"pile_set_name"}}``, RedPajama ``{"text", "meta": {"source", "language", "title"}}``
or ``red_pajama_subset``, its second version ``raw_content``, SlimPajama ``meta.redpajama_set_name``, Dolma ``{"id",
"text", "source", "metadata"}``. A file's first object decides what holds text and id; the rest is looked up in each.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import CorpusError
from engine.readers.settings import ReadingSettings

TEXT = ("text", "raw_content", "content")
ID = ("id",)
OTHERS = {
    "source": ("source", "meta.pile_set_name", "meta.redpajama_set_name", "red_pajama_subset", "meta.source",
               "metadata.source"),
    "language": ("language", "lang", "meta.language", "metadata.language", "metadata.lang"),
    "title": ("title", "meta.title", "metadata.title", "meta.short_book_title", "meta.path", "metadata.path"),
}  # fmt: skip
KEPT = ("relation_flipped", "same_content")


def named(
    objects: Iterable[tuple[str, str, Mapping[str, Any]]], settings: ReadingSettings, names: Sequence[str] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects of one file, ``(place, name, fields)``, with their fields under a document's names.

    Args:
        objects: Place for errors, what to call it where the file has no ids, and fields.
        settings: Columns that were chosen.
        names: Columns of the file; None for those of the first object.

    Raises:
        CorpusError: If there is no text, or no column of a chosen name.
    """
    columns = None
    for place, name, fields in objects:
        columns = columns or Columns.among(list(fields if names is None else names), fields, settings, place)
        yield place, columns.named(fields, name, place)


def wanted(names: Iterable[str], settings: ReadingSettings) -> list[str]:
    """The columns of a table that are needed at all."""
    places = [*TEXT, *ID, *KEPT, *(place for others in OTHERS.values() for place in others)]
    chosen = [value for field in ("text", "id", *OTHERS) if (value := getattr(settings, f"{field}_column"))]
    heads = {place.split(".")[0] for place in [*places, *chosen]}
    return [name for name in names if name in heads or name in chosen]


@dataclass(frozen=True)
class Columns:
    """Places of one file's fields.

    Attributes:
        text: Of the text.
        id: Of the id; empty where the first object has none: then those without are called by file and number.
        others: Of source, language and title: the first of them that holds text counts.
        chosen: Places that the user named: numbers in them count as text.
    """

    text: str
    id: str
    others: Mapping[str, Sequence[str]]
    chosen: frozenset[str]

    @classmethod
    def among(cls, names: list[str], first: Mapping[str, Any], settings: ReadingSettings, place: str) -> "Columns":
        """The places in a file of these columns, by the settings and its first object."""
        chosen = {field: getattr(settings, f"{field}_column") for field in ("text", "id", *OTHERS)}
        for field, column in chosen.items():
            if column is not None and column not in names and column.split(".")[0] not in names:
                raise CorpusError(
                    f"{place}: there is no field `{column}` for --{field}-column -- it would stay empty -- choose one "
                    f"of {_listed(names)}."
                )
        text = chosen["text"] or next((name for name in TEXT if name in names), None)
        if text is None:
            raise CorpusError(
                f"{place}: field `text` is missing -- it is required -- add it, or name what holds the text with "
                f"--text-column: {_listed(names)}."
            )
        others = {field: (chosen[field],) if chosen[field] else OTHERS[field] for field in OTHERS}
        id = chosen["id"] or next((name for name in ID if name in names), "")
        return cls(text, id, others, frozenset(filter(None, chosen.values())))

    def named(self, fields: Mapping[str, Any], name: str, place: str) -> dict[str, Any]:
        """A document's fields; those that are missing are left out."""
        found = {field: fields[field] for field in KEPT if field in fields}
        found |= {"text": self._required(fields, self.text, place)}
        found |= {"id": self._required(fields, self.id, place) if self.id else self._first(fields, ID) or name}
        return found | {field: self._first(fields, places) for field, places in self.others.items()}

    def _required(self, fields: Mapping[str, Any], column: str, place: str) -> Any:
        value = self._text(_lookup(fields, column), column)
        if value is None:
            raise CorpusError(f"{place}: field `{column}` is missing -- it is required -- add it there.")
        return value

    def _first(self, fields: Mapping[str, Any], places: Sequence[str]) -> Any:
        for column in places:
            value = self._text(_lookup(fields, column), column)
            own = column in fields or column in self.chosen
            if (
                value is not None and value != "" and (own or isinstance(value, str))
            ):  # RedPajama's code has a list as language
                return value
        return None

    def _text(self, value: Any, column: str) -> Any:
        return str(value) if type(value) is int and column in self.chosen else value


def _lookup(fields: Mapping[str, Any], column: str) -> Any:
    """What stands at a place: a field of that name, else ``a.b`` is the field ``b`` within ``a``."""
    value = fields.get(column)
    if value is not None or "." not in column:
        return value
    head, _, rest = column.partition(".")
    inner = fields.get(head)
    return _lookup(inner, rest) if isinstance(inner, dict) else None


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:20])
    return f"{shown}{', ...' * (len(names) > 20)}" if names else "it has none"
