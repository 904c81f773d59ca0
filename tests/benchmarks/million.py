"""How a run of very many documents fares: ``python tests/benchmarks/million.py [--documents 1000000] [--out X.md]``.

Makes the documents (streamed, seeded) and a tiny random model, takes the three steps in a process each, and notes the
peak resident memory of each beside that of the same step on a thousand documents: what is left is what grows with the
corpus. Then it times what answers on that run: the command line's verbs, and what stands behind every page, each in a
process of its own, from opening the run on. Figures go to X.md and X.json, or to standard output.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

FEW, WORDS_OF_A_DOCUMENT = 1_000, (3, 6)
"""Documents of the run to compare with; words of a document, about 10 to 20 tokens."""
SOURCES, LANGUAGES = ("Web", "News", "Books", "Code"), ("en", "de", "ko")
QUERIES = (
    ("The ferry leaves", " the grey harbour"), ("12 and 30 make", " 42"), ("A baker sells", " rye bread"),
)  # fmt: skip
FLAGS = {
    "fit": ["--fit-documents", "200"], "query": [],
    "score": ["--keep-tokens", "100", "--keep-prediction", "5"],
}  # fmt: skip
VERBS = {
    "top": ["top"], "top --query": ["top", "--query", "q0"],
    "analyse concentration --query": ["analyse", "concentration", "--query", "q0"],
    "analyse concentration": ["analyse", "concentration"], "analyse sources": ["analyse", "sources"],
}  # fmt: skip


def main() -> None:
    """Measure and write."""
    given = _flags().parse_args()
    if given.answer:
        _answer(given.answer, Path(given.folder) / "run")
        return
    with tempfile.TemporaryDirectory() as made:
        home = Path(given.folder or made)
        figures = measure(home, given.documents)
    page = markdown(figures)
    if given.out:
        Path(given.out).write_text(page, encoding="utf-8")
        Path(given.out).with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(page)


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--folder", help="folder to keep; what is finished in it is not made again")
    parser.add_argument("--out", help="Markdown file; JSON goes beside it")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    return parser


def measure(home: Path, documents: int) -> dict[str, Any]:
    """All figures."""
    home.mkdir(parents=True, exist_ok=True)
    _write_model(home / "model")
    queries = home / "queries.jsonl"
    rows = [
        {"id": f"q{n}", "prompt": prompt, "completion": said, "kind": ("Fact", "Sum")[n % 2], "language": "en"}
        for n, (prompt, said) in enumerate(QUERIES)
    ]
    queries.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    steps = {count: _run(home, name, count) for name, count in (("few", FEW), ("run", documents))}
    # Compiled modules are kept, as those of an installed package are, and made before anything is timed.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(home / "compiled")
    for verb in VERBS.values():
        _timed(["-m", "engine", *verb, "--run", str(home / "few")])
    answers = {name: _timed(["-m", "engine", *verb, "--run", str(home / "run")]) for name, verb in VERBS.items()}
    behind = {
        name: _timed([str(Path(__file__)), "--answer", name, "--folder", str(home)], inside=True) for name in ANSWERS
    }
    return {
        "documents": documents, "queries": len(QUERIES), "date": date.today().isoformat(), "cores": os.cpu_count(),
        "tokens": steps[documents]["tokens"], "few": FEW, "steps": steps, "verbs": answers, "pages": behind,
    }  # fmt: skip


def _write_model(folder: Path) -> None:
    if folder.is_dir():
        return
    from toys import make_gpt2, train_tokenizer

    make_gpt2().save_pretrained(folder)
    train_tokenizer().save_pretrained(folder)


def documents_of(count: int) -> Iterator[dict[str, str]]:
    """Short made-up documents of the tokenizer's words, the same for the same count."""
    from toys import TEXTS

    words, chance = sorted({word for text in TEXTS for word in text.split()}), random.Random(0)
    for number in range(count):
        text = " ".join(chance.choices(words, k=chance.randint(*WORDS_OF_A_DOCUMENT)))
        source, language = SOURCES[number % len(SOURCES)], LANGUAGES[number % len(LANGUAGES)]
        yield {
            "id": f"d{number}",
            "text": text,
            "source": source,
            "language": language,
            "title": f"Document {number:,}",
        }


