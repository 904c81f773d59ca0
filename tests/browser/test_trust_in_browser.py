"""Trust as a reader uses it: what was measured is drawn, its numbers are taken away, and a choice survives a reload."""

import pandas as pd
import pytest
from looking import open_downloads, parameters
from made_checks import exact_tables, keep, lds_tables, removal_tables
from playwright.sync_api import expect
from test_leave_out_panel import keep as keep_leave_out

from engine.run import Run

FIRST_VISIT_MS = 90_000
OF_NO_RUN = {"exact": exact_tables, "lds": lds_tables, "removal": removal_tables}


@pytest.fixture(scope="module", autouse=True)
def measured(runs) -> None:
    """Results of the checks that belong to no run, and of one document left out of the small run."""
    for name, tables in OF_NO_RUN.items():
        keep(name, runs / "checks" / f"{name}.json", tables())
    keep_leave_out(Run(runs / "small"), ["plain-3"], measured=-0.8)


@pytest.fixture
def patient_pages(pages):
    """The first visit draws seven charts and loads what draws them: on a busy machine beyond the usual 20 s."""
    expect.set_options(timeout=FIRST_VISIT_MS)
    return pages


def test_every_check_has_its_pictures_and_its_numbers_can_be_taken_away(patient_pages, tmp_path):
    page = patient_pages.open("trust?run=Small")
    expect(page.get_by_role("heading", name="They tell which documents matter, but overstate")).to_be_visible()
    charts = page.get_by_test_id("stPlotlyChart")
    expect(charts).to_have_count(2 + 1 + 5)
    open_downloads(page)
    with page.expect_download() as caught:
        page.get_by_role("button", name="CSV", exact=True).first.click()
    caught.value.save_as(tmp_path / "exact.csv")
    saved = pd.read_csv(tmp_path / "exact.csv")
    assert saved["estimator"].tolist() == [row["estimator"] for row in exact_tables()["estimators"]]
    assert set(saved["command"]) == {"python -m engine check exact"}


def test_what_was_left_out_is_there_again_after_a_reload(pages):
    page = pages.open("influence?run=Small&document=plain-3")
    page.get_by_role("radio", name="The document below").click()
    pages.settled()
    expect(page.get_by_text("Trained on without, the completion's measurement changed by")).to_be_visible()
    assert parameters(page)["without"] == "The document below"
    page.reload()
    pages.settled()
    expect(page.get_by_text("Trained on without, the completion's measurement changed by")).to_be_visible()
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()


def test_the_way_to_rank_is_in_the_address(pages):
    page = pages.open("influence?run=Small")
    page.get_by_role("radio", name="Per token").click()
    pages.settled()
    expect(page.get_by_text("per token of the document", exact=False).first).to_be_visible()
    assert parameters(page)["ranked"] == "Per token"
