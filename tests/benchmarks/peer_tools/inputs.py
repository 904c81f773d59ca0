"""The same documents and queries for all tools: as files for Whence, as tokens for the others."""

import argparse
import json
from pathlib import Path

from engine.corpus import read_corpus, read_queries, tokenize
from engine.loading import load_tokenizer


def write_inputs(folder: Path, given: argparse.Namespace) -> dict:
    """Write corpus, queries and sequences; where they are."""
    tokenizer = load_tokenizer(given.model)
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    documents = _documents(tokenizer, given.corpus, given.length + (not start), given.fit_documents)
    queries = _queries(tokenizer, given.queries_file, max(given.queries))
    corpus, sequences, files = folder / "corpus.jsonl", folder / "sequences.json", {}
    _write(corpus, [{"id": one["id"], "text": one["text"]} for one in documents])
    for count in given.queries:
        file = folder / f"queries-{count}.jsonl"
        _write(file, [{"id": q["id"], "prompt": q["prompt"], "completion": q["completion"]} for q in queries[:count]])
        files[count] = str(file)
    told = {
        "documents": [start + one["ids"] for one in documents],
        "queries": [{"sequence": start + one["ids"], "first": len(start + one["ids"]) - 2} for one in queries],
    }
    sequences.write_text(json.dumps(told))
    return {"corpus": str(corpus), "queries": files, "sequences": str(sequences)}


def _write(file: Path, rows: list[dict]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _documents(tokenizer, corpus: str, length: int, count: int) -> list[dict]:
    """The first documents that are long enough, cut to one number of tokens."""
    found: dict[str, dict] = {}
    for document in read_corpus(corpus):
        tokens = tokenize(tokenizer, document.text)
        if len(tokens.ids) < length:
            continue
        text = document.text[: tokens.ends[length - 1]]
        ids = tokenize(tokenizer, text).ids.tolist()
        if len(ids) == length and text not in found:
            found[text] = {"id": document.id, "text": text, "ids": ids}
        if len(found) == count:
            return list(found.values())
    raise SystemExit(f"{corpus} has {len(found)} documents of {length} tokens, {count} are wanted: ask for fewer.")


def _queries(tokenizer, file: str, count: int) -> list[dict]:
    """The first queries whose completion can be cut to its first token."""
    found = []
    for query in read_queries(file):
        whole = tokenize(tokenizer, query.prompt + query.completion)
        first = int((whole.ends > len(query.prompt)).argmax())
        completion = query.completion[: whole.ends[first] - len(query.prompt)]
        ids = tokenize(tokenizer, query.prompt + completion).ids.tolist()
        if completion.strip() and ids == whole.ids[: first + 1].tolist() and first > 0:
            found.append({"id": query.id, "prompt": query.prompt, "completion": completion, "ids": ids})
    if len(found) < count:
        raise SystemExit(f"{file} has {len(found)} usable queries, {count} are wanted: ask for fewer with --queries.")
    return found[:count]
