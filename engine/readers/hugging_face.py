"""A Hugging Face dataset: by its name on the hub, as a stream, or a folder that ``save_to_disk`` wrote.

The hub needs the package ``datasets``; what it saved is Arrow, which is read without it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.errors import CorpusError
from engine.readers.columns import named, wanted
from engine.readers.files import Skipped
from engine.readers.parquet import ROWS, Row, rows
from engine.readers.settings import ReadingSettings

STATE, SPLITS = "state.json", "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """Whether ``save_to_disk`` wrote the folder."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def read(path: Path, settings: ReadingSettings, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of one split of a dataset."""
    if is_saved(path):
        yield from _saved(path, settings)
    else:
        yield from named(_streamed(str(path), settings), settings)


def _saved(folder: Path, settings: ReadingSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    if (folder / SPLITS).is_file():
        splits = _json(folder / SPLITS)["splits"]
        if settings.split not in splits:
            raise CorpusError(
                f"{folder} has no split {settings.split!r} -- there is nothing to read -- choose one with --split: "
                f"{', '.join(splits)}."
            )
        folder /= settings.split
    for file in _json(folder / STATE)["_data_files"]:
        path = folder / file["filename"]
        try:
            stream = pa.ipc.open_stream(pa.memory_map(str(path)))
        except (OSError, pa.ArrowException) as error:
            raise CorpusError(
                f"{path} cannot be read as Arrow ({error}) -- documents would be missing -- save the dataset anew."
            ) from None
        names = stream.schema.names
        yield from named(rows(_pieces(stream, wanted(names, settings)), path.name, str(path)), settings, names)


def _pieces(stream: pa.RecordBatchReader, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Batches of a stream, cut small; it is mapped, so that only what is looked at takes memory."""
    for batch in stream:
        for start in range(0, len(batch), ROWS):
            yield batch.select(columns).slice(start, ROWS)


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"{path} cannot be read ({error}) -- the dataset's files are not known -- save it anew."
        ) from None


def _streamed(name: str, settings: ReadingSettings) -> Iterator[Row]:
    try:
        from datasets import load_dataset  # only where it is asked for: it takes seconds to import
    except ImportError:
        raise CorpusError(
            f"{name}: datasets by name need the package `datasets`, which is not installed -- the hub cannot be read "
            "without it -- `pip install datasets`, or give a folder of Parquet files."
        ) from None
    try:
        stream = load_dataset(name, settings.subset, split=settings.split, streaming=True)
        for number, fields in enumerate(stream, start=1):
            fields = {column: str(value) if type(value) is int else value for column, value in fields.items()}
            yield f"{name}, row {number}", f"{name}:{number}", fields
    except (OSError, ValueError, RuntimeError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CorpusError(
            f"{name}: the dataset cannot be read ({why}) -- nothing to attribute to -- check its name, "
            "--subset and --split, and the network."
        ) from None
