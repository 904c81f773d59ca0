"""What tests of readers share: documents of a path, and files written by hand."""

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine import Document, read_corpus
from engine.readers.settings import ReadingSettings


def read(path: Path, **settings: Any) -> list[Document]:
    return list(read_corpus(path, ReadingSettings(**settings)))


def read_counting(path: Path, **settings: Any) -> tuple[list[Document], dict[str, int]]:
    """Documents, and what was skipped."""
    skipped: Counter[str] = Counter()
    return list(read_corpus(path, ReadingSettings(**settings), skipped)), dict(skipped)


def write_files(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def compressed(content: bytes, ending: str) -> bytes:
    """Content as gzip, or as zstd."""
    if ending == ".gz":
        return gzip.compress(content)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()
