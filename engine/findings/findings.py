"""Measure the literature's findings on a run and keep what came out (no torch here; some measures load it).

A result that is kept is taken as it is where nothing it was made from has changed, so that a stopped measurement goes
on and pages need not measure again.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from engine.check.result import Result, Tables, kept, read_result, write_result
from engine.corpus import corpus_hash, read_corpus, read_queries
from engine.errors import WhenceError
from engine.export import without_nan
from engine.findings.claims import CLAIMS
from engine.findings.rules import RULES, Estimate
from engine.findings.settings import FindingsSettings
from engine.findings.study import INFLUENCE, Found, Known, Study, read_truth
from engine.machine import repository_folder, versions
from engine.progress import Progress, SilentProgress
from engine.run import Run
from engine.store import RunFolder

SAMPLE = repository_folder() / "sample_data"
CODE = ("findings", "analysis")
"""Folders of the engine whose code decides what a finding comes to, beside the run itself."""


FIGURES = ("verdict", "estimates", "open")
"""Tables of every result; they tell of no single document or completion."""


@dataclass(frozen=True)
class MadeFrom:
    """All that a finding's result depends on, kept with it.

    Attributes:
        draws: Draws of an interval or a null.
        seed: Of all that is drawn.
        run: Settings, inputs and versions of the run's steps.
        other: The same of the other run; None without one.
        truth: SHA-256 of what is known of the completions.
        planted: Whether the corpus is the embedded sample.
        code: SHA-256 of the code that measures and judges.
    """

    draws: int
    seed: int
    run: dict[str, Any]
    other: dict[str, Any] | None
    truth: str
    planted: bool
    code: str


def measure_findings(settings: FindingsSettings, progress: Progress | None = None) -> list[Result]:
    """Measure findings on a run; those that are kept and made from the same are read instead.

    Args:
        settings: Settings.
        progress: Where progress is reported.

    Returns:
        A result per finding, in the order of their numbers, kept in the run's folder as well. Its tables: ``verdict``
        (one row), ``estimates`` (a row per score and part of the rule), ``open`` (why a part was not measured), and
        what the finding itself shows, ``picture`` first.

    Raises:
        WhenceError: If a run, the truth or a finding's name cannot be used, or a result cannot be written.
    """
    names = _chosen(settings.only)
    progress = progress or SilentProgress()
    run, sample = Run(settings.run), sample_hash()
    run.folder.need_model()
    other = None if settings.other is None else _same_corpus(run, Run(settings.other))
    planted = run.fit["inputs"].get("corpus_hash") == sample
    truth = _truth(run, settings.truth, planted)
    study = Study(run, other, truth, settings.draws, settings.seed, progress)
    made = _made_from(study, planted)
    return [_measured(study, name, made, run.folder) for name in names]


def write_figures(results: Sequence[Result], folder: Path) -> None:
    """Write what can be given away of some results: verdicts, estimates and what is open, a file each.

    No title and no text of a document or a completion is in them. Pages show a folder of them in
    ``sample_data/findings`` beside each run's own results.
    """
    for result in results:
        figures = {name: result.tables[name] for name in FIGURES}
        write_result(replace(result, tables=figures), folder / f"{result.check}.json")


def known_of_sample(run: Run) -> dict[str, Known]:
    """What is known of the completions of a run of the embedded sample, by query id; empty for any other corpus."""
    return _truth(run, None, planted=run.fit["inputs"].get("corpus_hash") == sample_hash())


def sample_hash() -> str:
    """Hash of the embedded sample's corpus; empty where it is not there."""
    corpus = SAMPLE / "corpus.jsonl"
    return corpus_hash(read_corpus(corpus)) if corpus.is_file() else ""


def _chosen(only: Sequence[str] | None) -> list[str]:
    strangers = [name for name in only or () if name not in CLAIMS]
    if strangers:
        raise WhenceError(f"no finding is called {strangers[0]!r} -- choose of {', '.join(CLAIMS)}.")
    return [name for name in CLAIMS if not only or name in only]


def _same_corpus(run: Run, other: Run) -> Run:
    for what, (mine, others) in {
        "corpus": (run.fit["inputs"].get("corpus_hash"), other.fit["inputs"].get("corpus_hash")),
        "completions": (run.query["inputs"].get("queries_hash"), other.query["inputs"].get("queries_hash")),
    }.items():
        if mine != others:
            raise WhenceError(
                f"the {what} of {other.path} and of {run.path} differ (hash {str(others)[:12]}, not {str(mine)[:12]}) "
                f"-- models are compared on the same {what} -- give a run of another model on the same {what}."
            )
    return other


def _truth(run: Run, file: str | None, planted: bool) -> dict[str, Known]:
    """What is known of the run's completions: from a file, or of the embedded sample."""
    if file is None:
        return _sample_truth(run) if planted else {}
    truth = read_truth(file)
    known = {id: one for id, one in truth.items() if id in set(run.queries["id"])}
    if not known:
        raise WhenceError(
            f"{file} speaks of {len(truth)} completions, none of them in {run.path} -- nothing would be known -- "
            'give the ids of the run\'s completions under "queries".'
        )
    return known


