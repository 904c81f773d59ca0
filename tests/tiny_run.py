"""A complete run folder with made-up numbers, written without torch.

The numbers are consistent: position and prediction influence of a document's tokens both
add up to the document's influence on each completion token.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine.analysis.ablation import Ablation, VariantInfluence
from engine.corpus import Tokens
from engine.run import Run
from engine.store import FORMAT, RunFolder
from engine.variants import VariantSettings, make_variants, rewrite
from engine.writing import write_json, write_table

START_TOKEN = 1
FINISHED = "2026-01-02T03:04:05Z"


def cut(text: str) -> list[tuple[int, int]]:
    """Characters of each token: words with their blank, line breaks, and each byte of other characters."""
    tokens = []
    for found in re.finditer(r" ?[A-Za-z0-9]+|\n|.", text, re.DOTALL):
        wide = len(found[0]) == 1 and ord(found[0]) > 127
        tokens += [found.span()] * (len(found[0].encode("utf-8")) if wide else 1)
    return tokens


def write_tiny_run(
    path: Path,
    documents: Sequence[dict[str, str]],
    queries: Sequence[dict[str, str]],
    *,
    without_tokens: Sequence[int] = (),
    training_windows: int | None = 1000,
    measurement: str = "log_prob",
    seed: int = 0,
) -> Path:
    """Write a finished run.

    Args:
        path: Its folder.
        documents: Each with id, text, source, language, title.
        queries: Each with id, prompt, completion, kind, language, title, and maybe contrast.
        without_tokens: Documents whose token influences are not stored.
        training_windows: As in the fit step's settings.
        measurement: As in the query step's settings.
        seed: Of the made-up numbers.
    """
    folder, random = RunFolder(path), np.random.default_rng(seed)
    cuts = [cut(document["text"]) for document in documents]
    token_rows = [row for number, query in enumerate(queries) for row in _query_tokens(number, query, measurement)]
    counts = [sum(row["query"] == number for row in token_rows) for number in range(len(queries))]
    write_table(_documents(documents, cuts), folder.documents)
    write_table(_tokens(cuts), folder.tokens)
    write_table(pa.Table.from_pylist([_query(n, query, token_rows) for n, query in enumerate(queries)]), folder.queries)
    write_table(pa.Table.from_pylist(token_rows), folder.query_tokens)
    scores: dict[str, Any] = {"document": pa.array(range(len(documents)), pa.int32())}
    scores |= {"log_prob": -10 * random.random(len(documents)), "gradient_norm": 1 + random.random(len(documents))}
    lexical: dict[str, Any] = {"document": scores["document"]}
    kinds: dict[str, list[dict[str, Any]]] = {"tokens": [], "prediction": []}
    for query, count in enumerate(counts):
        position = [random.normal(size=(count, len(cut) + 1)) for cut in cuts]
        for document, values in enumerate(position):
            if document not in without_tokens:
                row = {"query": query, "document": document, "positions": values.shape[1]}
                kinds["tokens"].append(row | {"influence": values.ravel()})
                kinds["prediction"].append(row | {"influence": _same_sum(random, values).ravel()})
        for token in range(count):
            scores[f"influence.{query}.{token}"] = np.array([values[token].sum() for values in position], np.float32)
        for name in ("gradient_dot", "hidden"):
            scores[f"{name}.{query}"] = random.normal(size=len(documents))
        for name in ("bm25", "tfidf"):
            lexical[f"{name}.{query}"] = random.random(len(documents))
    write_table(pa.table(scores), folder.shard("documents", 0))
    write_table(pa.table(lexical), folder.lexical)
    for table, rows in kinds.items():
        write_table(pa.Table.from_pylist(rows, _TOKEN_SCHEMA), folder.shard(table, 0))
    write_json(_manifest(documents, cuts, len(queries), training_windows, measurement), path / "manifest.json")
    return path


_TOKEN_SCHEMA = pa.schema(
    {"query": pa.int32(), "document": pa.int32(), "positions": pa.int32(), "influence": pa.list_(pa.float32())}
)


def _same_sum(random: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Other numbers with the same sum per row, nothing for the start token."""
    other = random.normal(size=values.shape)
    other[:, 0] = 0
    other[:, -1] += values.sum(1) - other.sum(1)
    return other


def _documents(documents: Sequence[dict[str, str]], cuts: list[list[tuple[int, int]]]) -> pa.Table:
    columns: dict[str, Any] = {"document": pa.array(range(len(documents)), pa.int32())}
    for name in ("id", "title", "source", "language", "text"):
        columns[name] = [document[name] for document in documents]
    columns["tokens"] = pa.array([len(cut) for cut in cuts], pa.int32())
    columns["windows"] = pa.array([1] * len(cuts), pa.int32())
    return pa.table(columns)


def _tokens(cuts: list[list[tuple[int, int]]]) -> pa.Table:
    numbers = pa.list_(pa.int32())
    return pa.table(
        {
            "document": pa.array(range(len(cuts)), pa.int32()),
            "token_ids": pa.array([list(range(len(cut))) for cut in cuts], numbers),
            "starts": pa.array([[start for start, _ in cut] for cut in cuts], numbers),
            "ends": pa.array([[end for _, end in cut] for cut in cuts], numbers),
        }
    )


