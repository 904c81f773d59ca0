"""Downloads hold what the pages show and say where it comes from, and pictures hold the chart (no browser tests)."""

import io
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image
from tiny_run import long_document, plain_documents, plain_queries, scored, write_tiny_run

from dashboard.components import text
from dashboard.components.downloads import csv
from dashboard.components.figure import can_draw, picture
from engine.ablation_file import write_ablation, write_top
from engine.analysis.ablation import summarise
from engine.analysis.comparison import agreement, overlap_curve, pair_documents
from engine.analysis.concentration import bootstrap_intervals, concentration_of, cumulative_curve, tail_of
from engine.analysis.inside import pooled_inside
from engine.analysis.ranking import rank_documents
from engine.analysis.rare_tokens import frequency_correlation, token_concentration
from engine.analysis.resampling import drawn_by
from engine.analysis.sources import multipliers
from engine.run import Run
from engine.variants import VariantSettings

RARE, INSIDE = "Rare and frequent tokens", "Inside documents"
LONG = "A prompt that goes on and on, as prompts do. " * 60
PROVENANCE: dict[str, str | float] = {
    "run": "Sample", "model": "TinyStories", "completion_under_study": LONG, "prompt": LONG, "completion": LONG,
    "measurement": text.MEASUREMENTS["contrast"], "influence_unit": "nats per unit of weight",
    "curvature": "EK-FAC", "damping_factor": 0.1, "draws": 200, "seed": 0, "computed": "2026-01-31T12:00:00Z",
}  # fmt: skip

Saved = dict[str, Callable[[], bytes]]
"""From the name of a file that a page offers to what makes it."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with one run; a document's variants and those of all completions are kept."""
    folder = tmp_path_factory.mktemp("runs")
    write_tiny_run(folder / "small_run", [*plain_documents(120), long_document(250)], plain_queries())
    run, settings = Run(folder / "small_run"), VariantSettings()
    for query in range(3):
        document = int(rank_documents(run, query)["document"][0])
        found = scored(run, query, document, settings)
        write_ablation(run.folder, found, settings)
        rows = found.table().assign(query=query, document=document, control=False).to_dict("records")
        write_top(run.folder, query, rows, 1, settings)
    return folder


@pytest.fixture
def run(runs) -> Run:
    return Run(runs / "small_run")


@pytest.fixture
def saved(open_page, runs, monkeypatch) -> Callable[..., Saved]:
    """Opens a page and gives the files it offers."""

    def opened(page: str, **address: str) -> Saved:
        offered: Saved = {}
        monkeypatch.setattr(
            "dashboard.components.downloads._button",
            lambda label, make, file_name, *more, **options: offered.update({file_name: make}),
        )
        open_page(runs, page, **address)
        return offered

    return opened


def read(offered: Saved, name: str) -> pd.DataFrame:
    """A table as the CSV file says it, the same as Parquet does."""
    table = pd.read_csv(io.BytesIO(offered[f"{name}.csv"]()))
    assert list(pd.read_parquet(io.BytesIO(offered[f"{name}.parquet"]()))) == list(table)
    return table


def says(table: pd.DataFrame, **expected: object) -> None:
    """Every row says where it comes from."""
    for name, value in expected.items():
        assert set(table[name]) == {value}, name


def same(table: pd.DataFrame, expected: pd.DataFrame, columns: list[str]) -> None:
    for name in columns:
        pd.testing.assert_series_equal(
            table[name], expected[name].reset_index(drop=True), check_dtype=False, check_names=False
        )


# What each page offers


def test_concentration_offers_its_measures_curves_and_the_fit_of_the_tail(saved, run):
    offered = saved("concentration", sign="Both")
    measures = read(offered, "concentration_measures")
    expected = concentration_of(run, 0, signs=["both"])
    assert measures["value"].tolist()[: len(expected)] == pytest.approx(expected["value"].tolist())
    for name in ("measures", "cumulative_share", "lorenz_curve", "tail", "tail_fit"):
        found = read(offered, f"concentration_{name}")
        says(found, **drawn_by(concentration_of), influence_unit="nats per unit of weight")
        says(found, measurement=text.MEASUREMENTS["log_prob"])
    curve = cumulative_curve(run, 0, sign="both")
    same(read(offered, "concentration_cumulative_share"), curve, list(curve))
    fit = read(offered, "concentration_tail_fit").iloc[0]
    found = asdict(tail_of(run, 0, sign="both", draws=100))
    for name in ("exponent", "standard_error", "x_min", "x_max", "p_value", "nested_p", "vuong_p"):
        assert fit[name] == pytest.approx(found[name])
    assert fit["draws_of_tail_fit"] == 100


def test_concentration_offers_the_correlation_and_the_bars(saved, run):
    offered = saved("concentration", part=RARE)
    tokens = token_concentration(run, sign="positive")
    link = frequency_correlation(tokens, "effective_number", draws=400)
    correlation = read(offered, "completion_tokens_correlation")
    same(correlation, link, list(link))
    says(correlation, draws=400, seed=0, measure="effective_number")
    assert len(read(offered, "completion_tokens_each_token")) == len(tokens)
    offered = saved("concentration", part=INSIDE, sign="Both")
    pooled = pooled_inside(run, 0, sign="both")
    bars = read(offered, "inside_documents_by_place_and_frequency")
    same(bars, pooled, list(pooled))
    says(bars, **drawn_by(pooled_inside), token_influence="position")


