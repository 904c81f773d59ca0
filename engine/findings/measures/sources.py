"""Finding 8: which sources stand at both ends of the rankings for reasoning, and at the top for facts?

Multipliers as in Ruis et al. 2024 (finding 5): the share of some sources among the documents at one end of a ranking,
over their share of the corpus, mean over completions.
"""

from typing import Any

import numpy as np
import pandas as pd

from engine.analysis.matrix import scored_influence
from engine.analysis.source_bands import Groups, rankings, shuffled_labels
from engine.analysis.tails import percentiles
from engine.findings.estimates import over_completions, present
from engine.findings.groups import shortages
from engine.findings.rules import TOP_SHARE, Estimate
from engine.findings.study import CONTROLS, INFLUENCE, Found, Study, score_matrices

SOURCES = {
    "reasoning": ("code", "github", "stack", "exchange", "question", "q&a", "math", "arxiv", "markdown"),
    "factual": ("wiki", "encyclop"),
}
"""Parts of the names of sources that the claim speaks of, by the family of completions; arXiv counts as mathematics."""
PARTS = {
    "reasoning_top": ("reasoning", "raised"),
    "reasoning_bottom": ("reasoning", "lowered"),
    "factual_top": ("factual", "raised"),
}
"""Family of completions and end of the ranking of each part of the rule."""
NO_BOTTOM = "bm25"
"""A score whose lower end is no ranking: all documents without a common word are equal there."""


def measure(study: Study) -> Found:
    """Multipliers of the claim's sources by influence, by each control, and with sources shuffled."""
    _, documents = scored_influence(study.run, study.run.queries["query"].tolist())
    scores = {name: of[:, documents["document"]] for name, of in score_matrices(study.run).items()}
    found: dict[str, dict[str, Estimate | None]] = {name: {} for name in scores}
    shuffled, opened = {}, []
    for part, (family, end) in PARTS.items():
        named = documents["source"].str.contains("|".join(SOURCES[family]), case=False)
        asked = np.flatnonzero(study.queries["family"] == family)
        lacking = _lacking(family, len(asked), named)
        opened += [lacking] if lacking and lacking not in opened else []
        for name, of in scores.items():
            if not lacking and (name, end) != (NO_BOTTOM, "lowered"):
                estimate, null = multiplier(study, of[asked], named.to_numpy(), end)
                found[name][part] = estimate
                if name == INFLUENCE:
                    shuffled[part] = null
    own = present(found.pop(INFLUENCE))
    controls = {CONTROLS[name]: present(of) for name, of in found.items()} | {"shuffled labels": shuffled}
    opened += shortages("sources", own, "ask more questions of the kind")
    return Found(own, controls, _sentence(own), _tables(study, scores, documents), opened)


def multiplier(study: Study, scores: np.ndarray, named: np.ndarray, end: str) -> tuple[Estimate | None, Estimate]:
    """Share of some documents at one end of the rankings over their share of all, and the same with labels shuffled.

    Args:
        study: Says how many draws, and their seed.
        scores: ``[completions, documents]``, none of them nan.
        named: Which documents are meant, ``[documents]``.
        end: ``raised`` or ``lowered``.
    """
    first = _first(scores)
    of_completions = _at_end(scores, first, end, named).mean(1) / named.mean()
    groups = Groups(["others", "named"], named.astype(np.int64), np.ones(len(named), dtype=np.int64))
    drawn = shuffled_labels(rankings(scores), groups, np.array([first]), study.draws, study.seed)
    chance = drawn[:, 0 if end == "raised" else 1, 0, 1]
    low, high = percentiles(chance)
    null = Estimate(float(chance.mean()), low, high, len(scores))
    return over_completions(study, of_completions, null=high), null


def _first(scores: np.ndarray) -> int:
    return max(1, round(TOP_SHARE * scores.shape[1]))


def _at_end(scores: np.ndarray, first: int, end: str, values: np.ndarray) -> np.ndarray:
    """Values of the documents at an end of each ranking, ``[completions, first]``; ties in the corpus's order."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return values[order[:, :first] if end == "raised" else order[:, -first:]]


def _lacking(family: str, asked: int, named: pd.Series) -> str:
    if not asked:
        return (
            f"The run has no {family} completions, so their sources cannot be counted -- ask some (a kind such as "
            f"{'Fact' if family == 'factual' else 'Arithmetic'!r})."
        )
    if not named.any() or named.all():
        return (
            f"{'None' if not named.any() else 'Every one'} of the scored documents is from a source whose name holds "
            f"{', '.join(SOURCES[family])}, so there is nothing to compare -- name the sources of the corpus."
        )
    return ""


def _tables(study: Study, scores: dict[str, np.ndarray], documents: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """``picture``: the multiplier of every single source; ``documents``: those most often at the ends."""
    sources, picture, listed = documents["source"].to_numpy(str), [], []
    for family, end in [*PARTS.values(), ("factual", "lowered")]:
        asked = np.flatnonzero(study.queries["family"] == family)
        if not len(asked):
            continue
        for name, of in scores.items():
            if (name, end) != (NO_BOTTOM, "lowered"):
                held = _at_end(of[asked], _first(of), end, sources)
                about = {"kind": family, "end": end, "score": CONTROLS.get(name, name)}
                picture += [about | row for row in _of_sources(study, held, sources)]
        places = _at_end(scores[INFLUENCE][asked], _first(scores[INFLUENCE]), end, np.arange(len(documents)))
        times = pd.Series(places.ravel()).value_counts().sort_index().nlargest(20, keep="first")
        rows = documents.iloc[times.index].assign(completions=times.to_numpy())
        about = {"kind": family, "end": end}
        listed += [about | row for row in rows[["id", "title", "source", "completions"]].to_dict("records")]
    return {"picture": picture, "documents": [{**row, "document": row.pop("title")} for row in listed]}


def _of_sources(study: Study, held: np.ndarray, sources: np.ndarray) -> list[dict[str, Any]]:
    """Multiplier of every source with its interval over completions."""
    rows = []
    for source in np.unique(sources):
        one = over_completions(study, (held == source).mean(1) / (sources == source).mean())
        assert one is not None
        rows.append({"source": str(source), "multiplier": one.value, "low": one.low, "high": one.high})
    return rows


def _sentence(found: dict[str, Estimate]) -> str:
    told = []
    if {"reasoning_top", "reasoning_bottom"} <= found.keys():
        top, bottom = found["reasoning_top"], found["reasoning_bottom"]
        told.append(
            f"For reasoning, code, question-and-answer, mathematics and Markdown are {top.value:.1f} times as frequent "
            f"in the top {TOP_SHARE:.0%} as in the corpus ({top.low:.1f} to {top.high:.1f}) and {bottom.value:.1f} "
            f"times in the bottom {TOP_SHARE:.0%} ({bottom.low:.1f} to {bottom.high:.1f})"
        )
    if "factual_top" in found:
        top = found["factual_top"]
        told.append(
            f"for facts, the encyclopaedia is {top.value:.1f} times as frequent in the top {TOP_SHARE:.0%} "
            f"({top.low:.1f} to {top.high:.1f})"
        )
    joined = "; ".join(told)
    return joined[:1].upper() + joined[1:] + "." if told else ""
