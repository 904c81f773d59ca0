"""Build the sample's corpus, queries and truth: ``python -m sample_data.build``.

The stock in ``texts/`` and the worked examples become ``corpus.jsonl``; what was planted where
goes to ``truth.json``, which no step of a run reads. No clock, no random source: the same
stock gives the same bytes.
"""

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sample_data.card import rewrite_section, table
from sample_data.facts import LANGUAGES
from sample_data.procedures import worked_examples
from sample_data.queries import planned_queries
from sample_data.stock import Draft, read_all
from sample_data.truth import Corpus, Document, ids_by_value, truth_of

HERE = Path(__file__).parent
FLIPPED = HERE / "flipped.toml"


def shuffled(drafts: list[Draft]) -> list[Draft]:
    """Return the drafts in an order without pattern that depends on their titles alone.

    Raises:
        ValueError: If two documents share a title: pages and files name documents by it.
    """
    repeated = [title for title, count in Counter(draft.title for draft in drafts).items() if count > 1]
    if repeated:
        raise ValueError(f"titles used twice: {repeated} -- give one of each another title")
    return sorted(drafts, key=lambda draft: hashlib.sha256(draft.title.encode()).hexdigest())


def with_ids(drafts: list[Draft]) -> Corpus:
    """Number the drafts within their source and return documents with their tags."""
    counts: Counter[str] = Counter()
    numbered = []
    for draft in drafts:
        counts[draft.source] += 1
        document = {
            "id": f"{draft.source.lower()}-{counts[draft.source]:04d}", "text": draft.text,
            "source": draft.source, "language": draft.language, "title": draft.title,
        }  # fmt: skip
        numbered.append((document, draft.tags))
    return numbered


def recorded(corpus: Corpus) -> list[dict[str, Any]]:
    """The documents with what a corpus may record of them: the relation flipped, and who says the same.

    Raises:
        ValueError: If ``flipped.toml`` names a document, or words of it, that are not there.
    """
    flips = {flip["title"]: flip for flip in tomllib.loads(FLIPPED.read_text(encoding="utf-8"))["flip"]}
    strangers = flips.keys() - {document["title"] for document, _ in corpus}
    if strangers:
        raise ValueError(f"flipped.toml names {sorted(strangers)}, which the stock lacks -- mend the titles")
    alike = ids_by_value(corpus, "parallel")
    rows: list[dict[str, Any]] = []
    for document, tags in corpus:
        row: dict[str, Any] = dict(document)
        flip = flips.get(document["title"])
        if flip is not None:
            if flip["as_told"] not in document["text"]:
                raise ValueError(f"{document['title']!r} does not say {flip['as_told']!r} -- mend flipped.toml")
            row["relation_flipped"] = document["text"].replace(flip["as_told"], flip["flipped"])
        if "parallel" in tags:
            row["same_content"] = [one for one in alike[tags["parallel"]] if one != document["id"]]
        rows.append(row)
    return rows


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, UTF-8."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def size_table(documents: list[Document], column: str) -> str:
    """Return a Markdown table with documents, share and characters per value of ``column``, largest first."""
    counts = Counter(document[column] for document in documents)
    letters: Counter[str] = Counter()
    for document in documents:
        letters[document[column]] += len(document["text"])
    rows = [
        [LANGUAGES.get(value, value), f"{count:,}", f"{100 * count / len(documents):.1f}%", f"{letters[value]:,}"]
        for value, count in counts.most_common()
    ]
    return table([column, "documents", "share", "characters"], rows)


def build(folder: Path) -> list[Document]:
    """Write ``corpus.jsonl``, ``queries.jsonl`` and ``truth.json`` into ``folder`` and return the documents."""
    corpus = with_ids(shuffled(read_all() + worked_examples()))
    documents = [document for document, _ in corpus]
    write_lines(folder / "corpus.jsonl", recorded(corpus))
    write_lines(folder / "queries.jsonl", [plan.query for plan in planned_queries()])
    truth = json.dumps(truth_of(corpus), ensure_ascii=False, indent=1)
    (folder / "truth.json").write_text(truth + "\n", encoding="utf-8")
    return documents


def main() -> None:
    """Build into this folder and rewrite the size tables of the card."""
    documents = build(HERE)
    kinds = Counter(plan.query["kind"] for plan in planned_queries())
    body = "\n\n".join(
        [
            f"{len(documents):,} documents, {sum(kinds.values())} queries.",
            size_table(documents, "source"),
            size_table(documents, "language"),
            table(["kind of query", "queries"], [[kind, str(count)] for kind, count in kinds.items()]),
        ]
    )
    rewrite_section("sizes", body)
    print(body)


if __name__ == "__main__":
    main()
