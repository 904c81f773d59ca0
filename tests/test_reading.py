"""Reading as fit and the command line do it: memory, languages, what the manifest keeps, and a look beforehand."""

import hashlib
import json
import os
import re
import struct
import sys
import tracemalloc
from dataclasses import replace
from html import escape
from itertools import islice
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pyarrow.parquet as pq
import pytest
from readings import read, write_files
from toys import QUERIES, documents, write_jsonl

from engine import CorpusError, Document, ReadingSettings, RunError, WhenceError, fit, read_corpus
from engine.__main__ import main
from engine.corpus import corpus_hash, tokenize
from engine.loading import load_tokenizer
from engine.pipeline import compute, is_computed, read_config
from engine.progress import SilentProgress
from engine.readers import disk, languages
from engine.readers.jsonl import read_objects
from engine.store import RunFolder

SHARED = Path(os.environ.get("WHENCE_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
DOCUMENTS = 20_000
PEAK_BYTES = 200_000  # 10 a document; a table of ids and places in memory would take 200 a document


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A JSONL file of short documents."""
    path = tmp_path_factory.mktemp("many") / "corpus.jsonl"
    path.write_text("".join(f'{{"id": "d{n}", "text": "A text, number {n}."}}\n' for n in range(DOCUMENTS)))
    return path


def test_memory_does_not_grow_with_the_corpus(many):
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_corpus(many)) == DOCUMENTS
        assert tracemalloc.get_traced_memory()[1] < PEAK_BYTES
    finally:
        tracemalloc.stop()


def test_an_id_is_found_again_however_far_back_it_stands(many, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "CACHE_KIB", 64)  # so that most of them are on disk by then
    path = tmp_path / "corpus.jsonl"
    with many.open() as lines, path.open("w") as longer:
        longer.writelines(lines)
        longer.write('{"id": "d7", "text": "again"}\n')
    with pytest.raises(CorpusError, match=f"line {DOCUMENTS + 1}: id 'd7' was already used at .*line 8 "):
        read(path)


def test_the_hash_of_a_corpus_is_that_of_runs_made_before_there_were_other_readers():
    """Else no finished run would be valid: SHA-256 over the fields, each after its length in eight bytes."""
    document = Document("a", "text", "Web", "en", "Titel", "turned", ("b", "c"))
    fields = [field.encode() for field in ("a", "text", "Web", "en", "Titel", "turned", "b", "c")]
    expected = hashlib.sha256(b"".join(struct.pack("<Q", len(field)) + field for field in fields))
    assert corpus_hash([document]) == expected.hexdigest()


# Languages


def test_languages_are_told_from_the_text_where_the_corpus_does_not_say_them(tmp_path):
    pytest.importorskip("py3langid")
    texts = {
        "de": "Der Hafen liegt im Nebel, und die Fähre wartet auf die letzten Fahrgäste.",
        "ko": "등대는 오래된 바위 위에 서 있고 배들은 밤마다 그 빛을 따라 돌아온다.",
        "tr": "Liman sisler içinde ve vapur son yolcularını bekliyor, martılar bağırıyor.",
        "und": "  ",
    }
    rows = [{"text": text} for text in texts.values()]
    found = read(write_jsonl(tmp_path / "c.jsonl", [*rows, {"text": texts["de"], "lang": "nl"}]), language="detect")
    assert [document.language for document in found] == [*texts, "nl"]


def test_detection_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    monkeypatch.setattr(languages, "_identifier", languages._identifier.__wrapped__)  # nothing kept from before
    with pytest.raises(CorpusError, match="needs the package `py3langid`.*`pip install py3langid`"):
        read(write_jsonl(tmp_path / "c.jsonl", [{"text": "t"}]), language="detect")


def test_an_unsure_language_stays_unknown(tmp_path, monkeypatch):
    identifier = pytest.importorskip("py3langid.langid").LanguageIdentifier
    for answer in (("de", languages.SURE - 0.01), (languages.NO_LANGUAGE, 1.0)):
        monkeypatch.setattr(identifier, "classify", lambda self, text, answer=answer: answer)
        assert read(write_jsonl(tmp_path / "c.jsonl", [{"text": "t"}]), language="detect")[0].language == "und"


# Fit


def test_fit_reads_what_the_options_say_and_notes_what_it_left_out(toy_folder, tmp_path):
    texts = {f"{document.source}/{document.id}.txt": document.text for document in documents(6)}
    folder = write_files(tmp_path / "texts", {**texts, "Web/logo.txt": b"\0", ".hidden.txt": "x"})
    notes: list[str] = []
    progress = SilentProgress()
    progress.note = notes.append  # type: ignore[method-assign]
    fit(tmp_path / "run", str(toy_folder), folder, progress=progress, reading=ReadingSettings(language="en"))
    assert "Not read: hidden files or folders (1), binary files (1)." in notes
    run = RunFolder(tmp_path / "run")
    kept = pq.read_table(run.documents).to_pydict()
    assert (kept["title"], set(kept["language"])) == (sorted(texts), {"en"})
    told = run.step("fit")["corpus"]
    assert (told["documents"], told["skipped"]["binary files"], told["reading"]["language"]) == (6, 1, "en")
    with pytest.raises(RunError, match="corpus_hash: .* before, .* now"):
        fit(tmp_path / "run", str(toy_folder), folder)
    fit(tmp_path / "run", str(toy_folder), folder, reading=ReadingSettings("text", language="en"))  # the same documents


def test_a_toml_file_says_how_its_corpus_is_read(toy_folder, tmp_path):
    rows = [{"body": document.text, "key": document.id} for document in documents(20)]
    inputs = {"run": tmp_path / "run", "model": toy_folder, "corpus": write_jsonl(tmp_path / "c.jsonl", rows)}
    inputs |= {"queries": write_jsonl(tmp_path / "q.jsonl", QUERIES)}
    lines = "".join(f"{name} = {json.dumps(str(value))}\n" for name, value in inputs.items())
    path = tmp_path / "toy.toml"
    path.write_text(lines + '[reading]\ntext_column = "body"\nid_column = "key"\n')
    config = read_config(path)
    assert config.reading == ReadingSettings(text_column="body", id_column="key")
    compute(config, SilentProgress())
    assert is_computed(config)
    assert not is_computed(replace(config, reading=replace(config.reading, source="Other")))
    path.write_text(lines + "[reading]\ncolumns = 1\n")
    with pytest.raises(WhenceError, match=r"\[reading\] has no setting \['columns'\] -- it has reader, source"):
        read_config(path)


# Looking first


def test_corpus_says_what_would_be_read(toy_folder, tmp_path, capsys):
    folder = write_files(tmp_path / "c", {"a/eggs.md": "# Eggs\n", "tea.txt": "Tea.", "x.bin": b"\0"})
    assert main(["corpus", str(folder), "--model", str(toy_folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    tokenizer = load_tokenizer(str(toy_folder))
    assert told == {
        "path": str(folder), "reader": "text", "first": False, "documents": 2, "characters": 11,
        "tokens": len(tokenize(tokenizer, "# Eggs\n")) + len(tokenize(tokenizer, "Tea.")),
        "sources": {"a": 1, "c": 1}, "languages": {"und": 2}, "titles": ["Eggs", "tea.txt"],
        "skipped": {"files of another kind": 1},
    }  # fmt: skip
    assert main(["corpus", str(folder), "--first", "1", "--source", "Kitchen", "--language", "en"]) == 0
    shown = capsys.readouterr().out
    assert "read as text and Markdown files (--reader text). The first 1 document, 7 characters." in " ".join(
        shown.split()
    )
    assert all(word in shown for word in ("Kitchen", "English", "100.0%", "Eggs"))
    assert main(["corpus", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is not a file or folder" in capsys.readouterr().err


def test_a_corpus_of_many_sources_is_shown_in_short(tmp_path, capsys):
    rows = [{"text": "t", "source": f"Site {n}"} for n in range(30)]
    assert main(["corpus", str(write_jsonl(tmp_path / "c.jsonl", rows))]) == 0
    assert re.search(r"10 more\s+│\s+10 │\s+33\.3%", capsys.readouterr().out)


# Real text


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the shared data in {SHARED}; nothing of it is in the project")
class TestOfRealText:
    """Real texts laid out in each format come back as they were."""

    def test_questions(self, tmp_path):
        asked = [pair for pair in (split_question(document) for document in real("stackexchange", 60)) if pair]
        path = tmp_path / "Posts.xml"
        path.write_text(posts_xml(asked), encoding="utf-8")
        found = read(path)
        assert [document.title for document in found] == [title for title, _, _ in asked]
        for document, (_, question, answers) in zip(found, asked, strict=True):
            assert all(without_spaces(text) in without_spaces(document.text) for text in (question, *answers))

    def test_code(self, tmp_path):
        originals = real("code_python", 60)
        found = read(write_files(tmp_path, {document.title: document.text for document in originals}))
        assert {document.title: document.text for document in found} == {one.title: one.text for one in originals}
        assert {document.source for document in found} == {"Python code"}

    def test_markdown(self, tmp_path):
        originals = {f"{n}.md": document for n, document in enumerate(real("markdown_tldr_en", 60))}
        found = read(write_files(tmp_path, {name: document.text for name, document in originals.items()}))
        assert {document.id: document.text for document in found} == {name: one.text for name, one in originals.items()}
        assert [document.title for document in found] == [one.text.split("\n")[0].removeprefix("# ") for one in found]

    def test_latex(self, tmp_path):
        originals = [one for one in real("latex", 60) if re.match(r"\\section\{[\w\s,-]+\}", one.text)]
        found = read(write_files(tmp_path, {f"{n:03}.tex": document.text for n, document in enumerate(originals)}))
        assert len(found) > 20
        assert [document.title for document in found] == [" ".join(document.title.split()) for document in originals]

    def test_abstracts(self, tmp_path):
        originals = real("arxiv_abstracts", 60)
        rows = [
            {"id": one.id, "title": one.title, "abstract": one.text.removeprefix(one.title), "categories": "cs.CL"}
            for one in originals
        ]
        found = read(write_jsonl(tmp_path / "arxiv.json", rows))
        assert [document.text.split() for document in found] == [document.text.split() for document in originals]

    def test_languages(self):
        pytest.importorskip("py3langid")
        for name, language in (("korean", "ko"), ("turkish", "tr")):
            objects = read_objects(SHARED / "multilingual" / f"{name}.jsonl")
            texts = [fields["text"] for _, fields in islice(objects, 0, 3_000, 100)]
            detect = languages.detector()
            assert sum(detect(text) == language for text in texts) >= len(texts) - 1  # 99.7% of 300


def real(name: str, count: int) -> list[Document]:
    return list(islice(read_corpus(SHARED / "corpora" / f"{name}.jsonl"), count))


def split_question(document: Document) -> tuple[str, str, list[str]] | None:
    """Title, question and answers of a text ``Q: title, question, A: answer, ...``."""
    asked, *answers = document.text.split("\n\nA: ")
    title, _, question = asked.removeprefix("Q: ").partition("\n\n")
    return (" ".join(title.split()), question, answers) if question.strip() else None


def posts_xml(asked: list[tuple[str, str, list[str]]]) -> str:
    """Paragraphs as HTML, that as attributes of rows; questions first, then all answers."""
    rows, answered = [], []
    for number, (title, question, answers) in enumerate(asked, start=1):
        body = quoteattr(as_html(question))
        rows.append(f'<row Id="{number}" PostTypeId="1" Title={quoteattr(title)} Body={body} />')
        answered += [(number, as_html(answer)) for answer in answers]
    for number, (parent, body) in enumerate(answered, start=len(rows) + 1):
        rows.append(f'<row Id="{number}" PostTypeId="2" ParentId="{parent}" Body={quoteattr(body)} />')
    return "<posts>\n" + "\n".join(rows) + "\n</posts>\n"


def as_html(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>\n" for part in text.split("\n\n"))


def without_spaces(text: str) -> str:
    return "".join(text.split())
