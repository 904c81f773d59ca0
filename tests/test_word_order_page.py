"""The word-order page answers in every state, from what the worker kept (no browser, no model)."""

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from page_words import words
from tiny_run import TOTALS, hostile_documents, plain_documents, plain_queries, scored, write_tiny_run

from dashboard import data
from dashboard.analyses import word_order as analyses
from dashboard.components import text
from dashboard.components.token_strip import Piece, _packed
from dashboard.components.word_order_words import answer, overall
from engine.ablation_file import write_ablation, write_top
from engine.analysis.ablation import Ablation, summarise
from engine.analysis.word_order import spread
from engine.jobs import Job, JobTable
from engine.run import Run
from engine.variants import VariantSettings


@pytest.fixture
def runs(tmp_path) -> Path:
    """A folder with one small run; plain and hostile documents, nothing kept yet."""
    documents = plain_documents(12) + hostile_documents()
    write_tiny_run(tmp_path / "small_run", documents, plain_queries())
    return tmp_path


@pytest.fixture
def run(runs) -> Run:
    return Run(runs / "small_run")


@pytest.fixture
def opened(open_page, runs):
    return lambda **address: open_page(runs, "word_order", **address)


def strongest(run: Run, query: int = 0) -> int:
    return int(data.ranking(run, query)["document"].iloc[0])


def keep(run: Run, document: int, settings: VariantSettings = analyses.DEFAULT_VARIANTS, **more) -> str:
    write_ablation(run.folder, scored(run, 0, document, settings, **more), settings)
    return analyses.key_of(settings)


def jobs(runs: Path) -> list[Job]:
    return JobTable(runs).recent() if (runs / "jobs.sqlite").exists() else []


# One document


def test_a_document_opened_first_is_asked_for_at_once_and_once(opened, runs, run):
    app = opened()
    assert "Variants of" in words(app)
    app.run()
    (job,) = jobs(runs)
    assert (job.kind, job.state, job.arguments["document"]) == ("ablate", "queued", strongest(run))
    assert VariantSettings(**job.arguments["settings"]) == VariantSettings(documents=[])
    assert "Over all completions" in words(app)


def test_the_page_answers_with_what_is_left_and_the_noise(opened, runs, run):
    keep(run, strongest(run))
    told = words(opened())
    assert "## Reversing the words leaves 10% of this document's influence." in told
    assert "**+2.00** of **+20.0** nats per unit of weight is left" in told
    assert "shuffling all words leaves **20%** (range of 3 draws: 15% to 25%)" in told
    assert "shuffling within windows of 5 words **45%** (range of 3 draws: 40% to 50%)" in told
    assert "19 of 20 unrelated documents stay below 1.00 nats per unit of weight" in told
    assert (
        "**+3.00** nats per unit of weight, a difference of **−17.0** nats per unit of weight · 15% of the original"
    ) in told
    assert (
        "Mean (range of 3 draws): +4.00 (+3.00 to +5.00), difference −16.0 (−17.0 to −15.0) nats per unit of weight; "
        "20% of the original (15% to 25%)"
    ) in told
    assert "**Words shuffled within windows of 5 words, draw 1** :gray-badge[hypothetical]" in told
    assert "Variants are hypothetical texts: the model never saw them." in told
    assert ":gray-badge[hypothetical]" in told
    assert jobs(runs) == []


def test_the_table_of_variants_has_the_chart_in_numbers(opened, run):
    keep(run, strongest(run))
    table = next(element.value for element in opened().dataframe if "influence_range" in element.value)
    rows = table.set_index("variant")
    assert rows.index[0] == "Original"
    assert rows["influence"][["Original", "Words reversed", "Words shuffled"]].tolist() == pytest.approx([20, 2, 4])
    shuffled = rows.loc["Words shuffled"]
    assert (shuffled["draws"], shuffled["influence_range"]) == (3, "+3.00 to +5.00")
    assert (shuffled["difference"], shuffled["difference_range"]) == (pytest.approx(-16), "−17.0 to −15.0")
    assert (shuffled["ratio"], shuffled["ratio_range"]) == (pytest.approx(0.2), "15% to 25%")
    assert rows.at["Words reversed", "influence_range"] == ""


