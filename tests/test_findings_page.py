"""The findings page: verdicts counted, each finding with what it was judged by, a sentence for what is not there."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from finding_results import estimates, measuring, some_found, write_findings
from page_words import words
from tiny_run import PAYLOADS, hostile_documents, plain_documents, plain_queries, write_tiny_run

from dashboard.analyses import findings as analyses
from dashboard.components import finding_estimates, finding_pictures, text
from engine.errors import Cancelled
from engine.findings.claims import CLAIMS
from engine.findings.rules import RULES
from engine.findings.study import Found
from engine.jobs import JobTable
from engine.progress import SilentProgress
from engine.run import Run
from engine.worker import HANDLERS, WorkerContext

NAMES = list(CLAIMS)
CHARTS = "plotly_chart"
MARKUP = ("<img", "<script", "<b>", r"\]\(javascript", r"\*\*bold", r"\$x", ":material/home", "https?://evil", "\u202e")
OPEN = "No other run was given -- two models could not be compared -- give --other a run of a larger model."
HOLDS, NOT_SO, CANNOT_TELL = NAMES[:4], NAMES[4:9], NAMES[9:]


def make_run(folder: Path) -> Run:
    return Run(write_tiny_run(folder, plain_documents(8) + hostile_documents(), plain_queries()))


def measured(run: Run, **settings) -> Run:
    """A run with four findings that hold, five that do not and two that cannot be told."""
    found = {name: some_found(name, run) for name in HOLDS}
    found |= {name: some_found(name, run, far=-1) for name in NOT_SO}
    found |= {name: some_found(name, run, across=True, open=[OPEN]) for name in CANNOT_TELL}
    write_findings(run, found, **settings)
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """One run on which everything was measured; tests only read it."""
    return measured(make_run(tmp_path_factory.mktemp("findings") / "run")).path.parent


@pytest.fixture
def no_studies(monkeypatch, tmp_path):
    """The repository as it is without results of its own."""
    monkeypatch.setattr(analyses, "repository_folder", lambda: tmp_path / "repository")
    return tmp_path / "repository" / "sample_data" / "findings"


@pytest.fixture
def opened(open_page, runs, no_studies):
    return lambda **address: open_page(runs, "findings", **address)


def rewrite(run: Run, name: str, change) -> None:
    """Change what a finding's file holds."""
    file = run.folder.finding(name)
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


# All findings


def test_the_answer_counts_the_verdicts(opened):
    assert "## Of 11 findings, **4** hold, **5** do not, and **2** cannot be told here." in words(opened())


def test_every_finding_has_a_row_with_its_verdict_and_what_came_out(opened):
    shown = words(opened())
    for name in NAMES:
        assert f"What came out of {text.escape(name)} is 42 nats" in shown
    for verdict, names in (("holds", HOLDS), ("does not hold", NOT_SO), ("cannot tell", CANNOT_TELL)):
        assert shown.count(f": {verdict}]") == len(names) + (verdict == "holds")  # the first is shown below as well


def test_a_row_shows_its_finding_and_the_address_keeps_it(opened):
    app = opened()
    assert app.selectbox(key="_finding").value == "1. Influence is heavy-tailed"
    app.button(key="show_scale").click().run()
    assert not app.exception
    assert app.query_params["finding"] == "scale"
    assert app.selectbox(key="_finding").value.startswith("4. ")
    app.selectbox(key="_finding").set_value("2. Rare tokens draw on few documents").run()
    assert app.query_params["finding"] == "rare_tokens"


def test_a_link_to_no_finding_says_so(opened):
    app = opened(finding="nothing")
    assert "The link names a finding that is not here." in app.warning[0].value
    assert "## 1. Influence is heavy\\-tailed" in words(app)


# One finding


