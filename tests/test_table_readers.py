"""JSONL in the schemas of public corpora, Parquet, CSV and saved datasets: what is read, and what is refused."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from readings import compressed, read, read_counting, write_files
from toys import documents, write_jsonl

from engine import CorpusError, Document
from engine.readers import csv

ROWS = [
    {"id": "a", "text": "One boat.\nTwo boats.", "source": "Web", "language": "en", "title": "Boats, \"counted\""},
    {"id": "b", "text": "배 한 척 🚀", "source": "Forum", "language": "ko", "title": "배"},
]  # fmt: skip
DOCUMENTS = [Document(**row) for row in ROWS]
CSV = (
    'id,text,source,language,title\na,"One boat.\nTwo boats.",Web,en,"Boats, ""counted"""\nb,배 한 척 🚀,Forum,ko,배\n'
)


def write_parquet(path: Path, rows: list[dict]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_the_same_documents_come_from_every_format_plain_or_compressed(ending, tmp_path):
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    contents = {"corpus.jsonl": lines, "corpus.csv": CSV.encode(), "corpus.tsv": CSV.replace(",", "\t").encode()}
    expected = {"corpus.tsv": 'Boats\t "counted"'}
    for name, content in contents.items():
        path = tmp_path / f"{name}{ending}"
        path.write_bytes(compressed(content, ending) if ending else content)
        first, second = read(path)
        assert (first.title, second) == (expected.get(name, DOCUMENTS[0].title), DOCUMENTS[1])
        assert (first.text, first.id, first.source) == (DOCUMENTS[0].text, "a", "Web")
    assert read(write_parquet(tmp_path / "corpus.parquet", ROWS)) == DOCUMENTS


def test_concatenated_gzip_and_zstd_parts_are_one_file(tmp_path):
    for ending in (".gz", ".zst"):
        parts = [compressed(json.dumps(row).encode() + b"\n", ending) for row in ROWS]
        assert (
            read(write_files(tmp_path, {f"corpus.jsonl{ending}": b"".join(parts)}) / f"corpus.jsonl{ending}")[1].id
            == "b"
        )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"text": "t", "meta": {"pile_set_name": "Wikipedia (en)"}}, ("Wikipedia (en)", "und", "t")),
        ({"text": "t", "meta": {"redpajama_set_name": "RedPajamaC4"}}, ("RedPajamaC4", "und", "t")),
        ({"text": "t", "meta": {"source": "stackexchange", "language": "en"}}, ("stackexchange", "en", "t")),
        ({"text": "t", "meta": {"title": "Boat", "language": "de"}}, ("Unknown source", "de", "Boat")),
        (
            {"text": "t", "meta": {"source": "github", "path": "a/b.py", "language": [{"name": "Python"}]}},
            ("github", "und", "a/b.py"),
        ),
        ({"text": "t", "meta": "{'url': 'u'}", "red_pajama_subset": "arxiv"}, ("arxiv", "und", "t")),
        ({"raw_content": "t", "url": "u", "language": "fr", "title": "T"}, ("Unknown source", "fr", "T")),
        ({"id": "7", "text": "t", "source": "wiki", "metadata": {"title": "W"}}, ("wiki", "und", "W")),
    ],
    ids=["pile", "slimpajama", "redpajama", "redpajama wikipedia", "redpajama code", "redpajama sample", "v2", "dolma"],
)
def test_the_schemas_of_public_corpora_are_known(fields, expected, tmp_path):
    (found,) = read(write_jsonl(tmp_path / "part.jsonl", [fields]))
    assert found.text == "t"
    assert found.id == fields.get("id", "part.jsonl:1")
    assert (found.source, found.language, found.title) == expected


def test_chosen_columns_and_given_source_and_language_come_first(tmp_path):
    rows = [{"key": 7, "body": "t", "about": {"site": "Blog"}, "source": "x", "headline": "H", "tongue": "tr"}]
    chosen = {
        "text_column": "body", "id_column": "key", "source_column": "about.site", "title_column": "headline",
        "language_column": "tongue",
    }  # fmt: skip
    for path in (write_jsonl(tmp_path / "c.jsonl", rows), write_parquet(tmp_path / "c.parquet", rows)):
        assert read(path, **chosen) == [Document("7", "t", "Blog", "tr", "H")]
        (given,) = read(path, **chosen, source="Mine", language="de")
        assert (given.source, given.language) == ("Mine", "de")


