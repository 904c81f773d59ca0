"""What holds of every page: the keyboard reaches all of it, it bars nobody, it fits a telephone, no text does harm.

One run of hostile texts with everything kept, and each page opened once for all that is asked of it.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from hostile_run import FURTHER, decide_hostile, undo_hostile, very_hostile_documents, write_hostile_run
from looking import settled
from made_checks import exact_tables, keep, lds_tables, removal_tables
from playwright.sync_api import Browser, Locator, Page, expect
from test_contrast import LEAST, LEVELS, contrast, over

from dashboard.components.text import show_hidden
from engine.review.review import open_review

QUERY, FIRST = quote("=q/0", safe=""), quote(very_hostile_documents()[0]["id"], safe="")
PAGES = {
    "home": "?run=Hostile",
    "story": "story?run=Hostile",
    "story, words": "story?run=Hostile&step=3",
    "story, flagged": "story?run=Hostile&step=5",
    "influence": f"influence?run=Hostile&query={QUERY}&document=%40drawn",
    "ask": "ask?run=Hostile&prompt=Once+there&completion=+was",
    "concentration": f"concentration?run=Hostile&query={QUERY}",
    "rare tokens": f"concentration?run=Hostile&query={QUERY}&part=Rare+and+frequent+tokens",
    "inside documents": f"concentration?run=Hostile&query={QUERY}&part=Inside+documents",
    "sources": "sources?run=Hostile&completions=All+completions&beside=All+completions",
    "word order": f"word-order?run=Hostile&query={QUERY}&document={FIRST}",
    "findings": "findings?run=Hostile&finding=tails",
    "compare": f"compare?run=Hostile&query={QUERY}&other_query=q%2F3&document={FIRST}",
    "map": "map?run=Hostile&colour=Source",
    "review": "review?run=Hostile&queue=All+documents&document=%40drawn",
    "review, team": "review?run=Hostile&queue=All+documents&part=Team",
    "trust": "trust?run=Hostile",
}
SCHEMES = {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 22, 27)"}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 90_000
TABS = 250
HIDDEN = re.compile("[\u202a-\u202e\u2066-\u2069\u200b\ufeff\U000e0041\x07\x1b]")

DEEP = """
  const below = (one) => one.shadowRoot ? [one, ...deep(one.shadowRoot)] : [one]
  const deep = (root) => [...root.querySelectorAll("*")].flatMap(below)
