"""The README's commands and its Python example are true."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from engine.__main__ import parser
from engine.check.effects import by_kind

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    """As it stands, but on the first lines of the sample's files."""
    monkeypatch.chdir(Path(__file__).parents[1])
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    for name, lines in (("corpus", 8), ("queries", 2)):
        file = f"sample_data/{name}.jsonl"
        assert file in example
        first = Path(file).read_text(encoding="utf-8").splitlines(keepends=True)[:lines]
        (tmp_path / f"{name}.jsonl").write_text("".join(first), encoding="utf-8")
        example = example.replace(file, str(tmp_path / f"{name}.jsonl"))
    exec(example.replace("runs/mine", str(tmp_path / "mine")), {})
    printed = capsys.readouterr().out
    assert "gradient_cosine" in printed
    assert re.search(r"\(\d+, \d+\)", printed)


def test_every_verb_of_the_command_line_stands_in_the_readme():
    (verbs,) = [action.choices for action in parser()._subparsers._group_actions]
    missing = [verb for verb in verbs if f"python -m engine {verb}" not in README]
    assert verbs
    assert not missing


def test_every_file_of_the_engine_stands_in_the_file_tree():
    tree = README.split("## The house")[1]
    names = [path.name for path in (Path(__file__).parents[1] / "engine").glob("*.py") if path.name != "__init__.py"]
    assert [name for name in names if name not in tree] == []


def test_every_picture_is_there():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (Path(__file__).parents[1] / picture).is_file(), picture


def _kept(study: str) -> dict[int, dict[str, list[dict[str, object]]]]:
    """Tables of the findings that came with the program, by their number."""
    folder = Path(__file__).parents[1] / "sample_data" / "findings" / study
    found = [json.loads(file.read_text(encoding="utf-8"))["tables"] for file in folder.glob("*.json")]
    return {tables["verdict"][0]["number"]: tables for tables in found}


def _numbers(value: object) -> Iterator[float]:
    """Every number in a table, and those that sentences state."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _numbers(one)
    elif isinstance(value, str):
        yield from map(float, re.findall(r"\d+(?:\.\d+)?", value))
    elif isinstance(value, int | float):
        yield abs(float(value))


def _is_among(written: str, numbers: set[float]) -> bool:
    """Whether a figure is one of the numbers, or a hundred times it, rounded as it is written."""
    step = 10.0 ** -len(written.partition(".")[2])
    return any(abs(float(written) - scale * number) <= 0.5001 * step for number in numbers for scale in (1, 100))


def test_the_findings_table_says_what_was_kept():
    kept = _kept("sample-small-and-large")
    rows = re.findall(r"^\| (\d+) [^|]*\| ([a-z ]+) \| ([^|]*) \| ([^|]*) \|$", README, flags=re.MULTILINE)
    assert sorted(int(number) for number, *_ in rows) == sorted(kept)
    for number, verdict, *cells in rows:
        tables = kept[int(number)]
        assert verdict == tables["verdict"][0]["verdict"], number
        numbers = set(_numbers([tables["estimates"], tables["verdict"], tables["open"]]))
        wrong = [one for cell in cells for one in re.findall(r"\d+(?:\.\d+)?", cell) if not _is_among(one, numbers)]
        assert wrong == [], f"finding {number}"


def test_the_table_of_scores_says_what_was_kept():
    file = Path(__file__).parents[1] / "sample_data" / "checks" / "lds.json"
    tables = json.loads(file.read_text(encoding="utf-8"))["tables"]
    kinds = {row["kind"]: row for row in by_kind(tables["queries"])}
    part = README.split("## Does it predict what training does?")[1].split("\n## ")[0].replace("−", "-")
    rows = re.findall(r"^\| ([^|]+) \| (\S+) \((\S+) to (\S+)\) \| (\S+) \| (\S+) \|$", part, flags=re.MULTILINE)
    kept = {row["estimator"]: row for row in tables["estimators"] if row["estimator"] != "random order"}
    assert {name for name, *_ in rows} == set(kept)
    for name, *written in rows:
        numbers = [kept[name][column] for column in ("lds", "lds_low", "lds_high")]
        numbers += [kinds[kind][name] for kind in ("Fact", "Frequent word")]
        assert written == [f"{number:.2f}" for number in numbers], name
    assert f"would come to {tables['ceiling'][0]['ceiling']:.2f}" in part
    assert f"it is {kept['EK-FAC']['lds'] / kept['gradient dot']['lds']:.1f} times" in part


def test_the_table_of_removals_says_what_was_kept():
    file = Path(__file__).parents[1] / "sample_data" / "checks" / "removal.json"
    tables = json.loads(file.read_text(encoding="utf-8"))["tables"]
    part = README.split("Left out instead")[1].split("\n## ")[0].replace("−", "-")
    rows = re.findall(r"^\| [^|]*? of [^|]*(documents|tokens) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", part, re.MULTILINE)
    assert [what for what, *_ in rows] == ["documents", "tokens"]
    kept = {(row["what"], row["method"]): row for row in tables["methods"]}
    for what, *cells in rows:
        for method, cell in zip(("EK-FAC", "BM25", "random"), cells, strict=True):
            numbers = [round(kept[what, method][name], 1) + 0.0 for name in ("rise", "rise_low", "rise_high")]
            assert cell == "{:.1f} ({:.1f} to {:.1f})".format(*numbers), (what, method)
        best = kept[what, "EK-FAC"]
        assert "{of_bm25:.1f} times ({of_bm25_low:.1f} to {of_bm25_high:.1f})".format(**best) in part
    documents, tokens = tables["calibration"]
    words = " ".join(part.split())
    assert "{correlation:.2f}, {correlation_low:.2f} to {correlation_high:.2f}".format(**documents) in words
    for row in (documents, tokens):
        assert "{slope:.2f} ({slope_low:.2f} to {slope_high:.2f})".format(**row) in words
    for row in tables["rare_groups"]:
        assert f"{row['lost']:.0%} ({100 * row['lost_low']:.0f} to {100 * row['lost_high']:.0f})" in words


def test_the_table_of_exact_answers_says_what_was_kept():
    file = Path(__file__).parents[1] / "sample_data" / "checks" / "exact.json"
    kept = json.loads(file.read_text(encoding="utf-8"))["tables"]["estimators"]
    part = README.split("Why too large?")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| (\d[^|]*) \| ([^|]+) \| ([^|]+) \|$", part, flags=re.MULTILINE)
    assert [name for name, *_ in rows] == [row["estimator"] for row in kept]
    for (_, *cells), row in zip(rows, kept, strict=True):
        for name, cell in zip(("correlation", "response_correlation", "response_slope"), cells, strict=True):
            numbers = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
            assert cell == ("–" if None in numbers else "{:.2f} ({:.2f} to {:.2f})".format(*numbers)), row["estimator"]
