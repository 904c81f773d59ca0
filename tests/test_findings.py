"""Findings are measured once, kept with what they were made from, and told on the command line."""

import json

import pytest
from scored_run import many_documents, many_queries, write_scored_run

from engine import WhenceError
from engine.__main__ import main
from engine.check.result import read_result
from engine.corpus import corpus_hash, read_corpus
from engine.findings import findings
from engine.findings.claims import CLAIMS
from engine.findings.findings import changes_since, measure_findings
from engine.findings.measures import tails
from engine.findings.rules import RULES, Estimate
from engine.findings.settings import FindingsSettings
from engine.findings.study import Found, Study
from engine.run import Run
from engine.writing import write_json

HOLDS = {"top_share": Estimate(0.5, 0.4, 0.6, 20), "power_law": Estimate(0.9, 0.8, 1.0, 20)}


@pytest.fixture
def run(tmp_path) -> Run:
    return write_scored_run(tmp_path / "run", many_documents(30), many_queries(["Fact"] * 3), {})


@pytest.fixture
def measured(monkeypatch) -> list:
    """Studies that the first finding was measured on; it always comes to the same."""
    studies = []

    def measure(study):
        studies.append(study)
        return Found(dict(HOLDS), {"BM25": {"top_share": Estimate(0.1, float("nan"), float("nan"), 20)}}, "Half.")

    monkeypatch.setattr(tails, "measure", measure)
    return studies


def settings(run: Run, **changes) -> FindingsSettings:
    return FindingsSettings(**({"run": str(run.path), "only": ["tails"], "draws": 20} | changes))


def manifest(run: Run, change) -> None:
    file = run.path / "manifest.json"
    content = json.loads(file.read_text())
    change(content["steps"])
    write_json(content, file)


def test_a_finding_is_judged_by_its_rule_and_kept(run, measured):
    (result,) = measure_findings(settings(run))
    (verdict,) = result.tables["verdict"]
    assert (verdict["verdict"], verdict["sentence"], verdict["rule"]) == ("holds", "Half.", RULES["tails"].text)
    assert not verdict["planted"]
    assert [(row["score"], row["part"], row["answer"]) for row in result.tables["estimates"]] == [
        ("influence", "top_share", True), ("influence", "power_law", True), ("BM25", "top_share", None),
    ]  # fmt: skip
    assert result.tables["estimates"][2]["low"] is None
    kept = read_result(run.folder.finding("tails"))
    assert kept.tables == result.tables


def test_what_is_kept_is_not_measured_again(run, measured):
    first, second = (measure_findings(settings(run)) for _ in range(2))
    assert len(measured) == 1
    assert first == second


def test_what_was_made_from_something_else_is_measured_again(run, measured, tmp_path, monkeypatch):
    truth = tmp_path / "truth.json"
    write_json({"queries": {"q1": {"documents": ["d1"]}}}, truth)
    measure_findings(settings(run))
    for number, again in enumerate(
        (
            lambda: settings(run, draws=21),
            lambda: settings(run, seed=1),
            lambda: settings(run, truth=str(truth)),
            lambda: manifest(run, lambda steps: steps["fit"]["settings"].update(seed=5)),
            lambda: manifest(run, lambda steps: steps["score"]["versions"].update(numpy="0")),
            lambda: monkeypatch.setattr(findings, "versions", lambda: {"python": "0"}),
            lambda: monkeypatch.setattr(findings, "code_hash", lambda: "other code"),
        ),
        start=2,
    ):
        changed = again()
        measure_findings(changed or settings(run))
        assert len(measured) == number


def test_why_a_kept_result_is_not_current_is_said(run, measured, monkeypatch):
    (result,) = measure_findings(settings(run))
    rule = result.tables["verdict"][0]["rule"]
    assert changes_since(run, "tails", result.settings, rule) == []
    assert changes_since(run, "tails", result.settings, "Holds always.") == [
        "It was judged by another rule than this version's."
    ]
    manifest(run, lambda steps: steps["fit"]["settings"].update(seed=5))
    monkeypatch.setattr(findings, "code_hash", lambda: "other code")
    state, program = changes_since(Run(run.path), "tails", result.settings, rule)
    assert "another state of this run" in state
    assert "The program has changed" in program


def test_a_result_that_cannot_be_read_is_measured_again(run, measured):
    measure_findings(settings(run))
    run.folder.finding("tails").write_text("{")
    measure_findings(settings(run))
    assert len(measured) == 2


