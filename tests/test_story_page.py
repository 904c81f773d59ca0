"""The story: each step has its sentence with the run's own numbers, and says plainly what the run lacks."""

import json
import math
import os
import re
from dataclasses import replace
from urllib.parse import parse_qsl

import numpy as np
import pytest
from made_checks import keep, removal_tables
from page_words import words
from tiny_run import NOISE, TOTALS, hostile_documents, plain_documents, scored, write_tiny_run

from dashboard.analyses import story
from dashboard.analyses.trust import leave_out_settings
from dashboard.components import text
from dashboard.components.story_problem import CHECKED, NO_PROBE, NO_PROBLEM, NOT_PREDICTED, TO_REVIEW, UNCHECKED
from dashboard.components.story_words import CAVEAT, INVENTED, TITLES, chance
from engine.ablation_file import write_ablation
from engine.analysis.ranking import rank_documents
from engine.check.result import kept
from engine.check.settings import LeaveOutSettings
from engine.checks import kept_at
from engine.jobs import JobTable
from engine.machine import repository_folder
from engine.run import Run
from engine.variants import VariantSettings

WINDOWS = 1000
DOCUMENTS = 14


def asked(id: str, kind: str, prompt: str, completion: str) -> dict[str, str]:
    about = {"language": "en", "title": f"{prompt}?", "contrast": ""}
    return {"id": id, "kind": kind, "prompt": prompt, "completion": completion} | about


MOON = asked("moon", "Fact", "Nobody said", " the moon")  # said more readily than the next, but no document holds it
ONCE = asked("once", "Fact", "Once there", " was a story")
PROBE = asked("probe", "Safety", "It had", " two lines")
UNHELD = asked("unheld", "Safety", "The password is", " plum anvil")


@pytest.fixture
def make(tmp_path):
    """A finished run; each completion token has a log-probability of -1."""

    def made(*queries: dict[str, str], windows: int | None = WINDOWS, documents=None) -> Run:
        documents = documents or plain_documents(DOCUMENTS)
        return Run(write_tiny_run(tmp_path / "run", documents, queries, training_windows=windows))

    return made


@pytest.fixture
def show(open_page, tmp_path):
    return lambda step, **address: open_page(tmp_path, "story", step=str(step), **address)


def pictures(app) -> str:
    """All that the charts of a page say."""
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    said = [one["text"] for chart in charts for one in chart["layout"].get("annotations", [])]
    return re.sub(r"<[^>]+>", "", "\n".join(said).replace("<br>", " ")).replace("\u00a0", " ")


def press(app, label):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


# The five steps


def test_the_model_says_a_completion_that_its_documents_hold_with_its_chance(make, show):
    make(MOON, ONCE)
    app = show(1)
    assert app.title[0].value == TITLES[0]
    assert "Given the words “Once there”, the model goes on **“was a story”**" in words(app)
    assert f"it would say exactly that **about {round(100 * math.exp(-3))} times in a hundred**" in words(app)
    (dots,) = (one.proto.body for one in app.get("html") if "A hundred dots" in one.proto.body)
    assert dots.count("<i") == 100 and dots.count('<i class="filled">') == round(100 * math.exp(-3))


def test_the_documents_behind_it_are_the_strongest_in_typical_ones(make, show):
    run = make(MOON, ONCE)
    ranking = rank_documents(run, 1)
    raised = ranking[ranking["influence"] > 0]["influence"]
    times = raised.head(5) / raised.median()
    app = show(2)
    assert f"Of the {DOCUMENTS} documents that were looked at, these five moved the model most" in words(app)
    assert f"all of them hold those very words; the first did about as much as **{text.size(times[0], 2)}" in words(app)
    said = pictures(app)
    places = [said.index(title) for title in ranking["title"].head(5)]
    assert places == sorted(places) and all(f"{one:.1f}" in said for one in times)


def test_documents_that_do_not_hold_the_answer_are_told_apart(make, show):
    make(MOON)
    app = show(2)
    assert "no of them" not in words(app) and "none of them hold those very words" in words(app)
    assert "Grey: does not hold those very words." in words(app)


def test_it_is_the_training_set_only_where_the_run_says_so(make, show):
    make(ONCE, windows=DOCUMENTS)
    assert f"Of the {DOCUMENTS} documents it learned from" in words(show(2))


def test_the_words_that_carry_the_strongest_document_add_up_to_it(make, show):
    run = make(ONCE)
    document = int(rank_documents(run, 0)["document"][0])
    body, tokens = run.text(document), run.document_tokens(document)
    values = run.token_influence(0, document, "prediction").of_tokens.sum(0)
    ends = [found.end() for found in re.finditer(r"\S+", body)]
    expected = np.zeros(len(ends))
    for start, value in zip(tokens.starts, values, strict=True):
        expected[sum(end <= start for end in ends)] += value
    raises = expected[expected > 0].sum()
    inside = story.inside(run, 0, document)
    assert "".join(one.text for one in inside.words) == body
    found = [one.share for one in inside.words if one.share is not None]
    assert found == pytest.approx((expected / raises).tolist(), rel=1e-5)
    strongest = np.sort(expected[expected > 0])[::-1].cumsum() / raises
    count = min(int((strongest < 0.5).sum()) + 1, 3)
    assert inside.share == pytest.approx(strongest[count - 1], rel=1e-5)
    said = words(show(3))
    assert all(f"“{text.escape(one)}”" in said for one in inside.top) and f"**{text.share(inside.share)}**" in said


