"""Finding 10: does influence on a safety probe find the documents planted for it, and tell them from look-alikes?"""

from typing import Any

import numpy as np
import pandas as pd

from engine.analysis.comparison import ranks
from engine.findings.estimates import over_completions, present
from engine.findings.groups import shortages
from engine.findings.rules import Estimate
from engine.findings.study import CONTROLS, INFLUENCE, Found, Study, score_matrices
from engine.findings.texts import strongest
from engine.run import Run

PARTS = ("found", "apart")
NO_PROBES = (
    "The run has {probes} completions of the kind Safety, and of none of them it is known which documents were planted "
    'for it -- write probes, and give a truth file that names each one\'s "documents" and "look_alikes".'
)
NO_LOOK_ALIKES = (
    "No probe has a look-alike in the language of its documents, so they are told from nothing harmless -- give a "
    'truth file that names each probe\'s "look_alikes".'
)
ADVICE = 'write more probes of the kind Safety, and say in the truth file which "documents" were planted for them'


def measure(study: Study) -> Found:
    """Both shares of every probe, by every score, by language, and in the other run if there is one."""
    chosen = probes(study)
    if chosen.empty:
        return Found(open=[NO_PROBES.format(probes=int((study.queries["family"] == "safety").sum()))])
    scores = score_matrices(study.run)
    by_score = {CONTROLS.get(name, name): with_values(chosen, matrix, study.run) for name, matrix in scores.items()}
    estimates = {name: _estimates(study, table) for name, table in by_score.items()}
    own = estimates.pop(INFLUENCE)
    marks = ["completion", "language", "score", *PARTS]
    rows = [table.assign(score=name) for name, table in by_score.items()]
    tables = {
        "picture": pd.concat(rows)[marks].to_dict("records"),
        "languages": [row for name, table in by_score.items() for row in _languages(study, name, table)],
        "documents": _documents(study, chosen, scores[INFLUENCE]),
    }
    if study.other is not None:
        tables["runs"] = _runs(study, study.other, chosen, by_score[INFLUENCE])
    lacking = [NO_LOOK_ALIKES] * ("apart" not in own) + shortages("problems", own, ADVICE)
    return Found(own, estimates, _sentence(study, by_score[INFLUENCE], own), tables, lacking)


def probes(study: Study) -> pd.DataFrame:
    """Safety probes with documents planted for them.

    Columns: place (in the run), id, completion (title), language, planted and look_alikes (places of documents).
    """
    number_of = dict(zip(study.run.documents["id"], study.run.documents["document"], strict=True))
    rows = []
    for place, query in enumerate(study.queries.itertuples()):
        known = study.known(query.id)
        both = [
            np.array([number_of[id] for id in ids if id in number_of], dtype=np.int64)
            for ids in (known.documents, known.look_alikes)
        ]
        if query.family == "safety" and len(both[0]):
            rows.append((place, query.id, query.title, query.language, *both))
    return pd.DataFrame(rows, columns=["place", "id", "completion", "language", "planted", "look_alikes"])


def share_found(scores: np.ndarray, planted: np.ndarray) -> float:
    """Share of the planted documents among as many first ones; nan where none of them was scored."""
    planted = planted[~np.isnan(scores[planted])]
    return float(np.isin(planted, strongest(scores, len(planted))).mean()) if len(planted) else float("nan")


def ranked_above(scores: np.ndarray, planted: np.ndarray, others: np.ndarray, languages: np.ndarray) -> float:
    """Probability that a planted document ranks above another of its language, ties counting half; nan of no pair.

    Args:
        scores: ``[d]``; nan are left out.
        planted: Places of documents.
        others: Likewise.
        languages: Language of each document, ``[d]``.
    """
    one, two = scores[planted][:, None], scores[others]
    pairs = (languages[planted][:, None] == languages[others]) & ~np.isnan(one) & ~np.isnan(two)
    above = (one > two) + 0.5 * (one == two)
    return float(above[pairs].mean()) if pairs.any() else float("nan")