@pytest.mark.parametrize("name", NAMES)
def test_a_finding_is_shown_with_claim_sources_evidence_rule_and_numbers(opened, name):
    app, claim = opened(finding=name), CLAIMS[name]
    shown = words(app)
    for said in (claim.title, claim.says, claim.evidence, RULES[name].text):
        assert text.escape(said, 2_000) in shown
    for source in claim.sources:
        assert text.escape(source.paper) in shown
        assert not source.arxiv or f"(https://arxiv.org/abs/{source.arxiv})" in shown
    for part, estimate in zip(RULES[name].parts.values(), estimates(name).values(), strict=True):
        assert text.escape(part.why, 300) in shown
        assert name not in HOLDS or f"**{analyses.written(part, estimate.value)}** (95% interval" in shown
    assert len(app.get(CHARTS)) == len(RULES[name].parts) + 1
    assert not app.warning and not app.error and not app.info


def test_each_part_says_whether_it_is_as_asked(opened):
    for name, badge in ((HOLDS[0], "as asked"), (NOT_SO[0], "not as asked"), (CANNOT_TELL[0], "open")):
        assert words(opened(finding=name)).count(f": {badge}]") == len(RULES[name].parts)


def test_what_is_open_stands_there_with_what_to_do(opened):
    assert f"- {text.escape(OPEN, 600)}" in words(opened(finding=CANNOT_TELL[0]))
    assert "What is open" not in words(opened(finding=HOLDS[0]))


def test_the_documents_behind_it_are_listed_by_title(opened):
    table = opened(finding=HOLDS[0]).dataframe[0].value
    assert table["document"].tolist() == [f"Story number {n}" for n in range(4)]
    assert table["language"].tolist() == ["English", "English", "German", "German"]
    assert "id" not in table


def test_when_and_how_it_was_measured_stands_there(opened, runs):
    app = opened(finding="scale")
    assert "2,000 draws of each interval and null, seed 0" in words(app)
    assert f"--run {runs / 'run'} --only scale" in app.get("code")[-1].value


def test_planted_is_said_where_it_was_planted_only(open_page, tmp_path, no_studies):
    run = measured(make_run(tmp_path / "run"))
    assert "tests the instrument" not in words(open_page(tmp_path, "findings", finding="rare_tokens"))
    rewrite(run, "rare_tokens", lambda content: content["tables"]["verdict"][0].update(planted=True))
    app = open_page(tmp_path, "findings", finding="rare_tokens")
    assert "planted: tests the instrument]" in words(app)
    assert (
        "1 of them was planted in this corpus: they test the instrument, not the literature (1 of 1 holds)."
        in words(app)
    )


def test_hostile_sentences_and_titles_stay_text(open_page, tmp_path, no_studies):
    run = make_run(tmp_path / "run")
    rows = [{"completion": payload, "score": payload, "kind": payload, "value": 1.0} for payload in PAYLOADS]
    tables = {"picture": rows, "completions": rows}
    write_findings(
        run, {"tails": Found(estimates("tails"), {PAYLOADS[0]: estimates("tails")}, PAYLOADS[1], tables, [PAYLOADS[0]])}
    )
    app = open_page(tmp_path, "findings")
    drawn = [str(json.loads(chart.proto.spec)) for chart in app.get(CHARTS)]
    assert all("&lt;img" in one and not re.search("<img|<script", one) for one in drawn)
    for markup in MARKUP:
        assert not re.search(rf"(?<!\\){markup}", words(app)), markup


# Not there


def test_where_nothing_is_measured_the_claims_stand_and_one_button_measures_all(open_page, tmp_path, no_studies):
    run = make_run(tmp_path / "run")
    app = open_page(tmp_path, "findings")
    shown = words(app)
    assert "## None of the literature's findings has been measured on this run yet." in shown
    assert "no time can be named" in shown
    assert text.escape(CLAIMS["tails"].says, 600) in shown and shown.count("not measured]") == len(NAMES) + 1
    assert f"python -m engine findings --run {run.path}" in [code.value for code in app.get("code")]
    app.button(key="measure_all").click().run()
    assert not app.exception
    (job,) = JobTable(tmp_path).recent()
    assert (job.kind, job.arguments) == ("findings", {"run": str(run.path), "other": None, "only": None})
    assert "Waiting for its turn." in app.get("progress")[0].text


