"""The one way a file is written: whole or not at all."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import RunError

DISK_TROUBLE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "writing there is not permitted",
    errno.EPERM: "writing there is not permitted",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EEXIST: "a part of the path is a file",
    errno.EISDIR: "there is a folder of that name",
}


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield ``<path>.part`` to write to; rename it when the block ends without error.

    Raises:
        RunError: If the disk is full or may not be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    except OSError as error:
        if part.parent.is_dir():
            part.unlink(missing_ok=True)
        if error.errno not in DISK_TROUBLE:
            raise
        raise RunError(
            f"{path} could not be written: {DISK_TROUBLE[error.errno]} -- what was finished before stays -- "
            "make room or choose another folder, then start the same again: it goes on from there."
        ) from error


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file, whole or not at all."""
    with writing(path) as part:
        pq.write_table(table, part, compression="zstd")


def write_json(value: Any, path: Path) -> None:
    """Write a JSON file, whole or not at all."""
    with writing(path) as part:
        part.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