def test_a_measurement_that_fails_leaves_what_was_kept(run, measured, monkeypatch):
    before = measure_findings(settings(run))
    monkeypatch.setattr(tails, "measure", lambda study: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        measure_findings(settings(run, draws=21))
    assert [read_result(run.folder.finding("tails"))] == before


def test_another_model_is_compared_on_the_same_corpus_only(run, tmp_path, measured):
    other = write_scored_run(tmp_path / "other", many_documents(30), many_queries(["Fact"] * 3), {})
    (result,) = measure_findings(settings(run, other=str(other.path)))
    assert result.tables["verdict"][0]["other"] == other.model_name
    assert measured[0].other.path == other.path
    for step, name in (("fit", "corpus_hash"), ("query", "queries_hash")):
        manifest(other, lambda steps, step=step, name=name: steps[step]["inputs"].update({name: "123"}))
        with pytest.raises(WhenceError, match=r"differ .hash 123, not None"):
            measure_findings(settings(run, other=str(other.path)))
        manifest(other, lambda steps, step=step, name=name: steps[step]["inputs"].pop(name))


def test_truth_must_speak_of_the_run(run, tmp_path, measured):
    truth = tmp_path / "truth.json"
    write_json({"queries": {"elsewhere": {"documents": ["d1"]}}}, truth)
    with pytest.raises(WhenceError, match="speaks of 1 completions, none of them"):
        measure_findings(settings(run, truth=str(truth)))
    write_json({"queries": {"elsewhere": {}, "q1": {"documents": ["d1"]}}}, truth)
    measure_findings(settings(run, truth=str(truth)))
    assert list(measured[0].truth) == ["q1"]
    assert measured[0].known("q1").documents == ["d1"]
    assert measured[0].known("q0").documents == ()


def test_an_unknown_finding_is_refused(run):
    with pytest.raises(WhenceError, match="no finding is called 'tales' -- choose of tails, "):
        measure_findings(settings(run, only=["tales"]))


def test_the_command_line_tells_verdict_sentence_rule_controls_and_what_is_open(run, measured, monkeypatch, capsys):
    found = Found({"top_share": HOLDS["top_share"]}, {"BM25": HOLDS}, "Half of it.", open=["Too few documents."])
    monkeypatch.setattr(tails, "measure", lambda study: found)
    assert main(["findings", "--run", str(run.path), "--only", "tails", "--draws", "20"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for part in (
        "1. Influence is heavy-tailed: cannot tell", "Half of it.", "BM25", "50.0%", "40.0% to 60.0%",
        "above 5.6%: yes", "above 50%: open", "Open: Too few documents.", "Holds if the 95% interval of",
    ):  # fmt: skip
        assert part in told
    assert main(["findings", "--run", str(run.path), "--only", "tails", "--draws", "20", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["finding"] == "tails"
    assert one["open"] == [{"text": "Too few documents."}]


def test_figures_can_be_given_away_without_a_title_of_the_run(run, measured, tmp_path, monkeypatch):
    titles = [*run.queries["title"], *run.documents["title"]]
    behind = {"picture": [{"completion": title} for title in titles]}
    monkeypatch.setattr(tails, "measure", lambda study: Found(dict(HOLDS), {}, "Half.", behind))
    assert main(["findings", "--run", str(run.path), "--only", "tails", "--figures", str(tmp_path / "given")]) == 0
    whole, given = run.folder.finding("tails"), tmp_path / "given" / "tails.json"
    assert any(title in whole.read_text(encoding="utf-8") for title in titles)
    assert not any(title in given.read_text(encoding="utf-8") for title in titles)
    for table in ("verdict", "estimates", "open"):
        assert read_result(given).tables[table] == read_result(whole).tables[table]


def test_on_the_sample_the_truth_is_found_without_being_named(tmp_path, measured):
    corpus, queries = (findings.SAMPLE / f"{name}.jsonl" for name in ("corpus", "queries"))
    asked = [json.loads(line) for line in queries.read_text(encoding="utf-8").splitlines()[:3]]
    asked[1]["completion"] = " something else"
    run = write_scored_run(tmp_path / "run", many_documents(30), asked, {})
    measure_findings(settings(run))
    manifest(run, lambda steps: steps["fit"]["inputs"].update(corpus_hash=corpus_hash(read_corpus(corpus))))
    measure_findings(settings(run))
    assert [list(study.truth) for study in measured] == [[], ["query-001", "query-003"]]
    assert measured[1].known("query-001").question == "velmora"


def test_what_was_planted_is_said_of_the_sample_only(run):
    found = Found({}, {}, "Nothing.")
    study = Study(run)
    for name, claim in CLAIMS.items():
        for sample in (True, False):
            (verdict,) = findings.finding_tables(study, name, found, sample)["verdict"]
            assert verdict["planted"] == (claim.planted and sample)
