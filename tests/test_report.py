"""A report says what its run says, as text: nothing in it is executed, loaded, or lost."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from finding_results import some_found, write_findings
from made_checks import SLOPE, exact_tables, keep, lds_tables, removal_tables, stability_tables
from scored_run import many_documents, many_queries
from test_leave_out_panel import keep as keep_leave_out
from tiny_run import PAYLOADS, hostile_documents, long_document, plain_documents, plain_queries, scored, write_tiny_run

from dashboard.analyses.report import report
from dashboard.components.calibration import calibration_sentence
from engine import words
from engine.__main__ import main
from engine.ablation_file import write_ablation
from engine.analysis.ablation import summarise
from engine.analysis.ranking import headline, rank_documents
from engine.check.calibration import NOT_CALIBRATED
from engine.errors import RunError
from engine.findings.claims import CLAIMS
from engine.report import choose_completions, render_report, write_report
from engine.report.facts import shown_path
from engine.report.findings import OLDER
from engine.report.strip import MOST_UNITS
from engine.run import Run
from engine.variants import VariantSettings

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
VOID = {"meta", "br"}
APART = {"br", "dd", "dt", "h2", "h3", "li", "p", "td", "th", "title"}
"""Elements whose words stand apart from those around."""
LOADING = {"script", "img", "svg", "iframe", "object", "embed", "link", "base", "form", "video", "audio", "image"}
WRITTEN = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "h1", "h2", "h3", "p"),
    *("a", "ul", "ol", "li", "dl", "dt", "dd", "div", "span", "bdi", "br", "strong", "em", "code", "blockquote"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
}
"""Elements of the template."""


class Read(HTMLParser):
    """A report as a browser takes it: its elements, its words, and each document's text put together again."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.documents: dict[str, str] = {}
        self.document, self.stands_for = "", False
        self.feed(content)
        self.close()
        assert self.open == []

    @property
    def words(self) -> str:
        return " ".join("".join(self.said).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.said.append(" " if tag in APART else "")
        self.elements.append((tag, given))
        if tag not in VOID:
            self.open.append(tag)
        if "data-document" in given:
            self.document = given["data-document"] or ""
            self.documents[self.document] = ""
        elif "data-is" in given and self.document:
            self.stands_for = True
            self.documents[self.document] += "".join(chr(int(code, 16)) for code in (given["data-is"] or "").split())

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "div":
            self.document = ""
        self.stands_for = False
        self.said.append(" " if tag in APART else "")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            return
        self.said.append(data)
        if self.document and not self.stands_for:
            self.documents[self.document] += data


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where checks are kept, with nothing that came with the program."""
    monkeypatch.setattr("engine.check.found.repository_folder", lambda: tmp_path / "program")
    return tmp_path / "checks"


@pytest.fixture
def run(tmp_path):
    return Run(write_tiny_run(tmp_path / "run", plain_documents(12) + hostile_documents(), plain_queries()))


def read(run: Run, home: Path, queries: list[int] | None = None) -> Read:
    return Read(render_report(run, [0, 1, 2] if queries is None else queries, home))


@pytest.mark.parametrize("text", [f"{payload}\r\n{payload}\r" for payload in PAYLOADS])
def test_hostile_text_stays_text_and_joins_back_to_the_document(text, tmp_path, home):
    document = {
        "id": text,
        "title": text,
        "source": text,
        "language": '"><script>',
        "text": f"{text}\n\n世界 👩‍🚀 نص‌عربی",
    }
    query = {"id": text, "title": text, "kind": text, "language": text, "prompt": text, "completion": text}
    found = read(Run(write_tiny_run(tmp_path / "run", [document], [query])), home, [0])
    assert {tag for tag, _ in found.elements} <= WRITTEN
    assert found.documents == {text: document["text"]}
    assert words.plain(text) in found.words


def test_nothing_is_loaded_and_nothing_leads_away(run, home):
    elements = read(run, home).elements
    assert not {tag for tag, _ in elements} & LOADING
    links = [given for _, given in elements if "href" in given]
    targets = {given["id"] for _, given in elements if "id" in given}
    assert links
    assert all(given["href"][0] == "#" and given["href"][1:] in targets for given in links)
    assert not [given for _, given in elements if "src" in given or any(name.startswith("on") for name in given)]
    policies = [given["content"] for tag, given in elements if tag == "meta" and "http-equiv" in given]
    assert [policy.startswith(POLICY) for policy in policies] == [True]
    style = render_report(run, [0], home).split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_its_numbers_are_those_of_the_run(run, home):
    said = read(run, home, [1]).words
    ranking = rank_documents(run, 1)
    head = headline(ranking)
    assert f"{head.raised} of {head.documents} documents raised it, {head.lowered} lowered it" in said
    ends = [*ranking.head(5).itertuples(), *ranking.tail(5).itertuples()]
    for row in ends:
        assert f"{words.number(row.influence)} {words.share(row.share)}" in said
        assert words.number(-row.influence / run.training_windows) in said
    total = run.token_influence(1, int(ranking["document"][0])).influence.sum(dtype=float)
    assert f"add up to {words.number(total)}; the document's influence is {words.number(total)} nats" in said


def test_the_change_without_a_document_is_predicted_only_where_the_training_set_is_known(tmp_path, home):
    path = write_tiny_run(tmp_path / "run", plain_documents(3), plain_queries()[:1], training_windows=None)
    said = read(Run(path), home, [0]).words
    assert "Change without it" not in said
    assert "its size is unknown" in said


def test_the_colours_of_tokens_have_the_signs_of_their_influence(tmp_path, home):
    run = Run(write_tiny_run(tmp_path / "run", plain_documents(3), plain_queries()[:1]))
    content = render_report(run, [0], home)
    document = int(rank_documents(run, 0)["document"][0])
    values = run.token_influence(0, document).of_tokens.sum(0)
    strip = content.split("data-document=")[1].split("</div>")[0]
    largest = abs(values).max()
    for sign, letter in ((1, "p"), (-1, "m")):
        assert strip.count(f'class="t {letter}') == (sign * values / largest * 10 > 0.5).sum()


def test_a_long_document_is_cut_and_says_so(tmp_path, home):
    run = Run(write_tiny_run(tmp_path / "run", [long_document(5000)], plain_queries()[:1]))
    found = read(run, home, [0])
    shown = found.documents["long"]
    assert run.text(0).startswith(shown)
    assert len(shown) < len(run.text(0))
    assert f"Its first {MOST_UNITS:,} of 5,000 pieces" in found.words


def test_tokens_that_are_not_stored_are_said_to_be_missing_with_the_command(tmp_path, home):
    run = Run(write_tiny_run(tmp_path / "run", plain_documents(1), plain_queries()[:1], without_tokens=[0]))
    found = read(run, home, [0])
    assert "the influence of this document's tokens is not stored" in found.words
    assert "python -m engine tokens --run" in found.words
    assert "--query q/1 --document plain-0" in found.words
    assert found.documents == {"plain-0": run.text(0)}


def test_what_was_not_measured_has_the_command_that_would(run, home):
    said = read(run, home).words
    for check in ("exact", "lds", "removal", "bif", "stability"):
        assert f"Not measured. This would tell: python -m engine check {check}" in said
    assert said.count(NOT_CALIBRATED) == 2 and "How such predictions fare" not in said


def test_the_report_and_the_pages_say_one_sentence_of_predicted_changes(run, home, monkeypatch):
    monkeypatch.setenv("WHENCE_RUNS", str(home.parent))
    assert calibration_sentence() in read(run, home).words
    shipped = home.parent / "program" / "sample_data" / "checks" / "removal.json"
    keep("removal", shipped, removal_tables(), corpus="<b>x</b> {top} **y**.jsonl")
    told = calibration_sentence()
    assert told != NOT_CALIBRATED
    plain = re.sub(r"\*\*(?=\d)|(?<=\))\*\*|\\|\u2060", "", told)
    said = read(run, home).words
    assert plain in said and NOT_CALIBRATED not in said


def test_what_was_measured_is_said_with_its_origin(run, home):
    for name, tables in (("exact", exact_tables()), ("lds", lds_tables()), ("removal", removal_tables())):
        keep(name, home / f"{name}.json", tables)
    keep("stability", run.folder.check("stability"), stability_tables(["q/1", "q/2", "q/3"]), run=str(run.path))
    keep_leave_out(run, ["plain-3"], measured=-0.8)
    said = read(run, home).words
    slope = next(row for row in removal_tables()["calibration"] if row["what"] == "documents")
    assert words.between(slope, "slope").startswith(str(SLOPE))
    assert f"the log-probability {words.between(slope, 'slope')} times as much as predicted" in said
    assert words.between(exact_tables()["estimators"][1], "correlation") in said
    assert words.between(lds_tables()["estimators"][0], "lds") in said
    assert "on the embedded sample, not on this run" in said
    assert "Completions that are steady 1 of 3" in said
    assert "Steady. Its strongest documents stay" in said
    assert "Training on without plain-3: measured change −0.800" in said


def test_findings_stand_with_verdict_and_date_and_say_when_the_run_has_changed(run, home):
    assert (
        f"Not measured. This would tell: python -m engine findings --run {shown_path(str(run.path))}"
        in read(run, home).words
    )
    write_findings(run, {"tails": some_found("tails", run), "sources": some_found("sources", run, far=-1.0)})
    said = read(run, home).words
    assert "Of 11 findings, 2 were measured." in said
    for name, verdict in ("tails", "Holds"), ("sources", "Does not hold"):
        claim, sentence = CLAIMS[name], some_found(name, run).sentence
        assert f"{claim.number}. {claim.title} {verdict} {sentence}" in said
    assert OLDER not in said
    manifest = json.loads((run.path / "manifest.json").read_text())
    manifest["steps"]["query"]["settings"]["seed"] = 99
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    assert read(Run(run.path), home).words.count(OLDER) == 2


def test_variants_of_the_document_are_those_that_were_scored(tmp_path, home):
    run = Run(write_tiny_run(tmp_path / "run", plain_documents(12), plain_queries()))
    document = int(rank_documents(run, 0)["document"][0])
    missing = f"--run {shown_path(str(run.path))} --query q/1 --document {run.documents['id'][document]}"
    missing = f"python -m engine analyse word-order {missing}"
    assert missing in read(run, home, [0]).words
    made = scored(run, 0, document, VariantSettings(), {"words_reversed": -0.0125})
    write_ablation(run.folder, made, VariantSettings())
    said = read(run, home, [0]).words
    assert missing not in said
    row = summarise(made.table()).set_index("variant").loc["words_reversed"]
    assert f"Words reversed {words.number(row['influence'])}" in said


def test_a_result_that_cannot_be_read_is_no_result(run, home):
    home.mkdir()
    (home / "exact.json").write_text("{}")
    said = read(run, home).words
    assert "exact.json is not a check's result of this version" in said
    assert "This would tell: python -m engine check exact" in said


def test_the_commands_are_those_of_the_manifest(toy_run, home):
    said = read(Run(toy_run), home, [0]).words
    manifest = json.loads((toy_run / "manifest.json").read_text())["steps"]
    assert "--keep-tokens 5 --keep-prediction 2" in said
    assert manifest["fit"]["inputs"]["model_hash"] in said
    assert f"transformers {manifest['fit']['versions']['transformers']}" in said


def test_the_first_of_each_kind_are_chosen_unless_named(run):
    assert choose_completions(run) == [0, 1]
    assert choose_completions(run, per_kind=None) == [0, 1, 2]
    assert choose_completions(run, ["q/3", "q/1", "q/3"]) == [2, 0]
    with pytest.raises(RunError, match="no query of this run"):
        choose_completions(run, ["nobody"])


def test_sources_stand_against_their_share_where_there_are_enough_documents(tmp_path, home):
    run = Run(write_tiny_run(tmp_path / "run", many_documents(40, source=["Web", "Books"]), many_queries(["Fact"])))
    said = read(run, home, [0]).words
    assert "Sources among the 10 documents that raised it most" in said
    assert "Books 50%" in said


def test_the_same_run_gives_the_same_bytes(run, home, tmp_path):
    sizes = {write_report(run, tmp_path / name, [0, 1], home) for name in ("a.html", "b.html")}
    assert sizes == {(tmp_path / "a.html").stat().st_size}
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_report_is_written_whole_or_not_at_all(run, home, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", lambda *given: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(RunError, match="the disk is full"):
        write_report(run, tmp_path / "out" / "report.html", [0], home)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command_line_writes_it_and_says_what_is_wrong(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--run", "run", "--out", "report.html", "--completions", "q/2"]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"report.html: 1 completion, \d+ kB\n", out)
    assert "Writing the report: 1 completions\n" in err
    assert Read((tmp_path / "report.html").read_text(encoding="utf-8")).documents
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    del manifest["steps"]["score"]
    shutil.copytree("run", "half")
    (tmp_path / "half" / "manifest.json").write_text(json.dumps(manifest))
    assert main(["report", "--run", "half", "--out", "half.html"]) == 2
    assert "the score step has not been started" in capsys.readouterr().err
    assert not (tmp_path / "half.html").exists()


def test_a_run_that_scored_no_document_is_refused(run, home, monkeypatch):
    monkeypatch.setattr(Run, "scored_documents", 0)
    with pytest.raises(RunError, match="scored no document"):
        render_report(run, [0], home)


@pytest.mark.parametrize("page", ["home", "influence", "concentration", "sources", "compare", "trust"])
def test_pages_offer_the_report(page, open_page, run):
    app = open_page(run.path.parent, page)
    assert [button.proto.label for button in app.get("download_button")].count("Report") == 1


def test_the_pages_report_is_that_of_the_command_line(run, home, monkeypatch):
    monkeypatch.setenv("WHENCE_RUNS", str(home.parent))
    assert report(run).decode() == render_report(run, choose_completions(run), home)
    assert report(run, [2]).decode() == render_report(run, [2], home)