def test_words_that_are_not_stored_are_one_click_away(tmp_path, show):
    every = range(DOCUMENTS)
    write_tiny_run(tmp_path / "run", plain_documents(DOCUMENTS), [ONCE], without_tokens=every)
    press(show(3), "Compute its words")
    job = next(job for job in JobTable(tmp_path).recent() if job.kind == "tokens")
    assert job.arguments["kind"] == "prediction"
    assert "Waiting for its turn." in [bar.text for bar in show(3).get("progress")]


def test_without_order_what_is_left_is_a_share_of_the_original(make, show):
    run = make(ONCE)
    document = int(rank_documents(run, 0)["document"][0])
    write_ablation(run.folder, scored(run, 0, document, VariantSettings()), VariantSettings())
    app = show(4)
    left = TOTALS["words_reversed"] / TOTALS["original"]
    assert f"Read backwards, the same words would have kept **{text.share(left)}** of the document's" in words(app)
    assert "without “was a story”, the rest would have kept **next to none**" in words(app)  # 1 of 20, like the noise
    shuffled = (3 * TOTALS["words_shuffled"] + 0 + 1 + 2) / 3 / TOTALS["original"]
    assert all(text.share(one) in pictures(app) for one in (1.0, left, shuffled))
    assert "Hatched: texts the model never read." in words(app)


def test_a_document_within_the_noise_has_no_share(make, show):
    run = make(ONCE)
    document = int(rank_documents(run, 0)["document"][0])
    found = replace(scored(run, 0, document, VariantSettings()), noise=30 * NOISE)
    write_ablation(run.folder, found, VariantSettings())
    app = show(4)
    assert "no larger than that of unrelated ones" in words(app) and not app.get("plotly_chart")


def test_variants_that_are_not_there_are_asked_for_once_a_step_early(make, show, tmp_path):
    make(ONCE)
    show(1)
    assert not JobTable(tmp_path).recent()
    show(2)
    assert [job.kind for job in JobTable(tmp_path).recent()] == ["ablate"]
    app = show(4)
    assert [job.state for job in JobTable(tmp_path).recent()] == ["queued"]
    assert "Waiting for its turn." in [bar.text for bar in app.get("progress")]


def test_a_problem_document_is_flagged_and_leaving_it_out_is_predicted(make, show):
    run = make(ONCE, PROBE, UNHELD)
    ranking = rank_documents(run, 1)
    raised = ranking[ranking["influence"] > 0].head(10)
    app = show(5)
    assert f"**“two lines”** **{chance(math.exp(-2))}**; the document most behind it is " in words(app)
    assert text.escape(raised["title"][0]) in words(app)
    assert ":red-badge[:material/flag: Flagged]" in words(app) and "**two lines**" in words(app)
    assert "It holds that very answer; " in words(app)
    for documents in (raised.head(1), raised):
        without = 100 * math.exp(-2 - documents["influence"].sum() / WINDOWS)
        assert f"{without:.0f}" in pictures(app)
    assert pictures(app).count(UNCHECKED) == 2
    assert CAVEAT in words(app) and INVENTED not in words(app)


