"""How soon a page is ready: ``python tests/benchmarks/pages.py [--run RUN] [--rounds 5] [--json]``.

Opens every page in Chromium, on a finished run and on a made-up one of 100,000 documents and 100 completions. Ready
means that the script has ended and the page's charts are drawn. *First* is the first visit after the server started;
*warm* is the median of the later ones: by a link in a tab that shows another page, and in a new tab of that browser.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
from playwright.sync_api import BrowserContext, Page, sync_playwright

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "browser"), str(TESTS.parent)]

from serving import CHROMIUM, QUIET, served  # noqa: E402
from tiny_run import scored, write_tiny_run  # noqa: E402

from engine.ablation_file import write_ablation  # noqa: E402
from engine.analysis.ranking import rank_documents  # noqa: E402
from engine.document_map import DocumentMap, MapSettings, make_map, write_map  # noqa: E402
from engine.run import Run  # noqa: E402
from engine.store import RunFolder  # noqa: E402
from engine.variants import VariantSettings  # noqa: E402
from engine.windows import DOCUMENTS_PER_SHARD  # noqa: E402
from engine.writing import write_json, write_table  # noqa: E402

PAGES = (
    *("", "story", "influence", "ask", "concentration", "sources"),
    *("word-order", "findings", "compare", "map", "review", "trust"),
)
"""In the order of the menu."""
DOCUMENTS, QUERIES, MAPPED = 100_000, 100, 20_000
SOURCES, LANGUAGES = ("Web", "News", "Books", "Code", "StackExchange", "ArXiv"), ("en", "de", "ko")
READY_MS, PAUSE_MS = 60_000, 1_000
READY = """before => {
    const all = name => [...document.querySelectorAll(`[data-testid=${name}]`)], title = document.querySelector("h1");
    return title && title.innerText !== before && document.querySelector("[data-test-script-state=notRunning]")
        && !all("stSkeleton").length && all("stPlotlyChart").every(chart => chart.querySelector(".main-svg"));
}"""
WINDOW = {"width": 1280, "height": 1600}


def write_large_run(path: Path, documents: int = DOCUMENTS, queries: int = QUERIES) -> None:
    """A finished run with made-up influences that have a heavy tail; the first documents have token influences too."""
    texts = [
        {
            "id": f"document-{number}", "title": f"Document number {number:,}", "source": SOURCES[number % 6],
            "language": LANGUAGES[number % 3], "text": f"This is number {number} of many documents.\nIt has two lines.",
        }
        for number in range(documents)
    ]  # fmt: skip
    asked = [
        {
            "id": f"query-{number}", "prompt": f"Question {number}: the answer", "completion": " is forty two",
            "kind": ("Fact", "Sum")[number % 2], "language": "en", "title": f"What is the answer to question {number}?",
        }
        for number in range(queries)
    ]  # fmt: skip
    # The first shard is a tiny run of its own; its score tables are then replaced by those of all documents.
    write_tiny_run(path, texts[:DOCUMENTS_PER_SHARD], asked)
    folder, random = RunFolder(path), np.random.default_rng(0)
    tiny = Run(path)
    whole = pa.Table.from_pylist(texts).append_column("document", pa.array(range(documents), pa.int32()))
    lengths = pa.array([len(text["text"].split()) + 2 for text in texts], pa.int32())
    whole = whole.append_column("tokens", lengths)
    write_table(whole.append_column("windows", pa.array([1] * documents, pa.int32())), folder.documents)
    numbers = pa.list_(pa.int32())
    spans = [[(4 * place, 4 * place + 4) for place in range(length)] for length in lengths.to_pylist()]
    tokens = {
        "document": pa.array(range(documents), pa.int32()),
        "token_ids": pa.array([list(range(len(span))) for span in spans], numbers),
        "starts": pa.array([[start for start, _ in span] for span in spans], numbers),
        "ends": pa.array([[end for _, end in span] for span in spans], numbers),
    }
    write_table(pa.table(tokens), folder.tokens)
    counts = tiny.query_tokens.groupby("query").size().tolist()
    lexical: dict[str, Any] = {"document": tokens["document"]}
    for query in range(queries):
        lexical |= {f"{name}.{query}": random.random(documents, np.float32) for name in ("bm25", "tfidf")}
    write_table(pa.table(lexical), folder.lexical)
    shutil.rmtree(folder.shard("documents", 0).parent)
    for shard, first in enumerate(range(0, documents, DOCUMENTS_PER_SHARD)):
        count = min(DOCUMENTS_PER_SHARD, documents - first)
        columns: dict[str, Any] = {"document": pa.array(range(first, first + count), pa.int32())}
        columns |= {"log_prob": -10 * random.random(count), "gradient_norm": 1 + random.random(count)}
        for query in range(queries):
            for token in range(counts[query]):
                columns[f"influence.{query}.{token}"] = random.standard_t(3, count).astype(np.float32)
            for name in ("gradient_dot", "hidden"):
                columns[f"{name}.{query}"] = random.standard_normal(count, np.float32)
        write_table(pa.table(columns), folder.shard("documents", shard))
    manifest = json.loads((path / "manifest.json").read_text())
    corpus = {"documents": documents, "windows": documents, "tokens": int(np.sum(lengths.to_numpy()))}
    manifest["steps"]["fit"]["corpus"] |= corpus
    write_json(manifest, path / "manifest.json")
    run = Run(path)
    strongest = int(rank_documents(run, 0)["document"][0])
    write_ablation(run.folder, scored(run, 0, strongest, VariantSettings()), VariantSettings())
    places = random.standard_normal((MAPPED, 2)).astype(np.float32)
    chosen = np.sort(random.choice(documents, MAPPED, replace=False))
    write_map(run.folder, DocumentMap(chosen, places, MapSettings(), documents, 1.0))


def wait_until_ready(tab: Page, not_title: str = "") -> None:
    """Wait for another title than that of the page before, the end of the script, and the last chart and block."""
    tab.wait_for_function(READY, arg=not_title, timeout=READY_MS)


def seconds_in_new_tab(browser: BrowserContext, url: str) -> float:
    """From asking for a page to its last chart, in a tab of its own: the dashboard's own code is loaded too."""
    tab = browser.new_page()
    try:
        started = time.perf_counter()
        tab.goto(url)
        wait_until_ready(tab)
        return time.perf_counter() - started
    finally:
        tab.close()