def test_one_finding_can_be_measured_alone(open_page, tmp_path, no_studies):
    make_run(tmp_path / "run")
    app = open_page(tmp_path, "findings", finding="layers")
    app.button(key="measure_layers").click().run()
    assert JobTable(tmp_path).recent()[0].arguments["only"] == ["layers"]


def test_the_time_it_took_elsewhere_is_said_first(open_page, tmp_path, no_studies):
    for name in ("first", "second"):
        make_run(tmp_path / name)
    write_findings(Run(tmp_path / "first"), {"tails": Found()})
    rewrite(Run(tmp_path / "first"), "tails", lambda content: content.update(seconds=240.0))
    app = open_page(tmp_path, "findings")
    assert app.selectbox(key="run").value == "Second"
    assert "On “First” 1 of 11 took 4 minutes" in words(app)


def test_a_run_of_another_model_is_offered_for_comparison(open_page, tmp_path, no_studies):
    for name, model in (("elsewhere", "c"), ("larger", "b"), ("run", "a")):
        file = make_run(tmp_path / name).path / "manifest.json"
        content = json.loads(file.read_text())
        corpus = "other" if name == "elsewhere" else "same"
        content["steps"]["fit"]["inputs"] = {"corpus_hash": corpus, "model_hash": model}
        content["steps"]["query"]["inputs"] = {"queries_hash": "same"}
        file.write_text(json.dumps(content))
    app = open_page(tmp_path, "findings")
    assert app.selectbox(key="run").value == "Run"
    assert app.selectbox(key="other_model_all").options == ["Larger", "None"]
    app.button(key="measure_all").click().run()
    assert JobTable(tmp_path).recent()[0].arguments["other"] == str(tmp_path / "larger")


def test_some_findings_may_be_missing(open_page, tmp_path, no_studies):
    run = make_run(tmp_path / "run")
    write_findings(run, {"tails": some_found("tails", run)})
    app = open_page(tmp_path, "findings", finding="layers")
    assert "## Of the 1 findings measured, **1** holds, **0** do not, and **0** cannot be told here." in words(app)
    assert "10 of 11 are not measured." in words(app)
    assert "This finding has not been measured on this run." in app.info[0].value


def test_a_finding_without_any_number_says_what_is_open(open_page, tmp_path, no_studies):
    run = make_run(tmp_path / "run")
    write_findings(run, {"tails": Found(open=[OPEN])})
    app = open_page(tmp_path, "findings")
    assert words(app).count("not measured") == 10 + 2 + 1  # rows, parts, and "10 of 11 are not measured"
    assert text.escape(OPEN, 600) in words(app)
    assert not app.get(CHARTS)


@pytest.mark.parametrize("change", [
    lambda content: content.update(format=0), lambda content: content["tables"].pop("verdict"),
    lambda content: content["tables"]["verdict"][0].pop("rule"), lambda content: content["settings"].pop("run"),
])  # fmt: skip
def test_a_result_of_another_version_is_said_and_can_be_measured_again(open_page, tmp_path, no_studies, change):
    run = measured(make_run(tmp_path / "run"))
    rewrite(run, "tails", change)
    app = open_page(tmp_path, "findings")
    assert "Of the 10 findings measured" in words(app)
    assert "misread" in app.error[0].value
    assert app.button(key="measure_tails")


def test_a_result_of_another_state_of_the_run_says_so(open_page, tmp_path, no_studies):
    run = measured(make_run(tmp_path / "run"))
    assert not open_page(tmp_path, "findings").warning
    file = run.path / "manifest.json"
    file.write_text(file.read_text().replace('"damping_factor": 0.1', '"damping_factor": 0.2'))
    (warning,) = open_page(tmp_path, "findings").warning
    assert "It was measured on another state of this run" in warning.value


