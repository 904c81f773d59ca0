"""Every page opens, answers and survives what an address or a corpus may throw at it (no browser)."""

import json
import os
import re
import time
from pathlib import Path

import pandas as pd
import pytest
from page_words import words
from streamlit.testing.v1 import AppTest
from tiny_run import PAYLOADS, hostile_documents, plain_documents, plain_queries, write_tiny_run

from dashboard import data
from dashboard.components import text
from dashboard.components.downloads import csv
from dashboard.components.token_strip import Piece, _packed, _paragraphs
from engine.jobs import JobTable
from engine.machine import repository_folder
from engine.run import Run


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with one small run: 12 documents, the last without stored token influences, and four hostile ones."""
    folder = tmp_path_factory.mktemp("runs")
    documents = plain_documents(12) + hostile_documents()
    write_tiny_run(folder / "small_run", documents, plain_queries(), without_tokens=[11])
    return folder


def table(app: AppTest) -> pd.DataFrame:
    return app.dataframe[0].value


@pytest.mark.parametrize("page", ["home", "influence"])
def test_every_page_opens_on_the_sample(open_page, sample_run, page):
    app = open_page(Path(sample_run).parent, page)
    assert app.title


def test_home_tells_the_run_in_use(open_page, tiny):
    app = open_page(tiny, "home")
    assert "Small run" in words(app)
    assert {metric.label: metric.value for metric in app.metric}["Documents"] == "16"


def test_the_influence_page_answers_in_a_sentence_with_numbers(open_page, tiny):
    app = open_page(tiny)
    ranking = data.ranking(Run(tiny / "small_run"), 0)
    raised = int((ranking["influence"] > 0).sum())
    assert f"## {raised} of 16 documents raised this completion" in words(app)
    assert text.escape(ranking["title"].iloc[0]) in words(app)
    assert "nats per unit of weight" in words(app)
    assert "The tokens (the model's start token among them) add up to" in words(app)
    assert len(table(app)) == raised


def test_choosing_completion_tokens_ranks_anew(open_page, tiny):
    whole, chosen = open_page(tiny), open_page(tiny, tokens="0,2")
    assert "Ranked for 2 chosen tokens" in words(chosen)
    expected = data.ranking(Run(tiny / "small_run"), 0, (0, 2))
    assert table(chosen)["influence"].tolist() == pytest.approx(
        data.select(expected, True, (), ())["influence"].tolist()
    )
    assert table(whole)["influence"].tolist() != table(chosen)["influence"].tolist()


def test_the_address_is_the_state(open_page, tiny):
    app = open_page(
        tiny, query="q/2", document="plain-3", direction="Lowered it", source="Books", by="By prediction", kind="Sum"
    )
    assert app.selectbox[0].value == "How much is two plus two?"
    assert app.subheader[0].value == "Story number 3"
    assert set(table(app)["source"]) <= {"Books"}
    assert (table(app)["influence"] < 0).all()
    assert "By prediction" in words(app)


@pytest.mark.parametrize(
    "address",
    [
        {"query": "no such id"},
        {"document": "no such id"},
        {"tokens": "0,99"},
        {"tokens": "1,-1,x"},
        {"tokens": "٣"},
        {"token": "99999999999999999999"},
        {"by": "By magic"},
        {"direction": "sideways"},
        {"kind": "No kind"},
        {"source": "Nowhere"},
        {"language": "zz"},
        {"query": "<script>", "document": "'; DROP TABLE documents; --", "tokens": ",,,"},
    ],
)
def test_bad_values_in_the_address_fall_back(open_page, tiny, address):
    app = open_page(tiny, **address)
    assert app.selectbox[0].value == "What comes after once?"
    assert "Ranked for the whole completion" in words(app)
    assert len(table(app)) > 0


@pytest.mark.parametrize(("address", "thing"), [({"query": "nowhere"}, "completion"), ({"document": "x"}, "document")])
def test_a_link_to_what_the_run_does_not_have_says_so(open_page, tiny, address, thing):
    """Else somebody might read the wrong evidence."""
    assert [warning.value for warning in open_page(tiny).warning] == []
    assert f"names a {thing} that this run does not have" in open_page(tiny, **address).warning[0].value


def test_the_page_says_how_likely_the_completion_is(open_page, tiny):
    assert "The model gives it a log-probability of −" in words(open_page(tiny))


def test_a_query_of_another_kind_falls_back_to_the_first_of_the_kind(open_page, tiny):
    assert open_page(tiny, kind="Sum", query="q/1").selectbox[0].value == "How much is two plus two?"


def test_filters_that_leave_nothing_say_so_and_can_be_cleared(open_page, tmp_path):
    documents = [dict(document, source="Rare" if n == 0 else "Web") for n, document in enumerate(plain_documents(3))]
    run = write_tiny_run(tmp_path / "filtered", documents, plain_queries()[:1])
    sign = data.ranking(Run(run), 0).set_index("document")["influence"][0]
    direction = "Lowered it" if sign > 0 else "Raised it"
    app = open_page(tmp_path, source="Rare", direction=direction)
    assert "No document passes the filters." in words(app)
    next(button for button in app.button if button.label == "Show all sources and languages").click().run()
    assert app.multiselect[0].value == []


def test_the_predicted_change_needs_the_size_of_the_training_set(open_page, tiny, tmp_path):
    known = table(open_page(tiny))
    assert known["left_out"].tolist() == pytest.approx((-known["influence"] / 1000).tolist())
    write_tiny_run(tmp_path / "unknown", plain_documents(3), plain_queries()[:1], training_windows=None)
    assert "left_out" not in table(open_page(tmp_path))


def test_the_contrast_measurement_shows_both_completions(open_page, tmp_path):
    write_tiny_run(tmp_path / "contrast", plain_documents(3), plain_queries(), measurement="contrast")
    assert "Compared with this alternative" in words(open_page(tmp_path))


def test_token_influences_that_are_not_stored_can_be_asked_for(open_page, tiny):
    app = open_page(tiny, document="plain-11")
    next(button for button in app.button if button.label == "Compute this document's tokens").click().run()
    assert not app.exception
    job = JobTable(tiny).recent(1)[0]
    assert (job.kind, job.arguments["document"], job.arguments["kind"]) == ("tokens", 11, "position")
    assert "Waiting for its turn." in app.get("progress")[0].text
    next(button for button in app.button if button.label == "Cancel").click().run()
    assert "was cancelled" in app.warning[0].value


def test_without_a_run_home_offers_the_sample_and_influence_leads_there(open_page, tmp_path):
    assert "no finished run" in words(open_page(tmp_path))
    app = open_page(tmp_path, "home")
    assert app.code[0].value == "python -m engine run sample"
    assert [button.label for button in app.button] == [
        "Compute “Sample”", "Compute “Sample large”", "Compute “Sample base”", "Compute “Sample large base”",
    ]  # fmt: skip
    app.button[0].click().run()
    assert not app.exception
    assert JobTable(tmp_path).recent(1)[0].arguments == {"config": "sample", "run": str(tmp_path / "sample")}
    assert "Waiting for its turn." in app.get("progress")[0].text


def test_the_other_models_of_the_sample_are_one_click_away(open_page, sample_run, tmp_path):
    (tmp_path / "sample").symlink_to(sample_run, target_is_directory=True)
    app = open_page(tmp_path, "home")
    assert "Compute another model of the sample" in words(app)
    next(button for button in app.button if button.label == "Compute “Sample large”").click().run()
    assert not app.exception
    assert JobTable(tmp_path).recent(1)[0].arguments == {
        "config": "sample-large", "run": str(tmp_path / "sample-large"),
    }  # fmt: skip
    assert "Compute another model" not in words(app)  # one at a time


def test_the_time_that_a_sample_takes_is_the_measured_one(open_page, tmp_path):
    file = repository_folder() / "sample_data" / "times.json"
    if not file.is_file():
        pytest.skip("the runs of the sample are not timed yet: python -m sample_data.times")
    shown, noted = words(open_page(tmp_path, "home")), json.loads(file.read_text())
    for name in noted:
        assert f"{text.duration(sum(noted[name]['seconds'].values()))} on {noted[name]['cores']} cores" in shown


def test_a_run_of_another_corpus_is_not_offered_the_sample(open_page, tmp_path):
    write_tiny_run(tmp_path / "other", plain_documents(3), plain_queries()[:1])
    assert "Compute another model" not in words(open_page(tmp_path, "home"))


def test_a_failed_job_shows_its_sentence_and_can_be_started_again(open_page, tmp_path):
    jobs = JobTable(tmp_path)
    jobs.submit("run", {"config": "sample"}, "Compute the sample")
    jobs.finish(jobs.claim(os.getpid()), "failed", "the model <b>is missing</b> -- build it.")
    app = open_page(tmp_path, "home")
    assert "failed" in app.error[0].value
    assert "<b>" not in app.error[0].value
    next(button for button in app.button if button.label == "Start again").click().run()
    assert jobs.recent(1)[0].state == "queued"


def test_a_broken_run_folder_is_not_offered(open_page, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    assert "There is no run to look at yet" in words(open_page(tmp_path, "home"))


def test_with_several_runs_one_is_chosen_by_name(open_page, tmp_path):
    for name in ("first_run", "second_run"):
        write_tiny_run(tmp_path / name, plain_documents(3), plain_queries()[:1])
        time.sleep(0.02)  # the newest is shown first
    assert "Run in use: Second run" in words(open_page(tmp_path, "home"))
    assert "Run in use: First run" in words(open_page(tmp_path, "home", run="First run"))
    lost = open_page(tmp_path, "home", run="No such run")
    assert "Run in use: Second run" in words(lost)
    assert [one.value for one in lost.warning] == ["The link names a run that is not here. Another one is shown."]


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_hostile_titles_are_escaped_wherever_markdown_is_read(open_page, tiny, number):
    app = open_page(tiny, query="q/3", document=hostile_documents()[number]["id"])
    shown = words(app) + app.subheader[0].value
    for markup in ("<img", "<script", "<b>", r"\]\(javascript", r"\*\*bold", r"\$x", ":material", "https?:", "\u202e"):
        assert not re.search(rf"(?<!\\){markup}", shown), markup
    assert app.subheader[0].value == text.escape(PAYLOADS[number])


def test_escaped_text_holds_no_markup_link_or_shortcode():
    escaped = text.escape(" ".join(PAYLOADS))
    for active in ("<", "[", "*", "$", "`"):
        assert f" {active}" not in escaped
    for shortcut in (":material/", "://", "@user"):
        assert shortcut not in escaped.replace("\\", "")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a\u202eb", "a⟦RLO⟧b"),
        ("zero\u200bwidth", "zero⟦ZWSP⟧width"),
        ("\ufeffx", "⟦BOM⟧x"),
        ("\U000e0041", "⟦TAG A⟧"),
        ("\x1b\x85", "⟦ESC⟧⟦U+0085⟧"),
        ("a\u200db", "a⟦ZWJ⟧b"),
        ("a\ufe0f\ufe00", "a⟦U+FE0F⟧⟦U+FE00⟧"),
        ("👩‍🚀 ❤️", "👩‍🚀 ❤️"),
        ("می‌خواهم", "می‌خواهم"),
        ("क्‍ष", "क्‍ष"),
        ("tab\tand\nline", "tab\tand\nline"),
    ],
)
def test_hidden_characters_are_shown_and_those_that_writing_needs_are_kept(given, shown):
    assert text.show_hidden(given) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (1234.5, "+1,230"), (-0.004567, "−0.00457"), (9.996, "+10.0"), (99.96, "+100"), (1e-9, "+1.00e-09"),
     (-2.5e12, "−2.50e+12"), (0.5, "+0.500"), (float("nan"), "not a number")],
)  # fmt: skip
def test_numbers_have_a_sign_and_three_significant_digits(value, shown):
    assert text.number(value) == shown


def test_no_cell_of_a_download_is_a_formula():
    saved = csv(pd.DataFrame({"title": ["=1+1", "-2", "fine"], "value": [-1.0, 2.0, 3.0]})).decode()
    assert saved.splitlines()[1:] == ["'=1+1,-1.0", "'-2,2.0", "fine,3.0"]


def test_the_strip_keeps_the_text_and_starts_a_paragraph_after_each_line_break():
    pieces = [Piece("a", 1.0, 0), Piece("\n", None), Piece("b\u202e", -2.0, 1, (-1.0, -1.0)), Piece("\r\n", 0.5, 3)]
    packed = [_packed(paragraph) for paragraph in _paragraphs(pieces)]
    assert [paragraph["t"] for paragraph in packed] == [["a", "\n"], ["b\0RLO\0", "\n"]]
    assert packed[1]["k"] == {0: [-1.0, -1.0]}
    assert packed[0]["v"] == [1.0, None]


def test_the_strip_keeps_a_line_together_with_its_indentation():
    pieces = [Piece("def f():", 1.0, 0), Piece("\n   ", 1.0, 1), Piece(" return", 1.0, 2)]
    assert [[piece.text for piece in paragraph] for paragraph in _paragraphs(pieces)] == [
        ["def f():", "\n   ", " return"]
    ]
