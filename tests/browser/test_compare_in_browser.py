"""The compare page as a reader uses it: choices, points, rows, address, download, narrow and dark."""

import re

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from looking import click_row, open_downloads, parameters, tables
from playwright.sync_api import Page, expect

ANSWER = re.compile(r"The two rankings share \d+ of the ten strongest documents")


def chart(page: Page, key: str):
    return page.locator(f".st-key-{key} .js-plotly-plot")


def point(page: Page, key: str, trace: int, number: int) -> tuple[float, float]:
    """Where a point of a chart lies in the window."""
    chart(page, key).scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    x, y = page.evaluate(
        """([key, trace, number]) => {
            const plot = document.querySelector(`.st-key-${key} .js-plotly-plot`);
            const box = plot.getBoundingClientRect(), {xaxis, yaxis} = plot._fullLayout;
            const drawn = plot._fullData[trace];
            return [box.left + xaxis._offset + xaxis.d2p(drawn.x[number]),
                    box.top + yaxis._offset + yaxis.d2p(drawn.y[number])];
        }""",
        [key, trace, number],
    )
    return x, y


@pytest.mark.usefixtures("on_sample")
def test_two_completions_are_chosen_and_swapped(pages):
    page = pages.open("compare?run=Sample")
    expect(page.get_by_text(ANSWER)).to_be_visible()
    box = page.get_by_role("combobox", name="Right completion")
    box.click()
    page.get_by_role("option").nth(3).click()
    expect(page).to_have_url(re.compile("other_query="))
    pages.settled()
    right = parameters(page)["other_query"]
    answer = page.get_by_text(ANSWER).inner_text()
    page.get_by_role("button", name="Swap left and right").click()
    expect(page).to_have_url(re.compile(rf"[?&]query={re.escape(right)}"))
    pages.settled()
    assert page.get_by_text(ANSWER).inner_text() == answer  # what two rankings share does not depend on their order
    page.reload()
    pages.settled()
    assert parameters(page)["query"] == right
    assert page.get_by_text(ANSWER).inner_text() == answer


def test_clicking_a_point_shows_its_document_and_leads_to_it(pages):
    page = pages.open("compare?run=Small")
    expect(chart(page, "compare_scatter")).to_be_visible()
    page.mouse.click(*point(page, "compare_scatter", 0, 0))
    expect(page).to_have_url(re.compile("document="))
    card = page.locator(".st-key-picked_document")
    expect(card).to_contain_text("Left: rank")
    title, document = card.locator("h3").inner_text(), parameters(page)["document"]
    page.reload()
    pages.settled()
    expect(card.locator("h3")).to_have_text(title)
    card.get_by_role("link", name="Open it for the right completion").click()
    expect(page.get_by_text("raised it most, by")).to_be_visible()
    assert parameters(page)["document"] == document
    expect(page.locator("h3").first).to_have_text(title)


def test_clicking_a_row_shows_its_document(pages):
    page = pages.open("compare?run=Small")
    click_row(tables(page).first, 1)
    expect(page.locator(".st-key-picked_document")).to_contain_text("Left: rank 2")


def test_the_download_holds_the_table_in_its_order(pages, tmp_path):
    page = pages.open("compare?run=Small&order=Right+first")
    open_downloads(page)
    with page.expect_download() as caught:
        page.get_by_role("button", name="Parquet").first.click()
    caught.value.save_as(tmp_path / "saved.parquet")
    saved = pd.read_parquet(tmp_path / "saved.parquet")
    assert saved["other_rank"].tolist() == list(range(1, len(saved) + 1))
    assert {"left_run", "right_damping_factor", "other_influence", "title"} <= set(saved)


@pytest.mark.usefixtures("on_sample")
def test_another_run_says_what_differs_or_what_is_missing(pages):
    page = pages.open("compare?run=Sample")
    page.get_by_role("combobox", name="Run on the right").click()
    page.get_by_role("option", name="Small").click()
    expect(page.get_by_text("no scored document in common")).to_be_visible()
    expect(page.get_by_text("The two runs differ in:")).to_be_visible()


@pytest.mark.usefixtures("on_sample")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_whole_at_390_pixels_in_both_themes(pages, scheme):
    failures = []
    pages.page.on("pageerror", lambda error: failures.append(str(error)))
    pages.page.emulate_media(color_scheme=scheme)
    pages.page.set_viewport_size({"width": 390, "height": 800})
    page = pages.open("compare?run=Sample")
    expect(chart(page, "compare_sources")).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    violations = Axe().run(page).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:120]) for found in violations] == []
    assert failures == []