def test_other_settings_and_another_rule_are_said(open_page, tmp_path, no_studies):
    run = make_run(tmp_path / "run")
    measured(run, draws=30, seed=4)
    app = open_page(tmp_path, "findings")
    assert "It was measured with 30 draws and seed 4; a measurement from here has 2,000 and 0." in app.warning[0].value
    rewrite(run, "tails", lambda content: content["tables"]["verdict"][0].update(rule="Holds always."))
    assert "judged by another rule" in open_page(tmp_path, "findings").warning[0].value


# Measured elsewhere


def ship(studies: Path, name: str, run: Run) -> None:
    """Results that come with the repository."""
    (studies / name).mkdir(parents=True)
    for file in run.folder.finding("tails").parent.iterdir():
        (studies / name / file.name).write_bytes(file.read_bytes())


def test_results_of_the_repository_stand_beside_the_runs_own(open_page, tmp_path, no_studies):
    elsewhere = measured(make_run(tmp_path / "elsewhere" / "run"))
    write_findings(elsewhere, {"tails": some_found("tails", elsewhere, far=-1, sentence="Elsewhere 7 nats.")}, seed=1)
    run = measured(make_run(tmp_path / "runs" / "run"))
    ship(no_studies, "real", elsewhere)
    app = open_page(run.path.parent, "findings")
    label = f"{elsewhere.model_name} on corpus"
    assert (
        f"Measured by us with {text.escape(label)}: of 11, **3** hold, **6** do not, and **2** cannot be told."
        in words(app)
    )
    assert "Elsewhere 7 nats" in words(app)
    assert "It was measured with" not in words(app)  # of the run's own only
    charts = app.get(CHARTS)
    assert len(charts) == len(RULES["tails"].parts) + 1
    pills = next(
        group for group in app.get("button_group") if group.label == "Beside this run, results measured by us with"
    )
    pills.set_value([]).run()
    assert not app.exception and "Elsewhere 7 nats" not in words(app)


def test_any_number_of_them_may_stand_there_also_without_any_of_the_runs_own(open_page, tmp_path, no_studies):
    elsewhere = measured(make_run(tmp_path / "elsewhere" / "run"))
    for name in ("a", "b", "c"):
        ship(no_studies, name, elsewhere)
    (no_studies / "empty").mkdir()
    run = make_run(tmp_path / "runs" / "run")
    app = open_page(run.path.parent, "findings")
    pills = next(
        group for group in app.get("button_group") if group.label == "Beside this run, results measured by us with"
    )
    assert len(pills.options) == 3 and len(set(pills.options)) == 3
    assert len(pills.value) == 2
    assert "## None of the literature's findings has been measured on this run yet." in words(app)
    assert words(app).count("95% interval 7.3% to 10.6%") == 2


# Charts and tables


def rows_of(name: str, run: Run, far: float = 1.0) -> pd.DataFrame:
    write_findings(run, {name: some_found(name, run, far)})
    found = analyses.kept(run)[name]
    return found.estimates[found.estimates["part"] == next(iter(RULES[name].parts))]


def test_the_interval_chart_has_bound_null_and_influence_first(tmp_path):
    part = RULES["languages"].parts["crossing"]
    rows = rows_of("languages", make_run(tmp_path / "run"))
    figure = finding_estimates.interval_chart(part, {"This run": rows})
    assert figure.layout.yaxis.ticktext[0] == "Influence"
    line = next(shape for shape in figure.layout.shapes if shape.type == "line")
    assert line.x0 == line.x1 == part.bound
    shaded = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert [shape.x1 for shape in shaded] == rows["null"].tolist()
    assert all(shape.x0 < shape.x1 for shape in shaded)  # of "above", from the left
    low, high = figure.layout.xaxis.range
    assert low < rows["low"].min() and rows["high"].max() < high


