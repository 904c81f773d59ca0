"""A team whose decisions lie in PostgreSQL: decided by key, kept there, and shown again after a reload."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from looking import can_decide, settled
from playwright.sync_api import Page, expect
from review_database import needs_postgresql, postgresql
from serving import served
from tiny_run import plain_documents, plain_queries, write_tiny_run

from engine.review.database import URL_VARIABLE
from engine.review.events import Reviewer
from engine.review.review import open_review
from engine.run import Run

pytestmark = needs_postgresql
PATIENCE_MS = 60_000


@pytest.fixture
def team(tmp_path: Path) -> Iterator[tuple[str, Path, str]]:
    """The pages' address, their folder of runs, and the database."""
    write_tiny_run(tmp_path / "small", plain_documents(4), plain_queries())
    with postgresql() as url, served(tmp_path, **{URL_VARIABLE: url}) as address:
        yield address, tmp_path, url


def test_a_decision_by_key_is_in_the_database_and_on_the_page_after_a_reload(page: Page, team):
    address, runs, url = team
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page.goto(f"{address}/review?queue=All+documents&document=plain-0")
    settled(page)
    page.get_by_role("textbox", name="Your name").fill("Ann")
    page.keyboard.press("Tab")
    can_decide(page)
    page.keyboard.press("d")
    expect(page.locator("h3").first).to_have_text("Story number 1")
    settled(page)
    assert open_review(Run(runs / "small"), url).standing(0).opinions[0].reviewer == Reviewer("Ann")
    assert not (runs / "review.sqlite").exists()
    page.keyboard.press("b")
    expect(page.locator("h3").first).to_have_text("Story number 0")
    page.reload()
    settled(page)
    expect(page.get_by_text("1 of 4 decided, 3 to go")).to_be_visible()
    expect(page.get_by_text("Drop, Ann (unverified), ")).to_be_visible()
