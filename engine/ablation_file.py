"""Scored variants kept in a run: written by :mod:`engine.ablations`, read by whoever shows them (no torch).

One document's variants are a file with texts, tokens and their influence; the table of the strongest
documents is a file per query with a row per variant. Both hold the settings they were made with.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engine.analysis.ablation import COLUMNS, Ablation, VariantInfluence
from engine.corpus import Tokens
from engine.run import Run
from engine.store import RunFolder
from engine.variants import Origin, VariantSettings
from engine.writing import write_table

STAMP, FORMAT = b"whence.ablation", 1
"""Where a file holds its settings; a file of another format is computed anew."""
NO_WORD = -1
"""Stands for no word of the original, in files."""
KEY = re.compile(r"[0-9a-f]{16}")
_NUMBERS = pa.list_(pa.int32())
_VARIANTS = pa.schema(
    {
        "variant": pa.string(), "draw": pa.int32(), "text": pa.string(), "token_ids": _NUMBERS, "starts": _NUMBERS,
        "ends": _NUMBERS, "positions": pa.int32(), "influence": pa.list_(pa.float32()), "word_starts": _NUMBERS,
        "word_ends": _NUMBERS, "words": _NUMBERS, "noise": pa.float64(), "has_start": pa.bool_(),
    }
)  # fmt: skip


def ablation_key(settings: VariantSettings) -> str:
    """Name of what was asked for: 16 hexadecimal digits, the same for the same settings."""
    return hashlib.sha256(_stamp(settings)).hexdigest()[:16]


def write_ablation(folder: RunFolder, ablation: Ablation, settings: VariantSettings) -> None:
    """Keep one document's variants, whole or not at all."""
    rows = [_row(one) | {"noise": ablation.noise} for one in ablation.variants]
    table = pa.Table.from_pylist(rows, schema=_VARIANTS.with_metadata({STAMP: _stamp(settings)}))
    write_table(table, folder.ablation_of(ablation.query, ablation.document, ablation_key(settings)))


def read_ablation(run: Run, query: int, document: int, key: str) -> Ablation | None:
    """Read one document's variants.

    Args:
        run: The run.
        query: Number of the query.
        document: Number of the document.
        key: :func:`ablation_key` of what was asked for.

    Returns:
        The variants, or None where they were not computed, or by another version.
    """
    file = run.folder.ablation_of(query, document, key)
    if not KEY.fullmatch(key) or not file.is_file():
        return None
    table = pq.read_table(file)
    if _kept_with(table.schema).get("format") != FORMAT:
        return None
    rows = table.to_pylist()
    return Ablation(query, document, run.unit, rows[0]["noise"], tuple(map(_variant, rows)))


def write_top(
    folder: RunFolder, query: int, rows: list[dict[str, Any]], per_query: int, settings: VariantSettings
) -> None:
    """Keep the table of one query's strongest documents and their controls."""
    stamp = _stamp(settings, per_query=per_query)
    write_table(pa.Table.from_pylist(rows, schema=COLUMNS.with_metadata({STAMP: stamp})), folder.ablation(query))


def is_kept(folder: RunFolder, query: int, per_query: int, settings: VariantSettings) -> bool:
    """Whether the table of a query is there, made with these very settings."""
    file = folder.ablation(query)
    return file.is_file() and _kept_with(pq.read_schema(file)) == json.loads(_stamp(settings, per_query=per_query))


def read_top(folder: RunFolder, queries: Sequence[int], settings: VariantSettings | None = None) -> pd.DataFrame:
    """Variants of the strongest documents, and of unrelated ones, of those queries whose table is kept.

    Tables made with other settings are left out; of how many documents each is does not matter.

    Args:
        folder: The run.
        queries: Numbers of the queries.
        settings: Which variants; None for the defaults.

    Returns:
        One row per query, document, variant and draw (:data:`engine.analysis.ablation.COLUMNS`).
    """
    wanted = json.loads(_stamp(settings or VariantSettings()))
    files = [file for file in map(folder.ablation, queries) if file.is_file()]
    like = [file for file in files if wanted.items() <= _kept_with(pq.read_schema(file)).items()]
    tables = [pq.read_table(file).replace_schema_metadata() for file in like]
    return pa.concat_tables([COLUMNS.empty_table(), *tables]).to_pandas()


def top_changed(folder: RunFolder) -> float:
    """When a kept table last came or went, for caches; 0 before the first."""
    place: Path = folder.ablation(0).parent
    return place.stat().st_mtime if place.is_dir() else 0.0


def _stamp(settings: VariantSettings, **more: Any) -> bytes:
    return json.dumps({"format": FORMAT, **more, **asdict(settings)}, sort_keys=True).encode()


def _kept_with(schema: pa.Schema) -> dict[str, Any]:
    """Settings that a kept file was made with; empty if it does not say."""
    stamp: dict[str, Any] = json.loads((schema.metadata or {}).get(STAMP, b"{}"))
    return stamp


def _row(one: VariantInfluence) -> dict[str, Any]:
    return {
        "variant": one.name, "draw": one.draw, "text": one.text, "token_ids": one.tokens.ids.tolist(),
        "starts": one.tokens.starts.tolist(), "ends": one.tokens.ends.tolist(), "positions": one.influence.shape[1],
        "influence": one.influence.ravel().tolist(), "word_starts": [word.start for word in one.origin],
        "word_ends": [word.end for word in one.origin], "has_start": one.has_start,
        "words": [NO_WORD if word.word is None else word.word for word in one.origin],
    }  # fmt: skip


def _variant(row: dict[str, Any]) -> VariantInfluence:
    tokens = Tokens(*(np.asarray(row[name], dtype=np.int32) for name in ("token_ids", "starts", "ends")))
    influence = np.asarray(row["influence"], dtype=np.float32).reshape(-1, row["positions"])
    words = zip(row["word_starts"], row["word_ends"], row["words"], strict=True)
    origin = tuple(Origin(start, end, None if word == NO_WORD else word) for start, end, word in words)
    return VariantInfluence(row["variant"], row["draw"], row["text"], tokens, influence, row["has_start"], origin)