def test_compare_offers_what_each_section_shows_with_units_and_draws(saved, run):
    offered = saved("compare", query="q/1", other_query="q/2")
    pairs = pair_documents(run, 0, run, 1).table
    found = read(offered, "comparison_agreement").iloc[0]
    expected = asdict(agreement(pairs["influence"].to_numpy(), pairs["other_influence"].to_numpy()))
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    measures, curves = read(offered, "concentration_measures"), read(offered, "concentration_curves")
    assert measures["side"].tolist() == ["left"] * 3 + ["right"] * 3
    assert set(curves["side"]) == {"left", "right"}
    says(measures, draws=drawn_by(bootstrap_intervals)["draws"], seed=0, left_influence_unit="nats per unit of weight",
         right_measurement=text.MEASUREMENTS["log_prob"])  # fmt: skip
    says(curves, draws=drawn_by(cumulative_curve)["draws"])
    curve = overlap_curve(pairs["rank"].to_numpy(), pairs["other_rank"].to_numpy())
    same(read(offered, "overlap_curve"), curve, list(curve))
    says(read(offered, "sources"), **drawn_by(multipliers))
    says(read(offered, "word_order"), window_words=VariantSettings().window_words, seed=0, hypothetical=True)
    assert set(read(offered, "comparison_documents")["language"]) == {"English", "German"}


def test_word_order_offers_its_table_and_every_draw(saved, run):
    offered = saved("word_order")
    document = int(rank_documents(run, 0)["document"][0])
    summary = summarise(scored(run, 0, document, VariantSettings()).table())
    variants, draws = read(offered, "word_order_variants"), read(offered, "word_order_each_draw")
    assert variants["variant"].tolist()[:2] == ["Original", "Words reversed"]
    assert variants["hypothetical"].tolist() == [False] + [True] * len(summary)
    same(variants.iloc[1:].reset_index(drop=True), summary, ["draws", "influence", "low", "high", "difference_low",
                                                             "ratio", "ratio_high"])  # fmt: skip
    settings = VariantSettings()
    says(draws, draws=settings.draws, seed=settings.seed, window_words=settings.window_words, hypothetical=True)
    assert "Words shuffled within windows of 5 words" in set(draws["variant"])
    page = offered["word_order_variants.html"]().decode()
    assert page.count("hypothetical texts") == 1
    spread = read(offered, "word_order_left")
    says(spread, hypothetical=True, draws=settings.draws, window_words=settings.window_words, resamplings=2000)


def test_sources_offers_languages_by_the_names_it_shows(saved):
    offered = saved("sources", completions="Sum", grouping="Language")
    for name, table in ((name, read(offered, name.removesuffix(".csv"))) for name in offered if name.endswith(".csv")):
        assert set(table["group"]) <= {"English", "German"}, name
        says(table, measurement=text.MEASUREMENTS["log_prob"], seed=0)
    assert set(read(offered, "documents")["language"]) <= {"English", "German"}


def test_no_cell_of_a_table_is_a_formula_in_provenance_either(saved):
    table = saved("influence")["influence.csv"]().decode()
    assert "English" in table
    assert csv(pd.DataFrame({"run": ["=1+1"]})).decode().splitlines()[1] == "'=1+1"


# Pictures


def webgl() -> go.Figure:
    """As Map and Compare draw many documents."""
    places = np.random.default_rng(0).normal(size=(2, 3000))
    figure = go.Figure(go.Scattergl(x=places[0], y=places[1], mode="markers", name="Documents"))
    return figure.update_xaxes(title="Left<br>in two lines").update_yaxes(title="Right")


def drawn(ending: str) -> bytes:
    if not can_draw():
        if os.environ.get("CI"):
            pytest.fail("no Chromium -- pictures are drawn with it -- `apt-get install chromium` puts one there.")
        pytest.skip("no Chromium on this computer: pictures are not drawn")
    return picture(webgl(), PROVENANCE, ending)


def told(body: str) -> None:
    """What a picture must say however long the prompt is."""
    plain = body.replace("\u00a0", " ").replace("\\u00a0", " ")
    for name in ("run", "model", "measurement", "influence_unit", "curvature", "damping_factor", "draws", "computed"):
        assert f"{name.replace('_', ' ')}: {PROVENANCE[name]}" in plain.replace("<br>", ""), name


def test_a_page_of_its_own_holds_the_chart_and_where_it_comes_from():
    page = picture(webgl(), PROVENANCE, "html").decode()
    assert page.startswith("<!doctype html>") and '"type":"scattergl"' in page
    caption = page[page.rindex('"annotations"') :]
    told(caption.replace("\\u003cbr\\u003e", ""))
    assert LONG not in page
    assert "prompt: A prompt that goes on" in caption.replace("\\u00a0", " ").replace("\u00a0", " ")


def test_an_svg_says_where_it_comes_from():
    body = drawn("svg").decode()
    assert body.startswith("<svg")
    lines = "".join(part.split("<", 1)[0] for part in body.split(">")[1:])
    told(lines)


def test_a_png_shows_the_points_of_a_webgl_chart():
    body = drawn("png")
    assert body.startswith(b"\x89PNG")
    image = np.asarray(Image.open(io.BytesIO(body)).convert("RGB")).astype(int)
    assert image.shape[1] == 2 * 1100
    blue = (image[..., 2] - image[..., 0] > 60).mean()
    assert blue > 0.005  # an empty chart has axes in grey only
