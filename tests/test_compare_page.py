"""Compare and Map open, answer with the engine's numbers, and keep their state in the address (no browser)."""

import base64
import json
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from page_words import words
from streamlit.testing.v1 import AppTest
from tiny_run import hostile_documents, plain_documents, plain_queries, scored, write_tiny_run

from dashboard.components import map_chart, text
from engine.ablation_file import write_ablation
from engine.analysis.comparison import agreement, pair_documents, top_overlap
from engine.analysis.ranking import rank_documents
from engine.document_map import DocumentMap, MapSettings, write_map
from engine.jobs import JobTable
from engine.run import Run
from engine.variants import VariantSettings

DOCUMENTS = plain_documents(30) + hostile_documents()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of the same documents that differ in damping, the second shown first; each has a map by words."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("other_run", "small_run")):
        write_tiny_run(folder / name, DOCUMENTS, plain_queries(), seed=seed)
        keep_map(folder / name)
        time.sleep(0.02)  # the newest is shown first
    set_damping(folder / "other_run", 0.01)
    return folder


def keep_map(path: Path, features: str = "words", documents: int = len(DOCUMENTS)) -> None:
    """A map with one document at each whole number of the first direction, those of odd number above the others."""
    places = np.array([[n, n % 2] for n in range(documents)], dtype=np.float32)
    made = DocumentMap(np.arange(documents), places, MapSettings(features, 3), len(DOCUMENTS), 2.0)
    write_map(Run(path).folder, made)


def set_damping(path: Path, factor: float) -> None:
    file = path / "manifest.json"
    before = file.stat()
    manifest = json.loads(file.read_text())
    manifest["steps"]["query"]["settings"]["damping_factor"] = factor
    file.write_text(json.dumps(manifest))
    os.utime(file, (before.st_atime, before.st_mtime))


def reports(app: AppTest) -> list[str]:
    """What the buttons say that give a report."""
    return [one.proto.label for one in app.get("download_button") if one.proto.label.startswith("Report")]


def selected(app: AppTest, label: str) -> str:
    return next(box.value for box in app.selectbox if box.label == label)


def test_compare_answers_with_the_engines_numbers(open_page, runs):
    app = open_page(runs, "compare", query="q/1", other_query="q/2")
    run = Run(runs / "small_run")
    table = pair_documents(run, 0, run, 1).table
    first = top_overlap(table["rank"].to_numpy(), table["other_rank"].to_numpy()).iloc[0]
    assert f"## The two rankings share {first['shared']} of the ten strongest documents (2.9 by chance)." in words(app)
    found = agreement(table["influence"].to_numpy(), table["other_influence"].to_numpy())
    value, low, high = map(text.correlation, (found.spearman, found.low, found.high))
    assert f"Spearman's rank correlation is **{value}**, 95% interval {low} to {high}, over 34 documents." in words(app)
    shown = app.dataframe[0].value
    assert shown["id"].tolist() == table.sort_values("rank")["id"].tolist()
    assert shown["other_influence"].tolist() == table.sort_values("rank")["other_influence"].tolist()


def test_word_order_is_computed_for_both_and_then_shown_on_one_scale(open_page, runs, tmp_path):
    runs = shutil.copytree(runs, tmp_path / "runs")
    run = Run(runs / "small_run")
    app = open_page(runs, "compare", query="q/1", other_query="q/2")
    app.button(key="compute_word_orders").click().run()
    asked = [(job.kind, job.arguments["query"]) for job in JobTable(runs).recent()]
    assert sorted(asked) == [("ablate", 0), ("ablate", 1)]
    for query, share in ((0, 0.1), (1, 0.4)):
        document = int(rank_documents(run, query)["document"][0])
        totals = {"original": 20.0, "words_reversed": 20.0 * share}
        settings = VariantSettings()
        write_ablation(run.folder, scored(run, query, document, settings, totals), settings)
    app = open_page(runs, "compare", query="q/1", other_query="q/2")
    assert "Share that hypothetical variants leave" in words(app)
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    (bars,) = [chart for chart in charts if "original's" in chart["layout"]["xaxis"]["title"]["text"]]
    shown = [dict(zip(side["y"], values(side["x"]), strict=True)) for side in bars["data"]]
    assert [side["Words reversed"] for side in shown] == pytest.approx([0.1, 0.4])


def values(column: list[float] | dict[str, str]) -> list[float]:
    """Numbers of a chart, which Plotly packs."""
    if isinstance(column, list):
        return column
    return np.frombuffer(base64.b64decode(column["bdata"]), dtype=column["dtype"]).tolist()


