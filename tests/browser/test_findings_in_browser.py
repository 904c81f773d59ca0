"""The findings page as a reader uses it: choose a finding, go to a document behind it, take the numbers away."""

import io
from pathlib import Path

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from finding_results import estimates, some_found, write_findings
from looking import click_row, parameters, tables
from playwright.sync_api import expect

from engine.run import Run


@pytest.fixture(scope="module", autouse=True)
def kept(runs):
    """Findings of the small run: one that holds, one that does not, one that cannot be told."""
    run = Run(runs / "small")
    found = {"tails": some_found("tails", run), "languages": some_found("languages", run, far=-1)}
    write_findings(run, found | {"procedures": some_found("procedures", run, across=True)})


def test_a_click_shows_a_finding_and_a_reload_shows_it_again(pages):
    page = pages.open("findings")
    expect(page.get_by_role("heading", name="1. Influence is heavy-tailed")).to_be_visible()
    page.get_by_role("button", name="5.", exact=True).click()
    heading = page.get_by_role("heading", name="5. Influence crosses languages")
    expect(heading).to_be_visible()
    pages.settled()
    assert parameters(page) == {"finding": "languages"}
    page.reload()
    pages.settled()
    expect(heading).to_be_visible()
    expect(page.get_by_test_id("stPlotlyChart")).to_have_count(3)  # two parts and the picture


def test_a_document_behind_a_finding_opens_on_the_influence_page(pages):
    page = pages.open("findings?finding=tails")
    click_row(tables(page).last, 1)
    expect(page.get_by_role("heading", name="Which documents made the model say this?")).to_be_visible()
    pages.settled()
    assert parameters(page)["document"] == "plain-1"


def test_the_estimates_are_taken_away_with_where_they_come_from(pages):
    page = pages.open("findings?finding=languages")
    pages.settled()
    page.get_by_test_id("stPopover").get_by_role("button", name="Download").last.click()
    with page.expect_download() as caught:
        page.get_by_role("button", name="CSV", exact=True).first.click()
    saved = pd.read_csv(io.BytesIO(Path(caught.value.path()).read_bytes()))
    own = saved[saved["score"] == "influence"]
    assert own["value"].tolist() == pytest.approx([one.value for one in estimates("languages", far=-1).values()])
    assert set(saved["verdict"]) == {"does not hold"} and set(saved["draws"]) == {2000}


def test_the_page_bars_nobody(pages):
    violations = Axe().run(pages.open("findings?finding=languages")).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:120]) for found in violations] == []
