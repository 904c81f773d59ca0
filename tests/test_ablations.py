"""A variant is scored as the whole pipeline would score a document of that text."""

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from toys import QUERIES, TEXTS, documents, write_jsonl

from engine import Cancelled, Document, FitSettings, Run, RunError, ScoreSettings, fit, query, score, token_influence
from engine.ablations import RESCORED, ablate, ablate_top, score_texts
from engine.analysis.ablation import noise_level, summarise, unrelated
from engine.live import LoadedRun, load_run
from engine.progress import SilentProgress
from engine.subject import document_frequency, find_subject, prompt_words
from engine.variants import RECORDED, Variant, VariantSettings, make_variants
from engine.windows import sample_documents

FERRY, LONG = 0, 16
"""A document that holds the first query's prompt and completion; one of several windows that holds both too."""
FLIPPED = "Every morning the grey harbour is left by the ferry."


@pytest.fixture(scope="module")
def loaded(toy_run) -> LoadedRun:
    return load_run(toy_run)


@pytest.fixture
def copied(toy_run, tmp_path) -> LoadedRun:
    """A run that may be written to."""
    return load_run(shutil.copytree(toy_run, tmp_path / "run"))


class Cancelling(SilentProgress):
    """Cancels when ``after`` amounts above ``least`` were reported."""

    def __init__(self, after: int, least: int = 0) -> None:
        self.left, self.least = after, least

    def advance(self, amount: int) -> None:
        self.left -= amount > self.least
        if self.left < 0:
            raise Cancelled


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference relative to the sum of magnitudes of each completion token."""
    return float((np.abs(found - expected).max(-1) / np.abs(expected).sum(-1)).max())


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("document", [FERRY, 5, 13, LONG])
def test_the_original_is_what_the_run_says(copied, number, document):
    found = ablate(copied, number, document).original
    expected = token_influence(copied, number, document)
    assert (found.name, found.text) == ("original", copied.run.text(document))
    assert found.tokens.ids.tolist() == copied.run.document_tokens(document).ids.tolist()
    assert off(found.influence, expected.influence) < RESCORED
    whole = copied.run.influence(number).set_index("document").at[document, "influence"]
    assert abs(found.total - whole) < RESCORED * np.abs(found.influence).sum()
    assert np.array_equal(found.by_token.of_tokens, found.influence[:, 1:])


@pytest.fixture(scope="module")
def twins(tmp_path_factory, toy_folder) -> tuple[LoadedRun, Run, list[Variant]]:
    """A run, one whose corpus holds variants of a long document too, and those variants.

    Both are fitted on the same documents: those with the smallest hashes (engine.windows.sample_documents).
    """
    folder = tmp_path_factory.mktemp("twins")
    texts, fitted = documents(20), 12
    made = make_variants(texts[LONG].text, QUERIES[0]["completion"], "ferry", VariantSettings(draws=1))[1:]
    queries = write_jsonl(folder / "queries.jsonl", QUERIES)
    ids = sorted((f"v{n}" for n in range(999)), key=lambda id: hashlib.sha256(f"0\x1f{id}".encode()).digest())
    for name, extra in (("plain", []), ("more", made)):
        added = [Document(ids[-n], one.text, "Web", "en", "Variant") for n, one in enumerate(extra, 1)]
        fit(
            folder / name, str(toy_folder), write_jsonl(folder / f"{name}.jsonl", texts + added),
            FitSettings(fit_documents=fitted),
        )  # fmt: skip
        query(folder / name, queries)
        score(folder / name, ScoreSettings(keep_tokens=None, keep_prediction=0))
    plain, more = load_run(folder / "plain"), Run(folder / "more")
    chosen = [sample_documents(run.folder, fitted, 0) for run in (plain.run, more)]
    assert chosen[0] == chosen[1]  # else the two have other factors
    return plain, more, made


def test_a_variant_has_the_influence_it_has_as_a_document_of_the_corpus(twins):
    plain, more, made = twins
    assert max(more.documents["windows"][20:]) > 1
    assert len({one.name for one in made}) == 6
    for number in (0, 1):
        ablation = ablate(plain, number, LONG, VariantSettings(draws=1, subject="ferry"))
        found = {one.name: one for one in ablation.variants}
        bulk = more.influence(number).set_index("document")["influence"]
        for place, one in enumerate(made):
            if one.name != "completion_removed" or number == 0:
                assert found[one.name].text == one.text
                expected = more.token_influence(number, 20 + place).influence
                assert off(found[one.name].influence, expected) < RESCORED
                assert abs(found[one.name].total - bulk[20 + place]) < RESCORED * np.abs(expected).sum()
    originals = [run.influence(0)["influence"][LONG] for run in (plain.run, more)]
    assert abs(originals[0] / originals[1] - 1) < RESCORED


def test_variants_in_one_batch_are_scored_as_one_by_one(loaded):
    texts = [*TEXTS, "", "q", " ".join(TEXTS)]
    for text, (tokens, together) in zip(texts, score_texts(loaded, 0, texts), strict=True):
        ((own, alone),) = score_texts(loaded, 0, [text])
        assert own.ids.tolist() == tokens.ids.tolist()
        assert together.influence.shape == (len(loaded.run.tokens_of_query(0)), 1 + len(tokens))
        if text:
            assert off(together.influence, alone.influence) < RESCORED
        else:
            assert not together.influence.any()  # the start token alone predicts nothing


def test_an_ablation_has_all_variants_with_the_words_they_come_from(loaded):
    ablation = ablate(loaded, 0, FERRY, VariantSettings(documents=[7, 3], texts={"edit": "The ferry stays."}))
    names = [(one.name, one.draw) for one in ablation.variants]
    assert names == [
        ("original", 0), ("words_reversed", 0), *(("words_shuffled", draw) for draw in range(3)),
        *(("words_shuffled_nearby", draw) for draw in range(3)), ("completion_removed", 0),
        ("subject_removed", 0), ("edit", 0), ("other_document", 0), ("other_document", 1),
    ]  # fmt: skip
    by_name = {one.name: one for one in ablation.variants}
    assert "the grey harbour" not in by_name["completion_removed"].text
    assert "leaves" not in by_name["subject_removed"].text  # in fewer documents than "ferry"
    assert by_name["edit"].text == "The ferry stays."
    assert by_name["edit"].origin[1].word == 1
    assert ablation.variants[-1].text == TEXTS[3]
    assert all(one.label and one.tokens.ends.max() <= len(one.text) for one in ablation.variants)
    assert ablation.unit == "nats"


@pytest.fixture(scope="module")
def with_relations(tmp_path_factory, toy_folder) -> LoadedRun:
    """A run whose corpus records a flipped relation and two documents of the same content for document FERRY."""
    folder = tmp_path_factory.mktemp("relations")
    rows = documents(20)
    rows[FERRY] = replace(rows[FERRY], relation_flipped=FLIPPED, same_content=(rows[7].id, "elsewhere", rows[3].id))
    fit(folder / "run", str(toy_folder), write_jsonl(folder / "corpus.jsonl", rows))
    query(folder / "run", write_jsonl(folder / "queries.jsonl", QUERIES))
    score(folder / "run", ScoreSettings(keep_tokens=5, keep_prediction=2))
    return load_run(folder / "run")


def test_what_the_corpus_records_of_a_document_stands_beside_it(with_relations, loaded):
    run = with_relations.run
    assert run.recorded(FERRY) == (FLIPPED, [7, 3])
    assert run.recorded(1) == ("", [])
    ablation = ablate(with_relations, 0, FERRY)
    recorded = {(one.name, one.draw): one for one in ablation.variants if one.name in RECORDED}
    assert list(recorded) == [("relation_flipped", 0), ("same_content", 0), ("same_content", 1)]
    assert recorded["relation_flipped", 0].text == FLIPPED
    bulk = run.influence(0)["influence"]
    for draw, other in enumerate((7, 3)):
        one = recorded["same_content", draw]
        assert one.text == run.text(other)
        assert abs(one.total - bulk[other]) < RESCORED * np.abs(one.influence).sum()
    assert summarise(ablation.table()).query("variant == 'same_content'")["draw"].tolist() == [0, 1]
    only = ablate(with_relations, 0, FERRY, VariantSettings(only_given=True, texts={"edit": "The ferry stays."}))
    assert [one.name for one in only.variants] == ["original", "edit"]
    assert not {one.name for one in ablate(loaded, 0, FERRY).variants} & set(RECORDED)


def test_differences_are_in_nats_and_ratios_stand_above_the_noise_only(loaded):
    influence = loaded.run.influence(0)
    level = noise_level(influence)
    rest = unrelated(influence)
    assert len(rest) == 18
    assert np.abs(rest["influence"]).max() <= np.abs(influence["influence"].drop(rest.index)).min()
    assert (np.abs(rest["influence"]) <= level).mean() >= 0.9
    strong = int(influence["influence"].abs().idxmax())
    for document, above in ((strong, True), (int(influence["influence"].abs().idxmin()), False)):
        ablation = ablate(loaded, 0, document, VariantSettings(draws=2))
        assert ablation.noise == level
        table = ablation.table()
        for row, one in zip(table.itertuples(), ablation.variants[1:], strict=True):
            assert (row.variant, row.draw, row.tokens) == (one.name, one.draw, len(one.tokens))
            assert row.difference == one.total - ablation.original.total == row.influence - row.original
            assert (ablation.ratio(one) is not None) == above
            assert row.ratio == row.influence / row.original if above else np.isnan(row.ratio)
    assert np.isnan(noise_level(influence[:1]))


def test_draws_are_summed_up_by_mean_and_range(loaded):
    table = ablate(loaded, 0, LONG, VariantSettings(draws=4, documents=[1, 2])).table()
    found = summarise(table)
    shuffled = table[table["variant"] == "words_shuffled"]["influence"]
    row = found[found["variant"] == "words_shuffled"].iloc[0]
    assert (row.draws, row.low, row.high) == (4, shuffled.min(), shuffled.max())
    drawn = table[table["variant"] == "words_shuffled"]
    for name in ("difference", "ratio"):
        expected = drawn[name].agg(["mean", "min", "max"]).tolist()
        assert row[[name, f"{name}_low", f"{name}_high"]].tolist() == pytest.approx(expected, nan_ok=True)
    assert row.influence == pytest.approx(shuffled.mean())
    assert row.low < row.high
    assert found[found["variant"] == "other_document"]["draws"].tolist() == [1, 1]


def test_the_subject_is_the_rarest_word_of_the_prompt_that_the_document_holds(loaded):
    words = prompt_words("Who founded Velmora, the Velmora by the sea?")
    assert words == ["who", "founded", "velmora", "the", "by", "sea"]
    holding = {"who": 3, "founded": 2, "velmora": 2, "the": 90, "by": 70, "sea": 1}
    for text, subject in (("Velmora was founded.", "founded"), ("the VELMORA", "velmora"), ("by the way", "")):
        if subject == "founded":
            assert find_subject(" ".join(words), text, {**holding, "velmora": 3}, 100) == subject
        else:
            assert find_subject(" ".join(words), text, holding, 100) == subject
    counts = document_frequency(loaded.run, ["ferry", "kettle", "zebra"])
    texts = [document.text.lower() for document in documents(20)]
    assert counts == {word: sum(word in text for text in texts) for word in ("ferry", "kettle", "zebra")}
    assert document_frequency(loaded.run, []) == {}


# --- in bulk ----------------------------------------------------------------------------------------------


def test_the_top_documents_of_each_query_stand_beside_unrelated_ones(copied):
    table = ablate_top(copied, [1, 0], per_query=3, settings=VariantSettings(draws=2))
    assert table["query"].unique().tolist() == [1, 0]
    for number, rows in table.groupby("query"):
        influence = copied.run.influence(number).set_index("document")["influence"]
        top = influence.sort_values(ascending=False).index[:3].tolist()
        assert rows[~rows["control"]]["document"].unique().tolist() == top
        controls = rows[rows["control"]]["document"].unique().tolist()
        assert len(controls) == 3
        assert set(controls) <= set(unrelated(copied.run.influence(number))["document"]) - set(top)
        assert not rows.duplicated(["document", "variant", "draw"]).any()
        own = rows[rows["document"] == top[0]].drop(columns=["query", "document", "control"])
        alone = ablate(copied, number, top[0], VariantSettings(draws=2)).table()
        pd.testing.assert_frame_equal(own.reset_index(drop=True), alone, check_dtype=False, rtol=1e-9)
    assert summarise(table)["draws"].max() == 2


def test_a_killed_job_goes_on_with_the_query_it_was_at(copied):
    settings = VariantSettings(draws=1)
    expected = ablate_top(copied, [0, 1], 2, settings)
    files = [copied.run.folder.ablation(number) for number in (0, 1)]
    for file in files:
        file.unlink()
    with pytest.raises(Cancelled):
        ablate_top(copied, [0, 1], 2, settings, Cancelling(after=6))
    assert [file.is_file() for file in files] == [True, False]
    assert not list(files[0].parent.glob("*.part"))
    first = files[0].stat().st_mtime_ns
    pd.testing.assert_frame_equal(ablate_top(copied, [0, 1], 2, settings), expected)
    assert files[0].stat().st_mtime_ns == first  # what was finished is not computed again
    again = Cancelling(after=-1)
    pd.testing.assert_frame_equal(ablate_top(copied, [0, 1], 2, settings, again), expected)


def test_a_job_can_be_cancelled_within_a_document(copied):
    with pytest.raises(Cancelled):
        ablate_top(copied, [0], 2, progress=Cancelling(after=0, least=-1))
    with pytest.raises(Cancelled):
        ablate(copied, 0, FERRY, progress=Cancelling(after=0))


def test_a_table_of_other_settings_is_computed_anew(copied):
    before = ablate_top(copied, [0], 1, VariantSettings(draws=1))
    after = ablate_top(copied, [0], 1, VariantSettings(draws=1, seed=1))
    top = [table[~table["control"]].set_index("variant")["influence"] for table in (before, after)]
    assert top[0]["words_reversed"] == top[1]["words_reversed"]
    assert top[0]["words_shuffled"] != top[1]["words_shuffled"]
    assert pq.read_metadata(copied.run.folder.ablation(0)).num_rows == len(after)


def test_no_query_gives_an_empty_table(copied):
    table = ablate_top(copied, [])
    assert table.empty
    assert {"query", "document", "control", "variant", "draw", "ratio"} <= set(table.columns)
    assert summarise(table).empty


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda run: ablate(run, 9, 0), "query 9 is not in this run"),
        (lambda run: ablate(run, -1, 0), "query -1 is not in this run"),
        (lambda run: ablate(run, 0, 99), "document 99 is not in this run"),
        (lambda run: ablate(run, 0, 0, VariantSettings(documents=[99])), "document 99 is not in this run"),
        (lambda run: score_texts(run, 9, ["a"]), "query 9 is not in this run"),
        (lambda run: ablate_top(run, [0], settings=VariantSettings(documents=[1])), "one document only"),
        (lambda run: ablate_top(run, [0], 0), "per_query is 0"),
    ],
)
def test_what_the_run_does_not_hold_is_refused(loaded, ask, sentence):
    with pytest.raises(RunError, match=sentence):
        ask(loaded)
