"""The word-order page as a reader uses it, with the worker at work on the sample."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from looking import open_downloads, parameters
from playwright.sync_api import Locator, Page, expect

from engine.worker_process import stop_worker

PATIENCE_MS = 180_000  # the worker loads its libraries and the model first
PATH = "word-order?run=Sample"
ANSWER = re.compile("Reversing the words|within the noise|No variant")

pytestmark = pytest.mark.usefixtures("on_sample")


@pytest.fixture(scope="module", autouse=True)
def _worker_ends(runs: Path) -> Iterator[None]:
    yield
    stop_worker(runs)


def opened(pages, more: str = "") -> Page:
    """The page once the worker has scored the document."""
    page = pages.open(PATH + more)
    expect(page.get_by_role("heading", name=ANSWER).first).to_be_visible(timeout=PATIENCE_MS)
    pages.settled()
    expect(strips(page).first).to_be_visible()
    return page


def strips(page: Page) -> Locator:
    return page.locator(".whence.linked")


def long_token(strip: Locator) -> Locator:
    """A token that is a word's part of some length."""
    return strip.locator(".scored:not(:has(.start))").filter(has_text=re.compile(r"\w{3,}")).first


def marked(page: Page) -> list[str]:
    """Text marked in each strip that marks any."""
    found = [strip.locator(".same").all_text_contents() for strip in strips(page).all()]
    return ["".join(texts).strip() for texts in found if texts]


def test_opening_the_page_scores_the_strongest_document_and_shows_its_variants(pages):
    page = opened(pages)
    expect(strips(page).nth(3)).to_be_attached()
    expect(page.get_by_text("hypothetical").first).to_be_visible()
    assert page.get_by_text("of the original").count() + page.get_by_text("no share").count() >= 3


def test_pointing_at_a_word_marks_it_in_every_variant(pages):
    page = opened(pages)
    token = long_token(strips(page).first)
    token.hover()
    expect(strips(page).nth(1).locator(".same").first).to_be_attached()
    same = marked(page)
    assert len(same) >= 3
    assert token.inner_text().strip() in same[0]
    assert {one.strip() for one in same} == {same[0]}
    page.mouse.move(2, 2)
    expect(page.locator(".same")).to_have_count(0)


def test_the_keyboard_marks_words_too(pages):
    page = opened(pages)
    text = strips(page).nth(1).locator(".text")
    text.press("End")
    text.press("ArrowLeft")
    for _ in range(4):
        if len(marked(page)) >= 3:
            break
        text.press("ArrowLeft")
    assert len(marked(page)) >= 3


def test_a_pinned_word_is_told_and_restored_from_the_address(pages):
    page = opened(pages)
    long_token(strips(page).first).click()
    expect(page.get_by_text("Pinned:")).to_be_visible()
    told, address = page.get_by_text("Pinned:").inner_text(), page.url
    assert parameters(page)["word"].isdecimal()
    pages.settled()
    page.reload()
    pages.settled()
    expect(page.get_by_text("Pinned:")).to_have_text(told)
    assert page.url == address


def test_the_chosen_variants_and_the_document_are_in_the_address(pages):
    page = opened(pages)
    page.get_by_role("combobox", name="Document").click()
    page.get_by_role("option").nth(1).click()
    expect(page).to_have_url(re.compile("document="))
    pages.settled()
    expect(page.get_by_role("heading", name=ANSWER).first).to_be_visible(timeout=PATIENCE_MS)
    pages.settled()
    expect(strips(page).first).to_be_visible()
    count = strips(page).count()
    page.get_by_role("button", name="Words shuffled", exact=True).click()
    expect(strips(page)).to_have_count(count - 1)
    assert "show" in parameters(page)
    chosen = page.get_by_role("combobox", name="Document").input_value()
    page.reload()
    expect(strips(page)).to_have_count(count - 1)
    assert page.get_by_role("combobox", name="Document").input_value() == chosen


def test_a_readers_text_is_scored_beside_the_original(pages):
    page = opened(pages)
    before = strips(page).count()
    page.get_by_text("Try a text of your own").click()
    area = page.get_by_label("Your text in the document's place")
    area.fill("A text that stands for no document.")
    page.get_by_role("button", name="Score this text").click()
    expect(page.get_by_text("Your edit").first).to_be_visible(timeout=PATIENCE_MS)
    expect(strips(page)).to_have_count(before + 1)
    expect(strips(page).nth(1)).to_contain_text("stands for no document")
    assert re.fullmatch("[0-9a-f]{16}", parameters(page)["edit"])


def test_the_download_is_what_the_strips_show(pages):
    page = opened(pages)
    open_downloads(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).nth(1).click()  # the first has means over draws
    table = pd.read_csv(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert {"variant", "draw", "influence", "difference", "ratio", "noise", "text", "run", "model"} <= set(table)
    assert table["hypothetical"].all()
    assert table["draw"].max() == 3
    reversed_words = table[table["variant"] == "Words reversed"].iloc[0]
    shown = strips(page).nth(1).locator(".text").text_content() or ""  # text out of sight has no inner text
    assert shown.replace("start", "", 1).replace("↵", "").split()[:5] == reversed_words["text"].split()[:5]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readers_who_depend_on_contrast_or_names_are_not_barred(pages, scheme):
    pages.page.emulate_media(color_scheme=scheme)
    page = opened(pages, "&word=1")
    violations = Axe().run(page).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:160]) for found in violations] == []


def test_a_phone_needs_no_sideways_scrolling(pages):
    pages.page.set_viewport_size({"width": 390, "height": 844})
    page = opened(pages)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    wide = page.evaluate(
        "[...document.querySelectorAll('[data-testid=stMain] *')].filter(e => e.getBoundingClientRect().right > 391 "
        "&& e.checkVisibility() && !e.closest('.js-plotly-plot, [data-testid=stDataFrame], [role=listbox]'))"
        ".map(e => e.outerHTML.slice(0, 120))"
    )
    assert wide == []
