"""Who signs in decides under a name that the login vouches for; nobody else decides."""

import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from looking import can_decide, settled
from playwright.sync_api import Page, expect
from serving import served
from tiny_run import plain_documents, plain_queries, write_tiny_run

from engine.review.events import Reviewer
from engine.review.review import Review, open_review
from engine.run import Run

MISSING = find_spec("authlib") is None and not os.environ.get("CI")
pytestmark = pytest.mark.skipif(MISSING, reason="sign-in needs Authlib (pip install 'streamlit[auth]')")
PATIENCE_MS = 60_000
REVIEW = "review?queue=All+documents&document=plain-0"
PEOPLE = {
    "Ann": {"sub": "1", "name": "Ann Example", "email": "ann@example.org", "email_verified": True},
    "Ben": {"sub": "2", "name": "Ben <b>Example</b>", "email": "ann@example.org", "email_verified": False},
}
ANN, BEN = Reviewer("ann@example.org", verified=True), Reviewer("Ben <b>Example</b> (2)", verified=True)

ADDRESS = "ann@.?example.org"
"""As pages show it: with a sign that cannot be seen, which keeps it from becoming a link."""


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The pages' address, with sign-in configured, and their folder of runs."""
    from openid_provider import openid_provider, secrets_file

    runs = tmp_path_factory.mktemp("signed")
    write_tiny_run(runs / "small", plain_documents(4), plain_queries())
    with openid_provider(PEOPLE) as provider:
        (runs / "secrets.toml").write_text(secrets_file(provider), encoding="utf-8")
        with served(runs, "--secrets.files", str(runs / "secrets.toml")) as address:
            yield address, runs


@pytest.fixture
def review(team: tuple[str, Path]) -> Review:
    return open_review(Run(team[1] / "small"))


@pytest.fixture
def opened(page: Page, team: tuple[str, Path]) -> Page:
    """The review page of somebody who has not signed in."""
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page.goto(f"{team[0]}/{REVIEW}")
    settled(page)
    return page


def sign_in(page: Page, name: str, address: str) -> None:
    page.get_by_role("button", name="Sign in to decide").click()
    page.get_by_role("link", name=name).click()
    page.wait_for_url(f"{address}/**")
    settled(page)
    page.goto(f"{address}/{REVIEW}")
    settled(page)


def decide(page: Page, key: str) -> None:
    can_decide(page)
    page.keyboard.press(key)
    expect(page.locator("h3").first).to_have_text("Story number 1")
    settled(page)


def test_nobody_decides_before_signing_in_nor_types_a_name(opened, review):
    expect(opened.get_by_role("button", name="Drop").first).to_be_disabled()
    expect(opened.get_by_role("textbox", name="Your name")).to_have_count(0)
    opened.keyboard.press("d")
    settled(opened)
    assert review.standings() == {}


def test_who_signed_in_decides_verified_until_they_sign_out(opened, review, team):
    sign_in(opened, "Ann", team[0])
    expect(opened.get_by_text(re.compile(f"Signed in as {ADDRESS}"))).to_be_visible()
    decide(opened, "d")
    assert review.standing(0, ANN).own.label == "Drop"
    assert review.standing(0, Reviewer(ANN.name)).own is None  # the same name, typed, is somebody else
    opened.keyboard.press("b")
    expect(opened.get_by_text(re.compile(f"Drop, {ADDRESS}, "))).to_be_visible()
    expect(opened.get_by_text("unverified")).to_have_count(0)
    opened.get_by_role("button", name="Sign out").click()
    opened.wait_for_url(f"{team[0]}/")
    settled(opened)
    opened.goto(f"{team[0]}/{REVIEW}")
    settled(opened)
    expect(opened.get_by_role("button", name="Sign in to decide")).to_be_visible()


def test_an_address_that_the_provider_has_not_verified_is_nobodys_name(opened, review, team):
    """Else whoever may write any address into their own account decides in another's name."""
    sign_in(opened, "Ben", team[0])
    expect(opened.get_by_text("Signed in as Ben <b>Example</b> (2)")).to_be_visible()
    decide(opened, "k")
    assert review.standing(0, BEN).own.label == "Keep"
