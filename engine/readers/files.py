"""Files as readers see them: plain or compressed, alone or in folders, with what is not read counted."""

import gzip
import io
import os
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from engine.errors import CorpusError

COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
Skipped = Counter[str]
"""What a reader came across and did not read, by what it is, in the plural."""


def skipped_note(skipped: Skipped) -> str:
    """What a reader did not read, in a sentence; empty if nothing."""
    told = ", ".join(f"{what} ({count:,})" for what, count in skipped.most_common())
    return f"Not read: {told}." if told else ""


def suffix(path: Path) -> str:
    """``.jsonl`` of ``corpus.JSONL.gz``."""
    return Path(plain_name(path.name)).suffix.lower()


def plain_name(name: str) -> str:
    """A file's name without the ending that says how it is compressed."""
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in COMPRESSED else name


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The content of a file as bytes, decompressed by its name.

    Raises:
        CorpusError: If the file is missing, may not be read, or its compressed data are damaged.
    """
    if not path.is_file():
        raise CorpusError(f"{path} is not a file -- there is nothing to read -- check the path.")
    compression = COMPRESSED.get(path.suffix.lower())
    try:
        with path.open("rb") as raw:
            yield _decompressed(raw, compression)
    except (OSError, EOFError, zlib.error) as error:
        if why := getattr(error, "strerror", None):
            raise CorpusError(f"{path} cannot be read ({why}) -- check its permissions.") from None
        raise CorpusError(
            f"{path}: the {compression or 'file'} data are damaged or cut short ({error}) -- what follows cannot be "
            "read -- compress or fetch the file anew."
        ) from None


def _decompressed(raw: BinaryIO, compression: str | None) -> BinaryIO:
    if compression == "gzip":
        return gzip.open(raw)  # type: ignore[return-value]
    if compression == "zstd":  # by pyarrow, which is there anyway, also where Python has no zstd of its own
        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), compression), 1 << 20)
    return raw


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines of a file from 1 on, without its byte order mark."""
    with opened(path) as lines:
        for number, raw in enumerate(lines, start=1):
            yield number, raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw


def decoded(raw: bytes, place: str) -> str:
    """Bytes as UTF-8.

    Raises:
        CorpusError: If they are not.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{place}: byte {error.start + 1} (0x{raw[error.start]:02x}) is not valid UTF-8 -- the text "
            "would be read wrongly -- convert the file, for example with `iconv -f latin1 -t utf-8`."
        ) from None


def files_below(folder: Path, skipped: Skipped) -> Iterator[Path]:
    """Files of a folder and of those within it, by name; hidden ones and linked folders are left out."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise CorpusError(f"{folder} cannot be read ({error.strerror}) -- check its permissions.") from None
    for path in (folder / name for name in names):
        if path.name.startswith("."):
            skipped["hidden files or folders"] += 1
        elif path.is_dir() and path.is_symlink():  # it could lead round in circles
            skipped["linked folders"] += 1
        elif path.is_dir():
            yield from files_below(path, skipped)
        elif path.is_file():
            yield path
        else:
            skipped["broken links or devices"] += 1


def files_of(path: Path, suffixes: Collection[str], skipped: Skipped) -> Iterator[tuple[str, Path]]:
    """Files with their plain names: the one that was given, or those of a folder that end in one of the suffixes."""
    if not path.is_dir():
        yield plain_name(readable(path.name)), path
        return
    for file in files_below(path, skipped):
        if suffix(file) in suffixes or plain_name(file.name) in suffixes:
            yield plain_name(readable(file.relative_to(path).as_posix())), file
        else:
            skipped["files of another kind"] += 1


def readable(name: str) -> str:
    """A file's name as text, whatever its bytes."""
    return os.fsencode(name).decode("utf-8", "replace")


def texts_of(path: Path, suffixes: Collection[str], skipped: Skipped) -> Iterator[tuple[str, Path, str]]:
    """Name, path and text of files; in a folder, what is not UTF-8 text is skipped and counted.

    Raises:
        CorpusError: If the file that was given is no text.
    """
    for name, file in files_of(path, suffixes, skipped):
        with opened(file) as content:
            raw = content.read().removeprefix(b"\xef\xbb\xbf")
        if path.is_dir() and (why := _no_text(raw)):
            skipped[why] += 1
        else:
            yield name, file, decoded(raw, str(file))


def _no_text(raw: bytes) -> str:
    """Why bytes hold no text; empty if they do."""
    if not raw.strip():
        return "empty files"
    if b"\0" in raw:
        return "binary files"
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "files that are not UTF-8"
    return ""


def source_in(name: str, folder: Path) -> str | None:
    """Source of a file of a folder: the folder within it, else the folder itself; None for a file given alone."""
    if not folder.is_dir():
        return None
    first, _, rest = name.partition("/")
    return first if rest else readable(folder.resolve().name) or None
