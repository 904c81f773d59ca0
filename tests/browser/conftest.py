"""A server on a small run with hostile documents, and Debian's chromium to look at it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from looking import settled
from playwright.sync_api import Browser, Page, expect
from serving import CHROMIUM, QUIET, served
from tiny_run import hostile_documents, long_document, plain_documents, plain_queries, write_tiny_run

GET_ONE = (
    f"no browser at {CHROMIUM} -- `apt-get install chromium` puts one there, or name another in WHENCE_CHROMIUM; "
    "`playwright install` is not needed."
)
PATIENCE_MS = 60_000  # a page takes a second or two; the other test process may keep both cores busy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser these tests are skipped, but never silently where CI runs them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")
            if not Path(CHROMIUM).exists() and not os.environ.get("CI"):
                item.add_marker(pytest.mark.skip(reason=GET_ONE))


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, object]:
    if not Path(CHROMIUM).exists():
        pytest.fail(GET_ONE)
    return {"executable_path": CHROMIUM, "args": QUIET}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, object]) -> dict[str, object]:
    """Nothing moves: what turns while a page is computed costs the browser time."""
    return browser_context_args | {"reduced_motion": "reduce"}


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small run that has hostile documents."""
    folder = tmp_path_factory.mktemp("runs")
    documents = plain_documents(12) + hostile_documents() + [long_document(50_000)]
    write_tiny_run(folder / "small", documents, plain_queries(), without_tokens=[11])
    return folder


@pytest.fixture(scope="session")
def on_sample(runs: Path, sample_run: Path) -> Path:
    """A copy of the sample beside the small run, which stays the one shown first."""
    return Path(shutil.copytree(sample_run, runs / "sample"))


@pytest.fixture(scope="session")
def address(runs: Path) -> Iterator[str]:
    """Where the pages are served."""
    with served(runs) as found:
        yield found


@pytest.fixture(scope="session")
def tab(browser: Browser, browser_context_args: dict[str, object]) -> Iterator[Page]:
    """One tab for all tests in turn: it keeps the pages' code compiled, which takes a new tab three seconds."""
    context = browser.new_context(**browser_context_args)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(tab: Page) -> Iterator[Page]:
    """The tab, afterwards left as if it were new; only listeners stay."""
    yield tab
    if tab.url.startswith("http"):
        tab.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    tab.goto("about:blank")
    tab.context.clear_cookies()
    tab.mouse.move(0, 0)
    tab.set_viewport_size({"width": 1280, "height": 720})
    tab.emulate_media(media="null", color_scheme="light", reduced_motion="reduce")


class Pages:
    """The pages in a browser tab."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address

    def open(self, path: str = "influence") -> Page:
        self.page.goto(f"{self.address}/{path}")
        self.settled()
        return self.page

    def settled(self) -> None:
        """Wait until the page has been drawn to its end."""
        settled(self.page)


@pytest.fixture
def pages(page: Page, address: str) -> Pages:
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    return Pages(page, address)