"""
"""Everything in a part of the page, the token strips' own trees included."""
WATCH = """() => {DEEP
  const main = document.querySelector("[data-testid=stMain]")
  const parts = ["outlineStyle", "outlineWidth", "outlineColor", "boxShadow", "borderColor", "backgroundColor",
                 "textDecorationLine", "color"]
  const look = (one) => {
    const seen = []
    for (let node = one, up = 0; node && node !== main && up < 5; node = node.parentElement, up++) {
      const style = getComputedStyle(node)
      seen.push(...parts.map((part) => style[part]))
    }
    if (one.matches("canvas")) seen.push(one.toDataURL()) // a table draws its focus itself
    return seen.join("|")
  }
  const controls = "a[href], button, input, select, textarea, summary, canvas[tabindex], " +
    "[role=button], [role=radio], [role=tab], [role=combobox], [role=slider], [tabindex='0']"
  const all = deep(main)
    .filter((one) => one.matches(controls) && one.checkVisibility() && !one.disabled)
    .filter((one) => !one.closest("[data-testid=stElementToolbar], [kind=elementToolbar]"))
  const before = new Map(all.map((one) => [one, look(one)]))
  window.watch = { main, look, before, reached: new Set(), lively: new Set() }
}""".replace("DEEP", DEEP)
"""Remembers every control of the page and how it looks without focus.

Left out: Streamlit's own toolbar over a chart, a table or code, drawn while the mouse is there; what it offers, the
page offers as well.
"""
STEP = """async () => {
  const { main, look, before, reached, lively } = window.watch
  let one = document.activeElement
  const out = one === document.body || !main.contains(one)
  while (one.shadowRoot?.activeElement) one = one.shadowRoot.activeElement
  if (before.has(one)) {
    reached.add(one)
    for (let frame = 0; frame < 60 && look(one) === before.get(one); frame++) await new Promise(requestAnimationFrame)
    if (look(one) !== before.get(one)) lively.add(one)
  }
  return [out, one.outerHTML.slice(0, 200)]
}"""
"""Notes what has the focus; whether it has left the page's own part, and what it is."""
MISSED = """() => {
  const { before, reached, lively } = window.watch
  const group = (one) => one.closest("[role=radiogroup], [role=tablist], [role=toolbar], [role=listbox], [role=group]")
  const groups = new Set([...reached].map(group).filter(Boolean))
  const near = (one) => [...one.closest("[data-testid], [role=group]").querySelectorAll("*")]
  const beside = (one) => one.matches("[tabindex='-1']") && near(one).some((other) => reached.has(other))
  const said = (one) => one.outerHTML.slice(0, 200)
  return {
    missed: [...before.keys()].filter((one) => !reached.has(one) && !groups.has(group(one)) && !beside(one)).map(said),
    dull: [...reached].filter((one) => !lively.has(one) && !one.matches("canvas")).map(said),
  }
}"""
"""Controls that Tab passed by and no arrow key of a reached group leads to; and those that do not show their focus.

Streamlit draws no focus into a table whose rows can be chosen, and takes no key there: a list beside each does both.
"""
OVER = """() => {DEEP
  const width = document.documentElement.clientWidth
  const box = (one) => one.getBoundingClientRect()
  const texts = "h1, h2, h3, p, button, label, input, .js-plotly-plot, .text, .legend, .tip, " +
    "[role=listbox], [role=dialog], [data-testid=stPopoverBody], [data-testid=stDataFrameResizable]"
  const scrolls = (one) => one.parentElement?.closest("[role=tablist], [role=listbox], .text, pre")
  return deep(document)
    .filter((one) => one.matches(texts) && one.checkVisibility() && box(one).width > 2)
    .filter((one) => box(one).right > width + 1 || box(one).left < -1)
    .filter((one) => !scrolls(one) && !one.closest("[data-testid=stHeader], [data-testid=stSidebar]"))
    .map((one) => [one.outerHTML.slice(0, 160), Math.round(box(one).left), Math.round(box(one).right)])
}""".replace("DEEP", DEEP)
"""What hangs over an edge of the window, dropdowns and dialogs included, and is not within something that scrolls."""
SHADES = """(unit, levels) => {
  const kept = unit.className
  const ground = getComputedStyle(document.querySelector("[data-testid=stApp]")).backgroundColor
  const shades = ["p", "m"].flatMap((sign) => Array.from({ length: levels }, (_, i) => sign + (i + 1)))
  const found = shades.map((shade) => {
    unit.className = "unit scored " + shade
    const { color, backgroundColor } = getComputedStyle(unit)
    return [color, backgroundColor, ground]
  })
  unit.className = kept
  return found
}"""
"""Colours of text, shade and page of each shade of the token strip."""


@pytest.fixture(scope="module", autouse=True)
def hostile(runs: Path) -> Iterator[None]:
    """The run beside the others, and checks that belong to no run; both go again, since other tests count them."""
    review = open_review(write_hostile_run(runs / "hostile"))
    decide_hostile(review)
    for name, tables in {"exact": exact_tables, "lds": lds_tables, "removal": removal_tables}.items():
        keep(name, runs / "checks" / f"{name}.json", tables())
    yield
    undo_hostile(review)
    shutil.rmtree(runs / "hostile")
    shutil.rmtree(runs / "checks")


class Opened:
    """A page in a tab of its own, and what it tried that no text may bring about."""

    def __init__(self, page: Page) -> None:
        self.page, self.harm = page, list[str]()
        page.on("pageerror", lambda error: self.harm.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.harm.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self._asked(request.url))

    def _asked(self, url: str) -> None:
        if "evil" in url or url.endswith("/x") or not url.startswith(("http://127.0.0.1", "data:", "blob:")):
            self.harm.append(f"request: {url}")


