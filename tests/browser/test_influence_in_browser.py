"""The influence page as a reader uses it: mouse, keyboard, address, and documents that mean harm."""

import re
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from looking import click_row, parameters, tables
from playwright.sync_api import Locator, Page, expect
from tiny_run import PAYLOADS, hostile_documents


def strip(page: Page, mode: str = "values") -> Locator:
    return page.locator(f".whence.{mode} .text")


def shown_text(text: Locator) -> str:
    """Text as the browser draws it; what is out of sight is not drawn."""
    text.scroll_into_view_if_needed()
    expect(text).to_have_text(re.compile(r"\S"), use_inner_text=True)
    return text.inner_text()


def answer(page: Page) -> str:
    """The page's sentence, which depends on completion and tokens."""
    return page.get_by_text("raised it most, by").inner_text()


def test_a_completion_is_chosen_by_its_title(pages):
    page = pages.open()
    before = answer(page)
    page.get_by_role("combobox", name="Completion under study").click()
    page.get_by_role("option", name="How much is two plus two?").click()
    expect(strip(page, "choices")).to_contain_text("Two plus two is 四")
    pages.settled()
    assert parameters(page)["query"] == "q/2"
    assert answer(page) != before


def test_clicking_a_row_opens_its_document(pages):
    page = pages.open()
    expect(page.locator("h3").first).to_be_visible()
    before = page.locator("h3").first.inner_text()
    click_row(tables(page).first, 2)
    expect(page.locator("h3").first).not_to_have_text(before)
    opened = page.locator("h3").first.inner_text()
    assert parameters(page)["document"]
    page.reload()
    pages.settled()
    expect(page.locator("h3").first).to_have_text(opened)


def test_choosing_completion_tokens_ranks_anew_and_they_can_be_released(pages):
    page = pages.open()
    whole = answer(page)
    tokens = strip(page, "choices").locator("[role=option]")
    tokens.nth(0).click()
    expect(page.get_by_text("Ranked for 1 chosen token of the completion.")).to_be_visible()
    assert parameters(page)["tokens"] == "0"
    pages.settled()
    assert answer(page) != whole
    tokens.nth(2).click()
    expect(page.get_by_text("Ranked for 2 chosen tokens of the completion.")).to_be_visible()
    assert parameters(page)["tokens"] == "0,2"
    expect(strip(page, "choices").locator("[aria-selected=true]")).to_have_count(2)
    page.get_by_role("button", name="Whole completion").click()
    expect(page.get_by_text("Ranked for the whole completion.")).to_be_visible()
    expect(strip(page, "choices").locator("[aria-selected=true]")).to_have_count(0)
    tokens.nth(2).click()  # the same token as before the release
    expect(page.get_by_text("Ranked for 1 chosen token of the completion.")).to_be_visible()


def test_the_address_restores_the_page_after_a_reload(pages):
    page = pages.open()
    page.get_by_role("radio", name="Lowered it").click()
    page.get_by_role("radio", name="By prediction").click()
    strip(page, "choices").locator("[role=option]").nth(1).click()
    expect(page.get_by_text("Ranked for 1 chosen token")).to_be_visible()
    click_row(tables(page).first, 1)
    expect(page).to_have_url(re.compile("document="))
    pages.settled()
    opened, address = page.locator("h3").first.inner_text(), page.url
    page.reload()
    pages.settled()
    assert page.url == address
    expect(page.locator("h3").first).to_have_text(opened)
    expect(page.get_by_text("Ranked for 1 chosen token")).to_be_visible()
    expect(page.get_by_role("radio", name="By prediction")).to_be_checked()
    expect(page.get_by_role("radio", name="Lowered it")).to_be_checked()


def test_the_strip_is_read_with_the_keyboard(pages):
    page = pages.open("influence?document=plain-3")
    text, status = strip(page), page.locator(".whence.values .status")
    text.press("Home")
    expect(status).to_contain_text("start token")
    text.press("ArrowDown")
    expect(status).to_contain_text("token 12 of 20")  # the first of the second line
    text.press("ArrowUp")
    text.press("ArrowRight")
    expect(status).to_contain_text("token 1 of 20")
    text.press("End")
    expect(status).to_contain_text("token 20 of 20")
    tip = page.locator(".whence.values [role=tooltip]")
    expect(tip).to_contain_text("nats per unit of weight")
    text.press("Escape")
    expect(tip).to_be_hidden()
    text.press("p")
    expect(status).to_contain_text("by strength")
    text.press("Enter")
    expect(page.get_by_text("Pinned:")).to_be_visible()
    assert f"token {int(parameters(page)['token']) + 1} of" in status.inner_text()


