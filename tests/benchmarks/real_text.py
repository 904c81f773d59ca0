"""A few hundred documents of real text and completions about them, for findings on a real model.

    python tests/benchmarks/real_text.py DATA OUT

DATA is a folder of ``*.jsonl`` files of documents (``id, source, lang, title, text``) and ``country_capitals.jsonl``
(``country, capital, file``), in folders as deep as you like. OUT gets ``real-text.jsonl``, ``queries.jsonl`` and
``truth.json`` (see :mod:`engine.findings.study`), the same bytes for the same data and seed. Then::

    python -m engine fit --run R --model SmolLM2-135M --corpus OUT/real-text.jsonl --device cuda
    python -m engine query --run R --queries OUT/queries.jsonl
    python -m engine score --run R
    python -m engine findings --run R --truth OUT/truth.json

Nothing planted: documents are drawn at random within each kind, and prompts are ours. The model need not have been
trained on these documents.
"""

import argparse
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SHORTEST, LONGEST = 300, 1_600
"""Characters of a document: a paragraph or two, so that most fit a window."""
PARTS: list[tuple[str, int, Callable[[dict[str, Any]], bool]]] = [
    ("country", 40, lambda d: d["id"].startswith("factbook/")),
    ("encyclopaedia", 40, lambda d: d["id"].startswith(("wikitext2/", "element/"))),
    ("slopes", 25, lambda d: d["source"] == "textbook" and "slope" in d["text"].lower()),
    ("textbook", 50, lambda d: d["source"] == "textbook" and "slope" not in d["text"].lower()),
    ("code", 60, lambda d: d["source"] == "code"),
    ("questions", 60, lambda d: d["source"] == "stackexchange"),
    ("abstracts", 50, lambda d: d["source"] == "arxiv"),
    ("latex", 30, lambda d: d["source"] == "arxiv_latex"),
    ("markdown", 40, lambda d: d["source"] == "markdown" and d["lang"] == "en"),
    ("Turkish", 50, lambda d: d["lang"] == "tr" and d["source"] == "encyclopedia"),
    ("Korean", 15, lambda d: d["lang"] == "ko" and d["source"] == "encyclopedia"),
]
"""Name, documents, and which ones: Turkish is more than a twentieth of them, Korean less."""
COUNTRIES = {
    "France": ("Fransa'nın", "프랑스", "파리"), "Germany": ("Almanya'nın", "독일", "베를린"),
    "Italy": ("İtalya'nın", "이탈리아", "로마"), "Spain": ("İspanya'nın", "스페인", "마드리드"),
    "Japan": ("Japonya'nın", "일본", "도쿄"), "Egypt": ("Mısır'ın", "이집트", "카이로"),
    "Greece": ("Yunanistan'ın", "그리스", "아테네"), "Norway": ("Norveç'in", "노르웨이", "오슬로"),
    "Poland": ("Polonya'nın", "폴란드", "바르샤바"), "Cuba": ("Küba'nın", "쿠바", "아바나"),
}  # fmt: skip
"""Countries asked about in three languages: Turkish genitive, Korean name, Korean capital."""
TURKISH = {
    "Rome": "Roma", "Cairo": "Kahire", "Athens": "Atina", "Warsaw": "Varşova", "Havana": "Havana", "Tokyo": "Tokyo",
}  # fmt: skip
CODE = [
    ("def gcd(a, b):\n    while b:\n        a, b =", " b, a % b"),
    ("def factorial(n):\n    if n == 0:\n        return 1\n    return", " n * factorial(n - 1)"),
    ("def is_even(number):\n    return", " number % 2 == 0"),
    ("def fibonacci(n):\n    if n < 2:\n        return n\n    return", " fibonacci(n - 1) + fibonacci(n - 2)"),
    ("def square(x):\n    return", " x * x"),
    ("def swap(items, i, j):\n    items[i], items[j] =", " items[j], items[i]"),
    ("def slope(x1, y1, x2, y2):\n    return", " (y2 - y1) / (x2 - x1)"),
    ("for i in range(len(items)):\n    print(", "items[i])"),
]


def read(data: Path) -> Iterator[dict[str, Any]]:
    """Documents of every file that holds some."""
    for file in sorted(data.rglob("*.jsonl")):
        for line in filter(None, file.read_text(encoding="utf-8").split("\n")):  # splitlines would cut at more signs
            row = json.loads(line)
            if "text" in row and "source" in row:
                yield row


