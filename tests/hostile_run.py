"""A run whose every text tries to be more than text, with everything kept that a page can show."""

from pathlib import Path

import numpy as np
from finding_results import estimates, some_found, write_findings
from made_checks import keep, stability_tables
from tiny_run import PAYLOADS, hostile_documents, plain_documents, plain_queries, scored, write_tiny_run

from engine.ablation_file import write_ablation
from engine.check.settings import StabilitySettings
from engine.checks import kept_at
from engine.document_map import DocumentMap, MapSettings, write_map
from engine.review.events import Reviewer
from engine.review.labels import Label
from engine.review.review import Review
from engine.run import Run
from engine.variants import VariantSettings

WALL = 100_000
"""Characters without a place to break the line."""
DRAWN = '<b>bold</b><br><a href="https://evil.example">link</a><sup>x</sup> &lt;i&gt;'
"""What charts read as markup."""
SVG = '<svg onload="window.hacked=1"><a xlink:href="javascript:window.hacked=1"><text>x</text></a></svg>'
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
EMOJI = f"{SCOTLAND}{FAMILY}\U0001f44d\U0001f3fd1\ufe0f\u20e3\U0001f1f0\U0001f1f7e\u0301\u0301 z\u0335\u0336\u0337\n"
ARABIC, KOREAN, HEBREW = "نص عربي مع مسافة\u200c صفرية", "한국어 \u1112\u1161\u11ab", "\u2067שלום\u2069"
FURTHER = {
    "wall": ("W" * 300, "x" * WALL),
    "drawn": (DRAWN, f"{DRAWN}\r\n{SVG}"),
    "svg": (SVG, f"\t{SVG}\r-1+1\n@SUM(A1)\n\n\n"),
    "emoji": (EMOJI, EMOJI * 3),
    "mixed": (
        "\t@SUM(A1)",
        f"{SVG} {PAYLOADS[0]}\r\n\t-1+1 {PAYLOADS[2]}\n\n{EMOJI}{ARABIC}{KOREAN}{HEBREW}{'y' * 500}",
    ),
    "scripts": (f"{ARABIC} {KOREAN}", f"{ARABIC}\n{KOREAN}\n{HEBREW}\n"),
}
"""Titles and texts by id."""
LANGUAGES = ("<img src=x onerror=window.hacked=1>", "=1+1", "ar", "\u202een", "\tko", DRAWN)

HOSTILE_REVIEWERS = (Reviewer(f"=1+1 {DRAWN}"), Reviewer(f"{PAYLOADS[2]} {PAYLOADS[0]}"))
HOSTILE_LABELS = (Label('<b>Drop</b><img src=x onerror="x()">', "#CC79A7", "p", "drop"),
                  Label("=1+1 \u202eworD\u202c [x](javascript:x)", "#56B4E9", "q", "keep"))  # fmt: skip
HOSTILE_COMMENTS = ("=HYPERLINK(1)", f"-1+1 {PAYLOADS[2]}", f"{PAYLOADS[0]} {PAYLOADS[1]}", DRAWN, SVG, "W" * WALL)


def very_hostile_documents() -> list[dict[str, str]]:
    """Documents whose ids, titles, texts, sources and languages all mean harm."""
    further = [
        {"id": f"@{name}", "title": title, "text": text, "source": title[:60], "language": language}
        for (name, (title, text)), language in zip(FURTHER.items(), LANGUAGES, strict=True)
    ]
    return hostile_documents() + further


def hostile_queries() -> list[dict[str, str]]:
    """Completions of hostile titles and kinds; the first asks with charts' markup, the last is a safety probe."""
    first = {"id": "=q/0", "prompt": DRAWN, "completion": f" {FAMILY} <b>x</b>", "kind": SVG, "language": LANGUAGES[0],
             "title": DRAWN, "contrast": ""}  # fmt: skip
    probe = {"id": "-q/safe", "prompt": DRAWN, "completion": " \U0001f469\u200d", "kind": "Safety",
             "language": LANGUAGES[1], "title": SVG, "contrast": ""}  # fmt: skip
    return [first, *plain_queries(), probe]


def write_hostile_run(path: Path) -> Run:
    """Write the run, its map, the variants of its strongest document, findings and stability."""
    documents = very_hostile_documents() + plain_documents(8)
    run = Run(write_tiny_run(path, documents, hostile_queries()))
    places = np.random.default_rng(0).normal(size=(len(documents), 2)).astype(np.float32)
    write_map(run.folder, DocumentMap(np.arange(len(documents)), places, MapSettings(), len(documents), 1.0))
    settings = VariantSettings(documents=[])
    write_ablation(run.folder, scored(run, 0, 0, settings), settings)
    rows = [{"completion": payload, "score": payload, "kind": payload, "value": 1.0} for payload in (*PAYLOADS, DRAWN)]
    tails = some_found("tails", run, sentence=SVG, open=[DRAWN])
    tails.controls[DRAWN] = estimates("tails")
    tails.tables["completions"] = rows
    write_findings(run, {"tails": tails, "languages": some_found("languages", run, far=-1)})
    asked = StabilitySettings(str(run.path))
    keep("stability", kept_at("stability", asked), stability_tables(run.queries["id"].tolist()), run=asked.run)
    return run


def decide_hostile(review: Review) -> None:
    """Labels, decisions, comments, a saved filter and reviewers' names that mean harm; of two documents all agree."""
    numbers = review.run.documents.set_index("id")["document"]
    for label in HOSTILE_LABELS:
        review.team.define_label(HOSTILE_REVIEWERS[0], label)
    for place, reviewer in enumerate(HOSTILE_REVIEWERS):
        for document, label in zip(("@drawn", "@mixed"), HOSTILE_LABELS, strict=True):
            review.label(reviewer, [int(numbers[document])], label.name, HOSTILE_COMMENTS[place])
    for comment in HOSTILE_COMMENTS:
        review.comment(HOSTILE_REVIEWERS[0], [int(numbers["@drawn"])], comment)
    review.team.save_filter(HOSTILE_REVIEWERS[0], PAYLOADS[0][:80], "show=undecided")


def undo_hostile(review: Review) -> None:
    """Take its labels and filter from the team again, whose database other tests use too."""
    for label in HOSTILE_LABELS:
        review.team.retire_label(HOSTILE_REVIEWERS[0], label.name)
    review.team.forget_filter(HOSTILE_REVIEWERS[0], PAYLOADS[0][:80])