def test_the_completion_is_chosen_from_with_the_keyboard(pages):
    page = pages.open()
    choices = strip(page, "choices")
    choices.press("Home")
    choices.press("ArrowRight")
    choices.press("Enter")
    expect(page.get_by_text("Ranked for 1 chosen token")).to_be_visible()
    assert parameters(page)["tokens"] == "1"


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_a_hostile_document_is_text_and_does_nothing(pages, number):
    document = hostile_documents()[number]
    opened = []
    pages.page.on("request", lambda request: opened.append(request.url))
    pages.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page = pages.open(f"influence?query=q/3&document={quote(document['id'], safe='')}")
    shown = shown_text(strip(page))
    assert page.evaluate("window.hacked") is None
    assert (
        page.locator("img[src=x]").count() == page.locator("main a[href*=evil], main a[href^=javascript]").count() == 0
    )
    assert not [url for url in opened if "evil" in url or url.endswith("/x")]
    assert "👩‍🚀" in shown
    assert not re.search("[\u202a-\u202e\u200b\ufeff\U000e0041\x07\x1b]", page.locator("main").inner_text() + shown)
    expected = {0: "<script>window.hacked=1</script>", 1: "**bold** $x^2$ :material/home: <b>b</b>", 2: "⟦RLO⟧abc⟦PDF⟧",
                3: "=1+1 {placeholder} %(format)s \\ ⟦LSEP⟧ end"}  # fmt: skip
    assert expected[number] in shown
    assert expected[number][:20] in page.locator("h3").first.inner_text().replace("\u2060", "")


def test_text_of_the_strip_is_the_documents_text(pages):
    page = pages.open("influence?document=plain-3")
    shown = shown_text(strip(page)).replace("start", "", 1).replace("↵", "")
    assert shown.strip().split("\n") == ["Once there was a story with the number 3.", "It had two lines, and 6 cats."]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_draws_in_both_themes_without_an_error(pages, scheme):
    failures = []
    pages.page.on("pageerror", lambda error: failures.append(str(error)))
    pages.page.emulate_media(color_scheme=scheme)
    background = {}
    for path in ("", "influence"):
        page = pages.open(path)
        background[path] = page.evaluate(
            "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
        )
    expect(page.locator(".js-plotly-plot")).to_be_visible()
    assert set(background.values()) == {{"light": "rgb(255, 255, 255)", "dark": "rgb(21, 22, 27)"}[scheme]}
    assert failures == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["", "influence?tokens=0&document=plain-3"])
def test_no_page_bars_readers_who_depend_on_contrast_names_or_structure(pages, path, scheme):
    pages.page.emulate_media(color_scheme=scheme)
    page = pages.open(path)
    violations = Axe().run(page).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:120]) for found in violations] == []


def test_a_bad_address_falls_back_to_a_page_that_answers(pages):
    page = pages.open(
        "influence?query=%3Cscript%3E&tokens=9,9,x&document=nothing&by=magic&direction=up&kind=%00&token=-5"
    )
    expect(page.get_by_text("raised it most, by")).to_be_visible()


@pytest.mark.usefixtures("on_sample")
def test_the_sample_answers_too(pages):
    page = pages.open("?run=Sample")
    page.get_by_role("link", name="Which documents made the model say this?").click()
    expect(page.get_by_text("raised it most, by")).to_be_visible()
    expect(strip(page)).to_be_visible()


def test_of_a_document_of_fifty_thousand_tokens_only_what_is_in_sight_is_drawn(pages):
    """Drawn whole it takes twice as long, 8 s rather than 4 s on two idle cores."""
    page = pages.open("influence?document=long")
    expect(strip(page)).to_contain_text("fish number 199")
    expect(page.locator(".js-plotly-plot")).to_be_visible()
    is_drawn = "one => one.checkVisibility({ contentVisibilityAuto: true })"
    first, last = (page.locator(".whence.values .unit").nth(place) for place in (0, -1))
    first.scroll_into_view_if_needed()
    page.wait_for_function(is_drawn, arg=first.element_handle())  # scrolled to, it is drawn with the next frame
    assert not last.evaluate(is_drawn)
    strip(page).press("End")
    expect(page.locator(".whence.values .status")).to_contain_text("of 50,000")