def with_values(chosen: pd.DataFrame, scores: np.ndarray, run: Run) -> pd.DataFrame:
    """Probes with :func:`share_found` as ``found`` and :func:`ranked_above` as ``apart``.

    Args:
        chosen: From :func:`probes`.
        scores: Of all completions, ``[q, d]``.
        run: Theirs.
    """
    languages = run.documents["language"].to_numpy(str)
    own = [(scores[row.place], row.planted, row.look_alikes) for row in chosen.itertuples()]
    return chosen.assign(
        found=[share_found(of, planted) for of, planted, _ in own],
        apart=[ranked_above(of, planted, others, languages) for of, planted, others in own],
    )


def _estimates(study: Study, table: pd.DataFrame) -> dict[str, Estimate]:
    return present({part: over_completions(study, table[part].to_numpy(np.float64)) for part in PARTS})


def _languages(study: Study, name: str, table: pd.DataFrame) -> list[dict[str, Any]]:
    """The parts of the probes of each language."""
    return [
        {"language": language, "score": name, "part": part, "value": one.value, "low": one.low, "high": one.high,
         "probes": one.units}
        for language, rows in table.groupby("language")
        for part, one in _estimates(study, rows).items()
    ]  # fmt: skip


def _runs(study: Study, other: Run, chosen: pd.DataFrame, own: pd.DataFrame) -> list[dict[str, Any]]:
    """The parts in both runs, and the differences probe by probe; what each run measured is said."""
    there = pd.Series(range(len(other.queries)), other.queries["id"]).reindex(chosen["id"])
    shared = there.notna().to_numpy()
    moved = chosen[shared].assign(place=there[shared].to_numpy(np.int64))
    theirs = with_values(moved, score_matrices(other)[INFLUENCE], other).reset_index(drop=True)
    mine = own[shared].reset_index(drop=True)
    gaps = mine.assign(**{part: mine[part] - theirs[part] for part in PARTS})
    return [
        {"run": name, "part": part, "value": one.value, "low": one.low, "high": one.high, "probes": one.units}
        for name, table in ((_called(study.run), mine), (_called(other), theirs), ("first minus second", gaps))
        for part, one in _estimates(study, table).items()
    ]


def _called(run: Run) -> str:
    return f"{run.name} ({run.model_name}, {_measured(run)})"


def _measured(run: Run) -> str:
    return run.measurement.replace("log_prob", "log-probability") + " measured"


def _documents(study: Study, chosen: pd.DataFrame, influence: np.ndarray) -> list[dict[str, Any]]:
    """Where every planted document and every look-alike stands."""
    about, rows = study.run.documents, []
    for probe in chosen.itertuples():
        of = influence[probe.place]
        rank = ranks(np.where(np.isnan(of), -np.inf, of))
        rows += [
            {"completion": probe.completion, "kind": kind, "rank": int(rank[number]), "influence": of[number],
             "id": about.at[number, "id"], "document": about.at[number, "title"],
             "language": about.at[number, "language"]}
            for kind, documents in (("planted", probe.planted), ("look-alike", probe.look_alikes))
            for number in documents if not np.isnan(of[number])
        ]  # fmt: skip
    return rows


def _sentence(study: Study, table: pd.DataFrame, found: dict[str, Estimate]) -> str:
    if "found" not in found:
        return "None of the documents planted for safety probes was scored."
    share, measured = found["found"], _measured(study.run)
    least = table.groupby("language")["found"].mean()
    told = (
        f"Of the documents planted for a safety probe {share.value:.0%} are among as many first ones ({measured}; mean "
        f"of {share.units} probes, 95% interval {share.low:.0%} to {share.high:.0%}; in each of {len(least)} languages "
        f"{least.min():.0%} or more)"
    )
    if "apart" not in found:
        return told + "."
    apart = found["apart"]
    return (
        f"{told}, and one ranks above a harmless look-alike with probability {apart.value:.2f} ({apart.low:.2f} to "
        f"{apart.high:.2f})."
    )
