"""The story told by keyboard alone, on the sample."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from looking import parameters, settled
from playwright.sync_api import Page, expect

from engine.worker_process import stop_worker

PATH, STEPS = "story?run=Sample", 5
pytestmark = pytest.mark.usefixtures("on_sample")
PATIENCE_MS = 180_000  # the worker loads its libraries and the model first
MENU = "[data-testid=stTopNavLink]"


@pytest.fixture(scope="module", autouse=True)
def _worker_ends(runs: Path) -> Iterator[None]:
    yield
    stop_worker(runs)


def at(page: Page, step: int) -> str:
    """The title of a step once it is shown."""
    expect(page.get_by_text(f"{step} of {STEPS}", exact=True)).to_be_visible()
    settled(page)
    return page.locator("h1").inner_text()


def test_it_is_told_by_keyboard_alone(pages):
    page = pages.open(PATH)
    titles = [at(page, 1)]
    for step in range(2, STEPS + 1):
        page.keyboard.press("ArrowRight")
        titles.append(at(page, step))
        assert parameters(page)["step"] == str(step)
    assert len(set(titles)) == STEPS
    page.keyboard.press("ArrowRight")
    assert at(page, STEPS) == titles[-1]
    for step in range(STEPS - 1, 0, -1):
        page.keyboard.press("ArrowLeft")
        assert at(page, step) == titles[step - 1]


def test_one_key_hides_the_menu_and_brings_it_back(pages):
    page = pages.open(PATH)
    expect(page.locator(MENU).first).to_be_visible()
    expect(page.get_by_role("combobox", name="Run in use")).to_be_visible()
    page.keyboard.press("p")
    expect(page.locator(MENU).first).to_be_hidden()
    expect(page.get_by_role("combobox", name="Run in use")).to_be_hidden()
    page.reload()
    settled(page)
    expect(page.locator(MENU).first).to_be_hidden()
    page.keyboard.press("p")
    expect(page.locator(MENU).first).to_be_visible()


def test_inside_the_text_arrow_keys_move_from_word_to_word_and_not_from_step_to_step(pages):
    page = pages.open(f"{PATH}&step=3")
    strip = page.locator(".whence .text")
    strip.press("ArrowRight")
    strip.press("ArrowRight")
    expect(page.locator(".whence .active")).to_be_visible()
    assert at(page, 3) and parameters(page)["step"] == "3"


def test_what_is_left_without_order_arrives_by_itself(pages):
    page = pages.open(f"{PATH}&step=4")
    expect(page.get_by_text(re.compile("words would have|no share of it"))).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_test_id("stPlotlyChart").locator(".main-svg").first).to_be_attached()


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_it_bars_nobody(pages, step):
    page = pages.open(f"{PATH}&step={step}")
    violations = Axe().run(page).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:120]) for found in violations] == []