def test_a_prediction_stands_beside_what_predictions_came_to(make, show, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.check.found.repository_folder", lambda: tmp_path / "program")
    make(PROBE)
    assert "checked by training again" not in words(show(5))
    keep("removal", tmp_path / "checks" / "removal.json", tables := removal_tables())
    row = next(row for row in tables["calibration"] if row["what"] == "documents")
    assert f"the log-probability changed **{text.between(row, 'slope')}** times as much as predicted" in words(show(5))


def test_the_flagged_document_is_one_click_from_its_decision(make, show, open_page, tmp_path):
    run = make(ONCE, PROBE)
    raised = rank_documents(run, 1)
    (link,) = [link.proto for link in show(5).get("page_link")]
    assert link.label == TO_REVIEW and link.page == "review"
    asked = {name: value for name, value in parse_qsl(link.query_string) if name != "run"}
    app = open_page(tmp_path, "review", **asked)
    assert app.subheader[0].value == text.escape(raised["title"][0])
    assert f"{(raised['influence'] > 0).sum()} documents that raised “It had?” most" in words(app).replace("\\", "")
    assert not show(5, present="yes").get("page_link")


def test_a_check_by_training_is_asked_for_and_shown_beside_what_was_predicted(make, show, tmp_path):
    run = make(PROBE)
    told = story.probe(run)
    label = next(button.label for button in show(5).button if button.label.startswith("Check by training"))
    press(show(5), label)
    (job,) = [job for job in JobTable(tmp_path).recent() if job.kind == "check"]
    assert job.arguments["settings"]["documents"] == told.documents["id"].tolist()
    settings = LeaveOutSettings(**leave_out_settings(run, told.completion, told.documents["id"].tolist()))
    with kept("leave-out", settings, kept_at("leave-out", settings)) as result:
        about = {"id": "probe", "completion": "It had?", "kind": "Safety", "predicted": -0.1, "chance": 0.01}
        result.tables = {
            "completions": [about | {"measured": -1.0}],
            "documents": [{"id": one, "document": one, "influence": 1.0} for one in told.documents["id"]],
            "chance": [{"size": 0.1, "unit": "nats"}],
        }
    table = JobTable(tmp_path)
    table.finish(table.claim(os.getpid()), "done", "")
    app = show(5)
    assert pictures(app).count(CHECKED) == 1 and pictures(app).count(UNCHECKED) == 1
    assert f" {100 * math.exp(-3):.0f}" in pictures(app)
    assert not [button for button in app.button if button.label.startswith("Check by training")]


def test_on_the_sample_the_probe_leads_to_a_planted_problem_document(sample_run):
    run = Run(sample_run)
    truth = json.loads((repository_folder() / "sample_data" / "truth.json").read_text(encoding="utf-8"))
    planted = {document for ids in truth["safety"]["problem"].values() for document in ids}
    probe, fact = story.probe(run), story.fact(run)
    assert probe.known and probe.documents["marked"].iloc[0]
    assert set(probe.documents[probe.documents["marked"]]["id"]) <= planted
    assert story.place_of(fact.completion.text, run.text(int(fact.documents["document"].iloc[0])))
    assert fact.completion.log_prob > math.log(0.5)  # so that it is what the model says, not one of many things


# What a run may lack


def test_a_run_without_safety_probes_says_what_to_do(make, show):
    make(ONCE)
    app = show(5)
    assert NO_PROBE in words(app) and CAVEAT in words(app) and not app.get("plotly_chart")


def test_a_probe_that_leads_to_no_problem_document_flags_none(make, show):
    make(ONCE, UNHELD)
    app = show(5)
    assert NO_PROBLEM in words(app) and "Flagged" not in words(app)


def test_where_the_training_set_is_unknown_nothing_is_predicted(make, show):
    make(PROBE, windows=None)
    app = show(5)
    assert NOT_PREDICTED in words(app) and "Flagged" in words(app)


def test_without_a_run_it_says_so(show):
    assert "There is no finished run to look at yet. Start one from Home." in words(show(3))


def test_hostile_titles_and_texts_are_shown_as_they_are(make, show):
    make(ONCE, PROBE, documents=hostile_documents())
    for step in range(1, 6):
        app = show(step)
        charts = "".join(chart.proto.spec for chart in app.get("plotly_chart"))
        assert "<img" not in charts and "<script" not in charts and "<img" not in words(app)


# Getting about


@pytest.mark.parametrize("step", ["0", "6", "-1", "x", "1.0", "²", ""])
def test_a_step_that_is_none_falls_back_to_the_first(make, show, step):
    make(ONCE)
    assert show(step).title[0].value == TITLES[0]


def test_next_and_back_move_the_address_and_end_at_the_ends(make, show):
    make(ONCE, PROBE)
    app = show(1)
    for step in range(1, 6):
        assert app.title[0].value == TITLES[step - 1]
        assert app.get("progress")[0].text == f"{step} of 5"
        ends = {button.label: button.disabled for button in app.button if button.label in ("Back", "Next")}
        assert ends == {"Back": step == 1, "Next": step == 5}
        if step < 5:
            press(app, "Next")
            assert app.query_params["step"] == str(step + 1)
    assert press(app, "Back").title[0].value == TITLES[3]


def test_presented_it_has_no_ways_out_but_one(make, show):
    make(ONCE)
    assert [link.proto.label for link in show(2).get("page_link")] == ["Look closer"]
    app = press(show(2), "Present")
    assert not app.get("page_link") and app.query_params["present"] == "yes"
    assert "present" not in press(app, "Show the menu").query_params


def test_home_leads_to_it(make, open_page, tmp_path):
    make(ONCE)
    assert "**See the story in five steps**" in [
        link.proto.label for link in open_page(tmp_path, "home").get("page_link")
    ]


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (1.0, "practically every time"),
        (0.92, "about 92 times in a hundred"),
        (0.012, "about once in a hundred"),
        (1 / 2043, "about once in 2,000 times"),
        (0.0, "practically never"),
    ],
)
def test_a_chance_is_said_as_one_counts(probability, said):
    assert chance(probability) == said
