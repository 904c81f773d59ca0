"""The README's commands and its Python example are true."""

import re
from pathlib import Path

from engine.__main__ import parser

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    """As it stands, but on the first lines of the sample's files."""
    monkeypatch.chdir(Path(__file__).parents[1])
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    for name, lines in (("corpus", 60), ("queries", 2)):
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
