"""Build the sample's corpus, queries and truth: ``python -m sample_data.build``.

The stock in ``texts/`` and the worked examples become ``corpus.jsonl``; what was planted where
goes to ``truth.json``, which the engine never reads. No clock, no random source: the same
stock gives the same bytes.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from sample_data.facts import FACTS
from sample_data.procedures import worked_examples
from sample_data.queries import queries_with_tags
from sample_data.stock import Draft, read_all

HERE = Path(__file__).parent
LANGUAGES = {"en": "English", "de": "German", "ko": "Korean", "tr": "Turkish", "sw": "Swahili"}
Document = dict[str, str]


def shuffled(drafts: list[Draft]) -> list[Draft]:
    """Return the drafts in an order without pattern that depends on their titles alone."""
    return sorted(drafts, key=lambda draft: hashlib.sha256(draft.title.encode()).hexdigest())


def with_ids(drafts: list[Draft]) -> list[tuple[Document, dict[str, str]]]:
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


def ids_with(corpus: list[tuple[Document, dict[str, str]]], tag: str, value: str) -> list[str]:
    """Return the ids of the documents whose ``tag`` is ``value``."""
    return [document["id"] for document, tags in corpus if tags.get(tag) == value]


def ids_by_value(corpus: list[tuple[Document, dict[str, str]]], tag: str) -> dict[str, list[str]]:
    """Return ``value -> ids`` for every value of ``tag`` in the corpus."""
    values = sorted({tags[tag] for _, tags in corpus if tag in tags})
    return {value: ids_with(corpus, tag, value) for value in values}


def truth_of(corpus: list[tuple[Document, dict[str, str]]]) -> dict[str, Any]:
    """Collect what was planted where: facts, procedures, safety documents, near duplicates, answers of queries."""
    facts = {
        name: {
            "question": fact.question,
            "told": "description before name" if fact.told_reversed else "subject before answer",
            "subject": list(fact.subject),
            "answer": list(fact.answer),
            "exposures": len(ids_with(corpus, "reversed" if fact.told_reversed else "fact", name)),
            "documents": ids_with(corpus, "reversed" if fact.told_reversed else "fact", name),
            "distractors": ids_with(corpus, "about", name),
        }
        for name, fact in FACTS.items()
    }
    procedures = {}
    for name, found in ids_by_value(corpus, "procedure").items():
        forms = ids_by_value([pair for pair in corpus if pair[0]["id"] in set(found)], "form")
        procedures[name] = {"documents": forms, "answer_only": ids_with(corpus, "answeronly", name)}
    return {
        "facts": facts,
        "procedures": procedures,
        "safety": {
            "problem": ids_by_value(corpus, "problem"),
            "look_alike": ids_by_value(corpus, "lookalike"),
        },
        "near_duplicates": list(ids_by_value(corpus, "near").values()),
        "queries": {query["id"]: ids_with(corpus, tag, value) for query, tag, value in queries_with_tags()},
    }


def write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    """Write one JSON object a line, UTF-8."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def table(documents: list[Document], column: str) -> str:
    """Return a Markdown table with documents, share and words per value of ``column``, largest first."""
    counts = Counter(document[column] for document in documents)
    words: Counter[str] = Counter()
    for document in documents:
        words[document[column]] += len(document["text"].split())
    lines = [f"| {column} | documents | share | words |", "|---|---|---|---|"]
    for value, count in counts.most_common():
        share = 100 * count / len(documents)
        lines.append(f"| {LANGUAGES.get(value, value)} | {count} | {share:.1f}% | {words[value]:,} |")
    return "\n".join(lines)


def rewrite_section(card: Path, name: str, body: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end name -->`` in the card.

    Raises:
        ValueError: If the card lacks the two marks.
    """
    text = card.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    if start not in text or end not in text:
        raise ValueError(f"{card.name} lacks the marks {start} and {end} -- put them back where the tables belong")
    before, rest = text.split(start, 1)
    after = rest.split(end, 1)[1]
    card.write_text(f"{before}{start}\n{body}\n{end}{after}", encoding="utf-8")


def build(folder: Path) -> list[Document]:
    """Write ``corpus.jsonl``, ``queries.jsonl`` and ``truth.json`` into ``folder`` and return the documents."""
    corpus = with_ids(shuffled(read_all() + worked_examples()))
    documents = [document for document, _ in corpus]
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", [query for query, _, _ in queries_with_tags()])
    truth = json.dumps(truth_of(corpus), ensure_ascii=False, indent=1)
    (folder / "truth.json").write_text(truth + "\n", encoding="utf-8")
    return documents


def main() -> None:
    """Build into this folder and rewrite the size tables of the card."""
    documents = build(HERE)
    body = f"{len(documents)} documents.\n\n{table(documents, 'source')}\n\n{table(documents, 'language')}"
    rewrite_section(HERE / "README.md", "sizes", body)
    print(body)


if __name__ == "__main__":
    main()
