"""Corpus and query files: what is read, what is refused with which words, and how documents are cut."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import write_jsonl

from engine import CorpusError, Document, read_corpus, read_queries
from engine.corpus import UNKNOWN_LANGUAGE, UNKNOWN_SOURCE, corpus_hash, cut_windows, tokenize

GOOD = b'{"id": "a", "text": "one"}\n'
LINE = r"corpus\.jsonl, line 2: "
"""The place that every message about the second line begins with."""


def corpus_file(folder: Path, content: bytes) -> Path:
    path = folder / "corpus.jsonl"
    path.write_bytes(content)
    return path


def test_every_field_is_kept_as_it_stands(tmp_path):
    document = Document("a", " Zeile\r\n\u2028\x00 끝 🚀\n", "Web", "ko", "A title")
    assert list(read_corpus(write_jsonl(tmp_path / "corpus.jsonl", [document]))) == [document]


def test_missing_fields_have_readable_defaults(tmp_path):
    records = [
        {"id": "a", "text": "Some\n  words " + "and more " * 20, "lang": "de"},
        {"id": "b", "text": "  \n"},
        {"id": "c", "text": "x", "title": "", "source": None, "language": "fr", "lang": "de"},
    ]
    first, second, third = read_corpus(write_jsonl(tmp_path / "corpus.jsonl", records))
    assert first.title.startswith("Some words and more and more")
    assert first.title.endswith("…")
    assert len(first.title) <= 60
    assert (first.source, first.language) == (UNKNOWN_SOURCE, "de")
    assert (second.title, second.language) == ("b", UNKNOWN_LANGUAGE)
    assert (third.title, third.source, third.language) == ("x", UNKNOWN_SOURCE, "fr")


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_are_no_content(tmp_path):
    path = corpus_file(tmp_path, b"\xef\xbb\xbf" + GOOD.strip() + b"\r\n\r\n  \n" + b'{"id": "b", "text": "two"}')
    assert [(document.id, document.text) for document in read_corpus(path)] == [("a", "one"), ("b", "two")]


def test_documents_come_one_at_a_time(tmp_path):
    """A corpus is larger than memory: the first document is there before the second line is read."""
    stream = read_corpus(corpus_file(tmp_path, GOOD + b"not JSON"))
    assert next(stream).id == "a"
    with pytest.raises(CorpusError):
        next(stream)


BROKEN = {
    "invalid UTF-8": (b'{"id": "b", "text": "caf\xe9"}', LINE + r"byte 25 \(0xe9\) is not valid UTF-8 .*`iconv"),
    "no JSON": (b"{'id': 1}", LINE + "not valid JSON .* at character 2.* mend the line"),
    "cut short": (b'{"id": "b", "text": "tw', LINE + "not valid JSON .*Invalid control character at character 24"),
    "two objects": (b'{"id": "b"} {"id": "c"}', LINE + "not valid JSON .*Extra data at character 13"),
    "a list": (b'["b", "two"]', LINE + "a JSON list, not an object .* `id` and `text`"),
    "a number": (b"12", LINE + "a JSON int, not an object"),
    "no id": (b'{"text": "two"}', LINE + "field `id` is missing .* add it"),
    "null text": (b'{"id": "b", "text": null}', LINE + "field `text` is missing"),
    "number as id": (b'{"id": 7, "text": "two"}', LINE + "field `id` is 7, not a string .* in quotes"),
    "list as text": (b'{"id": "b", "text": ["t", "w"]}', LINE + r"field `text` is \['t', 'w'\], not a string"),
    "number as title": (b'{"id": "b", "text": "two", "title": 7}', LINE + "field `title` is 7, not a string"),
    "lone surrogate": (b'{"id": "b", "text": "\\ud83d"}', LINE + "field `text` holds half of a surrogate pair"),
    "surrogate in an id": (b'{"id": "\\udc00", "text": "two"}', LINE + "field `id` holds half of a surrogate pair"),
    "same id": (b'{"id": "a", "text": "two"}', LINE + r"id 'a' was already used at .*line 1 .* its own id"),
    "strange relation": (b'{"id": "b", "text": "two", "relation_flipped": ["x"]}', LINE + "field `relation_f"),
    "no list of ids": (b'{"id": "b", "text": "two", "same_content": "a"}', LINE + ".* is 'a', not a list of ids"),
    "endless number": (b'{"id": "b", "text": "two", "n": ' + b"1" * 5000 + b"}", LINE + "JSON that cannot be held"),
    "endless brackets": (b"[" * 100_000, LINE + "JSON that cannot be held"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_line_is_named_with_what_is_wrong_and_what_to_do(what, tmp_path):
    line, message = BROKEN[what]
    with pytest.raises(CorpusError, match=message) as caught:
        list(read_corpus(corpus_file(tmp_path, GOOD + line + b"\n")))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_long_value_of_a_wrong_type_is_shown_in_short(tmp_path):
    line = json.dumps({"id": "b", "text": list(range(100_000))}).encode()
    with pytest.raises(CorpusError, match=r"is \[0, 1, 2, .*\.\.\.\], not a string") as caught:
        list(read_corpus(corpus_file(tmp_path, GOOD + line)))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_a_corpus_without_documents_is_refused(content, tmp_path):
    with pytest.raises(CorpusError, match="holds no document .* check the file"):
        list(read_corpus(corpus_file(tmp_path, content)))


def test_a_file_that_is_not_there_or_may_not_be_read_is_named(tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match="nowhere is not a file .* check the path"):
        list(read_corpus(tmp_path / "nowhere"))
    with pytest.raises(CorpusError, match="is not a file"):
        list(read_corpus(tmp_path))

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    path = corpus_file(tmp_path, GOOD)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CorpusError, match=r"cannot be read \(Permission denied\)"):
        list(read_corpus(path))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"prompt": "", "completion": "x"}, "line 1: the prompt is empty .* write at least one character"),
        ({"prompt": "x", "completion": ""}, "line 1: the completion is empty .* nothing to measure"),
        ({"prompt": "x"}, "line 1: field `completion` is missing"),
        ({"prompt": 3, "completion": "x"}, "line 1: field `prompt` is 3, not a string"),
        ({"prompt": "x", "completion": "y", "contrast": 3}, "line 1: field `contrast` is 3, not a string"),
    ],
)
def test_a_query_that_cannot_be_asked_is_named(record, message, tmp_path):
    with pytest.raises(CorpusError, match=message):
        read_queries(write_jsonl(tmp_path / "queries.jsonl", [{"id": "q", **record}]))


def test_queries_need_an_id_of_their_own_and_at_least_one_of_them(tmp_path):
    record = {"id": "q", "prompt": "x", "completion": " y"}
    with pytest.raises(CorpusError, match="line 2: id 'q' was already used"):
        read_queries(write_jsonl(tmp_path / "queries.jsonl", [record, record]))
    with pytest.raises(CorpusError, match="holds no query"):
        read_queries(write_jsonl(tmp_path / "queries.jsonl", []))
    found = read_queries(write_jsonl(tmp_path / "queries.jsonl", [record]))[0]
    assert (found.title, found.kind, found.contrast) == ("x y", "Other", "")


def test_the_hash_of_a_corpus_depends_on_every_field_and_on_where_fields_end():
    base = Document("a", "text", "source", "en", "title")
    others = [
        Document("b", "text", "source", "en", "title"),
        Document("a", "text2", "source", "en", "title"),
        Document("a", "text", "source2", "en", "title"),
        Document("a", "text", "source", "de", "title"),
        Document("a", "text", "source", "en", "title2"),
        Document("at", "ext", "source", "en", "title"),
    ]
    hashes = {corpus_hash([document]) for document in [base, *others]} | {corpus_hash([base, base])}
    assert len(hashes) == len(others) + 2
    assert corpus_hash(iter([base])) == corpus_hash([base])


def test_a_special_token_written_in_a_text_stays_text(tokenizer):
    """Else a document could smuggle in the token that ends a text."""
    tokens = tokenize(tokenizer, "a<|endoftext|>b")
    assert tokenizer.bos_token_id not in tokens.ids.tolist()
    assert (tokens.starts[0], tokens.ends[-1]) == (0, 15)


@given(
    length=st.integers(0, 80),
    context=st.integers(2, 20),
    start=st.sampled_from([None, 999]),
    data=st.data(),
)
def test_every_token_is_predicted_exactly_once_from_what_stands_before_it(length, context, start, data):
    overlap = data.draw(st.integers(0, context - 2))
    ids = np.arange(length, dtype=np.int32)
    windows = cut_windows(3, "id", ids, start, context, overlap)
    sequence = ([] if start is None else [start]) + ids.tolist()
    predicted: list[int] = []
    for number, window in enumerate(windows):
        assert 1 <= len(window) <= context
        assert window.input_ids.tolist() == sequence[window.first : window.first + len(window)]
        assert window.targets.tolist() == sequence[window.first + 1 : window.first + 1 + len(window)]
        assert window.loss_from <= overlap if number else window.loss_from == 0
        assert window.ends_document == (number == len(windows) - 1)
        assert window.key == f"id\x1f{number}"
        predicted += range(window.first + 1 + window.loss_from, window.first + 1 + len(window))
    assert predicted == list(range(1, len(sequence)))
