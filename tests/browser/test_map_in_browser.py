"""The map page as a reader uses it: the lasso, its table, the address, the download, narrow and dark."""

import re

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from looking import parameters
from playwright.sync_api import Page, expect

from engine.document_map import DocumentMap, MapSettings, write_map
from engine.run import Run

SLOW_MS = 300_000  # UMAP's first start compiles for half a minute on an idle core


@pytest.fixture(scope="module", autouse=True)
def mapped(runs):
    """A made-up map of the small run: its documents in a row, from left to right."""
    run = Run(runs / "small")
    count = len(run.documents)
    places = np.array([[n, np.sin(n)] for n in range(count)], dtype=np.float32)
    write_map(run.folder, DocumentMap(np.arange(count), places, MapSettings(), count, 1.0))
    return count


def corner(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the map lies in the window."""
    found = page.evaluate(
        """([x, y]) => {
            const plot = document.querySelector('.st-key-map_of_documents .js-plotly-plot');
            const box = plot.getBoundingClientRect(), {xaxis, yaxis} = plot._fullLayout;
            return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
        }""",
        [x, y],
    )
    return found[0], found[1]


def draw(page: Page, corners: list[tuple[float, float]]) -> None:
    """Drag the mouse around an area of the map."""
    page.locator(".st-key-map_of_documents .js-plotly-plot").scroll_into_view_if_needed()
    page.wait_for_timeout(800)
    page.mouse.move(*corner(page, *corners[0]))
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(*corner(page, x, y), steps=8)
    page.mouse.up()


def test_a_lasso_lists_its_documents_and_the_address_keeps_it(pages, mapped):
    page = pages.open("map?run=Small")
    expect(page.get_by_text(f"All {mapped} documents of the map")).to_be_visible()
    draw(page, [(-0.4, -1.2), (2.5, -1.2), (2.5, 1.2), (-0.4, 1.2), (-0.4, -1.1)])
    expect(page.get_by_text(f"3 of {mapped} documents lie in the area you drew.")).to_be_visible()
    assert parameters(page)["area"]
    page.reload()
    pages.settled()
    expect(page.get_by_text(f"3 of {mapped} documents lie in the area you drew.")).to_be_visible()
    page.get_by_role("button", name="Clear the area").click()
    expect(page.get_by_text(f"All {mapped} documents of the map")).to_be_visible()
    assert "area" not in parameters(page)


def test_a_box_does_so_too_and_the_download_is_what_the_table_shows(pages, mapped, tmp_path):
    page = pages.open("map?run=Small&tool=Box&colour=Source")
    draw(page, [(2.5, -1.3), (5.5, 1.3)])
    expect(page.get_by_text(f"3 of {mapped} documents lie in the area you drew.")).to_be_visible()
    pages.settled()
    page.get_by_role("button", name="Download", exact=True).click()
    with page.expect_download() as caught:
        page.get_by_role("button", name="Parquet").click()
    caught.value.save_as(tmp_path / "saved.parquet")
    saved = pd.read_parquet(tmp_path / "saved.parquet")
    assert saved["id"].tolist() == ["plain-3", "plain-4", "plain-5"]
    assert set(saved["laid_out_by"]) == {"words"}


def test_clicking_a_point_leads_to_its_document(pages):
    page = pages.open("map?run=Small&colour=Source&tool=Click")
    page.locator(".st-key-map_of_documents .js-plotly-plot").scroll_into_view_if_needed()
    page.wait_for_timeout(800)
    page.mouse.click(*corner(page, 4, float(np.sin(4))))
    expect(page).to_have_url(re.compile("document=plain-4"))
    page.get_by_role("link", name="Open it on the influence page").click()
    expect(page.locator("h3").first).to_have_text("Story number 4")


def test_a_map_is_computed_when_asked_for(pages, on_sample):
    """The real thing on the sample: the worker reads the words, UMAP lays them out, the page shows the map."""
    (on_sample / "map" / "words.parquet").unlink(missing_ok=True)
    page = pages.open("map?run=Sample&colour=Source")
    page.get_by_role("button", name="Compute the map").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.get_by_text("have its source (chance:")).to_be_visible(timeout=SLOW_MS)
    count = len(Run(on_sample).documents)
    expect(page.get_by_text(f"All {count:,} documents. UMAP with 15 neighbours")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("colour", ["Influence", "Language"])
def test_it_is_whole_at_390_pixels_in_both_themes(pages, scheme, colour):
    failures = []
    pages.page.on("pageerror", lambda error: failures.append(str(error)))
    pages.page.emulate_media(color_scheme=scheme)
    pages.page.set_viewport_size({"width": 390, "height": 800})
    page = pages.open(f"map?run=Small&colour={colour}")
    expect(page.locator(".st-key-map_of_documents .js-plotly-plot")).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    violations = Axe().run(page).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:120]) for found in violations] == []
    assert failures == []
