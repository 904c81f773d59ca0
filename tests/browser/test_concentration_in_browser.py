"""The concentration page as a reader uses it: tokens, tabs, points, address, downloads, narrow and dark."""

import io
from pathlib import Path
from urllib.parse import quote_plus

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from looking import open_downloads, parameters
from playwright.sync_api import Page, expect

from engine.analysis.concentration import concentration_of
from engine.analysis.rare_tokens import token_concentration
from engine.run import Run

DOCUMENTS, RARE, INSIDE = "Among documents", "Rare and frequent tokens", "Inside documents"
NARROW = {"width": 390, "height": 844}


def part(name: str) -> str:
    return f"concentration?part={quote_plus(name)}"


def downloaded(page: Page) -> pd.DataFrame:
    """The first table behind the page's first download button, as CSV."""
    open_downloads(page)
    with page.expect_download() as found:
        page.get_by_test_id("stPopoverBody").get_by_role("button", name="CSV").first.click()
    return pd.read_csv(io.BytesIO(Path(found.value.path()).read_bytes()))


def test_choosing_a_token_measures_anew_and_a_reload_restores_the_page(pages):
    page = pages.open("concentration")
    before = page.locator("h2").first.inner_text()
    page.get_by_role("radio", name="Both").click()
    page.locator(".whence.choices [role=option]").nth(1).click()
    expect(page.get_by_text("Measured for 1 chosen token")).to_be_visible()
    pages.settled()
    answer, address = page.locator("h2").first.inner_text(), page.url
    assert answer != before
    assert "raised or lowered this token" in answer
    assert parameters(page) == {"sign": "Both", "tokens": "1"}
    page.reload()
    pages.settled()
    assert page.url == address
    expect(page.locator("h2").first).to_have_text(answer)
    expect(page.get_by_role("radio", name="Both")).to_be_checked()


def test_a_point_leads_to_its_documents_and_to_the_influence_page(pages):
    page = pages.open("concentration")
    page.get_by_role("tab", name=RARE).click()
    expect(page.get_by_text("Choose a point, or a row")).to_be_visible()
    pages.settled()
    page.locator(".js-plotly-plot .scatterlayer .trace").nth(1).locator(".point").first.click(force=True)
    expect(page.get_by_text("times in the corpus, in")).to_be_visible()
    pages.settled()
    assert parameters(page)["part"] == RARE
    assert parameters(page)["point"] == "q/1:0"
    page.reload()
    pages.settled()
    expect(page.get_by_text("times in the corpus, in")).to_be_visible()
    page.get_by_role("link", name="All its documents").click()
    expect(page.get_by_text("Ranked for 1 chosen token of the completion.")).to_be_visible()
    assert parameters(page)["query"] == "q/1"
    assert parameters(page)["tokens"] == "0"


def test_the_downloaded_measures_are_those_of_the_page(pages, runs):
    table = downloaded(pages.open("concentration?sign=Lowered+it&tokens=0,2"))
    expected = concentration_of(Run(runs / "small"), 0, [0, 2], signs=["negative"])
    assert table["value"].tolist()[: len(expected)] == pytest.approx(expected["value"].tolist())
    assert table["shuffled_high"].tolist()[: len(expected)] == pytest.approx(expected["shuffled_high"].tolist())
    assert set(table["run"]) == {"Small"}
    assert set(table["influence_that"]) == {"lowered"}
    assert set(table["completion_tokens"]) == {"0,2"}


def test_the_downloaded_tokens_are_those_of_the_chart(pages, runs):
    table = downloaded(pages.open(part(RARE)))
    expected = token_concentration(Run(runs / "small"), sign="positive")
    assert table["effective_number"].tolist() == pytest.approx(expected["effective_number"].tolist())
    assert table["occurrences"].tolist() == expected["occurrences"].tolist()
    assert "prompt" not in table  # of every completion, not of one


@pytest.mark.parametrize("name", [DOCUMENTS, RARE, INSIDE])
def test_on_a_narrow_screen_nothing_hangs_over(pages, name):
    pages.page.set_viewport_size(NARROW)
    page = pages.open(part(name))
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    wide = page.evaluate(
        "[...document.querySelectorAll('[data-testid=stMain] *')].filter(e => e.checkVisibility() && "
        f"e.matches('h1, h2, p, button, .js-plotly-plot') && e.getBoundingClientRect().right > {NARROW['width']}"
        " && !e.closest('[role=tablist]')).map(e => e.outerHTML.slice(0, 90))"
    )
    assert wide == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [DOCUMENTS, RARE, INSIDE])
def test_no_part_bars_readers_who_depend_on_contrast_names_or_structure(pages, name, scheme):
    failures = []
    pages.page.on("pageerror", lambda error: failures.append(str(error)))
    pages.page.emulate_media(color_scheme=scheme)
    page = pages.open(part(name))
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    violations = Axe().run(page).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:160]) for found in violations] == []
    assert failures == []


@pytest.mark.usefixtures("on_sample")
def test_the_sample_answers_in_all_three_parts(pages):
    page = pages.open("concentration?run=Sample")
    for name, said in ((DOCUMENTS, "effective number"), (RARE, "Rank correlation"), (INSIDE, "with stored tokens")):
        page.get_by_role("tab", name=name).click()
        expect(page.get_by_text(said).first).to_be_visible()
