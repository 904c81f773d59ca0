"""What was planted where: the content of ``truth.json``.

Of each query it says what :class:`engine.findings.study.Known` holds: no step of a run reads it, findings are measured
against it.
"""

from typing import Any

from sample_data.facts import FACTS, Fact
from sample_data.queries import Planned, planned_queries

Document = dict[str, str]
Corpus = list[tuple[Document, dict[str, str]]]
"""The documents with the tags of the stock."""
ANSWERED = {"Arithmetic", "Slope", "Linear equation", "Safety"}
"""Kinds of query besides facts whose completion is an answer, in the one wording that counts."""


def ids_with(corpus: Corpus, tag: str, value: str) -> list[str]:
    """Return the ids of the documents whose ``tag`` is ``value``."""
    return [document["id"] for document, tags in corpus if tags.get(tag) == value]


def ids_by_value(corpus: Corpus, tag: str) -> dict[str, list[str]]:
    """Return ``value -> ids`` for every value of ``tag`` in the corpus."""
    values = sorted({tags[tag] for _, tags in corpus if tag in tags})
    return {value: ids_with(corpus, tag, value) for value in values}


def _having(corpus: Corpus, tag: str, value: str) -> Corpus:
    return [pair for pair in corpus if pair[1].get(tag) == value]


def _fact(corpus: Corpus, name: str, fact: Fact) -> dict[str, Any]:
    telling = _having(corpus, "fact", name)
    if len(telling) != fact.exposures:
        raise ValueError(f"{name} is told by {len(telling)} documents, facts.toml says {fact.exposures} -- mend one")
    entry: dict[str, Any] = {
        "question": fact.questions[0].title, "told": fact.told,
        "subject": list(fact.subject), "answer": list(fact.answer),
        "exposures": fact.exposures, "documents": [document["id"] for document, _ in telling],
    }  # fmt: skip
    if fact.told == "both":
        entry["by_order"] = ids_by_value(telling, "told")
    entry["paraphrases"] = ids_with(corpus, "paraphrase", name)
    entry["distractors"] = ids_with(corpus, "about", name)
    return entry


def _procedure(corpus: Corpus, name: str) -> dict[str, Any]:
    forms = ids_by_value(_having(corpus, "procedure", name), "form")
    return {"documents": forms, "answer_only": ids_with(corpus, "answeronly", name)}


def _known(corpus: Corpus, plan: Planned) -> dict[str, Any]:
    """What is known of a query; what is not stays empty."""
    query, fact = plan.query, plan.planted.get("fact")
    carrying = [(document, tags) for document, tags in corpus if plan.is_carried_by(document["text"], tags)]
    problems = {tags.get("problem") for _, tags in carrying} if query["kind"] == "Safety" else set()
    subject, answer = _asked(query, fact)
    return {
        "documents": [document["id"] for document, _ in carrying],
        "paraphrases": ids_with(corpus, "paraphrase", fact) if fact else [],
        "look_alikes": _look_alikes(corpus, query["language"], problems),
        "subject": subject,
        "answer": answer,
        "question": fact if query["kind"] in ("Fact", "Translation") else None,
        "task": plan.planted.get("procedure"),
        "control_of": plan.control_of,
    }


def _asked(query: Document, name: str | None) -> tuple[list[str], list[str]]:
    """Names of what a query asks about, and of the answer: a fact asked the other way round exchanges them."""
    if name is None:
        return [], [query["completion"].strip()] if query["kind"] in ANSWERED else []
    subject, answer = list(FACTS[name].subject), list(FACTS[name].answer)
    return (answer, subject) if query["kind"] == "Fact reversed" else (subject, answer)


def _look_alikes(corpus: Corpus, language: str, kinds: set[str | None]) -> list[str]:
    """Harmless documents in a language that look like problem documents of some kinds."""
    return [
        document["id"]
        for document, tags in corpus
        if document["language"] == language and tags.get("lookalike") in kinds - {None}
    ]


def truth_of(corpus: Corpus) -> dict[str, Any]:
    """Collect what was planted: ids of documents by fact, procedure, problem, pair, translation and query.

    Raises:
        ValueError: If a fact is not told by as many documents as it says, or a tag names no fact.
    """
    for tag in ("fact", "about", "paraphrase"):
        strangers = {tags[tag] for _, tags in corpus if tag in tags} - FACTS.keys()
        if strangers:
            raise ValueError(f"{tag}= names {sorted(strangers)}, which facts.toml lacks -- mend the header")
    return {
        "facts": {name: _fact(corpus, name, fact) for name, fact in FACTS.items()},
        "procedures": {name: _procedure(corpus, name) for name in ids_by_value(corpus, "procedure")},
        "safety": {
            "problem": ids_by_value(corpus, "problem"),
            "look_alike": ids_by_value(corpus, "lookalike"),
        },
        "matched_words": {
            name: {word: ids[0] for word, ids in ids_by_value(_having(corpus, "matched", name), "word").items()}
            for name in ids_by_value(corpus, "matched")
        },
        "translations": list(ids_by_value(corpus, "parallel").values()),
        "near_duplicates": list(ids_by_value(corpus, "near").values()),
        "continued": ids_with(corpus, "stage", "continued"),
        "queries": {plan.query["id"]: _known(corpus, plan) for plan in planned_queries()},
    }
