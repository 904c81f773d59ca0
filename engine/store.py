"""Every file of a run folder, and the one way each is written.

::

    run/
      manifest.json                 settings, hashes, versions, seeds, time and memory of each step
      corpus/documents.parquet      document, id, title, source, language, text, relation_flipped, same_content,
                                    tokens, windows
      corpus/tokens.parquet         document, token_ids, starts, ends (characters of each token)
      fit/covariance/*.checkpoint.safetensors
                                    while the first pass runs the sum so far, and sums of units by other processes of a
                                    group; removed at its end; fit/correction/ likewise for the second
      fit/eigenvectors.safetensors  <layer>.q_a, <layer>.q_s between its two passes; removed at its end
      fit/factors.safetensors       <layer>.q_a [i,i], <layer>.q_s [o,o], <layer>.lam [o,i]
      query/queries.parquet         query, id, title, kind, language, prompt, completion, contrast, ...
      query/tokens.parquet          query, token, token_id, start, end, side, log_prob, ...
      query/gradients/<query>.safetensors
                                    per side (0 completion, 1 contrast) and layer the exact gradient in
                                    factors: <side>.<layer>.activation [t,i], <side>.<layer>.token_grad [c,t,o]
      query/refined/<key>/<query>.safetensors
                                    with the estimator ekfac-cg: <layer>.preconditioned [c,o,i], and residual, of each
                                    iteration [1+iterations,c]; the key is a hash of all that they depend on
      score/low_rank.safetensors    <layer>.u [q,o,r], <layer>.v [q,i,r], for layers scored by thin products;
                                    may hold no layer; fixed before the first shard
      score/lexical.parquet         document, bm25.<query>, tfidf.<query>
      score/documents/<shard>.parquet
                                    document, log_prob, gradient_norm, influence.<query>.<token>,
                                    gradient_dot.<query>, hidden.<query>
      score/readings/<key>/...      with the estimator bif: log-probabilities at each draw of the weights (engine.bif);
                                    the key is a hash of all that they depend on
      score/<table>/gathered.parquet   in place of many shards, once all are finished
      score/tokens/<shard>.parquet  query, document, positions, influence (completion tokens x positions); no rows with
                                    the estimator bif
      score/prediction/<shard>.parquet   the same for prediction influence
      .../slips/<unit>.todo|taken|done   while a group of processes shares a pass: what becomes of each unit of work
                                    (engine.slips)
      score/on_demand/<kind>-<query>-<document>.parquet   the same, computed when asked for
      score/ablation/<query>.parquet   document, control, variant, draw, influence, ... of texts the model never saw
      score/ablation/<query>-<document>-<key>.parquet   variants of one document with texts and token influences;
                                    the key is a hash of what was asked for
      index/<key>/<shard>.safetensors   signs [d,bits/8], scale [d]: sketches of documents' gradients; the key is a hash
                                    of all that they depend on
      index/index.json              the index in use: key, settings, recall of the run's own completions; written last
      asked/<key>.json              answers to a live question; the key is a hash of what was asked and of the run
      map/<features>.parquet        document, x, y: documents laid out by likeness; seed and settings in its metadata
      checks/<check>.json           result of a check of this run; its unfinished work in checks/<check>/
      checks/<check>-<key>.json     the same of one completion; the key is a hash of what was asked for
      findings/variants/<query>-<key>.parquet   documents in reversed order, scored; the key is a hash of their settings
      findings/<finding>.json       what a finding of the literature comes to in this run, and what that was made from

``document`` and ``query`` are numbers in the order of the corpus and query files.
Position 0 of a document is the model's start token where it has one.
A file is written as ``<name>.part`` and renamed, so a file that is there is whole.
A step is finished when the manifest says so; the manifest is written last.
Tables are Parquet, tensors safetensors; nothing is pickled.
"""

import errno
import fcntl
import json
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import FormatError, RunError
from engine.settings import deciding

FORMAT = 1
GATHERED = "gathered.parquet"
"""File of all shards of a table, which takes their place."""
NO_MODEL = (
    "this run's influence was computed by {tool} and imported: it holds neither a model nor its curvature -- what is "
    "asked for needs them -- compute a run of the same corpus with `python -m engine fit`, `query` and `score`."
)
STEPS = ("fit", "query", "score")
FOLDERS = {"fit": ("corpus", "fit"), "query": ("query",), "score": ("score",)}
"""Folders that each step writes."""
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pyarrow", "duckdb")
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


