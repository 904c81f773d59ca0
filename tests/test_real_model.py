"""Real stories through a real 260K-parameter model, where the shared data lies beside the project."""

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from toys import write_jsonl

from engine import Run, rank_documents, read_corpus

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
STORIES = 40
SUM_TOLERANCE = 1e-5  # of the sum of magnitudes, float32; the stock model normalises in float32 throughout

pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"needs the shared data in {SHARED}; nothing of it is part of the project"
)


def command(*arguments: str | Path) -> str:
    call = [sys.executable, "-m", "engine", *map(str, arguments)]
    return subprocess.run(call, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """The command line of the README on the first stories, their words as completions."""
    folder = tmp_path_factory.mktemp("stories")
    stories = list(islice(read_corpus(SHARED / "corpora" / "tinystories_1000.jsonl"), STORIES))
    words = [story.text.split(" ") for story in stories[:3]]
    queries = [
        {"id": str(n), "prompt": " ".join(text[:10]), "completion": f" {text[10]}", "title": f"Story {n}"}
        for n, text in enumerate(words)
    ]
    corpus = write_jsonl(folder / "corpus.jsonl", stories)
    path = folder / "run"
    command("fit", "--run", path, "--model", SHARED / "models" / "stories260k-hf", "--corpus", corpus)
    command("query", "--run", path, "--queries", write_jsonl(folder / "queries.jsonl", queries))
    command("score", "--run", path, "--keep-tokens", "5", "--keep-prediction", "2")
    return Run(path)


def test_every_story_has_a_finite_influence_on_every_completion(run):
    for query in run.queries["query"]:
        influence = run.influence(query)["influence"]
        assert len(influence) == STORIES
        assert np.isfinite(influence).all()
        assert influence.abs().min() > 0


def test_both_per_token_definitions_sum_to_the_story(run):
    for query in run.queries["query"]:
        ranking = rank_documents(run, query)
        for place in (0, -1):
            document, total = int(ranking["document"].iloc[place]), float(ranking["influence"].iloc[place])
            for kind in ("position", "prediction"):
                found = run.token_influence(query, document, kind)
                assert found is not None
                magnitude = float(np.abs(found.influence).sum())
                assert abs(float(found.influence.sum()) - total) <= SUM_TOLERANCE * magnitude


def test_the_command_line_answers_with_the_reader_s_numbers(run):
    printed = json.loads(command("top", "--run", run.path, "--query", "Story 0", "--k", "3", "--json"))
    expected = rank_documents(run, 0)["influence"]
    assert [row["influence"] for row in printed] == pytest.approx([*expected.head(3), *expected.tail(3)])