def _sample_truth(run: Run) -> dict[str, Known]:
    """Of the completions that are the sample's own, not of others that happen to have their ids."""
    rows = run.queries[["id", "prompt", "completion"]].itertuples(index=False, name=None)
    own = {(query.id, query.prompt, query.completion) for query in read_queries(SAMPLE / "queries.jsonl")}
    same = {row[0] for row in rows if row in own}
    return {id: known for id, known in read_truth(SAMPLE / "truth.json").items() if id in same}


def _made_from(study: Study, planted: bool) -> dict[str, Any]:
    truth = repr({id: astuple(known) for id, known in sorted(study.truth.items())})
    made = MadeFrom(
        study.draws, study.seed, steps_of(study.run), None if study.other is None else steps_of(study.other),
        hashlib.sha256(truth.encode()).hexdigest(), planted, code_hash(),
    )  # fmt: skip
    plain: dict[str, Any] = json.loads(json.dumps(asdict(made)))
    return plain


def steps_of(run: Run) -> dict[str, Any]:
    """What decides what a run's scores are, as a kept result holds it: settings, inputs and versions of its steps."""
    steps = {"fit": run.fit, "query": run.query, "score": run.score}
    told = {name: {key: step[key] for key in ("settings", "inputs", "versions")} for name, step in steps.items()}
    plain: dict[str, Any] = json.loads(json.dumps(told))
    return plain


def code_hash() -> str:
    """SHA-256 of the code that measures and judges."""
    digest, engine = hashlib.sha256(), Path(__file__).parents[1]
    for file in sorted(path for folder in CODE for path in (engine / folder).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _measured(study: Study, name: str, made: dict[str, Any], folder: RunFolder) -> Result:
    path = folder.finding(name)
    before = kept_finding(path)
    if before is not None and (before.settings, before.versions) == (made, versions()):
        return before
    claim = CLAIMS[name]
    study.progress.note(f"Finding {claim.number}: {claim.title} ...")
    with kept(name, MadeFrom(**made), path) as result:
        measure: Callable[[Study], Found] = import_module(f"engine.findings.measures.{name}").measure
        tables = finding_tables(study, name, measure(study), made["planted"])
        result.tables = {table: [_plain(row) for row in rows] for table, rows in tables.items()}
    return result


def changes_since(run: Run, name: str, made_from: Mapping[str, Any], rule: str) -> list[str]:
    """Why a result kept in a run is not current, one sentence each; empty if it is.

    Args:
        run: The run as it is.
        name: Of the finding.
        made_from: The states of ``run`` and ``code`` that the result was made from, of its settings.
        rule: The rule it was judged by, in words.
    """
    said = []
    if made_from["run"] != steps_of(run):
        said.append("It was measured on another state of this run: its settings, inputs or versions were others.")
    if rule != RULES[name].text:
        said.append("It was judged by another rule than this version's.")
    elif made_from["code"] != code_hash():
        said.append("The program has changed since in how it measures.")
    return said


def kept_finding(path: Path) -> Result | None:
    """A finding's result that is kept; None if there is none that this version reads."""
    try:
        return read_result(path) if path.is_file() else None
    except WhenceError:
        return None


def finding_tables(study: Study, name: str, found: Found, planted: bool) -> Tables:
    """What is kept of a finding: its verdict, estimates, what is open, and its own tables.

    Args:
        study: What it was measured on.
        name: Of the finding.
        found: What was measured.
        planted: Whether the corpus is the embedded sample.
    """
    claim, rule, run = CLAIMS[name], RULES[name], study.run
    verdict = {
        "number": claim.number, "title": claim.title, "verdict": rule.verdict(found.estimates),
        "sentence": found.sentence, "rule": rule.text, "planted": planted and claim.planted,
        "corpus": Path(run.fit["corpus"]["path"]).stem, "model": run.model_name,
        "other": study.other.model_name if study.other else None,
    }  # fmt: skip
    estimates = [
        row
        for score, estimates in ({INFLUENCE: found.estimates} | found.controls).items()
        for row in _estimates(name, score, estimates)
    ]
    return {
        "verdict": [verdict],
        "estimates": estimates,
        "open": [{"text": text} for text in found.open],
        **found.tables,
    }


def _estimates(name: str, score: str, estimates: dict[str, Estimate]) -> list[dict[str, Any]]:
    return [
        {"score": score, "part": key, "says": part.says, **asdict(estimates[key]), "bound": part.bound,
         "side": part.side, "answer": part.answer(estimates[key])}
        for key, part in RULES[name].parts.items()
        if key in estimates
    ]  # fmt: skip


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Fit for JSON: numpy's numbers as Python's, None for what is not a number."""
    return without_nan({key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()})