def test_a_folder_of_parts_is_one_corpus_in_the_order_of_names(tmp_path):
    parts = {f"{name}/{number}.jsonl.gz": [{"text": f"{name}{number}"}] for name in "ba" for number in (2, 1)}
    packed = {name: compressed(json.dumps(rows[0]).encode(), ".gz") for name, rows in parts.items()}
    found, skipped = read_counting(write_files(tmp_path / "c", {**packed, "README.md": "x", "a/.hidden": "y"}))
    assert [document.text for document in found] == ["a1", "a2", "b1", "b2"]
    assert found[0].id == "a/1.jsonl:1"
    assert skipped == {"files of another kind": 1, "hidden files or folders": 1}


def test_documents_without_ids_are_called_by_file_and_number_unless_the_first_has_one(tmp_path):
    rows = [{"text": "t"}, {"id": "b", "text": "t"}, {"text": "t"}]
    assert [document.id for document in read(write_jsonl(tmp_path / "c.jsonl", rows))] == [
        "c.jsonl:1",
        "b",
        "c.jsonl:3",
    ]
    with pytest.raises(CorpusError, match="line 2: field `id` is missing"):
        read(write_jsonl(tmp_path / "c.jsonl", rows[1:]))


def test_an_id_that_comes_twice_is_refused_across_files_with_both_places(tmp_path):
    line = b'{"id": "a", "text": "t"}\n'
    folder = write_files(tmp_path / "c", {"1.jsonl": line, "2.jsonl": b"\n" + line})
    with pytest.raises(CorpusError, match=r"2\.jsonl, line 2: id 'a' was already used at .*1\.jsonl, line 1"):
        read(folder)


def saved_dataset(folder: Path, splits: dict[str, list[dict]]) -> Path:
    """A folder as ``save_to_disk`` of the package datasets writes it; another test holds it against that."""
    for split, rows in splits.items():
        table = pa.Table.from_pylist(rows)
        write_files(folder / split, {"state.json": '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}'})
        path = str(folder / split / "data-00000-of-00001.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return write_files(folder, {"dataset_dict.json": json.dumps({"splits": list(splits)})})


def test_a_saved_dataset_is_read_without_the_package_that_saved_it(tmp_path):
    folder = saved_dataset(tmp_path / "d", {"train": ROWS, "test": ROWS[1:]})
    assert read(folder) == DOCUMENTS
    assert read(folder, split="test") == DOCUMENTS[1:]
    assert read(folder / "test") == DOCUMENTS[1:]
    with pytest.raises(CorpusError, match="has no split 'dev' .* choose one with --split: train, test"):
        read(folder, split="dev")
    (folder / "train" / "data-00000-of-00001.arrow").write_bytes(b"no arrow")
    with pytest.raises(CorpusError, match="arrow cannot be read as Arrow"):
        read(folder)


def test_the_package_datasets_saves_and_streams_what_is_read(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}).save_to_disk(tmp_path / "saved")
    assert read(tmp_path / "saved") == DOCUMENTS
    (tmp_path / "hub").mkdir()
    write_jsonl(tmp_path / "hub" / "train.jsonl", ROWS)
    assert read(tmp_path / "hub", reader="huggingface") == DOCUMENTS
    with pytest.raises(CorpusError, match="the dataset cannot be read .* --subset and --split"):
        read(tmp_path / "hub", reader="huggingface", split="dev")


def test_a_dataset_by_name_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CorpusError, match="need the package `datasets`.*`pip install datasets`"):
        read(Path("someone/texts"), reader="huggingface")