def test_the_next_completion_stands_on_the_right_until_one_is_chosen(open_page, runs):
    app = open_page(runs, "compare")
    assert selected(app, "Left completion") == "What comes after once?"
    assert selected(app, "Right completion") == "How much is two plus two?"


def test_of_two_completions_there_is_one_report_and_of_two_runs_there_are_two(open_page, runs):
    assert reports(open_page(runs, "compare", query="q/1", other_query="q/2")) == ["Report"]
    of_two = reports(open_page(runs, "compare", query="q/2", other_run="Other run"))
    assert of_two == ["Report on the left run", "Report on the right run"]


def test_another_run_is_compared_on_the_same_completion_and_what_differs_is_named(open_page, runs):
    app = open_page(runs, "compare", query="q/2", other_run="Other run")
    assert selected(app, "Right completion") == "How much is two plus two?"
    assert "The two runs differ in: damping factor" in [expander.label for expander in app.expander]
    assert app.table[0].value.loc["Damping factor"].tolist() == ["0\\.1", "0\\.01"]
    left, right = (pair.path for pair in (Run(runs / "small_run"), Run(runs / "other_run")))
    table = pair_documents(Run(left), 1, Run(right), 1).table
    assert app.dataframe[0].value["influence"].tolist() == table.sort_values("rank")["influence"].tolist()


def test_the_same_on_both_sides_says_so(open_page, runs):
    assert "Both sides are the same completion of the same run." in words(open_page(runs, "compare", other_query="q/1"))


def test_swapping_exchanges_runs_and_completions(open_page, runs):
    app = open_page(runs, "compare", query="q/1", other_query="q/3", other_run="Other run")
    before = app.dataframe[0].value.set_index("id")
    next(button for button in app.button if button.label == "Swap left and right").click().run()
    assert not app.exception
    after = app.dataframe[0].value.set_index("id").loc[before.index]
    assert after["rank"].tolist() == before["other_rank"].tolist()
    assert after["other_influence"].tolist() == before["influence"].tolist()
    address = {name: app.query_params[name] for name in ("run", "query", "other_run", "other_query")}
    assert address == {"run": "Other run", "query": "q/3", "other_run": "Small run", "other_query": "q/1"}


@pytest.mark.parametrize(("order", "column"), [("Right first", "other_rank"), ("Left first", "rank")])
def test_the_address_sets_order_and_axes(open_page, runs, order, column):
    app = open_page(runs, "compare", order=order, axes="Rank")
    assert app.dataframe[0].value[column].tolist() == list(range(1, 35))
    assert {control.label: control.value for control in app.get("button_group")}["Axes"] == "Rank"


def test_the_most_different_documents_come_first_when_asked_for(open_page, runs):
    shown = open_page(runs, "compare", order="Most different first").dataframe[0].value
    apart = (shown["rank"] - shown["other_rank"]).abs().tolist()
    assert apart == sorted(apart, reverse=True)


def test_a_document_of_the_address_is_shown_with_both_ranks(open_page, runs):
    app = open_page(runs, "compare", document="plain-3")
    row = app.dataframe[0].value.set_index("id").loc["plain-3"]
    assert f"Left: rank {row['rank']}, **{text.number(row['influence'])}** nats per unit of weight" in words(app)
    assert f"Right: rank {row['other_rank']}" in words(app)


def test_runs_without_common_documents_say_so_and_what_to_do(open_page, runs, tmp_path):
    for name, documents in (("one", DOCUMENTS), ("two", [d | {"id": d["id"] + "x"} for d in DOCUMENTS])):
        write_tiny_run(tmp_path / name, documents, plain_queries())
        time.sleep(0.02)
    assert "no scored document in common" in words(open_page(tmp_path, "compare", other_run="One"))


def test_changed_and_missing_documents_are_counted(open_page, tmp_path):
    write_tiny_run(tmp_path / "one", [DOCUMENTS[0] | {"text": "Other words."}, *DOCUMENTS[1:20]], plain_queries())
    time.sleep(0.02)
    write_tiny_run(tmp_path / "two", DOCUMENTS, plain_queries())
    shown = words(open_page(tmp_path, "compare", other_run="One"))
    assert "19 documents are matched by id and text, of 34 scored on the left and 20 on the right." in shown
    assert "1 with the same id but another text are left out." in shown