def seconds_by_link(tab: Page, page: str) -> float:
    """From a click on a page's link, in a tab that shows another page, to its last chart."""
    _move(tab, "" if page else "influence")
    tab.wait_for_timeout(PAUSE_MS)
    started = time.perf_counter()
    _move(tab, page)
    return time.perf_counter() - started


def _move(tab: Page, page: str) -> None:
    if urlsplit(tab.url).path.strip("/") != page:
        before = tab.locator("h1").inner_text()
        tab.locator("[data-testid=stTopNavLink], [data-testid=stSidebarNavLink]").nth(PAGES.index(page)).click()
        wait_until_ready(tab, before)


def measure(browser: BrowserContext, runs: Path, first: str, rounds: int, pages: Sequence[str]) -> list[dict[str, Any]]:
    """First and warm times of every page on a run."""
    rows = []
    with served(runs, run=first) as address:
        seconds_in_new_tab(browser, address)  # the server's own imports
        tab = browser.new_page()
        tab.goto(address)
        wait_until_ready(tab)
        for page in pages:
            times = [seconds_in_new_tab(browser, f"{address}/{page}") for _ in range(1 + rounds)]
            moves = [seconds_by_link(tab, page) for _ in range(1 + rounds)]
            row = {"first": times[0], "link": statistics.median(moves[1:]), "tab": statistics.median(times[1:])}
            rows.append({"page": page or "home"} | row)
        tab.close()
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", default="runs/sample", help="folder of a finished run")
    parser.add_argument("--rounds", type=int, default=5, help="warm visits of each page")
    parser.add_argument("--pages", nargs="+", default=PAGES, choices=PAGES, help="names in the address; all")
    parser.add_argument("--without-made-up", action="store_true", help="the finished run only")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        runs = Path(home)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET).new_context(viewport=WINDOW)
        if not given.without_made_up:
            write_large_run(runs / "large" / "made-up")
        (runs / "own").mkdir()
        name = Path(given.run).resolve().name
        shutil.copytree(given.run, runs / "own" / name)
        if not Run(runs / "own" / name).folder.map("words").is_file():
            make_map(Run(runs / "own" / name))
        found = {f"{Run(given.run).name}": measure(browser, runs / "own", name, given.rounds, given.pages)}
        if not given.without_made_up:
            about = f"{DOCUMENTS:,} documents x {QUERIES} completions, made up"
            found[about] = measure(browser, runs / "large", "made-up", given.rounds, given.pages)
    machine = {"date": date.today().isoformat(), "cores": os.cpu_count(), "machine": platform.machine()}
    if given.json:
        print(json.dumps(machine | {"seconds": found}, indent=1))
        return
    print(f"Seconds until a page is ready: first visit; warm, by link / in a new tab ({machine['cores']} cores, "
          f"{machine['date']})\n")  # fmt: skip
    print("| page | " + " | ".join(found) + " |\n|---|" + "---|" * len(found))
    for rows in zip(*found.values(), strict=True):
        print(f"| {rows[0]['page']} | " + " | ".join(map(_cell, rows)) + " |")


def _cell(row: dict[str, Any]) -> str:
    return f"{row['first']:.1f}; {row['link']:.1f} / {row['tab']:.1f}"


if __name__ == "__main__":
    main()