def test_within_the_noise_no_share_is_given(opened, run):
    keep(run, strongest(run), noise=50.0)
    told = words(opened())
    assert "within the noise, so no share of it is given" in told
    assert "Reversing the words changes it by **−18.0** nats per unit of weight." in told
    assert "no share: the original is within the noise" in told
    assert "% of the original" not in told


def test_the_address_is_the_state(opened, run):
    key = keep(run, 3)
    assert key
    app = opened(document="plain-3", show="Words reversed", draw="2", word="2")
    assert "Story number 3" in app.selectbox[1].value
    told = words(app)
    assert "**Words reversed** :gray-badge" in told
    assert "**Words shuffled" not in told
    assert "Pinned: **“was”**" in told
    shuffled = words(opened(document="plain-3", draw="2"))
    assert "**Words shuffled, draw 2** :gray-badge" in shuffled
    assert "**Words shuffled, draw 1** :gray-badge" not in shuffled


@pytest.mark.parametrize(
    "address",
    [{"document": "no such id"}, {"word": "99999"}, {"word": "-1,x"}, {"draw": "9"}, {"show": "nonsense"},
     {"edit": "../../manifest"}, {"edit": "0" * 16}, {"other": "no such id"}, {"query": "nothing"},
     {"measure": "magic"}],
)  # fmt: skip
def test_a_bad_address_falls_back_to_a_page_that_answers(opened, run, address):
    keep(run, strongest(run))
    assert "Reversing the words leaves 10%" in words(opened(**address))


def test_a_readers_text_is_asked_for_and_its_result_stands_beside_the_original(opened, runs, run):
    document = strongest(run)
    keep(run, document)
    app = opened()
    app.text_area[0].set_value("Once there was a storm.")
    next(button for button in app.button if button.label == "Score this text").click().run()
    assert not app.exception
    (job,) = jobs(runs)
    settings = VariantSettings(**job.arguments["settings"])
    assert settings.texts == {"edit": "Once there was a storm."}
    assert app.query_params["edit"] == job.arguments["key"]
    key = keep(run, document, settings)
    assert key == job.arguments["key"]
    told = words(opened(edit=key))
    assert "**+15.0** nats per unit of weight, 75% of the original's: a difference of **−5.00** nats per unit" in told
    assert "**Your edit** :gray-badge[hypothetical]" in told


@pytest.mark.parametrize("given", ["   ", None])
def test_an_empty_or_unchanged_text_is_not_scored(opened, runs, run, given):
    keep(run, strongest(run))
    app = opened()
    if given is not None:
        app.text_area[0].set_value(given)
    next(button for button in app.button if button.label == "Score this text").click().run()
    assert "Change the text first" in words(app)
    assert jobs(runs) == []


def test_another_document_stands_beside_and_is_not_called_hypothetical(opened, runs, run):
    document = strongest(run)
    keep(run, document)
    other = next(number for number in range(12) if number != document)
    assert "Another document beside" in words(opened(other=f"plain-{other}"))
    keep(run, document, analyses.other_settings(other))
    told = words(opened(other=f"plain-{other}"))
    assert f"**Story number {other}**\n" in told + "\n"
    assert f"**Story number {other}** :gray-badge" not in told


def test_what_the_corpus_records_is_named_by_its_titles(opened, run):
    document = strongest(run)
    others = [number for number in range(12) if number != document][:2]
    table = pq.read_table(run.folder.documents)
    rows = [[f"plain-{other}" for other in others] if n == document else [] for n in range(len(table))]
    table = table.append_column("relation_flipped", pa.array([""] * len(table)))
    table = table.append_column("same_content", pa.array(rows, pa.list_(pa.string())))
    pq.write_table(table, run.folder.documents)
    with_others = replace(analyses.DEFAULT_VARIANTS, documents=others, texts={"relation_flipped": "Two cats told it."})
    made = scored(run, 0, document, with_others)
    renamed = [replace(one, name="same_content") if one.name == "other_document" else one for one in made.variants]
    write_ablation(run.folder, replace(made, variants=tuple(renamed)), analyses.DEFAULT_VARIANTS)
    told = words(opened())
    assert "**Relation flipped** :gray-badge[hypothetical]" in told
    for other in others:
        assert f"**{text.escape(f'Same content: Story number {other}')}**\n" in told + "\n"


