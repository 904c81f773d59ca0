"""The sources page as a reader uses it: choose a group, choose a source, go to a document, take the numbers away."""

import io

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from looking import click_row, parameters, tables
from playwright.sync_api import Page, expect

from engine.analysis.sources import multipliers, queries_by_kind, rank_by_mean
from engine.run import Run

NARROW = {"width": 390, "height": 844}


def answer(page: Page) -> str:
    return page.locator("h2").first.inner_text()


def test_choosing_completions_answers_anew_and_stays_after_a_reload(pages):
    page = pages.open("sources")
    before = answer(page)
    page.get_by_role("combobox", name="Completions", exact=True).click()
    page.get_by_role("option", name="All completions").click()
    expect(page.get_by_text("(All completions: 3 completions.)")).to_be_visible()
    page.get_by_role("radio", name="Language").click()
    page.get_by_role("radio", name="Tokens").click()
    expect(page.get_by_text("Of the tokens of the 10 documents that raised each completion most")).to_be_visible()
    pages.settled()
    found, address = answer(page), page.url
    assert found != before
    assert parameters(page) == {"completions": "All completions", "grouping": "Language", "counted": "Tokens"}
    page.reload()
    pages.settled()
    assert (answer(page), page.url) == (found, address)


def test_clicking_a_row_puts_its_source_into_focus_and_lists_its_documents(pages):
    page = pages.open("sources?completions=Sum&focus=Books")
    expect(page.get_by_role("heading", name="Documents: Books")).to_be_visible()
    click_row(tables(page).first, 1)
    expect(page.get_by_role("heading", name="Documents: Web")).to_be_visible()
    assert parameters(page) == {"completions": "Sum", "focus": "Web"}
    page.reload()
    pages.settled()
    expect(page.get_by_role("heading", name="Documents: Web")).to_be_visible()
    page.get_by_role("radio", name="Language").click()  # Web is no language
    expect(page.get_by_role("heading", name="Documents: English")).to_be_visible()
    expect(page.get_by_text("The link names")).to_have_count(0)
    assert "focus" not in parameters(page)


def test_a_document_opens_on_the_completion_it_raised_most(pages, runs):
    table = rank_by_mean(Run(runs / "small"), [1, 2])
    first = table[(table["group"] == "Books") & (table["influence"] > 0)].iloc[0]
    page = pages.open("sources?completions=Sum&focus=Books")
    click_row(tables(page).last, 0)
    expect(page.get_by_role("heading", name="Which documents made the model say this?")).to_be_visible()
    pages.settled()
    assert parameters(page)["document"] == first["id"]
    assert parameters(page)["query"] == f"q/{first['raised_most'] + 1}"
    expect(page.locator("h3").first).to_contain_text(first["title"])


def test_two_groups_stand_side_by_side(pages):
    page = pages.open("sources?completions=Sum&beside=Story")
    expect(page.get_by_text("(Sum: 2 completions; Story: 1 completion.")).to_be_visible()
    expect(page.get_by_text("Raised most: Story")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(6)
    tops = page.locator(".js-plotly-plot").evaluate_all("all => all.slice(0, 4).map(one => one.layout.yaxis.range[1])")
    assert len(set(tops)) == 1


def test_the_download_holds_what_the_table_shows(pages, runs):
    page = pages.open("sources?completions=Sum&k=17")
    page.get_by_test_id("stPopover").get_by_role("button", name="Download").nth(1).click()
    with page.expect_download() as waiting:
        page.get_by_test_id("stPopoverBody").get_by_role("button", name="CSV").click()
    saved = pd.read_csv(io.BytesIO(waiting.value.path().read_bytes()))
    run = Run(runs / "small")
    table = multipliers(run, queries_by_kind(run)["Sum"])
    expected = table[table["k"] == 17].reset_index(drop=True)
    for name in ("end", "k", "multiplier", "low", "high", "null_low", "null_high", "documents"):
        pd.testing.assert_series_equal(saved[name], expected[name], check_dtype=False)
    assert (saved["queries"] == "Sum").all() and (saved["run"] == "Small").all()
    assert (saved["shares_counted_in"] == "documents").all() and (saved["resamplings"] == 200).all()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["sources?completions=Sum", "sources?completions=Sum&beside=Story&grouping=Language"])
def test_the_page_bars_nobody_and_draws_without_an_error(pages, path, scheme):
    failures = []
    pages.page.on("pageerror", lambda error: failures.append(str(error)))
    pages.page.emulate_media(color_scheme=scheme)
    page = pages.open(path)
    violations = Axe().run(page).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:120]) for found in violations] == []
    assert failures == []


def test_a_phone_needs_no_scrolling_sideways(pages):
    pages.page.set_viewport_size(NARROW)
    page = pages.open("sources?completions=Sum&beside=Story")
    expect(tables(page).first).to_be_visible()
    main = page.get_by_test_id("stMain")
    assert main.evaluate("one => one.scrollWidth <= one.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    for chart in page.locator(".js-plotly-plot").all():
        box = chart.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= NARROW["width"]


def test_names_that_mean_harm_are_text(pages):
    opened = []
    pages.page.on("request", lambda request: opened.append(request.url))
    page = pages.open("sources?completions=All completions")
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x], a[href*=evil], a[href^=javascript]").count() == 0
    assert not [url for url in opened if "evil" in url or url.endswith("/x")]


@pytest.mark.usefixtures("on_sample")
def test_the_sample_answers_too(pages):
    page = pages.open("sources?run=Sample")
    expect(page.locator("h2").first).to_contain_text("documents that raised each")
    expect(tables(page)).to_have_count(3)
