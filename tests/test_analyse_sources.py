"""``python -m engine analyse sources`` prints the numbers of the functions, as tables and as JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from tiny_run import PAYLOADS, hostile_documents, plain_documents, plain_queries, write_tiny_run

from engine.__main__ import main
from engine.analysis.sources import multipliers, multipliers_of_groups, signed_mass
from engine.run import Run

KEYS = ["table", "queries"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    documents = plain_documents(37) + hostile_documents()
    return write_tiny_run(tmp_path_factory.mktemp("analyse") / "run", documents, plain_queries())


@pytest.fixture
def call(capsys, folder) -> Callable[..., str]:
    def called(*flags: object, code: int = 0) -> str:
        arguments = ["analyse", "sources", "--run", folder, "--draws", 20, *flags]
        assert main([str(argument) for argument in arguments]) == code
        told = capsys.readouterr()
        return told.err if code else told.out

    return called


def rows(printed: str, table: str) -> pd.DataFrame:
    found = pd.DataFrame([row for row in json.loads(printed) if row["table"] == table])
    return found.dropna(axis=1, how="all")


def test_json_holds_all_rows_of_both_tables(call, folder):
    printed = call("--json", "--kind", "Sum", "--by", "language", "--weight", "tokens", "--k", 7)
    expected = multipliers(Run(folder), [1, 2], "language", "tokens", [7, 10, 20, 30, 41], 20)
    found = rows(printed, "multiplier")
    assert (found["queries"] == "Sum").all() and "difference" not in found
    pd.testing.assert_frame_equal(found.drop(columns=KEYS), expected)
    pd.testing.assert_frame_equal(
        rows(printed, "mass").drop(columns=KEYS), signed_mass(Run(folder), [1, 2], "language")
    )


def test_kinds_and_chosen_completions_stand_side_by_side(call, folder):
    found = rows(call("--json", "--kind", "Story", "--query", "q/2", "--query", "q/3", "--query", "q/2"), "multiplier")
    groups = {"Story": [0], "Chosen completions": [1, 2]}
    expected = multipliers_of_groups(Run(folder), groups, ks=[10, 20, 30, 41], draws=20)
    pd.testing.assert_frame_equal(found.drop(columns="table"), expected)


def test_without_flags_all_completions_are_one_group(call, folder):
    found = rows(call("--json"), "multiplier")
    assert (found["queries"] == "All completions").all()
    pd.testing.assert_frame_equal(found.drop(columns=KEYS), multipliers(Run(folder), [0, 1, 2], ks=None, draws=20))


def test_tables_and_the_sentence_show_the_same_numbers(call, folder):
    printed = call("--k", 10)
    table = multipliers(Run(folder), [0, 1, 2], draws=20)
    books = table[(table["k"] == 10) & (table["group"] == "Books")].set_index("end")
    for end in ("raised", "lowered"):
        row = books.loc[end]
        shown = f"{row['multiplier']:.2f} ({row['low']:.2f} to {row['high']:.2f}, {row['null_low']:.2f} to"
        assert shown in printed
    assert "All completions (3). Among the 10 documents that raised each most" in printed
    assert "nats per unit of weight" in printed


def test_k_beyond_the_corpus_means_all_of_it(call):
    assert "Among the 41 documents that raised each most, no source has more than its share" in call("--k", 10**6)


def test_names_cannot_command_the_terminal(call):
    printed = call()
    assert not set(printed) & {"\x1b", "\x07"} and "\x1b" in "".join(PAYLOADS)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--kind", "Poem"], "no completion is of the kind 'Poem' -- choose one of Story, Sum."),
        (["--k", 0], "the end of a ranking has at least one document"),
        (["--query", "nowhere"], "no query of this run has the id or title 'nowhere'"),
        (["--draws", 0], "0 draws"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(call, flags, message):
    told = call(*flags, code=2)
    assert message in told and len(told.splitlines()) == 1
