"""Which runs there are, which one the pages show, and which samples are not computed yet. No torch."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from engine.errors import FormatError, RunError, WhenceError
from engine.machine import repository_folder
from engine.pipeline import SAMPLES, read_config, run_folder, sample_file
from engine.run import Run, is_run, readable
from engine.store import RunFolder

RUN_COMMAND, FIRST_SAMPLE = "python -m engine run", SAMPLES[0]
CHOICES = ("query", "other_query", "tokens", "document", "token", "point", "focus", "word", "edit", "other", "area",
           "like", "documents", "damping", "blocks")  # fmt: skip
"""What the address holds about one run and means nothing in another."""
OF_COMPLETION = ("tokens", "document", "token", "word", "edit", "other")
"""What it holds about one completion."""
OF_RUN = {Run: lambda run: (str(run.path), run.score.get("finished"))}
"""How caches tell runs apart: by folder, and by when it was scored."""


def runs_folder() -> Path:
    """Where runs and jobs live."""
    return Path(os.environ.get("WHENCE_RUNS", repository_folder() / "runs")).resolve()


@dataclass(frozen=True)
class UnreadableRun:
    """A run folder that this version cannot read.

    Attributes:
        path: The folder.
        name: The folder's name, readable.
        why: ``format`` if another version wrote it, ``manifest`` if its manifest cannot be read.
        sample: Title of the embedded sample that is computed in this folder; empty for any other.
    """

    path: Path
    name: str
    why: Literal["format", "manifest"]
    sample: str


def finished_runs() -> dict[str, Path]:
    """Readable name of each finished run -> its folder; the one shown first comes first."""
    return {name: found for name, found in named_runs().items() if isinstance(found, Path)}


def unreadable_runs() -> dict[str, UnreadableRun]:
    """Readable name of each run folder that this version cannot read -> what is wrong with it."""
    return {name: found for name, found in named_runs().items() if isinstance(found, UnreadableRun)}


def named_runs() -> dict[str, Path | UnreadableRun]:
    """All that an address may name as its run: finished runs, then unreadable ones; first what ``WHENCE_RUN`` names."""
    folder = runs_folder()
    found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    named = os.environ.get("WHENCE_RUN")
    first = [_folder_of(named)] if named else []
    newest = sorted(found, key=_changed, reverse=True)
    there = [_looked_at(path) for path in dict.fromkeys(path.resolve() for path in first + newest)]
    shown = [one for one in there if one is not None]
    labels: dict[str, Path | UnreadableRun] = {}
    for one in sorted(shown, key=lambda one: isinstance(one, UnreadableRun)):
        name, path = (one.name, one.path) if isinstance(one, UnreadableRun) else (readable(one.name), one)
        labels[name if name not in labels else f"{name} ({path.name})"] = one
    if first and there[0] is not None:
        named = next(label for label, one in labels.items() if one == there[0])
        labels = {named: there[0]} | labels
    return labels


def _looked_at(path: Path) -> Path | UnreadableRun | None:
    """A finished run's folder, or why it cannot be read; None for any other folder."""
    state = _state(str(path), _changed(path))
    if state in ("format", "manifest"):
        sample = next((name for name in SAMPLES if (runs_folder() / name).resolve() == path), None)
        return UnreadableRun(path, readable(path.name), state, readable(sample) if sample else "")
    return path if state == "finished" else None


def _folder_of(name: str) -> Path:
    """The folder of a run named in the runs folder, of a TOML file, or given itself."""
    inside = runs_folder() / name
    try:
        return inside if inside.is_dir() else run_folder(name)
    except WhenceError:
        return inside


def use_run(path: Path | None) -> None:
    """Make a run the one that every page of this session shows."""
    st.session_state["_run_path"] = path


def run_in_use() -> Run | None:
    """The run the pages show; None without one, or if it is unreadable."""
    path = st.session_state.get("_run_path")
    return None if path is None or unreadable_in_use() else open_run(path)


def unreadable_in_use() -> UnreadableRun | None:
    """What is wrong with the run that the pages should show; None where nothing is, or without one."""
    path = st.session_state.get("_run_path")
    found = None if path is None else _looked_at(path)
    return found if isinstance(found, UnreadableRun) else None


def open_run(path: Path) -> Run:
    """Any finished run, for a page that shows two."""
    return _open(str(path), _changed(path))


def run_address(label: str = "") -> dict[str, str]:
    """What a link must carry so that it shows the run of this name, or the run in use."""
    name = label or st.session_state.get("run")
    return {"run": name} if name and name != next(iter(named_runs())) else {}


def forget_choices(chosen: str = "run") -> None:
    """Drop from the address what belonged to another run, or to another completion if one of those was chosen."""
    for name in CHOICES if chosen == "run" else OF_COMPLETION:
        st.query_params.pop(name, None)


def _changed(path: Path) -> float:
    manifest = path / "manifest.json"
    return manifest.stat().st_mtime if manifest.is_file() else 0.0


@st.cache_data(max_entries=200, show_spinner=False)
def _state(path: str, changed: float) -> Literal["format", "manifest", "finished", "none"]:
    """What a folder holds: an unreadable run, and why; a finished one; or none. ``changed`` keeps the cache true."""
    try:
        RunFolder(Path(path)).manifest()
    except FormatError:
        return "format"
    except RunError:
        return "manifest"
    return "finished" if is_run(Path(path)) else "none"


@st.cache_resource(max_entries=4, show_spinner=False)
def _open(path: str, changed: float) -> Run:
    return Run(path)


@dataclass(frozen=True)
class Sample:
    """An embedded sample that may be computed.

    Attributes:
        name: Its name, for commands.
        title: Readable name, that of its run.
        about: What it is, in a line.
        taken: How long it took, on how many cores and when: keys ``seconds``, ``cores``, ``date``; empty if unknown.
    """

    name: str
    title: str
    about: str
    taken: dict[str, Any]


def samples_to_compute() -> list[Sample]:
    """The embedded samples that have no run in the runs folder, finished or unreadable, in order."""
    noted = repository_folder() / "sample_data" / "times.json"
    times = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else {}
    found = []
    for name in SAMPLES:
        folder = runs_folder() / name
        if not sample_file(name).is_file() or _looked_at(folder.resolve()) is not None:
            continue
        taken = times.get(name, {})
        taken = {**taken, "seconds": sum(taken["seconds"].values())} if taken else {}
        found.append(Sample(name, readable(name), read_config(name).about, taken))
    return found


def is_of_sample(run: Run) -> bool:
    """Whether a run is of the embedded sample's corpus."""
    return Path(run.fit["corpus"]["path"]).resolve() == Path(read_config(SAMPLES[0]).corpus).resolve()
