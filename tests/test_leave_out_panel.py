"""Training on without documents, beside a result: cost first, then predicted beside measured change, kept by choice."""

import os
import time
from pathlib import Path

import pandas as pd
import pytest
from page_words import words
from tiny_run import plain_documents, plain_queries, write_tiny_run

from dashboard import data
from dashboard.analyses import trust
from dashboard.components import text
from dashboard.components.leave_out_panel import NO_PREDICTION
from engine.check.cost import ARMS, leave_out_seconds
from engine.check.result import kept
from engine.check.settings import LeaveOutSettings
from engine.checks import kept_at
from engine.jobs import JobTable
from engine.run import Run

START = "Go on training without these documents"
DOCUMENT = "The document below"
WINDOWS = 1000


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("WHENCE_RUNS", str(tmp_path))
    write_tiny_run(tmp_path / "run", plain_documents(14), plain_queries(), training_windows=WINDOWS)
    return tmp_path


def raised(run: Run) -> pd.DataFrame:
    """The documents at the top of the table of the first completion."""
    ranking = data.ranking(run, 0)
    return ranking[ranking["influence"] > 0].head(10)


def keep(run: Run, documents: list[str], measured: float, predicted: float | None = -0.5, chance: float = 0.1) -> None:
    """A result as the check keeps it: the completion asked about first, another that changed twice as much."""
    settings = LeaveOutSettings(str(run.path.resolve()), "q/1", documents=documents)
    with kept("leave-out", settings, kept_at("leave-out", settings)) as result:
        about = {"kind": "Story", "predicted": predicted, "chance": 0.01}
        result.tables = {
            "completions": [
                {"id": "q/1", "completion": "What comes after once?", "measured": measured} | about,
                {"id": "q/2", "completion": "How much is two plus two?", "measured": 2 * measured} | about,
            ],
            "documents": [{"id": one, "document": one, "influence": 1.0} for one in documents],
            "chance": [{"size": chance, "unit": "nats"}],
        }


def press(app, label=START):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def panel(app):
    """The table of completions; the first is that of documents."""
    return next(frame.value for frame in app.dataframe if "measured" in frame.value)


def test_before_it_starts_it_says_what_is_predicted_and_what_it_takes(open_page, runs):
    app = open_page(runs)
    total = -raised(Run(runs / "run"))["influence"].sum() / WINDOWS
    said = f"Predicted change without them: **{text.number(total)}** nats (log-probability of the completion)."
    assert said in words(app)
    assert "It takes about" in words(app) and "it can be cancelled and goes on later" in words(app)
    assert not JobTable(runs).recent()


def test_one_click_asks_for_the_strongest_and_the_request_survives_a_reload(open_page, runs):
    press(open_page(runs))
    (job,) = JobTable(runs).recent()
    assert job.kind == "check" and job.arguments["check"] == "leave-out"
    assert job.arguments["settings"]["documents"] == raised(Run(runs / "run"))["id"].tolist()
    assert job.arguments["settings"]["query"] == "q/1"
    assert Path(job.arguments["out"]).parent == runs / "run" / "checks"
    again = open_page(runs)
    assert "Waiting for its turn." in again.get("progress")[0].text
    assert START not in [button.label for button in again.button]
    assert START in [button.label for button in open_page(runs, direction="Lowered it").button]


def test_the_open_document_alone_can_be_left_out(open_page, runs):
    press(open_page(runs, document="plain-3", without=DOCUMENT))
    (job,) = JobTable(runs).recent()
    assert job.arguments["settings"]["documents"] == ["plain-3"]
    assert "plain" not in job.title and "Story number 3" in job.title


def test_predicted_measured_and_chance_stand_side_by_side(open_page, runs):
    run = Run(runs / "run")
    keep(run, raised(run)["id"].tolist(), measured=-0.8)
    app = open_page(runs)
    assert "changed by **−0.800** nats, predicted **−0.500**: more than chance" in words(app)
    assert "95% of all completions by less than 0.100" in words(app)
    assert panel(app)["measured"].tolist() == [-0.8, -1.6]
    assert "3 epochs, 2 seeds" in words(app)
    assert START not in [button.label for button in app.button]


def test_what_is_within_chance_is_called_so(open_page, runs):
    run = Run(runs / "run")
    keep(run, ["plain-3"], measured=0.05)
    assert "no more than chance" in words(open_page(runs, document="plain-3", without=DOCUMENT))


def test_each_choice_keeps_its_own_result_and_the_order_of_documents_is_none(open_page, runs):
    run = Run(runs / "run")
    keep(run, ["plain-3"], measured=-1.0)
    keep(run, ["plain-4", "plain-5"], measured=-2.0)
    assert trust.left_out(run, "q/1", ["plain-3"]).tables["completions"][0]["measured"] == -1.0
    assert trust.left_out(run, "q/1", ["plain-5", "plain-4"]).tables["completions"][0]["measured"] == -2.0
    assert trust.left_out(run, "q/1", ["plain-4"]) is None
    assert trust.left_out(run, "q/2", ["plain-3"]) is None
    assert len(trust.leave_outs(run)) == 2


def test_where_the_training_set_is_unknown_nothing_is_predicted_and_it_says_why(open_page, tmp_path):
    run = Run(write_tiny_run(tmp_path / "run", plain_documents(14), plain_queries(), training_windows=None))
    assert NO_PREDICTION in words(open_page(tmp_path))
    keep(run, ["plain-3"], measured=-0.8, predicted=None)
    app = open_page(tmp_path, document="plain-3", without=DOCUMENT)
    assert NO_PREDICTION in words(app) and "predicted **" not in words(app)


def test_a_failed_check_says_why_and_can_be_started_again(open_page, runs):
    press(open_page(runs))
    table = JobTable(runs)
    table.finish(table.claim(os.getpid()), "failed", "The disk is full -- make room.")
    app = open_page(runs)
    assert "The disk is full" in app.error[0].value
    press(app, "Start again")
    assert [job.state for job in table.recent()] == ["queued", "failed"]


def test_a_broken_result_is_none(open_page, runs):
    run = Run(runs / "run")
    keep(run, ["plain-3"], measured=-1.0)
    (file,) = (runs / "run" / "checks").glob("*.json")
    time.sleep(0.01)
    file.write_text("{")
    assert trust.left_out(run, "q/1", ["plain-3"]) is None
    assert "cannot be read" in trust.leave_outs(run)[0].trouble
    assert START in [button.label for button in open_page(runs, document="plain-3", without=DOCUMENT).button]


def test_the_cost_grows_with_what_is_trained(runs):
    run = Run(runs / "run")
    tokens = run.documents["tokens"]
    settings = LeaveOutSettings("", "", beside=1000, epochs=2, seeds=3)
    fitted = run.fit["seconds"] / (2 * tokens.sum())  # two passes over every document
    trained = 2 * 3 * (tokens[0] + ARMS * tokens[1:].sum())
    assert leave_out_seconds(run, [0], settings) == pytest.approx(trained * fitted)
    double = LeaveOutSettings("", "", beside=1000, epochs=4, seeds=3)
    assert leave_out_seconds(run, [0], double) == pytest.approx(2 * trained * fitted)
