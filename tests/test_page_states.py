"""What every page says where it has nothing to show: no run, one of another version, none of that name, none scored."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from page_words import words
from streamlit.testing.v1 import AppTest
from tiny_run import plain_documents, plain_queries, scored, write_tiny_run

from dashboard import runs
from engine.ablation_file import write_ablation
from engine.analysis.ranking import rank_documents
from engine.document_map import STAMP, DocumentMap, MapSettings, write_map
from engine.jobs import JobTable
from engine.run import Run
from engine.store import FORMAT
from engine.variants import VariantSettings
from engine.writing import write_table

PAGES = (
    "home", "story", "influence", "ask", "concentration", "sources", "word_order", "findings", "compare", "map",
    "review", "trust",
)  # fmt: skip
OTHER_VERSION = "was made by another version of the program, so its tables would be misread"
NO_MANIFEST = "so what its tables were made from is unknown and they would be misread"
GONE = "The link names a run that is not here. Another one is shown."
NOT_THERE = re.compile(
    "None of 0|too few documents|document in common|no finished run|no run to look at", re.IGNORECASE
)


@pytest.fixture(scope="module")
def answered_run(tmp_path_factory) -> Path:
    """A finished run whose word order and map are kept, so that every page has an answer."""
    run = Run(write_tiny_run(tmp_path_factory.mktemp("answered") / "run", plain_documents(12), plain_queries()))
    for query in range(3):
        document = int(rank_documents(run, query)["document"][0])
        write_ablation(run.folder, scored(run, query, document, VariantSettings()), VariantSettings())
    places = np.array([[n, n % 2] for n in range(12)], dtype=np.float32)
    write_map(run.folder, DocumentMap(np.arange(12), places, MapSettings(), 12, 1.0))
    return run.path


@pytest.fixture
def make_run(answered_run) -> Callable[[Path], Run]:
    """Puts such a run into a folder; its files are as new as the moment, since the newest run is shown first."""
    return lambda path: Run(Path(shutil.copytree(answered_run, path, copy_function=shutil.copyfile)))


def written_by_another_version(path: Path) -> Path:
    """The run as one of format 0 has it."""
    file = write_tiny_run(path, plain_documents(3), plain_queries()) / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": FORMAT - 1}))
    return path


def without_scores(run: Run) -> None:
    """Make it a run that scored no document."""
    file = run.folder.shard("documents", 0)
    write_table(pq.read_table(file).slice(0, 0), file)


def go_to(app: AppTest, view: str) -> AppTest:
    """The page of an app that shows Home, its run in use the same."""
    if view != "home":
        app.switch_page(f"views/{view}.py").run()
    assert not app.exception
    return app


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


# No run


@pytest.mark.parametrize("view", PAGES)
def test_without_a_run_every_page_says_so_and_what_to_do(open_page, tmp_path, view):
    app = open_page(tmp_path / "nothing", view)
    if view == "home":
        assert "There is no run to look at yet" in words(app) and app.button[0].label == "Compute “Sample”"
    else:
        assert "There is no finished run to look at yet. Start one from Home." in words(app)
    assert not app.warning and not app.error


@pytest.mark.parametrize("view", PAGES)
def test_with_no_run_at_all_a_link_to_one_claims_no_other(open_page, tmp_path, view):
    assert GONE not in words(open_page(tmp_path, view, run="Gone"))


# A run of another version


@pytest.mark.parametrize("view", PAGES)
def test_the_only_run_being_of_another_version_is_said(open_page, tmp_path, view):
    written_by_another_version(tmp_path / "old_run")
    app = open_page(tmp_path, view)
    (error,) = app.error
    assert f"The run “Old run” {OTHER_VERSION}. Compute it again in another folder, or move" in error.value
    assert "old\\_run" in error.value
    assert "no finished run" not in words(app)


@pytest.mark.parametrize("view", PAGES)
@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1, "steps": {"fit": "finished"}}', "\udcff"])
def test_a_manifest_that_cannot_be_read_is_said(open_page, tmp_path, view, content):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    (error,) = open_page(tmp_path, view).error
    assert "The manifest of the run “Broken” cannot be read" in error.value and NO_MANIFEST in error.value


@pytest.fixture
def old_and_good(make_run, tmp_path):
    """A finished run, and a newer one of another version."""
    make_run(tmp_path / "good_run")
    time.sleep(0.02)
    written_by_another_version(tmp_path / "old_run")
    return tmp_path


@pytest.mark.parametrize("view", PAGES)
def test_finished_runs_open_beside_one_of_another_version(open_page, old_and_good, view):
    app = open_page(old_and_good, view)
    assert app.selectbox(key="run").options == ["Good run", "Old run"]
    assert app.selectbox(key="run").value == "Good run"
    assert len(app.error) == (view == "home")  # where all are listed
    assert not NOT_THERE.search(words(app))


@pytest.mark.parametrize("view", PAGES)
def test_a_link_to_a_run_of_another_version_says_so_and_another_can_be_chosen(open_page, old_and_good, view):
    app = go_to(open_page(old_and_good, "home", run="Old run"), view)
    (error,) = app.error
    assert OTHER_VERSION in error.value
    assert "Other runs can be chosen at the top right." in words(app)
    assert not app.warning and not NOT_THERE.search(words(app))
    app.selectbox(key="run").set_value("Good run").run()
    assert not app.exception and len(app.error) == (view == "home")


@pytest.mark.parametrize("view", PAGES)
def test_the_run_of_the_environment_may_be_of_another_version(open_page, old_and_good, view, monkeypatch):
    app = open_page(old_and_good, "home")
    monkeypatch.setenv("WHENCE_RUN", "old_run")
    app = go_to(AppTest.from_file(app._script_path, default_timeout=60.0).run(), view)
    assert OTHER_VERSION in app.error[0].value and len(app.error) == 1
    app.selectbox(key="run").set_value("Good run").run()
    assert not app.exception and len(app.error) == (view == "home")


def test_a_sample_is_not_offered_where_its_folder_cannot_be_read(open_page, tmp_path):
    written_by_another_version(tmp_path / "sample")
    app = open_page(tmp_path, "home")
    assert "“Sample” is computed in that folder, which must be moved away first." in app.error[0].value
    labels = [button.label for button in app.button]
    assert "Compute “Sample”" not in labels and "Compute “Sample large”" in labels
    assert app.code[0].value == "python -m engine run sample-large"


def test_samples_that_all_have_unreadable_folders_are_not_offered(open_page, tmp_path):
    for name in ("sample", "sample-large", "sample-base", "sample-large-base"):
        written_by_another_version(tmp_path / name)
    app = open_page(tmp_path, "home")
    assert "Move one of them away first." in words(app)
    assert not app.button and not app.code


def test_a_failed_run_does_not_hide_one_of_another_version(open_page, tmp_path):
    written_by_another_version(tmp_path / "old_run")
    failed(tmp_path, "run", {"config": "sample"})
    app = open_page(tmp_path, "home")
    assert OTHER_VERSION in app.error[0].value and "failed" in app.error[1].value


@pytest.mark.parametrize("name", ["Old run", "Gone"])
def test_a_right_side_that_cannot_be_shown_is_said(open_page, old_and_good, name):
    app = open_page(old_and_good, "compare", other_run=name)
    assert "The run in use is shown instead." in app.warning[0].value
    assert (OTHER_VERSION in words(app)) == (name == "Old run")
    assert "## The two rankings share" in words(app)


def test_a_map_of_another_version_is_said_and_can_be_computed_again(open_page, make_run, tmp_path):
    file = make_run(tmp_path / "run").folder.map("words")
    table = pq.read_table(file)
    noted = json.loads(table.schema.metadata[STAMP]) | {"format": 0}
    pq.write_table(table.replace_schema_metadata({STAMP: json.dumps(noted)}), file)
    app = open_page(tmp_path, "map")
    assert "This map was made by another version of the program, so its places would be misread." in words(app)
    assert "has not been computed yet" not in words(app)
    press(app, "Compute the map again")
    assert JobTable(tmp_path).recent(1)[0].arguments["features"] == "words"
    assert "has not been computed yet" in words(open_page(tmp_path, "map", features="Hidden states"))


# A run that is gone


@pytest.mark.parametrize("view", PAGES)
@pytest.mark.parametrize("runs", [1, 2])
def test_a_link_to_a_run_that_is_gone_says_so(open_page, make_run, tmp_path, view, runs):
    for number in range(runs):
        make_run(tmp_path / f"run_{number}")
    app = open_page(tmp_path, view, run="No such run")
    assert [one.value for one in app.warning] == [GONE]
    assert [one.value for one in app.run().warning] == [GONE]  # until another is chosen
    if runs > 1:
        app.selectbox(key="run").set_value(app.selectbox(key="run").options[1]).run()
        assert not app.exception and not app.warning


@pytest.mark.parametrize("view", PAGES)
def test_a_link_to_a_run_that_is_here_has_no_warning(open_page, make_run, tmp_path, view):
    make_run(tmp_path / "run_0")
    assert not open_page(tmp_path, view, run="Run 0").warning
    make_run(tmp_path / "run_1")
    for name in ("Run 0", "Run 1"):
        app = go_to(open_page(tmp_path, "home", run=name), view)
        assert app.selectbox(key="run").value == name and not app.warning


# A run that scored nothing


SO = {
    "home": "so its pages have nothing to rank",
    "story": "so there is no document to tell of",
    "influence": "so there is no document to rank",
    "concentration": "so there is no influence that could be owed to few documents or to many",
    "sources": "so there is no influence that could come from anywhere",
    "word_order": "so there is no document whose variants could be set beside it",
    "findings": "so no finding can be measured on it",
    "compare": "so there are no rankings to compare",
    "map": "so there is no influence to colour the map by",
    "review": "so none is the strongest",
    "trust": "so there is no ranking to check",
}


@pytest.mark.parametrize("view", SO)
def test_a_run_that_scored_no_document_says_so_and_what_to_do(open_page, make_run, tmp_path, view):
    without_scores(make_run(tmp_path / "run"))
    app = open_page(tmp_path, view)
    (info,) = app.info
    assert f"This run scored no document, {SO[view]}." in info.value
    assert "ompute it again in another folder, the score step without `--prefilter`." in info.value
    assert not app.error and not app.warning and not NOT_THERE.search(words(app))


@pytest.mark.parametrize("part", ["Among documents", "Rare and frequent tokens", "Inside documents"])
def test_no_part_of_concentration_fails_where_nothing_was_scored(open_page, make_run, tmp_path, part):
    without_scores(make_run(tmp_path / "run"))
    assert SO["concentration"] in words(open_page(tmp_path, "concentration", part=part))


def test_compare_says_which_side_scored_nothing(open_page, make_run, tmp_path):
    without_scores(make_run(tmp_path / "empty_run"))
    time.sleep(0.02)
    make_run(tmp_path / "good_run")
    shown = words(open_page(tmp_path, "compare", other_run="Empty run"))
    assert "The run on the right scored no document, so there are no rankings to compare." in shown
    app = go_to(open_page(tmp_path, "home", run="Empty run"), "compare")
    app.query_params["other_run"] = "Good run"
    assert "The run on the left scored no document" in words(app.run())


def test_the_map_of_a_run_that_scored_nothing_has_its_other_colours(open_page, make_run, tmp_path):
    without_scores(make_run(tmp_path / "run"))
    app = open_page(tmp_path, "map", colour="Source")
    assert "ten neighbours have its source" in words(app)
    assert len(app.dataframe[0].value) == 12


# Filtered to nothing, and jobs that failed


def test_released_variants_say_so_and_come_back(open_page, make_run, tmp_path):
    make_run(tmp_path / "run")
    app = open_page(tmp_path, "word_order")
    pills = next(group for group in app.get("button_group") if group.label == "Side by side with the original")
    every = pills.value
    pills.set_value([]).run()
    assert not app.exception
    assert "No variant is chosen, so the original stands alone." in words(app)
    assert "**Words reversed** :gray-badge" not in words(app)
    press(app, "Show all variants")
    assert "stands alone" not in words(app) and "**Words reversed** :gray-badge" in words(app)
    pills = next(group for group in app.get("button_group") if group.label == "Side by side with the original")
    assert pills.value == every


def test_a_chosen_variant_that_the_document_lacks_leaves_a_sentence(open_page, make_run, tmp_path):
    make_run(tmp_path / "run")
    app = open_page(tmp_path, "word_order", show="Relation flipped")
    assert "None of the chosen variants is there for this document, so the original stands alone." in words(app)
    assert "The corpus records none of this document: relation flipped." in words(app)
    press(app, "Show all variants")
    assert "stands alone" not in words(app)


def failed(runs: Path, kind: str, arguments: dict) -> None:
    """A job that ended badly."""
    table = JobTable(runs)
    table.submit(kind, arguments, "The job")
    table.finish(table.claim(os.getpid()), "failed", "The model <b>is gone</b> -- fetch it.")


@pytest.mark.parametrize("view", ["word_order", "map"])
def test_a_failed_job_says_why_and_can_be_started_again(open_page, tmp_path, view):
    run = Run(write_tiny_run(tmp_path / "run", plain_documents(12), plain_queries()))
    if view == "map":
        failed(tmp_path, "map", {"run": str(run.path.resolve()), "features": "words", "seed": 0})
    else:
        open_page(tmp_path, view)  # asks for the variants
        table = JobTable(tmp_path)
        table.finish(table.claim(os.getpid()), "failed", "The model <b>is gone</b> -- fetch it.")
    app = open_page(tmp_path, view)
    (error,) = app.error
    assert "failed: The model" in error.value and "<b>" not in error.value and "fetch it" in error.value
    press(app, "Start again")
    assert [job.state for job in JobTable(tmp_path).recent()] == ["queued", "failed"]
    assert "Waiting for its turn." in app.get("progress")[0].text


def test_a_run_that_becomes_unreadable_while_it_is_open_is_said(open_page, make_run, tmp_path):
    make_run(tmp_path / "run")
    app = open_page(tmp_path)
    assert "raised this completion" in words(app)
    shutil.rmtree(tmp_path / "run")
    written_by_another_version(tmp_path / "run")
    assert OTHER_VERSION in app.run().error[0].value


def test_what_a_folder_holds_is_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("WHENCE_RUNS", str(tmp_path))
    monkeypatch.delenv("WHENCE_RUN", raising=False)
    write_tiny_run(tmp_path / "same-name", plain_documents(3), plain_queries())
    written_by_another_version(tmp_path / "same_name")
    (tmp_path / "jobs").mkdir()
    assert list(runs.finished_runs()) == ["Same name"]
    assert {label: found.path.name for label, found in runs.unreadable_runs().items()} == {
        "Same name (same_name)": "same_name",
    }  # fmt: skip