@pytest.fixture(scope="module", params=PAGES)
def opened(request: pytest.FixtureRequest, browser: Browser, address: str, hostile: None) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light", reduced_motion="reduce")
    expect.set_options(timeout=PATIENCE_MS)
    found = Opened(page)
    page.goto(f"{address}/{PAGES[request.param]}")
    settled(page)
    yield found
    page.close()


def test_no_text_of_a_run_becomes_markup_or_code(opened):
    page = opened.page
    expect(page.get_by_test_id("stException")).to_have_count(0)
    for chart in page.get_by_test_id("stPlotlyChart").all():
        chart.scroll_into_view_if_needed()
        expect(chart.locator(".main-svg").first).to_be_attached()
    bred = page.locator("img[src=x], [onerror], [onload], main a[href*=evil], a[href^=javascript]")
    assert bred.count() == page.locator(".js-plotly-plot svg a").count() == 0
    assert not HIDDEN.search(page.locator("main").inner_text())
    assert page.evaluate("window.hacked") is None
    assert opened.harm == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_bars_nobody(opened, scheme):
    page = opened.page
    page.emulate_media(color_scheme=scheme)
    app = page.get_by_test_id("stApp")
    expect(app).to_have_css("background-color", SCHEMES[scheme])
    settled(page)
    violations = Axe().run(page).response["violations"]
    assert [(one["id"], node["html"][:160]) for one in violations for node in one["nodes"]] == []
    for unit in page.locator(".whence.values .unit.scored").all()[:1]:  # on pages that have a strip
        for text, shade, ground in unit.evaluate(SHADES, LEVELS):
            *colour, alpha = _colour(shade)
            assert contrast(_colour(text), over(colour, alpha, _colour(ground))) >= LEAST, shade


def _colour(said: str) -> list[float]:
    """Red, green, blue and, where it is said, alpha of a computed colour."""
    return [float(part) for part in re.findall(r"[\d.]+", said)]


def test_the_keyboard_reaches_every_control_shows_where_it_is_and_goes_on(opened):
    page = opened.page
    page.evaluate(WATCH)
    page.evaluate("document.activeElement.blur()")
    inside, passed = False, []
    for _ in range(TABS):
        page.keyboard.press("Tab")
        out, which = page.evaluate(STEP)
        passed.append(which)
        if inside and out:
            break
        inside = not out
    else:
        pytest.fail(f"the focus does not leave: {passed[-3:]}")
    assert page.evaluate(MISSED) == {"missed": [], "dull": []}


def test_nothing_hangs_over_on_a_telephone_dropdowns_and_dialogs_included(opened):
    page = opened.page
    page.set_viewport_size(PHONE)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate(OVER) == []
    for control in (*_each(page.get_by_test_id("stSelectbox").get_by_role("combobox")),
                    *_each(page.get_by_test_id("stPopover").get_by_role("button"))):  # fmt: skip
        control.press("ArrowDown" if control.get_attribute("role") == "combobox" else "Enter")
        page.wait_for_timeout(300)
        assert page.evaluate(OVER) == []
        page.keyboard.press("Escape")
    assert opened.harm == []


def _each(found: Locator, most: int = 3) -> list[Locator]:
    """The first few; more of a kind are built alike."""
    return [one for one in found.all()[:most] if one.is_enabled()]


def test_the_strip_holds_the_document_to_the_letter(pages):
    """Its characters are in the page's tree, those that cannot be seen by their names."""
    page = pages.open(f"influence?run=Hostile&query={QUERY}&document=%40mixed")
    units = page.locator(".whence.values .unit:not(:has(.start))")
    expect(units.first).to_be_attached()
    shown = "".join(units.evaluate_all("all => all.map(one => one.textContent)"))
    blanks = re.compile(r"[\s↵]")  # a line's end is a mark here and a new paragraph there
    assert blanks.sub("", shown) == blanks.sub("", show_hidden(FURTHER["mixed"][1]))
    assert page.evaluate("window.hacked") is None