def _run(home: Path, name: str, count: int) -> dict[str, Any]:
    """The three steps on so many documents: seconds and peak memory of each, by the manifest."""
    corpus, run = home / f"{name}.jsonl", home / name
    if not corpus.is_file():
        with corpus.with_suffix(".part").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(one) + "\n" for one in documents_of(count))
        corpus.with_suffix(".part").replace(corpus)
    inputs = {
        "fit": ["--model", str(home / "model"), "--corpus", str(corpus)],
        "query": ["--queries", str(home / "queries.jsonl")], "score": [],
    }  # fmt: skip
    for step, flags in FLAGS.items():
        subprocess.run(
            [sys.executable, "-m", "engine", step, "--run", str(run), *inputs[step], *flags], check=True, cwd=ROOT
        )
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["steps"]
    taken = {
        step: {"seconds": manifest[step]["seconds"], "peak_bytes": manifest[step]["peak_memory_bytes"]}
        for step in FLAGS
    }
    disk = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
    return taken | {"tokens": manifest["fit"]["corpus"]["tokens"], "disk_bytes": disk}


def _timed(command: list[str], inside: bool = False) -> dict[str, float]:
    """Seconds and processor seconds of a process, or what it says of itself; its peak memory."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *command], check=True, cwd=ROOT, capture_output=True, text=True)
    if inside:
        return json.loads(done.stdout.splitlines()[-1])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.monotonic() - started, "cpu_seconds": spent}


def _behind_pages() -> dict[str, Callable[[Any], Any]]:
    """What stands behind each page at its first visit, by page."""
    return {
        "Home": lambda run: (run.documents["source"].value_counts(), run.scored_documents),
        "Influence": _influence,
        "Concentration": _concentration,
        "Sources": _sources,
        "Compare": _compare,
        "Review": _review,
    }


ANSWERS = ("Home", "Influence", "Concentration", "Sources", "Compare", "Review")


def _influence(run: Any) -> None:
    from dashboard import data

    data.headline(data.ranking(run, 0))


def _concentration(run: Any) -> None:
    from dashboard.analyses import concentration

    concentration.concentration(run, 0, (), "positive")


def _sources(run: Any) -> None:
    from dashboard.analyses import sources

    everything = tuple(run.queries["query"].tolist())
    sources.source_multipliers(run, (("All", everything),), "source", "documents")
    sources.source_mass(run, everything, "source")
    sources.source_documents(run, everything, "source", SOURCES[0])


def _compare(run: Any) -> None:
    from dashboard.analyses import comparison

    sides = [comparison.Side(run, query) for query in (0, 1)]
    comparison.compared(*sides)
    for side in sides:
        comparison.side_concentration(side)
        comparison.side_sources(side)


def _review(run: Any) -> None:
    from dashboard import data

    data.select(data.ranking(run, 0), True, (), ())


def _answer(name: str, folder: Path) -> None:
    """Do what stands behind a page once, everything imported before; print how long it took."""
    import logging

    logging.disable(logging.WARNING)  # streamlit's, that no page is open
    from dashboard import data  # noqa: F401
    from dashboard.analyses import comparison, concentration, sources  # noqa: F401
    from engine.run import Run

    do = _behind_pages()[name]
    started, spent = time.monotonic(), time.process_time()
    do(Run(folder))
    took = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - spent}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(took | {"peak_bytes": peak}))


def markdown(figures: dict[str, Any]) -> str:
    """The figures as two tables."""
    documents, few = figures["documents"], figures["few"]
    many, less = figures["steps"][documents], figures["steps"][few]
    lines = [
        f"{documents:,} documents, {figures['tokens']:,} tokens, {figures['queries']} completions, "
        f"{many['disk_bytes'] / 1e6:,.0f} MB of disk ({figures['cores']} cores, {figures['date']})",
        "", f"| step | seconds | peak memory | beyond {few:,} documents | bytes a document |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for step in FLAGS:
        grown = many[step]["peak_bytes"] - less[step]["peak_bytes"]
        lines.append(
            f"| {step} | {many[step]['seconds']:,.0f} | {many[step]['peak_bytes'] / 1e6:,.0f} MB | "
            f"{grown / 1e6:,.0f} MB | {grown / (documents - few):,.0f} |"
        )
    lines += ["", "| what answers | seconds | of a processor |", "|---|---|---|"]
    for name, took in (figures["verbs"] | figures["pages"]).items():
        lines.append(f"| {name} | {took['seconds']:.1f} | {took['cpu_seconds']:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
