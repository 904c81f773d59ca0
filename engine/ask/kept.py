"""Answers that the worker keeps in the run: a page shows them as they grow, and finds them again (no torch)."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.ask.settings import AskSettings
from engine.run import Run
from engine.writing import write_json

FORMAT = 2


def answer_key(run: Run, settings: AskSettings) -> str:
    """A hash of all that an answer depends on but the index: an answer by another index may be asked for anew."""
    told = json.dumps([FORMAT, run.fit["inputs"], run.query["settings"], asdict(settings)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def keep_answers(run: Run, settings: AskSettings, records: list[dict[str, Any]], finished: bool) -> None:
    """Write what is known so far, in place of what was known before."""
    about = {"format": FORMAT, "settings": asdict(settings), "finished": finished, "answers": records}
    write_json(about, answers_file(run, settings))


def read_answers(run: Run, settings: AskSettings) -> dict[str, Any] | None:
    """What is known so far: ``settings``, ``finished``, ``answers``; None if nothing is."""
    file = answers_file(run, settings)
    if not file.is_file():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def answers_file(run: Run, settings: AskSettings) -> Path:
    """Where the answers to a question are kept."""
    return run.folder.asked(answer_key(run, settings))
