"""Facts told in one order and asked in the other: does influence find the documents that tell them? (no torch)

A completion asks in an order: its prompt names one thing, the completion the other. A document tells the fact in the
same order where it names the prompt's thing first, in the first sentence that names both, or else in its whole text.
No model is trained anew: the run's own corpus tells some facts in one order only.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata  # type: ignore[import-untyped]

from engine.check.result import Tables
from engine.findings.estimates import over_completions
from engine.findings.study import CONTROLS, INFLUENCE, Study, score_matrices
from engine.findings.texts import strongest, texts
from engine.variants import sentences

MOSTLY = 0.9
"""Share of a fact's documents that tell it in one order from which it counts as told in that order only."""


def orders(study: Study) -> Tables:
    """How well each score finds the documents that tell a fact, by the order in which they tell it.

    Returns:
        ``told``: per order and score the mean share of those documents that are among as many first ones, with its
        95% interval over completions; ``told_completions``: each completion's. Empty where nothing is known.
    """
    documents = _documents(study)
    wanted = set(np.concatenate([*documents, np.zeros(0, int)]).tolist())
    held = {place: text for place, text in enumerate(texts(study.run)) if place in wanted} if wanted else {}
    rows = [row for place, numbers in enumerate(documents) if (row := _told(study, place, numbers, held))]
    if not rows:
        return {}
    scores, names = score_matrices(study.run), {INFLUENCE: INFLUENCE} | CONTROLS
    found = [
        {"score": label, **row, **_found(scores[name][place], documents)}
        for name, label in names.items()
        for place, documents, row in rows
    ]
    groups = pd.DataFrame(found).groupby(["told", "score"], sort=False)
    summed = [{"told": told, "score": score} | _summary(each, study) for (told, score), each in groups]
    return {"told": summed, "told_completions": found}


def same_order(text: str, first: Sequence[str], second: Sequence[str]) -> bool | None:
    """Whether a text names one thing before another; None where it does not name both.

    Args:
        text: The text.
        first: Names of the one, in any of its wordings; capitals do not count.
        second: Names of the other.
    """
    for part in (*(text[span.start : span.end] for span in sentences(text)), text):
        places = [_first_place(part, names) for names in (first, second)]
        if -1 not in places and places[0] != places[1]:
            return places[0] < places[1]
    return None


def _documents(study: Study) -> list[np.ndarray]:
    """Numbers of the documents that teach each completion."""
    number_of = study.run.documents.set_index("id")["document"]
    return [
        np.array([number_of[one] for one in study.known(str(id)).documents if one in number_of.index], dtype=int)
        for id in study.queries["id"]
    ]


def _told(
    study: Study, place: int, documents: np.ndarray, held: Mapping[int, str]
) -> tuple[int, np.ndarray, dict[str, object]] | None:
    """A completion's documents and the order they tell it in; None where it is not known."""
    row = study.queries.iloc[place]
    known = study.known(str(row["id"]))
    names = [*known.subject, *known.answer]
    first, second = (
        [name for name in names if _first_place(row[part], [name]) >= 0] for part in ("prompt", "completion")
    )
    told = [same_order(held[document], first, second) for document in documents.tolist()] if first and second else []
    clear = [order for order in told if order is not None]
    if not clear:
        return None
    share = sum(clear) / len(clear)
    order = "as asked" if share >= MOSTLY else "the other way round" if share <= 1 - MOSTLY else "both ways"
    about = {"completion": row["title"], "id": row["id"], "documents": len(documents), "told": order}
    return place, documents, about


def _first_place(text: str, names: Sequence[str]) -> int:
    """Of any of the names; -1 where there is none."""
    places = [text.casefold().find(name.casefold()) for name in names]
    return min((place for place in places if place >= 0), default=-1)


def _found(scores: np.ndarray, documents: np.ndarray) -> dict[str, float]:
    """Share of documents among as many first ones, and their mean place from 0 (lowest) to 1."""
    place = (rankdata(scores, nan_policy="omit") - 1) / max(1, np.isfinite(scores).sum() - 1)
    found = np.isin(documents, strongest(scores, len(documents)))
    return {"found": float(found.mean()), "place": float(np.nanmean(place[documents]))}


def _summary(each: pd.DataFrame, study: Study) -> dict[str, float]:
    found = over_completions(study, each["found"].to_numpy())
    assert found is not None
    return {"completions": found.units, "found": found.value, "low": found.low, "high": found.high}
