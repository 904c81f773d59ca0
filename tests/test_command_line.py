"""The command line: every verb explains itself, answers, and says in one line what is wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from toys import QUERIES, documents, write_jsonl

from engine import FitSettings, QuerySettings, Run, ScoreSettings, WhenceError, rank_documents
from engine.__main__ import main, parser
from engine.errors import Cancelled
from engine.pipeline import is_computed, read_config
from engine.store import RunFolder

ROOT = Path(__file__).resolve().parents[1]
VERBS = next(action.choices for action in parser()._subparsers._group_actions)  # type: ignore[union-attr]
ENV = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


@pytest.fixture
def call(capsys) -> Callable[..., str]:
    """Call a verb that is to succeed; what it prints to standard output."""

    def called(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    return called


@pytest.fixture
def refused(capsys) -> Callable[..., str]:
    """Call a verb that is to fail; its one line on standard error."""

    def called(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        told = capsys.readouterr()
        lines = [line for line in told.err.splitlines() if line.startswith("error: ")]
        assert told.out == ""
        assert len(lines) == 1
        assert told.err.endswith(lines[0] + "\n")
        assert "Traceback" not in told.err
        return lines[0]

    return called


@pytest.fixture
def config(toy_folder, tmp_path) -> Path:
    """A TOML file of the toy run."""
    corpus, queries = write_jsonl(tmp_path / "c.jsonl", documents(20)), write_jsonl(tmp_path / "q.jsonl", QUERIES)
    lines = {"run": tmp_path / "[red] run", "model": toy_folder, "corpus": corpus, "queries": queries}
    text = "".join(f"{name} = {json.dumps(str(value))}\n" for name, value in lines.items())
    path = tmp_path / "toy.toml"
    path.write_text(text + "[score]\nkeep_tokens = 3\nkeep_prediction = 1\nmemory_gb = 1\n")
    return path


# Help


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_every_flag_has_help(verb, capsys):
    for action in VERBS[verb]._actions:
        assert action.help, action.dest
    with pytest.raises(SystemExit, match="0"):
        main([verb, "--help"])
    assert f"usage: python -m engine {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verb", "settings"), [("fit", FitSettings), ("query", QuerySettings), ("score", ScoreSettings)]
)
def test_the_flags_of_a_step_are_its_settings_with_the_same_defaults(verb, settings):
    required = {"fit": ["--model", "m", "--corpus", "c"], "query": ["--queries", "q"], "score": []}[verb]
    given = vars(parser().parse_args([verb, "--run", "r", *required]))
    made = settings()
    assert {name: given[name] for name in vars(made)} == vars(made)


def test_flags_become_settings(call, toy_folder, inputs, tmp_path):
    run = tmp_path / "run"
    flags = "--layers attention --fit-documents 9 --seed 3 --context 24 --overlap 2 --training-windows corpus"
    fit = ("fit", "--run", run, "--model", toy_folder, "--corpus", inputs[0], "--estimator", "kfac")
    call(*fit, *flags.split(), "--batch-tokens", 99)
    call("query", "--run", run, "--queries", inputs[1], "--measurement", "margin", "--damping-factor", 0.2)
    call("score", "--run", run, "--keep-tokens", "all", "--prefilter", "--keep-prediction", 1, "--rank-error", 0.2)
    steps = RunFolder(run).manifest()["steps"]
    assert FitSettings(**steps["fit"]["settings"]) == FitSettings("attention", "kfac", 9, 3, 24, 2, "corpus", 99)
    assert QuerySettings(**steps["query"]["settings"]) == QuerySettings("margin", 0.2)
    assert ScoreSettings(**steps["score"]["settings"]) == ScoreSettings(None, 1, True, 0.2)
    assert Run(run).training_windows == steps["fit"]["corpus"]["windows"]


@pytest.mark.parametrize(
    "arguments",
    [["fit"], ["nothing"], [], ["top", "--run", "r", "--k", "0"], ["top", "--run", "r", "--k", "x"],
     ["score", "--run", "r", "--keep-tokens", "many"], ["score", "--run", "r", "--rank-error", "x"],
     ["query", "--run", "r", "--queries", "q", "--measurement", "loss"]],
)  # fmt: skip
def test_wrong_flags_are_refused_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert capsys.readouterr().err.startswith("usage: python -m engine")


# Answers


def test_run_computes_a_toml_file_once_and_shows_the_first_completion(call, config, tmp_path):
    run = tmp_path / "[red] run"
    shown = call("run", config)
    assert "When does the ferry leave?" in shown
    assert "2 completions in all" in shown
    assert "".join(f"{run.parent.name}/{run.name} [--query".split()) in "".join(
        shown.split()
    )  # broken anywhere, maybe relative
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    assert call("run", config) == shown
    assert call("run", run) == shown
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == before
    assert is_computed(read_config(config))
    config.write_text(config.read_text().replace("keep_tokens = 3", "keep_tokens = 'all'"))
    assert read_config(config).score.keep_tokens is None
    assert not is_computed(read_config(config))


def test_top_lists_the_completions(call, toy_run):
    shown = call("top", "--run", toy_run)
    for query in QUERIES:
        assert query["title"] in shown
    records = json.loads(call("top", "--run", toy_run, "--json"))
    assert [record["id"] for record in records] == ["q0", "q1"]


def test_top_shows_both_ends_of_a_ranking(call, toy_run):
    run = Run(toy_run)
    ranking = rank_documents(run, 0)
    shown = call("top", "--run", toy_run, "--query", QUERIES[0]["title"], "--k", 2)
    assert "Raised it most" in shown
    titles = re.findall(r"Document \d+", shown)
    assert titles == [*ranking["title"].head(2), *ranking["title"].tail(2)[::-1]]
    records = json.loads(call("top", "--run", toy_run, "--query", "q0", "--k", 2, "--json"))
    ends = ranking["influence"].head(2).tolist() + ranking["influence"].tail(2).tolist()
    assert [record["influence"] for record in records] == ends
    assert records[0]["document_id"] == f"d{ranking['document'][0]}"
    assert len(json.loads(call("top", "--run", toy_run, "--query", "q0", "--k", 99, "--json"))) == 20


@pytest.mark.parametrize("kind", ["position", "prediction"])
def test_tokens_that_are_not_stored_are_computed_and_kept_with_the_same_sum(kind, call, toy_run, tmp_path):
    folder = Path(shutil.copytree(toy_run, tmp_path / "run"))
    run = Run(folder)
    row = rank_documents(run, 1).iloc[10]
    arguments = ("tokens", "--run", folder, "--query", "q1", "--document", row["title"], "--kind", kind)
    assert run.token_influence(1, row["document"], kind) is None
    records = json.loads(call(*arguments, "--json"))
    values = [value for record in records for value in record["influence"]]
    # relative to the sum of magnitudes, since token influences cancel; float32 keeps 7 digits
    assert sum(values) == pytest.approx(row["influence"], abs=1e-5 * sum(map(abs, values)))
    assert records[0]["token"] == -1
    assert "".join(record["text"] for record in records) == run.text(row["document"])
    assert run.token_influence(1, row["document"], kind) is not None
    shutil.rmtree(folder / "query")  # a second computation would need it
    (folder / "query").mkdir()
    for name in ("queries.parquet", "tokens.parquet"):
        shutil.copy(toy_run / "query" / name, folder / "query" / name)
    assert json.loads(call(*arguments, "--json")) == records
    assert f"By {kind}" in call(*arguments)


def test_tokens_shows_the_document_whole(call, toy_run):
    run = Run(toy_run)
    document = run.documents_with_tokens(0)[0]
    shown = call("tokens", "--run", toy_run, "--query", "q0", "--document", f"d{document}")
    assert "".join(run.text(document).split()) in "".join(shown.split())
    assert "Strongest pieces" in shown


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_export_says_how_many_rows_it_wrote(suffix, call, toy_run, tmp_path):
    out = tmp_path / f"out.{suffix}"
    assert call("export", "--run", toy_run, "--table", "influence", "--out", out) == f"{out}: 40 rows\n"
    assert out.stat().st_size > 1000


def test_json_has_null_for_what_is_not_a_number(call, toy_folder, tmp_path):
    """The cosine of an empty document; NaN is not JSON."""
    corpus = write_jsonl(tmp_path / "c.jsonl", [{"id": "empty", "text": ""}, *map(vars, documents(3))])
    queries, run = write_jsonl(tmp_path / "q.jsonl", QUERIES), tmp_path / "run"
    call("fit", "--run", run, "--model", toy_folder, "--corpus", corpus)
    call("query", "--run", run, "--queries", queries)
    call("score", "--run", run)
    shown = json.loads(call("top", "--run", run, "--query", "q0", "--json"), parse_constant=pytest.fail)
    assert next(row for row in shown if row["document_id"] == "empty")["gradient_cosine"] is None
    call("export", "--run", run, "--table", "influence", "--out", tmp_path / "out.jsonl")
    for line in (tmp_path / "out.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_text_cannot_command_the_terminal_or_be_taken_for_markup(call, toy_folder, tmp_path):
    text = "\x1b]0;owned\x07\x1b[2J\x9b31m[red]x[/red] [/nonsense] :smile: plain"
    names = {"title": "T [/] \x1b[31m", "source": "[bold]S", "language": "[/b]"}
    corpus = write_jsonl(tmp_path / "c.jsonl", [{"id": "d", "text": text, **names}])
    queries = write_jsonl(
        tmp_path / "q.jsonl",
        [{"id": "q", "prompt": text[:8], "completion": "[/a]", "kind": "[/k]\x1b", "title": "\x1b[1mQ"}],
    )
    run = tmp_path / "run"
    call("fit", "--run", run, "--model", toy_folder, "--corpus", corpus)
    call("query", "--run", run, "--queries", queries)
    call("score", "--run", run)
    shown = [call("top", "--run", run), call("top", "--run", run, "--query", "q"),
             call("tokens", "--run", run, "--query", "q", "--document", "d")]  # fmt: skip
    for page in shown:
        assert not set(page) & {"\x1b", "\x07", "\x9b"}
    assert "[bold]S" in shown[1]
    assert r"T [/] \x1b[31m" in shown[1]
    assert r"\x1b]0;owned\x07\x1b[2J\x9b31m[red]x[/red] [/nonsense] :smile: plain" in shown[2].replace("\n", "")


# Refusals


def test_what_is_wrong_is_said_in_one_line(refused, toy_run, toy_folder, inputs, tmp_path):
    nowhere, broken = tmp_path / "nowhere", tmp_path / "broken.jsonl"
    broken.write_bytes(b'{"id": "a", "text": "\xff"}')
    fit = ("fit", "--run", tmp_path / "run", "--model")
    for arguments, message in (
        (("top", "--run", nowhere), "is not a run"),
        (("score", "--run", nowhere), "the fit step has not been started"),
        (("top", "--run", toy_run, "--query", "ferry"), "did you mean 'When does the ferry leave?'?"),
        (("tokens", "--run", toy_run, "--query", "q0", "--document", "Documnt 7"), "did you mean 'Document 7'"),
        (("export", "--run", toy_run, "--table", "scores", "--out", "x.csv"), "table 'scores' is unknown"),
        (("export", "--run", toy_run, "--table", "documents", "--out", "x.doc"), "use .parquet, .csv, .jsonl"),
        ((*fit, nowhere, "--corpus", inputs[0]), "no causal language model could be loaded"),
        ((*fit, toy_folder, "--corpus", nowhere), "is not a file"),
        ((*fit, toy_folder, "--corpus", broken), "line 1: byte 22 (0xff) is not valid UTF-8"),
        ((*fit, toy_folder, "--corpus", inputs[0], "--layers", "("), "is not a valid regular expression"),
        ((*fit, toy_folder, "--corpus", inputs[0], "--batch-tokens", -1), "batch_tokens is -1"),
        (("run", nowhere), "cannot be read as a TOML file"),
        (("fit", "--run", toy_run, "--model", toy_folder, "--corpus", inputs[0], "--seed", 5), "seed: 0 before, 5 now"),
    ):
        assert message in refused(*arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run = ", "cannot be read as a TOML file .* mend it"),
        ("run = 'r'", r"lacks \['corpus', 'model', 'queries'\]"),
        ("run = 3\nmodel = 'm'\ncorpus = 'c'\nqueries = 'q'", "run is 3, not text"),
        ("run = 'r'\nmodel = 'm'\ncorpus = 'c'\nqueries = 'q'\nfits = 1", r"has unknown entries \['fits'\]"),
        ("run = 'r'\nmodel = 'm'\ncorpus = 'c'\nqueries = 'q'\nfit = 1", "fit is 1 .* below a line"),
        (
            "run = 'r'\nmodel = 'm'\ncorpus = 'c'\nqueries = 'q'\n[fit]\nlayer = 1",
            r"\[fit\] has no setting \['layer'\]",
        ),
        ("run = 'r'\nmodel = 'm'\ncorpus = 'c'\nqueries = 'q'\n[fit]\nlayers = 1", r"\[fit\] layers is 1 -- .* as str"),
        ("run = 'r'\nmodel = 'm'\ncorpus = 'c'\nqueries = 'q'\n[fit]\nseed = true", r"seed is True -- write it as int"),
        (
            "run = 'r'\nmodel = 'm'\ncorpus = 'c'\nqueries = 'q'\n[score]\nprefilter = 'no'",
            "prefilter is 'no' .* as bool",
        ),
        ("run = 'r'\nmodel = 'm'\ncorpus = 'c'\nqueries = 'q'\n[score]\nkeep_tokens = 'few'", "as int or 'all'"),
    ],
)
def test_a_toml_file_with_a_mistake_is_refused(text, message, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(WhenceError, match=f"config.toml.*{message}"):
        read_config(path)


def test_an_interrupt_says_that_what_was_finished_stays(monkeypatch, capsys, toy_run):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "__init__", interrupt)
    assert main(["top", "--run", str(toy_run)]) == 130
    assert capsys.readouterr().err.startswith("stopped; what was finished stays")
    assert not issubclass(Cancelled, WhenceError)


# The process


def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *arguments], env=ENV, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "statement",
    [
        "import engine, engine.run, engine.jobs, engine.pipeline, engine.export, engine.show",
        "import runpy; runpy.run_module('engine', run_name='__main__')",
    ],
)
def test_neither_the_reader_nor_the_help_loads_torch_or_scipys_statistics(statement):
    """They take seconds to import, and pages import the reader."""
    code = (
        "import atexit, sys; sys.argv = ['engine', '--help']\n"
        "heavy = lambda: sys.stderr.write(str(sorted({'torch', 'transformers', 'scipy.stats'} & set(sys.modules))))\n"
        f"atexit.register(heavy)\n{statement}"
    )
    found = python("-c", code)
    assert (found.returncode, found.stderr) == (0, "[]")


def test_the_program_exits_with_2_and_one_line(tmp_path):
    found = python("-m", "engine", "top", "--run", str(tmp_path / "nowhere"))
    assert (found.returncode, found.stdout) == (2, "")
    assert re.fullmatch("error: .* is not a run .*\n", found.stderr)


@pytest.mark.parametrize("arguments", [["--json"], ["--json", "--query", "q0", "--k", "20"]])
def test_a_reader_that_stops_reading_is_no_error(arguments, toy_run):
    """As ``| head -1``: a pipe that nobody reads, for an answer that fits its buffer and one that does not."""
    out, into = os.pipe()
    os.close(out)
    found = subprocess.run(
        [sys.executable, "-m", "engine", "top", "--run", str(toy_run), *arguments],
        env={name: value for name, value in ENV.items() if name != "PYTHONUNBUFFERED"},
        cwd=ROOT,
        stdout=into,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(into)
    assert (found.returncode, found.stderr) == (0, "")