def test_hostile_documents_are_shown_as_text(opened, run):
    for number, document in enumerate(hostile_documents()):
        keep(run, 12 + number)
        app = opened(document=document["id"])
        assert "<script>" not in words(app).replace("\\<script\\>", "")
        assert "Reversing the words leaves" in words(app)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_ended_badly_says_so_and_can_be_started_again(opened, runs, run, state):
    opened()
    table = JobTable(runs)
    table.finish(table.claim(os.getpid()), state, "The model is gone -- fetch it.")
    app = opened()
    assert "The model is gone" in words(app) if state == "failed" else "was cancelled" in words(app)
    next(button for button in app.button if button.label == "Start again").click().run()
    assert [job.state for job in jobs(runs)] == ["queued", state]


def test_variants_that_went_missing_are_asked_for_again_but_not_for_ever(opened, runs, run):
    opened()
    table = JobTable(runs)
    table.finish(table.claim(os.getpid()), "done")
    app = opened()
    assert [job.state for job in jobs(runs)] == ["queued", "done"]
    table.finish(table.claim(os.getpid()), "done")
    app.run()
    assert "are not there any more" in words(app)
    assert len(jobs(runs)) == 2


# Over all completions


def bulk_table(app) -> pd.DataFrame:
    return next(element.value for element in app.dataframe if "completions" in element.value)


def keep_bulk(run: Run, left: dict[int, float]) -> None:
    """One strong and one unrelated document for each of these completions."""
    for query, share in left.items():
        rows = []
        for control in (False, True):
            totals = {**TOTALS, "words_reversed": 20.0 * share}
            if control:
                totals = {"original": 0.4, "words_reversed": 0.2}
            table = scored(run, query, 3 + control, VariantSettings(), totals).table()
            rows += table.assign(query=query, document=3 + control, control=control).to_dict("records")
        write_top(run.folder, query, rows, 1, VariantSettings())


def test_the_bulk_says_how_much_it_will_compute_and_asks_for_it(opened, runs, run):
    keep(run, strongest(run))
    app = opened()
    assert "scores 18 documents in their variants: the 3 strongest of each completion and 3 unrelated" in words(app)
    next(button for button in app.button if button.label.startswith("Compute for the strongest")).click().run()
    (job,) = jobs(runs)
    assert (job.kind, job.arguments["per_query"]) == ("ablate_top", 3)
    assert "Word order of the strongest documents" in words(app)


def test_the_bulk_answers_over_completions_and_compares_with_what_is_known(opened, run):
    keep(run, strongest(run))
    keep_bulk(run, {0: 0.05, 1: 0.3, 2: 0.5})
    app = opened(measure="Share left")
    told = words(app)
    assert "#### Over 3 completions, reversing the words leaves 30% of the influence." in told
    assert "95% interval **5.0%** to **50%**" in told
    assert "Here it is undecided" in told
    assert "changes its influence by 0.2 noise levels" in told
    table = bulk_table(app)
    row = table[(table["variant"] == "Words reversed") & (table["kind"] == "All kinds")].iloc[0]
    assert (row["median"], row["completions"]) == (pytest.approx(0.3), 3)
    change = bulk_table(opened())  # it opens on the measure that has the control
    assert set(change["documents"]) == {"strongest", "unrelated"}
    assert change["hypothetical"].all()


def test_the_bulk_can_be_of_one_kind(opened, run):
    keep(run, strongest(run))
    keep_bulk(run, {0: 0.05, 1: 0.3, 2: 0.5})
    app = opened(bulk_kind="Sum", measure="Share left")
    table = bulk_table(app).set_index("variant")
    assert set(table["kind"]) == {"Sum"}
    assert (table.at["Words reversed", "completions"], table.at["Words reversed", "median"]) == (2, pytest.approx(0.4))
    assert set(bulk_table(opened(bulk_kind="No kind", measure="Share left"))["kind"]) == {"All kinds", "Story", "Sum"}