@pytest.mark.parametrize("view", ["compare", "map"])
@pytest.mark.parametrize(
    "address",
    [
        {"query": "nothing", "other_query": "<script>", "other_run": "No run", "document": "x"},
        {"axes": "Magic", "order": "sideways", "features": "Dreams", "colour": "Mood", "tool": "Axe"},
        {"area": "1,2;nan,3;4,5"},
        {"area": ";;;"},
        {"area": "1e99,2;3,4;5,6"},
        {"query": "q/3", "document": "hostile-1/<b>?&="},
    ],
)
def test_bad_values_in_the_address_fall_back(open_page, runs, view, address):
    app = open_page(runs, view, **address)
    assert len(app.dataframe[0].value) == 34
    for markup in ("<img", "<script", r"\]\(javascript", r"\*\*bold", r"\$x", "https?:"):
        assert not re.search(rf"(?<!\\){markup}", words(app)), markup


@pytest.mark.parametrize("view", ["compare", "map"])
def test_without_a_run_both_pages_lead_home(open_page, tmp_path, view):
    assert "There is no finished run to look at yet." in words(open_page(tmp_path, view))


def test_a_map_that_is_not_there_can_be_asked_for_and_cancelled(open_page, runs):
    app = open_page(runs, "map", features="Hidden states")
    assert "This map has not been computed yet." in words(app)
    next(button for button in app.button if button.label == "Compute the map").click().run()
    assert not app.exception
    job = JobTable(runs).recent(1)[0]
    assert (job.kind, job.arguments) == (
        "map", {"run": str((runs / "small_run").resolve()), "features": "hidden", "seed": 0},
    )  # fmt: skip
    assert "Waiting for its turn." in app.get("progress")[0].text
    next(button for button in app.button if button.label == "Cancel").click().run()
    assert "was cancelled" in app.warning[0].value
    assert "Start again" in [button.label for button in app.button]


def test_the_map_counts_how_far_influence_and_source_go_with_the_place(open_page, runs):
    app = open_page(runs, "map")
    assert "on this map: a document's and that of its ten neighbours correlate at" in words(app)
    assert "All 34 documents. UMAP with 15 neighbours, minimum distance 0.1, seed 3" in words(app)
    assert "of a document's ten neighbours have its source (chance:" in words(open_page(runs, "map", colour="Source"))
    assert "ten neighbours have its language" in words(open_page(runs, "map", colour="Language"))


def test_the_area_of_the_address_gives_its_documents(open_page, runs):
    """Documents 0 to 5 lie from 0 to 5, the odd ones at height 1."""
    app = open_page(runs, "map", area="-0.5,-0.5;5.5,-0.5;5.5,0.5;-0.5,0.5", colour="Source")
    assert app.dataframe[0].value["id"].tolist() == ["plain-0", "plain-2", "plain-4"]
    assert "3 of 34 documents lie in the area you drew." in words(app)
    next(button for button in app.button if button.label == "Clear the area").click().run()
    assert len(app.dataframe[0].value) == 34


def test_an_area_without_documents_says_so(open_page, runs):
    app = open_page(runs, "map", area="100,100;101,100;101,101")
    assert "No document lies in that area." in words(app)


def test_a_sampled_map_says_so(open_page, tmp_path):
    write_tiny_run(tmp_path / "large", DOCUMENTS, plain_queries())
    keep_map(tmp_path / "large", documents=20)
    assert "20 of 34 documents: the strongest of every completion, the others at random." in words(
        open_page(tmp_path, "map")
    )


def test_another_seed_can_be_asked_for(open_page, runs):
    app = open_page(runs, "map")
    next(button for button in app.button if button.label == "Lay out again with another seed").click().run()
    assert JobTable(runs).recent(1)[0].arguments["seed"] == 4
    assert len(app.dataframe[0].value) == 34  # the map before stays meanwhile


def test_a_selection_of_the_chart_becomes_corners_and_comes_back_from_the_address():
    lasso = {"lasso": [{"x": [n / 100 for n in range(200)], "y": [0.123] * 200}], "box": []}
    corners = map_chart.drawn_corners(lasso)
    assert 3 <= len(corners) <= map_chart.CORNERS
    assert map_chart.read(map_chart.written(corners)) == corners
    box = {"lasso": [], "box": [{"x": [0, 1], "y": [2, 3]}]}
    assert map_chart.drawn_corners(box) == [(0, 2), (1, 2), (1, 3), (0, 3)]
    assert map_chart.drawn_corners({"points": [], "lasso": [], "box": []}) == []


def test_one_outlier_does_not_pale_the_map():
    assert map_chart.colour_limit(pd.Series([1.0] * 500 + [1000.0])) == pytest.approx(1.0)
    assert map_chart.colour_limit(pd.Series([0.0, 0.0])) == 1.0
    assert map_chart.colour_limit(pd.Series([], dtype=float)) == 1.0
