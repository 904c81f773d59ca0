"""Scores of other programs become runs that pages open: kronfluence, bergson, Parquet."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from page_words import words
from safetensors.numpy import save_file
from toys import QUERIES, Stopping, documents, train_tokenizer, write_jsonl

from engine import CorpusError, Run, RunError, rank_documents
from engine.document_map import make_map
from engine.errors import Cancelled, WhenceError
from engine.factors import load_fitted
from engine.findings.findings import measure_findings
from engine.findings.settings import FindingsSettings
from engine.importing.run import import_scores
from engine.importing.settings import ImportSettings
from engine.report import write_report

COUNT, ASKED = 12, len(QUERIES)
PAGES = (
    "home", "story", "influence", "ask", "concentration", "sources", "word_order", "findings", "compare", "map",
    "review", "trust",
)  # fmt: skip


@pytest.fixture
def texts(tmp_path) -> tuple[Path, Path]:
    """A corpus of twelve documents and two completions."""
    corpus = write_jsonl(tmp_path / "corpus.jsonl", documents(COUNT))
    return corpus, write_jsonl(tmp_path / "queries.jsonl", QUERIES)


@pytest.fixture
def tokenizer(tmp_path) -> str:
    train_tokenizer().save_pretrained(tmp_path / "tokenizer")
    return str(tmp_path / "tokenizer")


def made_up(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def lengths(tokenizer: str) -> list[int]:
    loaded = train_tokenizer()
    return [len(loaded(document.text)["input_ids"]) for document in documents(COUNT)]


def influence(run: Path) -> np.ndarray:
    return np.stack([Run(run).influence(query)["influence"].to_numpy() for query in range(ASKED)])


def parquet(path: Path, **columns: list) -> Path:
    """A file of pairs; all of them, by id, unless other columns are given."""
    pairs = [(f"q{query}", f"d{document}") for query in range(ASKED) for document in range(COUNT)]
    columns = {"query": [q for q, _ in pairs], "document": [d for _, d in pairs]} | columns
    columns.setdefault("influence", made_up(ASKED, COUNT).ravel().tolist())
    pq.write_table(pa.table(columns), path)
    return path


def bergson(path: Path, scores: np.ndarray, offsets: np.ndarray | None = None, number: str = "float32") -> Path:
    """Scores ``[rows, queries]`` in the layout of bergson 2.5.1's ``score_writer.py``: pairs aligned to powers of 2."""
    size = np.dtype(np.uint16 if number == "bfloat16" else number).itemsize
    step = 1 << size.bit_length()  # of number and flag, up to the next power of 2
    names = [name for query in range(scores.shape[1]) for name in (f"score_{query}", f"written_{query}")]
    places = [place for query in range(scores.shape[1]) for place in (step * query, step * query + size)]
    spec = {"names": names, "formats": [number, "bool"] * scores.shape[1], "offsets": places,
            "itemsize": -(-step * scores.shape[1] // 8) * 8}  # fmt: skip
    formats = ["<u2" if one == "bfloat16" else one for one in spec["formats"]]
    records = np.zeros(len(scores), np.dtype(spec | {"formats": formats}))
    for query, column in enumerate(scores.T):
        short = (column.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        records[f"score_{query}"] = short if number == "bfloat16" else column
        records[f"written_{query}"] = True
    path.mkdir()
    records.tofile(path / "scores.bin")
    items = len(scores) if offsets is None else len(offsets) - 1
    info = {"attribute_tokens": offsets is not None, "num_items": items, "num_rows": len(scores),
            "num_scores": scores.shape[1], "dtype": spec}  # fmt: skip
    (path / "info.json").write_text(json.dumps(info))
    if offsets is not None:
        np.save(path / "offsets.npy", offsets)
    return path


def test_a_parquet_file_by_id_or_number_becomes_a_run(tmp_path, texts):
    expected = made_up(ASKED, COUNT)
    order = np.random.default_rng(1).permutation(ASKED * COUNT)
    query, document = np.divmod(order, COUNT)
    by_number = {"query": query.tolist(), "document": document.tolist(), "influence": expected.ravel()[order].tolist()}
    import_scores(tmp_path / "ids", parquet(tmp_path / "ids.parquet"), *texts)
    import_scores(tmp_path / "numbers", parquet(tmp_path / "numbers.parquet", **by_number), *texts)
    for name in ("ids", "numbers"):
        assert np.array_equal(influence(tmp_path / name), expected)
    run = Run(tmp_path / "ids")
    assert run.imported == "another program"
    assert run.influence_unit == "units of the imported scores"
    assert rank_documents(run, 0)["bm25"].max() > 0  # the texts are here, so this baseline is computed
    assert rank_documents(run, 0)["gradient_dot"].isna().all()


def test_documents_without_rows_were_not_scored(tmp_path, texts):
    kept = {"query": [0, 1], "document": [3, 3], "influence": [1.0, -2.0]}
    import_scores(tmp_path / "run", parquet(tmp_path / "one.parquet", **kept), *texts)
    run = Run(tmp_path / "run")
    assert run.influence(1)[["document", "influence"]].to_numpy().tolist() == [[3, -2.0]]
    assert run.scored_documents == 1


def test_signs_are_turned_on_request(tmp_path, texts):
    import_scores(tmp_path / "run", parquet(tmp_path / "s.parquet"), *texts, ImportSettings(negate=True))
    assert np.array_equal(influence(tmp_path / "run"), -made_up(ASKED, COUNT))


def test_token_influences_of_a_parquet_file_stand_at_their_tokens(tmp_path, texts, tokenizer):
    tokens = [made_up(length).tolist() for _ in QUERIES for length in lengths(tokenizer)]
    file = parquet(tmp_path / "s.parquet", influence=[sum(one) for one in tokens], token_influences=tokens)
    settings = ImportSettings(model=tokenizer, token_kind="prediction")
    import_scores(tmp_path / "run", file, *texts, settings)
    run = Run(tmp_path / "run")
    assert run.token_kinds == ("prediction",)
    found = run.token_influence(1, 5, "prediction")
    assert found is not None
    assert found.influence.tolist() == [np.float32(tokens[COUNT + 5]).tolist()]
    assert run.token_influence(1, 5, "position") is None


def test_bergson_folders_become_runs(tmp_path, texts, tokenizer):
    expected = made_up(ASKED, COUNT)
    for number, close in (("float32", 0), ("float16", 1e-3), ("bfloat16", 1e-2)):
        import_scores(tmp_path / number, bergson(tmp_path / f"b-{number}", expected.T, number=number), *texts)
        assert np.allclose(influence(tmp_path / number), expected, rtol=close, atol=0)
    counts = [length - 1 for length in lengths(tokenizer)]  # the last token predicts nothing
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rows = made_up(int(offsets[-1]), ASKED)
    file = bergson(tmp_path / "tokens", rows, offsets)
    import_scores(tmp_path / "run", file, *texts, ImportSettings(model=tokenizer))
    found = Run(tmp_path / "run").token_influence(1, 4)
    assert found is not None
    assert found.influence[0].tolist() == [*rows[offsets[4] : offsets[5], 1].tolist(), 0.0]
    assert np.allclose(influence(tmp_path / "run")[1, 4], rows[offsets[4] : offsets[5], 1].sum(), rtol=1e-5)


def test_what_bergson_writes_itself_becomes_a_run(tmp_path, texts):
    writer = pytest.importorskip("bergson.score.score_writer", reason="bergson is not installed")
    writer.save_sequence_scores(tmp_path / "written", made_up(ASKED, COUNT).T)
    import_scores(tmp_path / "run", tmp_path / "written", *texts)
    assert np.array_equal(influence(tmp_path / "run"), made_up(ASKED, COUNT))


def test_bergson_candidates_keep_their_numbers(tmp_path, texts):
    folder = bergson(tmp_path / "some", made_up(3, ASKED))
    np.save(folder / "candidates.npy", np.array([7, 2, 9]))
    import_scores(tmp_path / "run", folder, *texts)
    found = Run(tmp_path / "run").influence(0)
    assert found["document"].tolist() == [2, 7, 9]
    assert found["influence"].tolist() == made_up(3, ASKED)[[1, 0, 2], 0].tolist()


def test_kronfluence_modules_are_added_up_and_padding_is_cut(tmp_path, texts, tokenizer):
    counts = lengths(tokenizer)
    one, other = made_up(2, ASKED, COUNT, max(counts) + 3)
    for document, count in enumerate(counts):
        one[:, document, count:] = other[:, document, count:] = 0
    folder = tmp_path / "scores_tokens"
    folder.mkdir()
    save_file({"layers.0": one, "layers.1": other}, folder / "pairwise_scores.safetensors")
    import_scores(tmp_path / "run", folder, *texts, ImportSettings(model=tokenizer))
    found = Run(tmp_path / "run").token_influence(0, 2)
    assert found is not None
    assert np.allclose(found.influence[0], (one + other)[0, 2, : counts[2]], rtol=1e-6)
    assert np.allclose(influence(tmp_path / "run"), (one + other).sum(2), rtol=1e-4)
    one[0, 0, counts[0]] = 1.0
    save_file({"layers.0": one, "layers.1": other}, folder / "pairwise_scores.safetensors")
    with pytest.raises(CorpusError, match="positions, but"):
        import_scores(tmp_path / "other", folder, *texts, ImportSettings(model=tokenizer))


PAIRS = [(query, document) for query in range(ASKED) for document in range(COUNT)]
WRONG = {
    "not in the corpus": {"document": [*[f"d{d}" for _, d in PAIRS[:-1]], "d99"]},
    "not in the query file": {"query": [7, *[q for q, _ in PAIRS[1:]]], "document": [d for _, d in PAIRS]},
    "which of two scores": {"query": [0, 0, 1], "document": [1, 1, 1], "influence": [1.0, 2.0, 3.0]},
    "cannot be ranked for the others": {"query": [0], "document": [1], "influence": [1.0]},
    "it has no rank": {"influence": [float("nan"), *([1.0] * (len(PAIRS) - 1))]},
    "give --model": {"token_influences": [[1.0]] * len(PAIRS)},
}


@pytest.mark.parametrize("why", list(WRONG))
def test_a_wrong_parquet_file_is_refused_and_leaves_nothing(tmp_path, texts, why):
    file = parquet(tmp_path / "wrong.parquet", **WRONG[why])
    with pytest.raises(CorpusError, match=why):
        import_scores(tmp_path / "run", file, *texts)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "run.part").exists()


def test_scores_of_other_texts_or_unfinished_ones_are_refused(tmp_path, texts):
    save_file({"all_modules": made_up(ASKED, COUNT + 1)}, tmp_path / "more.safetensors")
    with pytest.raises(CorpusError, match="has scores of 13 documents, the corpus has 12"):
        import_scores(tmp_path / "run", tmp_path / "more.safetensors", *texts)
    save_file({"all_modules": np.full((ASKED, COUNT), np.inf, np.float32)}, tmp_path / "inf.safetensors")
    with pytest.raises(CorpusError, match="is inf"):
        import_scores(tmp_path / "run", tmp_path / "inf.safetensors", *texts)
    folder = bergson(tmp_path / "stopped", made_up(COUNT, ASKED))
    data = bytearray((folder / "scores.bin").read_bytes())
    data[-1 - 3] = 0  # the last flag: a number of 4 bytes, the flag, 3 to fill up
    (folder / "scores.bin").write_bytes(data)
    with pytest.raises(CorpusError, match="never written"):
        import_scores(tmp_path / "run", folder, *texts)
    with pytest.raises(CorpusError, match="not seen from its name"):
        import_scores(tmp_path / "run", texts[0], *texts)


def test_tokens_that_do_not_add_up_are_refused(tmp_path, texts, tokenizer):
    tokens = [[1.0] * length for _ in QUERIES for length in lengths(tokenizer)]
    file = parquet(tmp_path / "s.parquet", token_influences=tokens)
    with pytest.raises(CorpusError, match="add up to"):
        import_scores(tmp_path / "run", file, *texts, ImportSettings(model=tokenizer))


def test_a_stopped_import_leaves_no_half_run_and_can_be_repeated(tmp_path, texts):
    file = parquet(tmp_path / "s.parquet")
    for at in range(1, 5):
        with pytest.raises(Cancelled):
            import_scores(tmp_path / "run", file, *texts, progress=Stopping(at))
        assert not (tmp_path / "run").exists()
    (tmp_path / "run.part" / "corpus").mkdir(parents=True)  # what a killed one leaves
    (tmp_path / "run.part" / "corpus" / "documents.parquet.part").write_text("half")
    import_scores(tmp_path / "run", file, *texts)
    assert np.array_equal(influence(tmp_path / "run"), made_up(ASKED, COUNT))
    assert not list((tmp_path / "run").rglob("*.part"))
    with pytest.raises(RunError, match="is there already"):
        import_scores(tmp_path / "run", file, *texts)


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> Path:
    """A folder with an imported run, its documents laid out."""
    folder = tmp_path_factory.mktemp("runs")
    texts = write_jsonl(folder / "c.jsonl", documents(COUNT)), write_jsonl(folder / "q.jsonl", QUERIES)
    import_scores(folder / "imported", parquet(folder / "s.parquet"), *texts)
    make_map(Run(folder / "imported"))
    return folder


def test_what_needs_the_model_is_refused_with_the_reason(imported):
    run = Run(imported / "imported")
    for asked in (
        run.need_live,
        run.need_directions,
        lambda: load_fitted(run.folder),
        lambda: measure_findings(FindingsSettings(str(run.path))),
        lambda: write_report(run, imported / "report.html", [0]),
    ):
        with pytest.raises(WhenceError, match="computed by another program and imported"):
            asked()


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_an_imported_run(open_page, imported, page):
    app = open_page(imported, page)
    assert app.title
    assert "per unit of weight" not in words(app)
    assert ("nats" in words(app)) == (page == "trust")  # which shows results of other models


ANSWERS = {
    "influence": "documents raised this completion",
    "concentration": "raised this completion",
    "sources": "of all that raised",
    "compare": "The two rankings share",
    "map": "on this map",
}


@pytest.mark.parametrize("page", list(ANSWERS))
def test_pages_answer_on_an_imported_run(open_page, imported, page):
    assert ANSWERS[page] in words(open_page(imported, page))


def test_the_pages_say_what_an_imported_run_lacks(open_page, imported):
    assert "computed by another program and imported" in words(open_page(imported, "home"))
    assert "Influence of tokens was not imported" in words(open_page(imported, "influence"))
    for page in ("story", "ask", "word_order", "findings", "trust"):
        assert "computed by another program and imported" in words(open_page(imported, page)), page


def test_the_influence_page_shows_imported_tokens(open_page, tmp_path, texts, tokenizer):
    tokens = [made_up(length).tolist() for _ in QUERIES for length in lengths(tokenizer)]
    file = parquet(tmp_path / "s.parquet", influence=[sum(one) for one in tokens], token_influences=tokens)
    (tmp_path / "runs").mkdir()
    import_scores(tmp_path / "runs" / "tokens", file, *texts, ImportSettings(model=tokenizer))
    shown = words(open_page(tmp_path / "runs", "influence"))
    assert "The tokens add up to" in shown
    shown = words(open_page(tmp_path / "runs", "concentration", part="Inside documents"))
    assert "The strongest tenth of a document's tokens" in shown
    shutil.rmtree(tmp_path / "runs")