def test_a_part_of_the_bulk_is_shown_and_can_be_gone_on_with(opened, run):
    keep(run, strongest(run))
    keep_bulk(run, {0: 0.05, 1: 0.3})
    told = words(opened())
    assert "2 of 3 completions are done" in told
    assert "scores 6 documents" in told
    assert "too few for an interval" in told


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [([0.01, 0.02, 0.03, 0.04], "is reproduced here"), ([0.3, 0.4, 0.5, 0.6], "is not reproduced here"),
     ([0.01, 0.05, 0.5, 0.6], "undecided"), ([0.01, 0.02], "too few completions")],
)  # fmt: skip
def test_the_verdict_follows_the_interval(shares, verdict):
    found = pd.DataFrame({"kind": "Fact", "variant": "words_reversed", "control": False, "left": shares})
    left = spread(found, "left")
    assert verdict in overall(left, left.assign(control=False), 9)[1]


# Sentences and strips


@pytest.mark.parametrize(
    ("left", "words"),
    [(-5.0, "turns this document's influence into its opposite."), (5.0, "leaves 25% of this document's influence."),
     (30.0, "strengthens this document's influence, to 150%.")],
)  # fmt: skip
def test_the_headline_says_what_reversing_does(run, left, words):
    found = scored(run, 0, 3, VariantSettings(), {"original": 20.0, "words_reversed": left})
    assert answer(found, summarise(found.table()))[0] == f"Reversing the words {words}"


def test_a_text_of_one_word_has_no_variant(run):
    found = scored(run, 0, 3, VariantSettings())
    alone = Ablation(0, 3, "nats", 1.0, found.variants[:1])
    assert "No variant" in answer(alone, summarise(alone.table()))[0]


def test_pieces_know_the_word_they_belong_to_in_every_variant(run):
    found = scored(run, 0, 3, VariantSettings(draws=1))
    original = analyses.strip_of(found.original)
    assert [
        unit for unit, word in zip(original.units, original.words, strict=True) if word is None and unit.tokens
    ] == [unit for unit in original.units if not original.text[unit.start : unit.end].strip()]
    for one in found.variants:
        strip = analyses.strip_of(one)
        for unit, word in zip(strip.units, strip.words, strict=True):
            if word is not None:
                piece = strip.text[unit.start : unit.end].strip()
                assert piece in analyses.word_text(original.text, word)
        assert strip.values.sum() == pytest.approx(one.total, rel=1e-5)
        at_words = sum(analyses.word_values(strip).values())
        spaces = sum(v for v, word in zip(strip.values[1:], strip.words, strict=True) if word is None)
        assert at_words + spaces + strip.values[0] == pytest.approx(one.total, rel=1e-5)
    assert analyses.word_text("a b", 5) == ""


def test_the_strip_gets_words_only_where_there_are_some():
    plain, linked = [Piece("a", 1.0)], [Piece("a", 1.0, word=3), Piece(" ", None)]
    assert "w" not in _packed(plain)
    assert _packed(linked)["w"] == [3, -1]


def test_shares_below_zero_keep_their_sign():
    assert [text.share(value) for value in (-0.029, 0.5, 0.034, 0.0)] == ["−2.9%", "50%", "3.4%", "0%"]


@pytest.mark.parametrize("fewer_first", [False, True])
def test_a_document_with_other_variants_shows_all_of_its_own(opened, run, fewer_first):
    ranking = data.ranking(run, 0)
    offered = [str(title) for title in ranking["title"]]
    documents = [number for number in ranking["document"] if number < 12][:2]
    for document, lacks in zip(documents, (fewer_first, not fewer_first), strict=True):
        found = scored(run, 0, document, VariantSettings())
        kept = tuple(one for one in found.variants if not (lacks and one.name == "subject_removed"))
        write_ablation(run.folder, replace(found, variants=kept), VariantSettings())
    app = opened(document=f"plain-{documents[0]}")
    assert ("**Subject removed** :gray-badge" in words(app)) != fewer_first
    other = offered.index(f"Story number {documents[1]}")
    app.selectbox[1].set_value(app.selectbox[1].options[other]).run()
    assert not app.exception
    assert "**Words reversed** :gray-badge" in words(app)
    assert ("**Subject removed** :gray-badge" in words(app)) == fewer_first
