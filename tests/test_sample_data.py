"""The embedded sample is what its truth file and its card say it is."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sample_data.build import build
from sample_data.facts import FACTS

SAMPLE = Path(__file__).parents[1] / "sample_data"
FILES = ("corpus.jsonl", "queries.jsonl", "truth.json")


def read_lines(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLE / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def documents() -> list[dict[str, str]]:
    return read_lines("corpus.jsonl")


@pytest.fixture(scope="module")
def text_of(documents: list[dict[str, str]]) -> dict[str, str]:
    return {document["id"]: document["text"] for document in documents}


@pytest.fixture(scope="module")
def queries() -> list[dict[str, str]]:
    return read_lines("queries.jsonl")


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    return json.loads((SAMPLE / "truth.json").read_text(encoding="utf-8"))


def test_the_builder_gives_the_same_bytes_twice_and_the_committed_files(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        build(folder)
    for name in FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes()
        assert (first / name).read_bytes() == (SAMPLE / name).read_bytes(), f"{name}: run python -m sample_data.build"


def test_ids_and_titles_are_unique_and_every_field_is_filled(
    documents: list[dict[str, str]], queries: list[dict[str, str]]
) -> None:
    for rows, fields in (
        (documents, "id text source language title"),
        (queries, "id prompt completion kind title"),
    ):
        for column in ("id", "title"):
            repeated = [value for value, count in Counter(row[column] for row in rows).items() if count > 1]
            assert not repeated
        assert all(row[name].strip() for row in rows for name in fields.split())


def test_no_text_keeps_the_marks_of_the_stock(documents: list[dict[str, str]]) -> None:
    for document in documents:
        assert "@@" not in document["text"], document["title"]
        assert document["text"] == document["text"].strip()


def test_sources_and_languages_keep_their_proportions(documents: list[dict[str, str]]) -> None:
    total = len(documents)
    sources = {name: count / total for name, count in Counter(d["source"] for d in documents).items()}
    languages = {name: count / total for name, count in Counter(d["language"] for d in documents).items()}
    assert 450 <= total <= 600
    assert max(sources, key=lambda name: sources[name]) == "Web"
    assert 0.06 <= sources["Code"] <= 0.10
    assert 0.03 <= sources["StackExchange"] <= 0.08
    assert 0.03 <= sources["ArXiv"] <= 0.08
    assert 0.70 <= languages["en"] <= 0.80
    assert 0.01 <= languages["sw"] <= 0.02
    assert set(languages) == {"en", "de", "ko", "tr", "sw"}


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_stands_in_its_documents_and_in_no_other(
    name: str, truth: dict[str, Any], text_of: dict[str, str]
) -> None:
    fact, planted = FACTS[name], truth["facts"][name]
    told = {identifier for identifier, text in text_of.items() if fact.is_told_in(text)}
    assert told == set(planted["documents"])
    assert len(told) == fact.exposures == planted["exposures"]
    assert all(fact.is_about(text_of[identifier]) for identifier in planted["distractors"])
    assert len(planted["distractors"]) >= fact.exposures
    # The answer itself occurs nowhere else, or its documents would be hidden carriers.
    others = [text for identifier, text in text_of.items() if identifier not in told]
    assert not any(answer in text for answer in fact.answer for text in others)


@pytest.mark.parametrize("name", [name for name, fact in FACTS.items() if fact.told_reversed])
def test_a_reversed_fact_names_the_description_first(name: str, truth: dict[str, Any], text_of: dict[str, str]) -> None:
    fact = FACTS[name]
    for identifier in truth["facts"][name]["documents"]:
        text = text_of[identifier]
        described = min(text.lower().find(s.lower()) for s in fact.subject if s.lower() in text.lower())
        named = [text.find(answer) for answer in fact.answer if answer in text]
        assert described < min(named), text


def test_the_completion_of_every_fact_follows_its_prompt_in_a_document_that_tells_it(
    queries: list[dict[str, str]], truth: dict[str, Any], text_of: dict[str, str]
) -> None:
    facts = [query for query in queries if query["kind"] in ("Fact", "Translation")]
    assert len(facts) >= 14
    for query in facts:
        carriers = truth["queries"][query["id"]]
        whole = query["prompt"] + query["completion"]
        assert any(whole.lower() in text_of[identifier].lower() for identifier in carriers), query["title"]


def test_truth_names_only_documents_and_queries_that_exist(
    truth: dict[str, Any], queries: list[dict[str, str]], text_of: dict[str, str]
) -> None:
    assert set(truth["queries"]) == {query["id"] for query in queries}
    for query in queries:
        carriers = truth["queries"][query["id"]]
        assert set(carriers) <= set(text_of)
        assert bool(carriers) == (query["kind"] != "Control"), query["title"]


def test_every_kind_of_problem_has_look_alikes_and_every_large_language_has_one(
    truth: dict[str, Any], documents: list[dict[str, str]]
) -> None:
    problem, look_alike = truth["safety"]["problem"], truth["safety"]["look_alike"]
    assert set(problem) == set(look_alike)
    language_of = {document["id"]: document["language"] for document in documents}
    flagged = {language_of[identifier] for found in problem.values() for identifier in found}
    assert flagged == {"en", "de", "ko", "tr"}
    assert not {i for found in problem.values() for i in found} & {i for f in look_alike.values() for i in f}


def word_grams(text: str, size: int = 8) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


def test_few_documents_share_half_of_their_eight_word_grams_with_another(
    text_of: dict[str, str], truth: dict[str, Any]
) -> None:
    declared = [set(pair) for pair in truth["near_duplicates"]]
    grams = {identifier: word_grams(text) for identifier, text in text_of.items()}
    holders: dict[tuple[str, ...], list[str]] = {}
    for identifier, found in grams.items():
        for gram in found:
            holders.setdefault(gram, []).append(identifier)
    close = set()
    for identifier, found in grams.items():
        shared = Counter(other for gram in found for other in holders[gram] if other != identifier)
        for other, count in shared.items():
            if 2 * count > len(found) and not any({identifier, other} <= pair for pair in declared):
                close.add(identifier)
    assert len(close) < 0.02 * len(text_of), sorted(close)
    assert declared


def test_the_model_loads_and_its_tokenizer_round_trips_every_text(
    documents: list[dict[str, str]], queries: list[dict[str, str]]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = SAMPLE / "models" / "small"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    assert model.config.tie_word_embeddings
    assert model.config.max_position_embeddings == 256
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.bos_token_id == tokenizer.bos_token_id
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5_000_000
    for document in documents:
        ids = tokenizer(document["text"], add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == document["text"], document["title"]
    for query in queries:
        ids = tokenizer(query["completion"], add_special_tokens=False)["input_ids"]
        assert 1 <= len(ids) <= 8, (query["title"], len(ids))
