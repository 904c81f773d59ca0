"""The report as a file on its own: whole on a phone and on paper, readable in both themes, barring nobody."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from tiny_run import hostile_documents, plain_documents, plain_queries, write_tiny_run

from engine.report import write_report
from engine.run import Run

LEAST_CONTRAST = 4.5
BACKGROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 22, 27)"}
A4_POINTS = (595, 842)
HANGING_OVER = """() => [...document.body.querySelectorAll("*")]
    .filter(one => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1)
    .map(one => one.outerHTML.slice(0, 100))"""
CONTRASTS = """() => {
    const parsed = colour => colour.match(/[\\d.]+/g).map(Number)
    const light = rgb => rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0)
    const page = parsed(getComputedStyle(document.body).backgroundColor)
    return [...document.querySelectorAll(".t, .t .mark, .t .chip")].map(one => {
        const style = getComputedStyle(one.closest(".t"))
        const [r, g, b, alpha = 1] = parsed(style.backgroundColor)
        const behind = [r, g, b].map((c, i) => alpha * c + (1 - alpha) * page[i])
        const [dark, bright] = [light(behind), light(parsed(getComputedStyle(one).color))].sort((a, b) => a - b)
        return (bright + 0.05) / (dark + 0.05)
    })
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The address of a report with hostile texts, one of them a word of 100,000 characters."""
    folder = tmp_path_factory.mktemp("report")
    endless = plain_documents(1)[0] | {"id": "endless", "title": "w" * 100_000, "text": "w" * 100_000}
    documents = plain_documents(12) + hostile_documents() + [endless]
    run = Run(write_tiny_run(folder / "run", documents, plain_queries()))
    write_report(run, folder / "report.html", [0, 1, 2], folder / "checks")
    return (folder / "report.html").as_uri()


@pytest.fixture
def opened(page, report):
    """Opens it in a theme at a width; nothing may be asked of any network, refused or executed."""

    def at(scheme: str, width: int = 1280):
        asked, troubles = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: troubles.append(message.text))
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(report)
        assert asked == [report]
        assert troubles == []
        assert page.evaluate("window.hacked") is None
        return page

    return at


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_whole_at_both_widths_in_both_themes(opened, width, scheme):
    page = opened(scheme, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(HANGING_OVER) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == BACKGROUND[scheme]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_bars_nobody(opened, scheme):
    violations = Axe().run(opened(scheme)).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:120]) for found in violations] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_shade_of_a_token_can_be_read(opened, scheme):
    contrasts = opened(scheme).evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert min(contrasts) >= LEAST_CONTRAST


def test_it_prints_on_a4_in_black_on_white_and_nothing_is_cut_off(opened):
    page = opened("dark")
    printed = page.pdf(prefer_css_page_size=True)
    sizes = {tuple(map(float, found)) for found in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)}
    assert len(sizes) == 1
    assert [round(side) for side in sizes.pop()] == pytest.approx(A4_POINTS, abs=1)
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 less the margins, at 96 pixels an inch
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == BACKGROUND["light"]
    assert page.evaluate(HANGING_OVER) == []
