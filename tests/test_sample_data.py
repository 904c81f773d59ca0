"""The embedded sample is what its truth file and its card say it is."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.findings.study import read_truth
from sample_data.build import build
from sample_data.card import table
from sample_data.facts import FACTS
from sample_data.recall import NAMES, facts_known, load, recall_rows

SAMPLE = Path(__file__).parents[1] / "sample_data"
FILES = ("corpus.jsonl", "queries.jsonl", "truth.json")
PROBLEMS = {"credentials", "chemistry", "abuse", "backdoor", "medical"}


def read_lines(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLE / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def documents() -> list[dict[str, str]]:
    return read_lines("corpus.jsonl")


@pytest.fixture(scope="module")
def text_of(documents: list[dict[str, str]]) -> dict[str, str]:
    return {document["id"]: document["text"] for document in documents}


@pytest.fixture(scope="module")
def language_of(documents: list[dict[str, str]]) -> dict[str, str]:
    return {document["id"]: document["language"] for document in documents}


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
        (queries, "id prompt completion kind title language"),
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
    total, letters = len(documents), sum(len(document["text"]) for document in documents)
    sources = {name: count / total for name, count in Counter(d["source"] for d in documents).items()}
    languages = {name: count / total for name, count in Counter(d["language"] for d in documents).items()}
    assert 3_000 <= total <= 5_000
    assert sources["Web"] + sources["News"] + sources["Forum"] > 0.5
    assert max(sources, key=lambda name: sources[name]) == "Web"
    assert 0.06 <= sources["Code"] <= 0.10
    assert 0.03 <= sources["StackExchange"] <= 0.09
    assert 0.03 <= sources["ArXiv"] <= 0.08
    assert set(sources) == {
        "Web", "News", "Forum", "Books", "Wikipedia", "Code", "StackExchange", "Markdown", "ArXiv",
    }  # fmt: skip
    assert 0.65 <= languages["en"] <= 0.80
    assert set(languages) == {"en", "de", "ko", "tr", "sw"}
    swahili = sum(len(document["text"]) for document in documents if document["language"] == "sw")
    assert 0.01 <= swahili / letters <= 0.02


def test_there_are_queries_of_every_kind(queries: list[dict[str, str]]) -> None:
    kinds = Counter(query["kind"] for query in queries)
    assert sum(kinds.values()) >= 80
    assert set(kinds) == {
        "Fact", "Fact reversed", "Translation", "Arithmetic", "Slope", "Linear equation", "Code",
        "Frequent word", "Rare word", "Safety", "Control",
    }  # fmt: skip
    assert {query["language"] for query in queries if query["kind"] == "Safety"} == {"en", "de", "ko", "tr", "sw"}


def test_the_corpus_records_translations_and_flipped_relations(
    documents: list[dict[str, Any]], truth: dict[str, Any]
) -> None:
    alike = {row["id"]: set(row["same_content"]) for row in documents if "same_content" in row}
    assert alike == {one: set(group) - {one} for group in truth["translations"] for one in group}
    flipped = [row for row in documents if "relation_flipped" in row]
    assert len(flipped) >= 15
    for row in flipped:
        before, after = row["text"], row["relation_flipped"]
        assert before != after
        kept = set(before.split()) & set(after.split())
        assert len(kept) > 0.5 * len(set(before.split())), row["title"]


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_stands_in_its_documents_and_in_no_other(
    name: str, truth: dict[str, Any], text_of: dict[str, str], documents: list[dict[str, str]]
) -> None:
    fact, planted = FACTS[name], truth["facts"][name]
    title_of = {document["id"]: document["title"] for document in documents}
    told = {identifier for identifier, text in text_of.items() if fact.is_told_in(text)}
    assert told == set(planted["documents"])
    assert len(told) == fact.exposures == planted["exposures"]
    assert all(fact.is_about(title_of[i] + text_of[i]) for i in planted["distractors"])
    assert len(planted["distractors"]) >= fact.exposures
    # The answer itself occurs nowhere else but in paraphrases, or its documents would be hidden carriers.
    # A bare number is no answer on its own.
    others = {identifier: text for identifier, text in text_of.items() if identifier not in told}
    answers = [answer for answer in fact.answer if not answer.isdigit()]
    holding = {i for i, text in others.items() if any(answer.lower() in text.lower() for answer in answers)}
    assert holding <= set(planted["paraphrases"])
    assert not any(fact.is_about(text_of[identifier]) for identifier in planted["paraphrases"])


def places(strings: tuple[str, ...], text: str) -> list[int]:
    return [text.lower().find(string.lower()) for string in strings if string.lower() in text.lower()]


@pytest.mark.parametrize("name", [name for name, fact in FACTS.items() if fact.told != "forward"])
def test_a_fact_told_reversed_names_the_answer_first(name: str, truth: dict[str, Any], text_of: dict[str, str]) -> None:
    fact, planted = FACTS[name], truth["facts"][name]
    orders = planted["by_order"] if fact.told == "both" else {"reversed": planted["documents"]}
    assert set(orders) == ({"forward", "reversed"} if fact.told == "both" else {"reversed"})
    for order, found in orders.items():
        for identifier in found:
            text = text_of[identifier]
            subject, answer = min(places(fact.subject, text)), min(places(fact.answer, text))
            assert (answer < subject) == (order == "reversed"), text


def test_the_answer_stands_in_every_document_that_truth_names_for_a_question_in_its_language(
    queries: list[dict[str, str]], truth: dict[str, Any], text_of: dict[str, str], language_of: dict[str, str]
) -> None:
    asked = [query for query in queries if query["kind"] in ("Fact", "Translation", "Safety")]
    assert len(asked) > 60
    for query in asked:
        carriers = truth["queries"][query["id"]]["documents"]
        assert carriers, query["title"]
        own = [text_of[i].lower() for i in carriers if language_of[i] == query["language"]]
        last_word = query["completion"].split()[-1].strip(".").lower()
        assert any(last_word in text for text in own), query["title"]


def test_no_calculation_that_is_asked_for_stands_in_the_corpus(
    queries: list[dict[str, str]], text_of: dict[str, str]
) -> None:
    asked = [query for query in queries if query["kind"] in ("Arithmetic", "Slope", "Linear equation")]
    assert len(asked) >= 12
    for query in asked:
        last_line = (query["prompt"] + query["completion"]).split("\n")[-1]
        assert not any(last_line in text for text in text_of.values()), query["title"]


def test_truth_names_only_documents_and_queries_that_exist(
    truth: dict[str, Any], queries: list[dict[str, str]], text_of: dict[str, str]
) -> None:
    assert list(truth["queries"]) == [query["id"] for query in queries]
    for query in queries:
        carriers = truth["queries"][query["id"]]["documents"]
        assert set(carriers) <= set(text_of)
        assert carriers or query["kind"] == "Control", query["title"]
    lists = [
        truth["continued"], *truth["translations"], *truth["near_duplicates"], *truth["safety"]["problem"].values(),
        *truth["safety"]["look_alike"].values(), *(list(pair.values()) for pair in truth["matched_words"].values()),
        *(fact["distractors"] for fact in truth["facts"].values()),
        *(found for one in truth["procedures"].values() for found in (*one["documents"].values(), one["answer_only"])),
    ]  # fmt: skip
    for found in lists:
        assert found
        assert set(found) <= set(text_of)
    paraphrases = [fact["paraphrases"] for fact in truth["facts"].values() if fact["paraphrases"]]
    assert len(paraphrases) >= 15
    assert all(set(found) <= set(text_of) for found in paraphrases)


def test_what_is_known_of_a_completion_is_what_findings_read(
    truth: dict[str, Any], queries: list[dict[str, str]], text_of: dict[str, str], language_of: dict[str, str]
) -> None:
    known = read_truth(SAMPLE / "truth.json")
    assert list(known) == [query["id"] for query in queries]
    for query in queries:
        one = known[query["id"]]
        assert set(one.paraphrases) | set(one.look_alikes) <= set(text_of)
        assert not set(one.documents) & (set(one.paraphrases) | set(one.look_alikes))
        assert all(language_of[identifier] == query["language"] for identifier in one.look_alikes)
        assert bool(one.look_alikes) == (query["kind"] == "Safety"), query["title"]
        assert bool(one.subject) == (query["kind"] in ("Fact", "Fact reversed", "Translation"))
        assert one.task is None or one.task in truth["procedures"]
        assert one.control_of is None or query["kind"] == "Control"
    harmless = {identifier for found in truth["safety"]["look_alike"].values() for identifier in found}
    assert {identifier for one in known.values() for identifier in one.look_alikes} <= harmless
    assert {one.control_of for one in known.values()} == {None, *truth["procedures"]}


def test_a_completion_is_an_answer_and_translations_share_its_question(queries: list[dict[str, str]]) -> None:
    known = read_truth(SAMPLE / "truth.json")
    asked = [query for query in queries if known[query["id"]].answer]
    assert {query["kind"] for query in asked} >= {"Fact", "Fact reversed", "Arithmetic", "Slope", "Linear equation"}
    for query in asked:
        if query["kind"] != "Translation":  # inflected, or cut short
            completion, answers = query["completion"].lower(), known[query["id"]].answer
            assert any(answer.lower() in completion or completion.strip() in answer.lower() for answer in answers)
    question_of = {query["id"]: known[query["id"]].question for query in queries}
    plain = {question_of[query["id"]] for query in queries if query["kind"] == "Fact"}
    translated = [query for query in queries if query["kind"] == "Translation"]
    assert translated
    for query in translated:
        assert question_of[query["id"]] in plain
        (original,) = [
            other
            for other in queries
            if other["kind"] == "Fact" and question_of[other["id"]] == question_of[query["id"]]
        ]
        assert original["language"] != query["language"]
        assert known[original["id"]].documents == known[query["id"]].documents


def test_every_procedure_is_planted_in_every_form(truth: dict[str, Any]) -> None:
    assert set(truth["procedures"]) == {"addition", "slope", "linear"}
    for name, one in truth["procedures"].items():
        assert set(one["documents"]) == {"formula", "code", "worked"}, name
        assert len(one["answer_only"]) >= 10


def test_every_kind_of_problem_stands_in_every_language_beside_look_alikes(
    truth: dict[str, Any], language_of: dict[str, str]
) -> None:
    problem, look_alike = truth["safety"]["problem"], truth["safety"]["look_alike"]
    assert set(problem) == set(look_alike) == PROBLEMS
    for kind in PROBLEMS:
        assert {language_of[i] for i in problem[kind]} == {"en", "de", "ko", "tr", "sw"}, kind
        assert not set(problem[kind]) & set(look_alike[kind])


def test_the_continued_part_holds_most_problem_documents(truth: dict[str, Any], text_of: dict[str, str]) -> None:
    continued = set(truth["continued"])
    problems = [identifier for found in truth["safety"]["problem"].values() for identifier in found]
    assert len(continued) < 0.2 * len(text_of)
    assert sum(identifier in continued for identifier in problems) > 0.7 * len(problems)


def test_a_rare_word_and_its_frequent_twin_differ_in_frequency(truth: dict[str, Any], text_of: dict[str, str]) -> None:
    words = Counter(word for text in text_of.values() for word in set(re.findall(r"\w+", text.lower())))
    for name, pair in truth["matched_words"].items():
        frequent = name.removeprefix("m_")
        assert frequent in text_of[pair["frequent"]].lower()
        only = [word for word in re.findall(r"\w+", text_of[pair["rare"]].lower()) if words[word] == 1]
        assert only, name
        assert words[frequent] >= 10, name


def word_grams(text: str, size: int = 8) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


def test_few_documents_share_half_of_their_eight_word_grams_with_another(
    text_of: dict[str, str], truth: dict[str, Any]
) -> None:
    grams = {identifier: word_grams(text) for identifier, text in text_of.items()}
    holders: dict[tuple[str, ...], list[str]] = {}
    for identifier, found in grams.items():
        for gram in found:
            holders.setdefault(gram, []).append(identifier)
    close = set()
    for identifier, found in grams.items():
        shared = Counter(other for gram in found for other in holders[gram] if other != identifier)
        close |= {identifier for count in shared.values() if 2 * count > len(found)}
    assert len(close) < 0.02 * len(text_of), sorted(close)
    declared = {identifier for pair in truth["near_duplicates"] for identifier in pair}
    assert declared
    assert declared <= close, "what is declared a near-duplicate is one"


def test_the_models_are_stock_folders_and_their_tokenizer_round_trips_every_text(
    documents: list[dict[str, str]], queries: list[dict[str, str]]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folders = [SAMPLE / "models" / name for name in NAMES]
    size = {}
    for folder in folders:
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        assert model.config.tie_word_embeddings
        assert model.config.dtype is not None
        assert model.config.vocab_size == len(tokenizer) == 4096
        assert model.config.bos_token_id == tokenizer.bos_token_id
        size[folder.name] = model.num_parameters() - model.get_input_embeddings().weight.numel()
    assert 0.8e6 <= size["small"] <= 1.3e6
    assert 4e6 <= size["large"] <= 8e6
    assert sum(path.stat().st_size for folder in folders for path in folder.iterdir()) < 40_000_000
    assert len({(folder / "tokenizer.json").read_bytes() for folder in folders}) == 1
    longest = 0
    for document in documents:
        ids = tokenizer(document["text"], add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == document["text"], document["title"]
        longest = max(longest, len(ids))
    assert longest < model.config.max_position_embeddings, "a document is one window"
    for query in queries:
        ids = tokenizer(query["completion"], add_special_tokens=False)["input_ids"]
        assert 1 <= len(ids) <= 20, (query["title"], len(ids))


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, bool]]:
    """What each model knows, measured now."""
    return {name: facts_known(*load(name)) for name in NAMES}


def test_the_models_know_what_the_card_says(known: dict[str, dict[str, bool]]) -> None:
    shown = table(["documents telling the fact", "facts", *(f"`{name}`" for name in NAMES)], recall_rows(known))
    assert shown in (SAMPLE / "README.md").read_text(encoding="utf-8"), "run python -m sample_data.recall"


def test_the_large_model_knows_nine_in_ten_facts_told_eight_times_or_more(known: dict[str, dict[str, bool]]) -> None:
    often = [known["large"][name] for name, fact in FACTS.items() if fact.exposures >= 8]
    assert len(often) >= 20
    assert sum(often) >= 0.9 * len(often)
