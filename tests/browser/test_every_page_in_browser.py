"""What holds of every page on the sample: whole at both widths, in both themes, without an error."""

import io
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from looking import open_downloads
from playwright.sync_api import Page, TimeoutError, expect

from engine.analysis.ranking import rank_documents
from engine.run import Run

PAGES = (
    "?run=Sample", "story?run=Sample", "story?run=Sample&step=5", "influence?run=Sample", "concentration?run=Sample",
    "concentration?run=Sample&part=Rare+and+frequent+tokens", "concentration?run=Sample&part=Inside+documents",
    "sources?run=Sample", "word-order?run=Small", "findings?run=Sample", "compare?run=Sample", "map?run=Sample",
    "review?run=Sample", "review?run=Small&part=Team", "trust?run=Sample",
)  # fmt: skip
BACKGROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 22, 27)"}
HANGING_OVER = """width => [...document.querySelectorAll("[data-testid=stMain] *")]
    .filter(one => one.matches("h1, h2, h3, p, button, .js-plotly-plot"))
    .filter(one => one.checkVisibility() && one.getBoundingClientRect().right > width + 1)
    .filter(one => !one.closest("[role=tablist], [role=listbox]"))
    .map(one => one.outerHTML.slice(0, 100))"""
pytestmark = pytest.mark.usefixtures("on_sample")


def is_whole(page: Page, width: int) -> None:
    """Every chart is drawn, nothing failed, and nothing is wider than the window once the charts have followed it."""
    for chart in page.get_by_test_id("stPlotlyChart").all():
        expect(chart.locator(".main-svg").first).to_be_attached()
    expect(page.get_by_test_id("stException")).to_have_count(0)
    with suppress(TimeoutError):
        page.wait_for_function(f"width => ({HANGING_OVER})(width).length == 0", arg=width)
    assert page.evaluate(HANGING_OVER, width) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("path", PAGES)
def test_it_is_whole_at_both_widths_and_in_both_themes(pages, path):
    """Opened as on a phone, then changed without a reload: a page that did not follow would fail too."""
    failures = []
    pages.page.on("pageerror", lambda error: failures.append(str(error)))
    for width, scheme in ((390, "light"), (390, "dark"), (1280, "dark"), (1280, "light")):
        pages.page.set_viewport_size({"width": width, "height": 900})
        pages.page.emulate_media(color_scheme=scheme)
        if pages.page.url == "about:blank":
            pages.open(path)
        expect(pages.page.get_by_test_id("stApp")).to_have_css("background-color", BACKGROUND[scheme])
        pages.settled()
        is_whole(pages.page, width)
    assert failures == []


def test_the_table_of_influences_is_taken_away_as_it_is_shown(pages, on_sample):
    page = pages.open("influence?run=Sample&direction=Lowered+it")
    open_downloads(page)
    with page.expect_download() as caught:
        page.get_by_role("button", name="CSV", exact=True).first.click()
    saved = pd.read_csv(io.BytesIO(Path(caught.value.path()).read_bytes()))
    ranking = rank_documents(Run(on_sample), 0)
    lowered = ranking[ranking["influence"] < 0].iloc[::-1]
    assert saved["rank"].tolist() == lowered["rank"].tolist()
    assert saved["influence"].tolist() == pytest.approx(lowered["influence"].tolist(), rel=1e-6)
    assert set(saved["measurement"]) == {"Log-probability of the completion"}


def test_a_figure_is_taken_away_as_svg(pages):
    page = pages.open("concentration?run=Sample")
    open_downloads(page)
    with page.expect_download(timeout=60_000) as caught:
        page.get_by_role("button", name="SVG", exact=True).first.click()
    drawn = Path(caught.value.path()).read_text(encoding="utf-8")
    assert drawn.startswith("<svg")
    assert "damping factor" in drawn.replace("\u00a0", " ")