def choose(data: Path, draw: random.Random) -> list[dict[str, Any]]:
    """Documents of each part; of countries those first that are asked about, whatever their length."""
    every = list(read(data))
    found = []
    for name, count, belongs in PARTS:
        fitting = [one for one in every if belongs(one)]
        asked = [one for one in fitting if name == "country" and one["title"] in COUNTRIES]
        rest = [one for one in fitting if one not in asked and SHORTEST <= len(one["text"]) <= LONGEST]
        found += asked + draw.sample(rest, min(count - len(asked), len(rest)))
    names = {"lang": "language"}
    return [{names.get(key, key): one[key] for key in ("id", "source", "lang", "title", "text")} for one in found]


def capital_queries(data: Path, documents: list[dict[str, Any]]) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Capitals in English, Turkish and Korean."""
    lines = next(data.rglob("country_capitals.jsonl")).read_text(encoding="utf-8").splitlines()
    capitals = {row["country"]: row["capital"] for row in map(json.loads, lines)}
    for country, (turkish, korean, korean_capital) in COUNTRIES.items():
        capital = re.split(r"[;(,]", capitals[country])[0].strip()
        about = [one["id"] for one in documents if one["title"] == country and one["source"] == "encyclopedia"]
        asked = {
            "en": (f"The capital of {country} is", capital),
            "tr": (f"{turkish} başkenti", TURKISH.get(capital, capital)),
            "ko": (f"{korean}의 수도는", korean_capital),
        }
        for language, (prompt, answer) in asked.items():
            said = {"en": "", "tr": " (Turkish)", "ko": " (Korean)"}[language]
            known = {"documents": about, "subject": [country], "answer": [answer], "question": f"capital of {country}"}
            kind = "Fact" if language == "en" else "Translation"
            yield _query(prompt, f" {answer}", f"The capital of {country}{said}", kind, language), known


def reasoning_queries(draw: random.Random) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Sums, slopes and equations, and controls of the same format that already hold the answer."""
    for _ in range(8):
        a, b = draw.randint(11, 79), draw.randint(11, 79)
        yield _reasoned(f"Calculate {a} + {b} =", a + b, f"{a} plus {b}", "Arithmetic", "addition")
    for _ in range(8):
        x, y, run, slope = draw.randint(0, 6), draw.randint(0, 6), draw.randint(1, 4), draw.randint(2, 6)
        points = f"({x}, {y}) and ({x + run}, {y + run * slope})"
        yield _reasoned(f"The slope of the line through {points} is", slope, f"Slope: {points}", "Slope", "slope")
    for _ in range(8):
        a, x, b = draw.randint(2, 9), draw.randint(2, 9), draw.randint(1, 20)
        left = f"{a}x + {b} = {a * x + b}"
        yield _reasoned(f"Solving {left} gives x =", x, f"Solve {left}", "Linear equation", "linear equation")
    for _ in range(4):
        a, b = draw.randint(11, 79), draw.randint(80, 160)
        prompt, title = f"Read {a} then {b}. The second number is", f"Read {a} then {b}"
        yield _query(prompt, f" {b}", title, "Control", "en"), {"control_of": "addition"}
    for _ in range(4):
        x, y = draw.randint(0, 6), draw.randint(0, 6)
        prompt, title = f"The second number of the point ({x}, {y}) is", f"Second number of ({x}, {y})"
        yield _query(prompt, f" {y}", title, "Control", "en"), {"control_of": "slope"}


def _reasoned(prompt: str, answer: int, title: str, kind: str, task: str) -> tuple[dict[str, str], dict[str, Any]]:
    return _query(prompt, f" {answer}", title, kind, "en"), {"answer": [str(answer)], "task": task}


def _query(prompt: str, completion: str, title: str, kind: str, language: str) -> dict[str, str]:
    return {"prompt": prompt, "completion": completion, "title": title, "kind": kind, "language": language}


def build(data: Path, out: Path, seed: int) -> None:
    """Write the three files."""
    draw = random.Random(seed)
    documents = choose(data, draw)
    asked = [*capital_queries(data, documents), *reasoning_queries(draw)]
    asked += [(_query(prompt, end, prompt.split("\n")[0], "Code", "en"), {"task": "code"}) for prompt, end in CODE]
    queries = [{"id": f"query-{n:03}", **query} for n, (query, _) in enumerate(asked, 1)]
    truth = {"queries": {query["id"]: known for query, (_, known) in zip(queries, asked, strict=True)}}
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in (("real-text", documents), ("queries", queries)):
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        (out / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out / "truth.json").write_text(json.dumps(truth, ensure_ascii=False, indent=1), encoding="utf-8")
    print(f"{out}: {len(documents)} documents, {len(queries)} completions")


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description="Real text and completions about it, for findings on a real model.")
    flags.add_argument("data", type=Path, help="folder with the data")
    flags.add_argument("out", type=Path, help="folder for real-text.jsonl, queries.jsonl, truth.json")
    flags.add_argument("--seed", type=int, default=0)
    given = flags.parse_args()
    build(given.data, given.out, given.seed)