def test_a_part_asked_to_lie_below_is_shaded_from_the_right(tmp_path):
    part = RULES["rare_tokens"].parts["top_10"]
    run = make_run(tmp_path / "run")
    rows_of("rare_tokens", run)
    found = analyses.kept(run)["rare_tokens"].estimates
    figure = finding_estimates.interval_chart(part, {"This run": found[found["part"] == "top_10"]})
    assert all(shape.x0 > shape.x1 for shape in figure.layout.shapes if shape.type == "rect")
    assert "below" in figure.layout.annotations[0].text


def test_two_places_are_drawn_apart_on_the_same_rows(tmp_path):
    rows = rows_of("scale", make_run(tmp_path / "run"))
    figure = finding_estimates.interval_chart(RULES["scale"].parts["overlap"], {"This run": rows, "Elsewhere": rows})
    first, second = figure.data
    assert {round(b - a, 6) for a, b in zip(first.y, second.y, strict=True)} == {2 * finding_estimates.DODGE}
    assert len(figure.layout.yaxis.ticktext) == len(first.y)


def test_a_picture_without_one_of_its_own_is_drawn_from_its_columns():
    table = pd.DataFrame({"score": ["influence", "BM25"] * 4, "completion": list("abcdefgh"), "place": np.arange(8.0),
                          "language": ["en", "de"] * 4})  # fmt: skip
    figure, about = finding_pictures.picture("languages", table)
    assert [box.name for box in figure.data] == ["influence", "BM25"]
    assert figure.layout.xaxis.title.text == "Place"
    assert list(figure.layout.yaxis.ticktext) == ["English", "German"]
    assert "A point is a completion" in about


def test_a_picture_with_intervals_is_drawn_with_them():
    table = pd.DataFrame({"source": ["Web", "Books"], "share": [0.2, 0.4], "low": [0.1, 0.3], "high": [0.3, 0.6]})
    figure, _ = finding_pictures.picture("scale", table)
    assert figure.data[0].error_x.array == pytest.approx([0.1, 0.2])
    assert list(figure.layout.yaxis.ticktext) == ["Web", "Books"]


def test_a_picture_without_numbers_is_none():
    assert finding_pictures.picture("scale", pd.DataFrame({"completion": ["a"]}))[0] is None


def test_the_heat_map_of_procedures_keeps_tasks_together_and_leaves_out_the_diagonal():
    names, tasks = ["a", "b", "c", "d"], ["Sum", "Sum", "Slope", "Slope"]
    rows = [
        {"completion": one, "other": two, "task": tasks[i], "other_task": tasks[j], "score": score,
         "correlation": 0.9 if tasks[i] == tasks[j] else 0.1}
        for score in ("influence", "BM25") for i, one in enumerate(names) for j, two in enumerate(names)
    ]  # fmt: skip
    figure, _ = finding_pictures.picture("procedures", pd.DataFrame(rows))
    cells = figure.data[0].z
    assert np.isnan(np.diag(cells)).all()
    assert cells[0, 1] == cells[2, 3] == 0.9 and cells[0, 2] == 0.1
    assert list(figure.layout.xaxis.ticktext) == ["Sum", "Slope"]


def test_the_multipliers_of_sources_stand_with_their_intervals_by_kind_and_end():
    rows = [
        {"kind": kind, "end": end, "score": score, "source": source, "multiplier": 2.0, "low": 1.5, "high": 3.0}
        for kind, end in (("reasoning", "raised"), ("reasoning", "lowered"), ("factual", "raised"))
        for score in ("influence", "BM25") for source in ("Web", "Books")
    ]  # fmt: skip
    figure, _ = finding_pictures.picture("sources", pd.DataFrame(rows))
    assert [one.name for one in figure.data] == [
        "Reasoning, raised most", "Reasoning, lowered most", "Factual, raised most"
    ]  # fmt: skip
    assert list(figure.data[0].error_x.array) == [1.0, 1.0] and list(figure.data[0].error_x.arrayminus) == [0.5, 0.5]
    assert list(figure.layout.yaxis.ticktext) == ["Web", "Books"]