def _query_tokens(number: int, query: dict[str, str], measurement: str) -> list[dict[str, Any]]:
    rows = []
    for side in ("completion", "contrast") if measurement == "contrast" else ("completion",):
        shift = len(query["prompt"])
        for start, end in cut(query[side]):
            row = {"side": side, "token_id": len(rows), "start": shift + start, "end": shift + end}
            rows.append(row | {"straddles": False, "value": -1.0, "log_prob": -1.0})
    return [{"query": number, "token": token, **row} for token, row in enumerate(rows)]


def _query(number: int, query: dict[str, str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    value = float(sum(row["value"] for row in rows if row["query"] == number))
    return {"query": number, "contrast": ""} | query | {"value": value, "log_prob": value, "gradient_norm": 2.0}


def _manifest(
    documents: Sequence[dict[str, str]],
    cuts: list[list[tuple[int, int]]],
    queries: int,
    training_windows: int | None,
    measurement: str,
) -> dict[str, Any]:
    step = {"state": "finished", "seconds": 1.5, "finished": FINISHED, "inputs": {}, "versions": {}}
    fit = step | {
        "settings": {"layers": "mlp", "training_windows": training_windows},
        "model": "models/tiny-model",
        "inputs": {},
        "cutting": {"start_token": START_TOKEN, "context": 512, "overlap": 64},
        "tracked": {"parameters": 1000, "tracked_parameters": 630, "share": 0.63, "layers": {}},
        "corpus": {
            "path": "corpus.jsonl",
            "documents": len(documents),
            "tokens": sum(map(len, cuts)),
            "windows": len(documents),
            "nothing_to_predict": 0,
        },
    }
    query = step | {
        "settings": {"measurement": measurement, "damping_factor": 0.1},
        "queries": {"path": "queries.jsonl", "count": queries},
    }
    return {"format": FORMAT, "steps": {"fit": fit, "query": query, "score": step | {"settings": {}}}}


PAYLOADS = (
    '<img src=x onerror="window.hacked=1"> <script>window.hacked=1</script>',
    "[click](javascript:window.hacked=1) **bold** $x^2$ :material/home: <b>b</b> & `code` https://evil.example @user",
    "‮abc‬ zero\u200bwidth \ufeffbom \U000e0041tag \x1b[31m \x07",
    "=1+1 {placeholder} %(format)s \\ \u2028 end",
)
"""Text that must reach the reader as it is, and do nothing."""


def hostile_documents() -> list[dict[str, str]]:
    """Documents, titles and sources that try to be more than text."""
    return [
        {
            "id": f"hostile-{number}/<b>?&=",
            "title": payload,
            "source": payload[:40],
            "language": "en",
            "text": f"{payload}\n\nשלום 世界 👩‍🚀 e\u0301 نص‌عربی\n{payload}",
        }
        for number, payload in enumerate(PAYLOADS)
    ]


def plain_documents(count: int) -> list[dict[str, str]]:
    """Ordinary documents of two sources and two languages."""
    return [
        {
            "id": f"plain-{number}",
            "title": f"Story number {number}",
            "source": ("Books", "Web")[number % 2],
            "language": ("en", "de")[number // 2 % 2],
            "text": f"Once there was a story with the number {number}.\nIt had two lines, and {number + 3} cats.",
        }
        for number in range(count)
    ]


def long_document(tokens: int) -> dict[str, str]:
    """A document of that many tokens, a multiple of 250, in paragraphs of 250."""
    lines = [" fish" * 247 + f" number {number}\n" for number in range(tokens // 250)]
    return {"id": "long", "title": "A long story", "source": "Books", "language": "en", "text": "".join(lines)}


def plain_queries() -> list[dict[str, str]]:
    """Two kinds of completions, one of them hostile."""
    return [
        {"id": "q/1", "prompt": "Once there", "completion": " was a cat", "kind": "Story", "language": "en",
         "title": "What comes after once?", "contrast": " is no dog"},
        {"id": "q/2", "prompt": "Two plus two", "completion": " is 四", "kind": "Sum", "language": "en",
         "title": "How much is two plus two?", "contrast": " was 5"},
        {"id": "q/3", "prompt": PAYLOADS[0], "completion": " " + PAYLOADS[1], "kind": "Sum", "language": "en",
         "title": PAYLOADS[1], "contrast": PAYLOADS[2]},
    ]  # fmt: skip


TOTALS = {"original": 20.0, "words_reversed": 2.0, "words_shuffled": 3.0, "words_shuffled_nearby": 8.0, "edit": 15.0}
NOISE = 1.0


def scored(run: Run, query: int, document: int, settings: VariantSettings, totals=TOTALS, noise=NOISE) -> Ablation:
    """Variants whose influence is as in ``totals``, one more for each further draw; others have 1."""
    row = run.queries.set_index("query").loc[query]
    variants = make_variants(run.text(document), row["completion"], "story", settings)
    variants += [
        rewrite("other_document", run.text(document), run.text(other), draw)
        for draw, other in enumerate(settings.documents)
    ]
    found = []
    for one in variants:
        spans = np.array(cut(one.text), dtype=np.int32).reshape(-1, 2)
        tokens = Tokens(np.arange(len(spans), dtype=np.int32), spans[:, 0], spans[:, 1])
        influence = np.zeros((len(run.tokens_of_query(query)), 1 + len(spans)), dtype=np.float32)
        influence[0, 1:] = (totals.get(one.name, 1.0) + one.draw) / len(spans)
        found.append(VariantInfluence(one.name, one.draw, one.text, tokens, influence, True, one.origin))
    return Ablation(query, document, run.unit, noise, tuple(found))
