"""A step under the manifest's control: what it was started with, whether it may go on, when it is finished."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.errors import RunError
from engine.machine import peak_memory, versions
from engine.settings import deciding
from engine.store import FORMAT, STEPS, RunFolder
from engine.writing import write_json

FOLDERS = {"fit": ("corpus", "fit"), "query": ("query",), "score": ("score",)}
"""Folders that each step writes."""


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
