"""What the browser tests share: when a page is drawn, what its address says, clicks on rows, and downloads."""

from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect

ROW_PX, HEADER_PX = 35, 36
STILL_MS, LOOKS = 300, 50


def parameters(page: Page) -> dict[str, str]:
    """What the address says after its question mark."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def settled(page: Page) -> None:
    """Wait until the page has been drawn to its end.

    The script ending is not enough: the browser fetches the code of each kind of control when it first draws one, and
    until then a grey bar stands in its place, its key does nothing, and a token strip has no text.
    """
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_attached()
    expect(page.locator("h1")).to_be_visible()
    page.evaluate("() => document.fonts.ready")
    page.wait_for_timeout(STILL_MS)
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_attached()
    for unfinished in (page.get_by_test_id("stSkeleton"), page.locator(".whence .text:empty")):
        expect(unfinished).to_have_count(0)


def can_decide(page: Page) -> None:
    """Wait until a reviewer's keys act."""
    expect(page.get_by_role("button", name="Drop").first).to_be_enabled()
    settled(page)


def tables(page: Page) -> Locator:
    """The tables of the page."""
    return page.get_by_test_id("stDataFrameResizable")


def open_downloads(page: Page) -> None:
    """Open the page's first list of downloads; a table's own toolbar has a button of that name too."""
    page.get_by_test_id("stPopover").get_by_role("button", name="Download").first.click()


def click_row(table: Locator, row: int) -> None:
    """Click the box at a row's left once the page is drawn, which replaces tables, and the table is still."""
    settled(table.page)
    expect(table.get_by_test_id("data-grid-canvas")).to_be_visible()
    table.scroll_into_view_if_needed()
    before = None
    for _ in range(LOOKS):
        place = table.bounding_box()
        if place == before:
            break
        before = place
        table.page.wait_for_timeout(STILL_MS)
    table.click(position={"x": 12, "y": HEADER_PX + ROW_PX * row + 16})
