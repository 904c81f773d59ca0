"""Finding 11: do the strongest documents of mathematics and code share whole strings with the completion?"""

from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from engine.findings.estimates import over_completions, present
from engine.findings.groups import between, shortages
from engine.findings.rules import NGRAM, TOP, Estimate
from engine.findings.study import CONTROLS, INFLUENCE, Found, Study, score_matrices
from engine.findings.texts import Holders, Ngram, holders, ngrams, pieces, strongest, texts

EXACT = {"reasoning", "code"}
"""Families that are mathematics and code."""
GROUPS = ("mathematics and code", "all others")
MOST_MATCHES = 3
"""Runs listed of a completion."""
ADVICE = f'ask more questions of the kinds "Arithmetic" and "Code", prompt and completion of {NGRAM} words or more'


def measure(study: Study) -> Found:
    """Share of each completion's runs of words in its strongest documents, beyond random ones, by every score."""
    runs = [ngrams(pieces(row.prompt + row.completion), NGRAM) for row in study.queries.itertuples()]
    held = holders(texts(study.run), chain.from_iterable(runs), pieces)
    by_score = {
        CONTROLS.get(name, name): _shares(study, matrix, runs, held).assign(score=CONTROLS.get(name, name))
        for name, matrix in score_matrices(study.run).items()
    }
    estimates = {name: _estimates(study, table) for name, table in by_score.items()}
    own = estimates.pop(INFLUENCE)
    marks = ["completion", "group", "score", "beyond_random_share"]
    tables = {
        "picture": pd.concat(by_score.values())[marks].to_dict("records"),
        "completions": by_score[INFLUENCE].drop(columns=["score", "top"]).to_dict("records"),
        "documents": _matches(study, by_score[INFLUENCE], runs, held),
    }
    lacking = shortages("exact_matches", own, ADVICE)
    if "more_than_rest" not in own:
        groups = by_score[INFLUENCE].dropna(subset=["share"])["group"].value_counts()
        lacking.append(
            f"Mathematics and code are compared with other completions, and the run has {groups.get(GROUPS[0], 0)} and "
            f"{groups.get(GROUPS[1], 0)} of {NGRAM} words or more -- {ADVICE}."
        )
    return Found(own, estimates, _sentence(by_score[INFLUENCE], own), tables, lacking)


def _shares(study: Study, scores: np.ndarray, runs: list[list[Ngram]], held: Holders) -> pd.DataFrame:
    """A row per completion: id, completion (title), group, runs, share, random_share, beyond_random_share, top."""
    tops = [strongest(row, TOP) for row in scores]
    table = pd.DataFrame({
        "id": study.queries["id"], "completion": study.queries["title"],
        "group": np.where(study.queries["family"].isin(EXACT), *GROUPS), "runs": [len(some) for some in runs],
        "share": [held.share(some, top) for some, top in zip(runs, tops, strict=True)],
        "random_share": [held.share_by_chance(some, TOP) for some in runs],
    })  # fmt: skip
    return table.assign(beyond_random_share=table["share"] - table["random_share"], top=tops)


def _both(table: pd.DataFrame, column: str) -> list[np.ndarray]:
    return [table.loc[table["group"] == group, column].to_numpy(np.float64) for group in GROUPS]


def _estimates(study: Study, table: pd.DataFrame) -> dict[str, Estimate]:
    exact, rest = _both(table, "beyond_random_share")
    return present({
        "matched": over_completions(study, exact),
        "more_than_rest": between(study, exact, rest, lambda one, other: np.asarray(one.mean(-1) - other.mean(-1))),
    })  # fmt: skip


def _matches(study: Study, table: pd.DataFrame, runs: list[list[Ngram]], held: Holders) -> list[dict[str, Any]]:
    """Runs of mathematics and code that stand in strong documents, the rarest ones of each completion."""
    about, rows = study.run.documents, []
    for place in np.flatnonzero(table["group"] == GROUPS[0]):
        top = table.at[place, "top"]
        there = [run for run in runs[place] if run in held.of and np.isin(top, held.of[run]).any()]
        for run in sorted(there, key=lambda run: len(held.of[run]))[:MOST_MATCHES]:
            rank = int(np.flatnonzero(np.isin(top, held.of[run]))[0])
            rows.append({
                "completion": table.at[place, "completion"], "words": " ".join(run), "rank": rank + 1,
                "id": about.at[top[rank], "id"], "document": about.at[top[rank], "title"],
                "documents": len(held.of[run]),
            })  # fmt: skip
    return rows


def _sentence(table: pd.DataFrame, found: dict[str, Estimate]) -> str:
    if "matched" not in found:
        return f"The run has no mathematics or code of {NGRAM} words or more."
    own, (share, _), (random, _) = found["matched"], _both(table, "share"), _both(table, "random_share")
    told = (
        f"Of the runs of {NGRAM} words or signs in mathematics and code, {np.nanmean(share):.0%} stand in the {TOP} "
        f"strongest documents and {np.nanmean(random):.0%} in random ones: {own.value:+.0%} (95% interval "
        f"{own.low:+.0%} to {own.high:+.0%}, {own.units} completions)"
    )
    if "more_than_rest" not in found:
        return told + "."
    gap = found["more_than_rest"]
    return f"{told}, {gap.value:+.0%} compared with all other completions ({gap.low:+.0%} to {gap.high:+.0%})."
