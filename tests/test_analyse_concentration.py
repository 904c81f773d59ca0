"""``python -m engine analyse concentration`` prints what the analysis finds, and says in a line what is wrong."""

import json

import pytest
from tiny_run import long_document, plain_documents, plain_queries, write_tiny_run

from engine.__main__ import main
from engine.analysis.concentration import MEASURES, concentration_of, tail_of
from engine.analysis.rare_tokens import token_concentration
from engine.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    documents = [*plain_documents(120), long_document(250)]
    return Run(write_tiny_run(tmp_path_factory.mktemp("analyse") / "run", documents, plain_queries()))


@pytest.fixture
def analyse(run, capsys):
    """Ends with this code; gives what was printed to standard output and standard error."""

    def called(*flags: str, code: int = 0) -> str:
        assert main(["analyse", "concentration", "--run", str(run.path), *flags]) == code
        told = capsys.readouterr()
        return told.err if code else told.out

    return called


def test_one_completion_has_every_measure_and_its_tail(run, analyse):
    rows = json.loads(analyse("--query", "q/1", "--sign", "both", "--draws", "20", "--json"))
    found = concentration_of(run, 0, draws=20, signs=["both"])
    measures = [row for row in rows if row["table"] == "measures"]
    assert [row["measure"] for row in measures] == list(MEASURES)
    assert [row["value"] for row in measures] == pytest.approx(found["value"].tolist())
    assert [row["shuffled_low"] for row in measures] == pytest.approx(found["shuffled_low"].tolist())
    of_tokens, curve, inside = ([row for row in rows if row["table"] == name] for name in ("tokens", "curve", "inside"))
    expected = token_concentration(run, [0], "both")
    assert [row["effective_number"] for row in of_tokens] == pytest.approx(expected["effective_number"].tolist())
    assert curve[-1]["share"] == pytest.approx(1)
    assert {row["title"] for row in inside} <= set(run.documents["title"])
    assert inside
    assert rows[-1]["table"] == "tail"
    assert rows[-1]["exponent"] == pytest.approx(tail_of(run, 0, sign="both").exponent)


def test_the_printed_table_names_the_measures_and_speaks_of_the_tail(run, analyse):
    printed = analyse("--query", "q/1", "--draws", "20")
    gini = concentration_of(run, 0, draws=20, signs=["positive"]).set_index("measure").at["gini", "value"]
    assert "Influence that raised it" in printed and f"{gini:.2f}" in printed
    assert "Tail: the share of documents" in printed


def test_tokens_of_a_completion_are_measured_alone(run, analyse):
    rows = json.loads(analyse("--query", "q/1", "--tokens", "0,2", "--draws", "5", "--json"))
    assert rows[0]["value"] == (run.influence(0, [0, 2])["influence"] > 0).sum()


def test_without_a_completion_each_is_measured_and_rare_tokens_are_compared(run, analyse):
    rows = json.loads(analyse("--draws", "20", "--json"))
    whole = [row for row in rows if row["table"] == "completions"]
    expected = token_concentration(run, sign="positive", whole=True)
    assert [row["effective_number"] for row in whole] == pytest.approx(expected["effective_number"].tolist())
    assert [row["query"] for row in whole] == ["q/1", "q/2", "q/3"]
    assert [row["version"] for row in rows if row["table"] == "frequency"] == [
        "plain", "given loss", "matched for loss",
    ]  # fmt: skip
    printed = analyse("--draws", "20")
    assert "How much is two plus two?" in printed and "Do frequent tokens draw on more documents?" in printed


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--tokens", "0"], "--tokens without --query"),
        (["--query", "q/1", "--tokens", "99"], "this completion has tokens 0 to"),
        (["--query", "nothing"], "has the id or title"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(analyse, flags, said):
    told = analyse(*flags, code=2)
    assert told.startswith("error: ") and said in told and told.count("\n") == 1


@pytest.mark.parametrize("flags", [["--tokens", "a"], ["--draws", "0"], ["--sign", "up"]])
def test_bad_flags_are_refused(analyse, flags):
    with pytest.raises(SystemExit, match="2"):
        analyse(*flags)
