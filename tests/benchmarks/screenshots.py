"""The README's pictures: ``python tests/benchmarks/screenshots.py [--run RUN] [--only NAME]``; look, then keep.

Each is a page on a copy of the run, in Chromium, cut where its next part would begin.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "browser"), str(TESTS.parent)]

from looking import settled  # noqa: E402
from serving import CHROMIUM, QUIET, served  # noqa: E402

OUT = TESTS.parent / "dashboard" / "screenshots"
PICTURES = {"influence": ("influence", 2080), "story": ("story?step=5", 860), "review": ("review", 1000)}
"""Address and height in pixels of each picture, by name."""
WIDTH, SCALE, PATIENCE_MS = 1280, 1.5, 300_000


def take(page: Page, address: str, name: str) -> Path:
    """Take one picture; returns its file."""
    path, height = PICTURES[name]
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.goto(f"{address}/{path}")
    settled(page)
    for chart in page.get_by_test_id("stPlotlyChart").all():
        expect(chart.locator(".main-svg").first).to_be_attached()
    for field in page.get_by_role("textbox", name="Your name").all():  # else no button of a review can be pressed
        field.fill("Ann")
        field.blur()
    settled(page)
    page.screenshot(path=OUT / f"{name}.png")
    return OUT / f"{name}.png"


def main() -> None:
    """Take all pictures, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", default="runs/sample", help="folder of a finished run")
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES), help="these pictures")
    given = parser.parse_args()
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        shutil.copytree(given.run, Path(home) / Path(given.run).resolve().name)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        with served(Path(home), run=Path(given.run).resolve().name) as address:
            page = browser.new_page(device_scale_factor=SCALE, color_scheme="light")
            page.set_default_timeout(PATIENCE_MS)
            for name in given.only:
                print(take(page, address, name))
        browser.close()


if __name__ == "__main__":
    main()