REFUSED = {
    "no text": ("c.jsonl", b'{"id": "a", "body": "t"}', "line 1: field `text` is missing .*: `id`, `body`"),
    "ragged row": ("c.csv", b"text,source\nt,s\n,\nt\n", "c.csv, line 4: 1 fields, but the first line names 2"),
    "no header": ("c.csv", b"id,body\n1,t\n", "line 2: field `text` is missing"),
    "column twice": ("c.csv", b"id,text,text\n", "line 1: column `text` comes twice"),
    "open quote": ("c.csv", b'text\na\n"never closed\nx\n', r"c.csv, line 3: not valid CSV \(unexpected end of data\)"),
    "stray quote": ("c.csv", b'text,id\n"a"b,c\n', "c.csv, line 2: not valid CSV"),
    "csv not UTF-8": ("c.csv", b"text\na\ncaf\xe9\n", r"c.csv, line 3: byte 4 \(0xe9\) is not valid UTF-8"),
    "empty csv": ("c.csv", b"", "holds no document"),
    "no gzip": ("c.jsonl.gz", b'{"text": "t"}', r"the gzip data are damaged or cut short \(Not a gzipped file"),
    "cut gzip": ("c.jsonl.gz", compressed(b'{"text": "t"}\n' * 9, ".gz")[:-9], "the gzip data are damaged or cut"),
    "damaged gzip": ("c.csv.gz", compressed(b"text\n" * 99, ".gz")[:15] + b"\0" * 9, "the gzip data are damaged"),
    "no zstd": ("c.jsonl.zst", b'{"text": "t"}', "the zstd data are damaged or cut short"),
    "cut zstd": ("c.jsonl.zst", compressed(b'{"text": "t"}\n' * 9, ".zst")[:-4], "the zstd data are damaged or cut"),
    "no parquet": ("c.parquet", b"PAR1", "c.parquet is not a Parquet file"),
    "packed parquet": ("c.parquet.gz", b"x", "is a compressed Parquet file .* decompress it first"),
    "unknown": ("c.7z", b"7z\xbc\xaf", "c.7z is not a file or folder that a reader knows .*--reader: jsonl"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_named_with_what_to_do(what, tmp_path):
    name, content, message = REFUSED[what]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_missing_parquet_text_and_a_wrong_choice_name_what_is_there(tmp_path):
    path = write_parquet(tmp_path / "c.parquet", [{"id": 1, "body": "t", "n": 2.5}])
    with pytest.raises(CorpusError, match="row 1: field `text` is missing .*--text-column: `id`, `body`, `n`"):
        read(path)
    with pytest.raises(CorpusError, match="row 1: field `text` is missing .*--text-column: `words`"):
        read(write_parquet(tmp_path / "d.parquet", [{"words": "t"}]))
    with pytest.raises(CorpusError, match="row 1: field `text` is missing .*--text-column: `words`"):
        read(saved_dataset(tmp_path / "d", {"train": [{"words": "t"}]}))
    with pytest.raises(CorpusError, match="no field `headline` for --title-column .* `id`, `body`, `n`"):
        read(path, text_column="body", title_column="headline")
    with pytest.raises(CorpusError, match=r"row 1: field `text` is 2\.5, not a string"):
        read(path, text_column="n")
    write_parquet(path, [{"text": "t"}, {"text": None}])
    with pytest.raises(CorpusError, match="row 2: field `text` is missing"):
        read(path)


def test_a_quote_that_is_never_closed_does_not_take_the_file_into_memory(tmp_path, monkeypatch):
    csv.csv.field_size_limit(1000)
    try:
        path = write_files(tmp_path, {"c.csv": 'text\n"' + "x\n" * 10_000}) / "c.csv"
        with pytest.raises(CorpusError, match="line 2: not valid CSV .field larger than field limit"):
            read(path)
    finally:
        csv.csv.field_size_limit(csv.LONGEST)


def test_a_reader_that_is_asked_for_is_used_whatever_the_name(tmp_path):
    path = tmp_path / "corpus.data"
    assert read(write_jsonl(path, documents(3))) == documents(3)  # its first line is an object
    path.write_text(CSV, encoding="utf-8")
    assert [document.id for document in read(path, reader="csv")] == ["a", "b"]
    with pytest.raises(CorpusError, match="reader 'xls' is unknown .* jsonl, parquet"):
        read(path, reader="xls")
