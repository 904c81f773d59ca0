"""The Trust page: what was measured, what was not, and what cannot be read; and what other pages take of it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from made_checks import SLOPE, exact_tables, keep, lds_tables, removal_tables, stability_tables
from page_words import words
from test_leave_out_panel import keep as keep_leave_out
from tiny_run import plain_documents, plain_queries, write_tiny_run

from dashboard.analyses import trust
from dashboard.components.calibration import calibration_sentence
from dashboard.components.text import between
from dashboard.components.trust_answer import FEW_TOKENS, NOT_MEASURED, answer
from dashboard.components.trust_section import readable
from engine.check.calibration import NOT_CALIBRATED
from engine.check.settings import StabilitySettings
from engine.checks import CHECKS, Check, kept_at
from engine.jobs import JobTable
from engine.run import Run

OF_NO_RUN = {"exact": exact_tables, "lds": lds_tables, "removal": removal_tables}
MISREAD = "of this version -- it would be misread -- check again."


@pytest.fixture(autouse=True)
def shipped(tmp_path, monkeypatch) -> Path:
    """Where results come with the program; at first none do."""
    monkeypatch.setattr("engine.check.found.repository_folder", lambda: tmp_path / "program")
    return tmp_path / "program" / "sample_data" / "checks"


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "runs"
    monkeypatch.setenv("WHENCE_RUNS", str(folder))
    write_tiny_run(folder / "run", plain_documents(12), plain_queries())
    return folder


@pytest.fixture
def weather(monkeypatch) -> None:
    """A check that the page never heard of."""
    settings = type(CHECKS["exact"].settings())
    monkeypatch.setitem(CHECKS, "weather", Check("Weather", "Does it <b>rain</b>?", settings, "no:module"))


def shown(app) -> str:
    return words(app) + "\n".join(code.value for code in app.code)


def press(app, label: str):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


# The states of a check


def test_where_nothing_was_measured_it_says_so_and_offers_it_with_its_cost(open_page, runs):
    app = open_page(runs, "trust")
    assert f"## {NOT_MEASURED}" in words(app) and NOT_CALIBRATED in words(app)
    for name in OF_NO_RUN:
        assert f"## {CHECKS[name].title}" in words(app)
    assert words(app).count("Not measured yet. It trains models") == 3
    assert not app.error and not app.dataframe
    app.button(key="measure_lds").click().run()
    (job,) = JobTable(runs).recent()
    assert (job.kind, job.arguments["check"]) == ("check", "lds")
    assert job.arguments["out"] == str(runs / "checks" / "lds.json")
    assert job.arguments["settings"]["masks"] == 100
    assert "Waiting for its turn." in open_page(runs, "trust").get("progress")[0].text


def test_a_shipped_result_is_shown_and_said_to_be_one(open_page, runs, shipped):
    for name, tables in OF_NO_RUN.items():
        keep(name, shipped / f"{name}.json", tables(), seed=3)
    app = open_page(runs, "trust")
    assert words(app).count("This result came with the program") == 3
    assert "python -m engine check removal --seed 3" in shown(app)
    assert "## They tell which documents matter, but overstate by how much." in words(app)
    assert not app.error
    estimators = next(frame.value for frame in app.dataframe if "Score" in frame.value)
    assert estimators["Estimator"].iloc[0] == "EK-FAC" and " to " in estimators["Score"].iloc[0]
    assert app.button(key="measure_lds").label == "Measure it here"
    assert len(app.get("plotly_chart")) == 2 + 1 + 5


def test_what_was_measured_here_comes_before_what_was_shipped(open_page, runs, shipped):
    keep("removal", shipped / "removal.json", removal_tables(slope=0.5))
    keep("removal", runs / "checks" / "removal.json", removal_tables(slope=2.0), top=5)
    app = open_page(runs, "trust")
    assert "This result was measured here" in words(app)
    assert "but understate by how much" in words(app)
    assert "python -m engine check removal --top 5" in shown(app)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"format": 1}', '{"format": 2}', '{"format": 2, "check": "lds", "settings": {}, "tables": {}}'],
)
def test_a_file_that_cannot_be_read_has_its_sentence_and_the_other_checks_are_shown(open_page, runs, content):
    keep("removal", runs / "checks" / "removal.json", removal_tables())
    (runs / "checks" / "lds.json").write_text(content)
    app = open_page(runs, "trust")
    (error,) = app.error
    assert "lds" in error.value and ("cannot be read" in error.value or "would be misread" in error.value)
    assert app.button(key="measure_lds").label == "Measure it here"
    assert "changed the log-probability" in words(app)


def test_a_result_of_another_check_is_not_taken_for_this_one(open_page, runs):
    keep("exact", runs / "checks" / "lds.json", exact_tables())
    assert "is not a result of check lds" in open_page(runs, "trust").error[0].value


def test_it_needs_no_run(open_page, tmp_path, shipped):
    keep("exact", shipped / "exact.json", exact_tables())
    app = open_page(tmp_path / "nowhere", "trust")
    assert "correlate with the exact ones at **" in words(app)
    assert "There is no finished run to look at yet. Start one from Home." in words(app)


# Checks of other parts of the program


def test_a_check_without_a_way_of_its_own_has_its_question_its_command_and_its_tables(open_page, runs, weather):
    rows = [{"town": "A & <i>B</i>", "rain": 0.5, "rain_low": 0.4, "rain_high": 0.6, "umbrellas": 3}]
    keep("weather", runs / "checks" / "weather.json", {"towns": rows}, seed=4)
    app = open_page(runs, "trust")
    assert "## Weather" in words(app) and "<b>" not in words(app)
    assert "python -m engine check weather --seed 4" in shown(app)
    (table,) = [frame.value for frame in app.dataframe if "Rain" in frame.value]
    assert table.to_dict("records") == [{"Town": "A & <i>B</i>", "Rain": "0.50 (0.40 to 0.60)", "Umbrellas": 3}]


def test_verdicts_are_counted_and_the_completion_under_study_has_its_own(open_page, runs):
    run = Run(runs / "run")
    settings = StabilitySettings(str(run.path))
    keep("stability", kept_at("stability", settings), stability_tables(["q/1", "q/2", "q/3"]), run=str(run.path))
    app = open_page(runs, "trust")
    assert "the rankings are: **1** steady, **1** shaky, **1** noise. In 1 one of the strongest" in words(app)
    assert "\\*seven\\* of ten stay" in words(app)
    first = open_page(runs)
    assert FEW_TOKENS in words(first) and "Ranking: steady" in words(first)
    second = words(open_page(runs, query="q/2"))
    assert FEW_TOKENS not in second and "Some of its strongest documents change" in second


def test_without_that_check_there_is_no_badge(open_page, runs):
    assert "strongest documents stay" not in words(open_page(runs))
    app = open_page(runs, "trust")
    assert "Not measured yet for this run" in words(app)
    app.button(key="measure_stability").click().run()
    assert JobTable(runs).recent()[0].arguments["out"] == str(runs / "run" / "checks" / "stability.json")


def test_what_was_left_out_so_far_is_listed(open_page, runs):
    assert "No document of this run has been left out yet" in words(open_page(runs, "trust"))
    run = Run(runs / "run")
    keep_leave_out(run, ["plain-3"], measured=-0.8)
    keep_leave_out(run, ["plain-4", "plain-5"], measured=0.02)
    app = open_page(runs, "trust")
    assert "In **1 of 2** the completion asked about changed by more than chance." in words(app)
    (table,) = [frame.value for frame in app.dataframe if "measured" in frame.value]
    assert sorted(table["measured"]) == [-0.8, 0.02]


# How predicted changes fared


def test_the_sentence_has_the_numbers_of_the_check(runs):
    assert calibration_sentence() == NOT_CALIBRATED
    tables = removal_tables()
    keep("removal", runs / "checks" / "removal.json", tables, top=7)
    row = next(row for row in tables["calibration"] if row["what"] == "documents")
    assert row["slope"] == pytest.approx(SLOPE, abs=0.02)
    said = calibration_sentence()
    assert (
        f"**{row['slope']:.2f} ({row['slope_low']:.2f} to {row['slope_high']:.2f})** times as much as predicted" in said
    )
    assert f"correlate at **{row['correlation']:.2f} (" in said
    assert "on 600 documents of the embedded sample, training again without 7 of them" in said
    assert "(24 removals, 95% intervals, measured" in said


def test_every_predicted_change_stands_beside_it(open_page, runs, tmp_path):
    keep("removal", runs / "checks" / "removal.json", removal_tables())
    assert "How such predictions fare" in words(open_page(runs))
    write_tiny_run(tmp_path / "unknown" / "run", plain_documents(12), plain_queries(), training_windows=None)
    assert "How such predictions fare" not in words(open_page(tmp_path / "unknown"))


@pytest.mark.parametrize(
    ("slope", "noise", "said"),
    [
        (0.25, 0.01, "They tell which documents matter, but overstate by how much."),
        (3.0, 0.01, "They tell which documents matter, but understate by how much."),
        (1.0, 0.5, "They tell which documents matter, and by how much, as far as was measured."),
        (0.0, 0.5, "Whether they tell which documents matter is open, but overstate by how much."),
    ],
)
def test_the_answer_follows_from_the_intervals(runs, slope, noise, said):
    keep("removal", runs / "checks" / "removal.json", removal_tables(slope, noise))
    assert answer()[0] == said


def test_a_number_without_an_interval_is_a_dash():
    assert between({"rise": None, "rise_low": None, "rise_high": None}, "rise") == "–"
    table = pd.DataFrame([{"id": "x", "what": "documents", "slope": None, "slope_low": None, "slope_high": None}])
    assert readable(table).to_dict("records") == [{"Left out": "documents", "Measured per predicted": "–"}]


def test_a_result_is_read_again_when_its_file_changes(runs):
    file = runs / "checks" / "removal.json"
    keep("removal", file, removal_tables(slope=0.25))
    first = trust.calibration().row["slope"]
    content = json.loads(file.read_text())
    content["tables"]["calibration"][0]["slope"] = 0.75
    file.write_text(json.dumps(content))
    assert trust.calibration().row["slope"] == 0.75 != first
