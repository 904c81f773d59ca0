"""Review as a reviewer uses it: by keyboard alone, and open to everybody."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from looking import parameters, settled
from playwright.sync_api import Page, expect

from engine.review.events import Reviewer
from engine.review.review import Review, open_review
from engine.run import Run

FIRST_VISIT_MS = 90_000
MANY_TABS = 60
STREAMLITS_OWN = "[data-testid=stFileUploaderDropzone]"
"""Streamlit 1.67 names its drop zone and calls it presentational at once."""


@pytest.fixture
def review(runs) -> Review:
    return open_review(Run(runs / "small"))


@pytest.fixture
def patient_pages(pages):
    """The first visit compares all documents' words: on a busy machine beyond the usual 20 s."""
    expect.set_options(timeout=FIRST_VISIT_MS)
    return pages


def tab_to(page: Page, label: str) -> None:
    """Press Tab until the field of this name has the focus."""
    for _ in range(MANY_TABS):
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == label:
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab does not lead to {label}")


def press(page: Page, key: str, then: str) -> None:
    """Press a key and wait for the document of this title."""
    page.keyboard.press(key)
    expect(page.locator("h3").first).to_have_text(then)
    settled(page)


def labels(review: Review, reviewer: Reviewer) -> dict[int, str]:
    own = {number: one.own for number, one in review.standings(reviewer).items()}
    return {number: one.label for number, one in own.items() if one}


def test_documents_are_decided_and_undone_by_keyboard_alone(patient_pages, review):
    page, tab = patient_pages.open("review?run=Small&queue=All+documents&document=plain-0"), Reviewer("Tab")
    tab_to(page, "Your name")
    page.keyboard.type("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Drop")).to_be_enabled()
    settled(page)
    press(page, "d", "Story number 1")
    press(page, "k", "Story number 2")
    page.keyboard.press("n")
    page.keyboard.type("dkuz, words in a comment")  # no key acts while it is written
    page.keyboard.press("Enter")
    settled(page)
    press(page, "d", "Story number 3")
    assert labels(review, tab) == {0: "Drop", 1: "Keep", 2: "Drop"}
    assert review.standing(2, tab).own.why == "dkuz, words in a comment"
    press(page, "z", "Story number 2")
    assert labels(review, tab) == {0: "Drop", 1: "Keep"}
    press(page, "y", "Story number 2")
    assert labels(review, tab)[2] == "Drop"
    press(page, "b", "Story number 1")
    assert parameters(page)["document"] == "plain-1"
    page.reload()
    settled(page)
    expect(page.locator("h3").first).to_have_text("Story number 1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("part", ["The list", "Decide all at once", "Team", "Export", "Import"])
def test_every_part_is_whole_at_390_pixels_and_bars_nobody(patient_pages, review, part, scheme):
    review.label(Reviewer("Axe"), [4], "Drop", "<b>why</b>")
    patient_pages.page.emulate_media(color_scheme=scheme)
    patient_pages.page.set_viewport_size({"width": 390, "height": 800})
    page = patient_pages.open(f"review?run=Small&queue=All+documents&document=plain-4&part={part.replace(' ', '+')}")
    expect(page.get_by_text("Decisions so far")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    violations = Axe().run(page, context={"exclude": [STREAMLITS_OWN]}).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:120]) for found in violations] == []
