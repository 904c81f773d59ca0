"""Finding 6: do documents influence completions of one task alike, and those of different tasks not?

Pearson correlations over documents as in Ruis et al. 2024 (finding 1). A document with a large gradient influences
every completion strongly, so that any two completions correlate: its norm is regressed out of every score first.
"""

from typing import Any

import numpy as np
import pandas as pd

from engine.analysis.tails import percentiles
from engine.analysis.task_pairs import TaskPairs, without_norms
from engine.findings.groups import shortages
from engine.findings.rules import Estimate
from engine.findings.study import CONTROLS, INFLUENCE, Found, Study, score_matrices, stored_columns

SHOWN = 22
"""Completions in the picture at most: every pair of them is a mark, for each score."""
NO_TASKS = (
    "There are no two tasks of two completions each, so there is nothing to compare -- ask several questions of each "
    'of two kinds (such as "Arithmetic" and "Slope"), or give a truth file that says each completion\'s "task".'
)
NO_CONTROLS = (
    "No completion is known to share a task's format without its procedure, so what format alone brings about is "
    'unknown -- write some, and give a truth file that says which task each is the "control_of".'
)
ADVICE = "ask more questions of the tasks, or write more controls of their format"


def measure(study: Study) -> Found:
    """Correlations within tasks beside those between tasks and those with controls of the same format."""
    chosen = completions(study)
    if (chosen["task"][chosen["task"] != ""].value_counts() > 1).sum() < 2:
        return Found(open=[NO_TASKS])
    norms = stored_columns(study.run, ["gradient_norm"])[0]
    by_score = {
        CONTROLS.get(name, name): _pairs(without_norms(scores[chosen["place"]], norms), chosen)
        for name, scores in score_matrices(study.run).items()
    }
    estimates = {name: _estimates(pairs, study) for name, pairs in by_score.items()}
    own = estimates.pop(INFLUENCE)
    chance = by_score[INFLUENCE].shuffled(study.draws, study.seed)
    shuffled = Estimate(float(chance.mean()), *percentiles(chance), own["over_tasks"].units)
    tables = {
        "picture": [row for name, pairs in by_score.items() for row in _marks(name, pairs, chosen)],
        "groups": [row for name, pairs in by_score.items() for row in _groups(name, pairs, study)],
        "completions": chosen.drop(columns="place").to_dict("records"),
    }
    lacking = shortages("procedures", own, ADVICE) + [NO_CONTROLS] * ("over_controls" not in own)
    return Found(own, estimates | {"shuffled labels": {"over_tasks": shuffled}}, _sentence(tables), tables, lacking)


def completions(study: Study) -> pd.DataFrame:
    """Completions with a task, by task, then controls, by the task whose format they have.

    Columns: place (in the run), id, completion (its title), task, control_of; one of the last two is "".
    """
    rows = []
    for place, query in enumerate(study.queries.itertuples()):
        known = study.known(query.id)
        task = known.task or (query.kind if query.family == "reasoning" else "")
        if task or known.control_of:
            rows.append((place, query.id, query.title, task, "" if task else known.control_of))
    table = pd.DataFrame(rows, columns=["place", "id", "completion", "task", "control_of"])
    return table.sort_values(["control_of", "task", "place"], ignore_index=True)


def _pairs(scores: np.ndarray, chosen: pd.DataFrame) -> TaskPairs:
    return TaskPairs.of(scores, chosen["task"].to_numpy(str), chosen["control_of"].to_numpy(str))


def _estimates(pairs: TaskPairs, study: Study) -> dict[str, Estimate]:
    weights = pairs.weights(study.draws, study.seed)
    null = percentiles(pairs.shuffled(study.draws, study.seed))[1]
    gap = pairs.mean(pairs.same, weights) - pairs.mean(pairs.different, weights)
    found = {"over_tasks": Estimate(float(gap[0]), *percentiles(gap[1:]), pairs.tasks, null)}
    if pairs.control.any():
        gap = pairs.mean(pairs.compared, weights) - pairs.mean(pairs.control, weights)
        controls = int(pairs.control.any(0).sum())
        found["over_controls"] = Estimate(float(gap[0]), *percentiles(gap[1:]), controls)
    return found


def _groups(name: str, pairs: TaskPairs, study: Study) -> list[dict[str, Any]]:
    """Mean correlation of each sort of pair with its interval."""
    sorts = {"same task": pairs.same, "different tasks": pairs.different, "controls of the same format": pairs.control}
    weights, rows = pairs.weights(study.draws, study.seed), []
    for sort, among in sorts.items():
        found = pairs.mean(among, weights)
        low, high = percentiles(found[1:])
        number = int(among.sum()) // (1 if among is pairs.control else 2)
        rows.append({"score": name, "pairs": sort, "number": number, "correlation": found[0], "low": low, "high": high})
    return rows


def _marks(name: str, pairs: TaskPairs, chosen: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per pair of completions shown; where there are many, the first of every task."""
    group = chosen["task"].where(chosen["task"] != "", "Control: " + chosen["control_of"])
    shown = chosen.index[group.groupby(group).cumcount() < max(1, SHOWN // group.nunique())]
    shown = chosen.index if len(chosen) <= SHOWN else shown[:SHOWN]
    return [
        {"completion": chosen.at[one, "completion"], "other": chosen.at[two, "completion"], "task": group[one],
         "other_task": group[two], "score": name, "correlation": float(pairs.correlation[one, two])}
        for one in shown for two in shown
    ]  # fmt: skip


def _sentence(tables: dict[str, Any]) -> str:
    own = {row["pairs"]: row for row in tables["groups"] if row["score"] == INFLUENCE}
    same, different, control = own.values()
    told = (
        f"Documents influence completions of the same task with a correlation of {same['correlation']:.2f} (mean of "
        f"{same['number']} pairs, 95% interval {same['low']:.2f} to {same['high']:.2f}), those of different tasks with "
        f"{different['correlation']:.2f}"
    )
    if not control["number"]:
        return told + "."
    return f"{told}, and controls of the same format with {control['correlation']:.2f}."