@dataclass(frozen=True)
class RunFolder:
    """Paths and manifest of a run; reads nothing else."""

    path: Path

    @property
    def documents(self) -> Path:
        return self.path / "corpus" / "documents.parquet"

    @property
    def tokens(self) -> Path:
        return self.path / "corpus" / "tokens.parquet"

    @property
    def factors(self) -> Path:
        return self.path / "fit" / "factors.safetensors"

    @property
    def queries(self) -> Path:
        return self.path / "query" / "queries.parquet"

    @property
    def query_tokens(self) -> Path:
        return self.path / "query" / "tokens.parquet"

    def query_gradient(self, query: int) -> Path:
        return self.path / "query" / "gradients" / f"{query:05}.safetensors"

    def refined(self, key: str, query: int) -> Path:
        return self.path / "query" / "refined" / key / f"{query:05}.safetensors"

    @property
    def low_rank(self) -> Path:
        return self.path / "score" / "low_rank.safetensors"

    @property
    def lexical(self) -> Path:
        return self.path / "score" / "lexical.parquet"

    @property
    def readings(self) -> Path:
        return self.path / "score" / "readings"

    def shards(self, table: str) -> Path:
        """Folder of the shards of ``documents``, ``tokens`` or ``prediction``."""
        return self.path / "score" / table

    def shard_files(self, table: str) -> list[Path]:
        """Files of a table of scores, in order: its :meth:`shards`, or the one file they were gathered in."""
        gathered = self.shards(table) / GATHERED
        return [gathered] if gathered.is_file() else sorted(self.shards(table).glob("*.parquet"))

    def shard(self, table: str, number: int) -> Path:
        """One of the :meth:`shards`."""
        return self.shards(table) / f"{number:05}.parquet"

    def on_demand(self, kind: str, query: int, document: int) -> Path:
        return self.path / "score" / "on_demand" / f"{kind}-{query}-{document}.parquet"

    def ablation(self, query: int) -> Path:
        return self.path / "score" / "ablation" / f"{query:05}.parquet"

    def ablation_of(self, query: int, document: int, key: str) -> Path:
        return self.path / "score" / "ablation" / f"{query:05}-{document}-{key}.parquet"

    def map(self, features: str) -> Path:
        return self.path / "map" / f"{features}.parquet"

    @property
    def index(self) -> Path:
        return self.path / "index" / "index.json"

    def index_shard(self, key: str, number: int) -> Path:
        return self.path / "index" / key / f"{number:05}.safetensors"

    def asked(self, key: str) -> Path:
        return self.path / "asked" / f"{key}.json"

    def check(self, name: str) -> Path:
        return self.path / "checks" / f"{name}.json"

    def finding(self, name: str) -> Path:
        return self.path / "findings" / f"{name}.json"

    def reversed_order(self, query: int, key: str) -> Path:
        """Scores of a completion's strongest documents in reversed order, for the finding on word order."""
        return self.path / "findings" / "variants" / f"{query}-{key}.parquet"

    def manifest(self) -> dict[str, Any]:
        """The manifest; ``{}`` before the first step.

        Raises:
            RunError: If it is not readable.
            FormatError: If another version wrote it.
        """
        file = self.path / "manifest.json"
        if not file.is_file():
            return {}
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{file} cannot be read ({error}) -- the run's settings are unknown -- restore it."
            ) from None
        steps = manifest.get("steps", {}) if isinstance(manifest, dict) else None
        if not isinstance(steps, dict) or not all(isinstance(entry, dict) for entry in steps.values()):
            raise RunError(f"{file} is not the manifest of a run -- the run's settings are unknown -- restore it.")
        if manifest.get("format") != FORMAT:
            raise FormatError(
                f"{self.path} has run format {manifest.get('format')!r}, this version reads {FORMAT} -- its "
                "tables would be misread -- compute the run again, or use the version that made it."
            )
        return manifest

    def step(self, step: str) -> dict[str, Any]:
        """The manifest's entry of a finished step.

        Raises:
            RunError: If the step is not finished.
        """
        entry = self.manifest().get("steps", {}).get(step)
        if entry is None or entry["state"] != "finished":
            state = "has not been started" if entry is None else "was started but not finished"
            raise RunError(
                f"{self.path}: the {step} step {state} -- what is asked for needs it -- run "
                f"`python -m engine {step} --run {self.path}` first."
            )
        return entry

    def is_finished(self, step: str) -> bool:
        return self.manifest().get("steps", {}).get(step, {}).get("state") == "finished"

    def need_model(self) -> None:
        """Go on only if the run was computed here, so that there are a model and its curvature.

        Raises:
            RunError: If its influence was imported.
        """
        imported = self.manifest().get("steps", {}).get("score", {}).get("imported")
        if imported:
            raise RunError(f"{self.path}: {NO_MODEL.format(tool=imported['tool'])}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one writing process, or the group that it leads.

        Raises:
            RunError: If another process writes to it, or it cannot be created.
        """
        file = self.path / ".lock"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = file.open("w")
        except OSError as error:
            why = DISK_TROUBLE.get(error.errno or 0, str(error))
            raise RunError(
                f"the run folder {self.path} cannot be used: {why} -- choose another --run folder."
            ) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    f"another process is working on {self.path} -- two writers would mix their results -- "
                    "wait for it or cancel it."
                ) from None
            except OSError as error:
                raise RunError(
                    f"{file} cannot be locked ({error.strerror}) -- nothing would keep two writers apart -- use a file "
                    "system with flock; Lustre has it with the mount option of that name."
                ) from None
            yield


@contextmanager
def running_step(
    folder: RunFolder, step: str, settings: dict[str, Any], inputs: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Run a step under the manifest's control: yields the entry to add results to.

    An unfinished step of the same settings and inputs goes on where it stopped. An unfinished
    query step may change them: it begins anew each time, so a mistake in a query costs no fit.
    The entry is marked finished, with time and peak memory, when the block ends without error.

    Args:
        folder: The run.
        step: ``fit``, ``query`` or ``score``.
        settings: What the user chose.
        inputs: What the step depends on: hashes of model, corpus, queries.

    Raises:
        RunError: If the step was started or finished with other settings or inputs, or the run was imported.
    """
    folder.need_model()
    manifest: dict[str, Any] = {"format": FORMAT, "steps": {}} | folder.manifest()
    entry = manifest["steps"].get(step)
    settings, inputs = json.loads(json.dumps(settings)), json.loads(json.dumps(inputs))
    if entry is not None and step == "query" and entry["state"] != "finished":
        entry |= {"settings": settings, "inputs": inputs}
    elif entry is not None:
        _check_same(folder, step, entry, settings, inputs)
    else:
        _check_new(folder, manifest, step)
        entry = {"state": "started", "settings": settings, "inputs": inputs, "seconds": 0.0}
    entry.setdefault("versions", versions())
    started = time.monotonic()
    spent, before, unfinished = entry["seconds"], dict(entry), entry["state"] != "finished"

    def save() -> None:
        if unfinished:
            entry["seconds"] = round(spent + time.monotonic() - started, 3)
        manifest["steps"][step] = entry
        write_json(manifest, folder.path / "manifest.json")

    if unfinished:
        _remove_leftovers(folder, step)
        save()
    try:
        yield entry
    except BaseException:
        if unfinished:
            save()
        raise
    if unfinished:
        finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entry |= {"state": "finished", "finished": finished, "peak_memory_bytes": peak_memory()}
    if entry != before:
        save()


def _remove_leftovers(folder: RunFolder, step: str) -> None:
    """What a killed process was writing: our own ``.part`` files and safetensors' ``.tmp`` ones; its group's slips."""
    for name in FOLDERS[step]:
        for pattern in ("*.part", ".tmp*", "slips/*"):
            for leftover in list((folder.path / name).rglob(pattern)):
                leftover.unlink(missing_ok=True)
        for slips in list((folder.path / name).rglob("slips")):
            slips.rmdir()


def _check_same(
    folder: RunFolder, step: str, entry: dict[str, Any], settings: dict[str, Any], inputs: dict[str, Any]
) -> None:
    differences = [
        f"{name}: {before.get(name)!r} before, {now.get(name)!r} now"
        for before, now in ((deciding(step, entry["settings"]), deciding(step, settings)), (entry["inputs"], inputs))
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if differences:
        raise RunError(
            f"{folder.path}: the {step} step was {entry['state']} with other settings or inputs "
            f"({'; '.join(differences)}) -- results must not be mixed -- use another --run folder, or delete this one."
        )


def _check_new(folder: RunFolder, manifest: dict[str, Any], step: str) -> None:
    later = [name for name in STEPS[STEPS.index(step) + 1 :] if name in manifest["steps"]]
    if later:
        raise RunError(
            f"{folder.path} already holds the {later[0]} step -- it depends on {step} -- use another --run folder."
        )
    unknown = [name for name in FOLDERS[step] if (folder.path / name).exists()]
    if unknown:
        raise RunError(
            f"{folder.path / unknown[0]} is there, but manifest.json does not say what it was made from -- it would "
            "be taken for this step's results -- use another --run folder, or delete this one."
        )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_disk(path: Path) -> int:
    """Bytes free where ``path`` is, or would be created."""
    existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free


def repository_folder() -> Path:
    """The folder that holds ``engine``, ``dashboard`` and ``sample_data``."""
    return Path(__file__).resolve().parents[1]