def test_the_thirds_of_the_network_are_means_over_completions():
    rows = [
        {"completion": str(n), "family": family, "score": score, "third": third,
         "share": share * (score == "influence")}
        for score in ("influence", "gradient dot") for family in ("factual", "code")
        for n, shares in enumerate(([0.2, 0.3, 0.5], [0.4, 0.3, 0.3]))
        for third, share in zip(("lower", "middle", "upper"), shares, strict=True)
    ]  # fmt: skip
    figure, _ = finding_pictures.picture("layers", pd.DataFrame(rows))
    assert [bar.name for bar in figure.data] == ["Factual", "Code"]
    assert list(figure.data[0].y) == pytest.approx([0.3, 0.3, 0.4])


def test_a_rare_token_is_a_point_and_one_that_the_corpus_lacks_is_none():
    rows = pd.DataFrame(
        {"completion": ["a", "b"], "token": ["x", "y"], "occurrences": [3, 0], "effective_number": [2.0, 5]}
    )
    figure, _ = finding_pictures.picture("rare_tokens", rows)
    assert list(figure.data[0].x) == [3] and list(figure.data[0].y) == [2.0]


def test_influence_per_nat_is_a_curve_for_each_family():
    rows = [
        {"family": family, "strongest": top, "score": "influence", "influence_per_nat": 2.0, "low": 1.0, "high": 4.0}
        for family in ("factual", "reasoning") for top in ("top 1%", "top 10%")
    ]  # fmt: skip
    figure, _ = finding_pictures.picture("reasoning", pd.DataFrame(rows))
    assert [curve.name for curve in figure.data] == ["Factual", "Reasoning"]
    assert list(figure.data[0].x) == ["top 1%", "top 10%"]


def test_the_shares_of_the_top_1_percent_are_curves_that_fall():
    rows = pd.DataFrame({"score": ["influence"] * 3, "completion": list("abc"), "top_share": [0.3, 0.1, 0.2]})
    figure, _ = finding_pictures.picture("tails", rows)
    assert list(figure.data[0].x) == [0.1, 0.2, 0.3]
    assert list(figure.data[0].y) == pytest.approx([1, 2 / 3, 1 / 3])


def test_rows_lead_to_their_completion_and_document_by_id_or_by_a_title_that_is_unique(tmp_path):
    run = make_run(tmp_path / "run")
    by_id = pd.DataFrame({"completion": ["What comes after once?"], "document": ["Whatever"], "id": ["plain-3"]})
    assert analyses.places_of(run, by_id).to_dict("records") == [{"query": "q/1", "document": "plain-3"}]
    by_title = pd.DataFrame({"document": ["Story number 2", "No such story"]})
    assert analyses.places_of(run, by_title)["document"].tolist()[0] == "plain-2"
    assert analyses.places_of(run, by_title)["document"].isna().tolist() == [False, True]
    assert analyses.places_of(run, pd.DataFrame({"word": ["once"]})).empty


# The worker


def test_the_worker_measures_what_a_page_asked_for(open_page, tmp_path, no_studies):
    run = make_run(tmp_path / "run")
    open_page(tmp_path, "findings", finding="tails").button(key="measure_tails").click().run()
    (job,) = JobTable(tmp_path).recent()
    with measuring({"tails": some_found("tails", run)}):
        HANDLERS[job.kind](WorkerContext(tmp_path), job.arguments, SilentProgress())
    assert {name for name, found in analyses.kept(run).items() if found} == {"tails"}


def test_a_measurement_that_is_cancelled_keeps_the_findings_that_are_done(tmp_path):
    run = make_run(tmp_path / "run")
    arguments = {"run": str(run.path), "other": None, "only": ["tails", "scale"]}
    with measuring({"tails": some_found("tails", run), "scale": Cancelled()}), pytest.raises(Cancelled):
        HANDLERS["findings"](WorkerContext(tmp_path), arguments, SilentProgress())
    assert {name for name, found in analyses.kept(run).items() if found} == {"tails"}
