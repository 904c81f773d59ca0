"""Do documents in the main language act on completions in others, more so between well-resourced ones?

Questions and their translations share :attr:`engine.findings.study.Known.question`. Each question in the main
language (that of most documents) is compared with each of its translations.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata  # type: ignore[import-untyped]

from engine.analysis.tails import percentiles
from engine.findings.estimates import over_completions, present
from engine.findings.groups import between
from engine.findings.rules import LOW_RESOURCE, RULES, TOP, Estimate
from engine.findings.study import CONTROLS, INFLUENCE, Found, Study, score_matrices

SHOWN = 100
"""Translations whose documents are listed at most."""


@dataclass(frozen=True)
class _Pairs:
    """Translations, each with its question.

    Attributes:
        question: Places of the questions among the run's completions, ``[n]``.
        translation: Of their translations, ``[n]``.
        high: Whether the translation's language is high-resource, ``[n]``.
        main: Places of the scored documents in the main language.
    """

    question: np.ndarray
    translation: np.ndarray
    high: np.ndarray
    main: np.ndarray


def measure(study: Study) -> Found:
    """The place of a question's strongest documents in the main language for its translations."""
    languages = _languages(study)
    main = str(languages["language"].iloc[0]) if len(languages) else ""
    matrices = score_matrices(study.run)
    pairs = _pairs(study, languages, main, ~np.isnan(matrices[INFLUENCE]).any(0))
    found = Found(open=_missing(pairs, main))
    if not len(pairs.question) or len(pairs.main) <= TOP:
        return found
    names = {INFLUENCE: INFLUENCE} | CONTROLS
    places = {names[name]: _places(scores, pairs) for name, scores in matrices.items()}
    for name, of_score in places.items():
        estimates, shuffled = _estimates(of_score, pairs, study)
        if name == INFLUENCE:
            found.estimates, found.controls["shuffled labels"] = estimates, shuffled
        else:
            found.controls[name] = estimates
    found.sentence = _sentence(found.estimates, main)
    found.tables = {
        "picture": _picture(study, pairs, places),
        "documents": _documents(study, pairs, matrices[INFLUENCE]),
        "languages": languages.to_dict("records"),
    }
    return found


def _languages(study: Study) -> pd.DataFrame:
    """The corpus's languages, that of most documents first: language, documents, share, resource."""
    counts = study.run.documents["language"].value_counts()
    table = counts.sort_index(kind="stable").sort_values(ascending=False, kind="stable").rename("documents")
    found = table.rename_axis("language").reset_index()
    found["share"] = found["documents"] / max(1, found["documents"].sum())
    return found.assign(resource=np.where(found["share"] < LOW_RESOURCE, "low", "high"))


def _pairs(study: Study, languages: pd.DataFrame, main: str, scored: np.ndarray) -> _Pairs:
    asked = [study.known(str(id)).question or "" for id in study.queries["id"]]
    queries = study.queries.assign(asked=asked, place=range(len(study.queries)))
    is_main = queries["language"] == main
    questions = queries[is_main & (queries["asked"] != "")].drop_duplicates("asked").set_index("asked")["place"]
    translations = queries[~is_main & queries["asked"].isin(questions.index)]
    low = set(languages.loc[languages["resource"] == "low", "language"])
    known = set(languages["language"])
    return _Pairs(
        questions.loc[translations["asked"]].to_numpy(),
        translations["place"].to_numpy(),
        # of a language without documents there are less than the share too
        np.array([one in known and one not in low for one in translations["language"]], dtype=bool),
        np.flatnonzero((study.run.documents["language"].to_numpy() == main) & scored),
    )


def _missing(pairs: _Pairs, main: str) -> list[str]:
    """What could not be measured, and what to do."""
    if not len(pairs.question):
        return [
            f"No completion is known to translate a question asked in the main language ({main or 'none'}) -- give "
            '--truth a file in which a question and its translations share a name as "question".'
        ]
    if len(pairs.main) <= TOP:
        return [
            f"{len(pairs.main)} documents in the main language ({main}) were scored -- the {TOP} strongest would be "
            "all there are -- score a corpus with more of them."
        ]
    parts = RULES["languages"].parts
    counts = {"high": int(pairs.high.sum()), "low": int((~pairs.high).sum())}
    few = [
        f"{count} translations are in {name}-resource languages -- comparing high and low needs "
        f"{parts['resource'].least} of either -- ask more questions in a language with "
        f"{'at least' if name == 'high' else 'less than'} {LOW_RESOURCE:.0%} of the documents."
        for name, count in counts.items()
        if count < parts["resource"].least
    ]
    if len(pairs.question) < parts["crossing"].least:
        few.append(f"{len(pairs.question)} translations of questions -- {parts['crossing'].least} needed -- ask more.")
    return few


def _places(scores: np.ndarray, pairs: _Pairs) -> np.ndarray:
    """Mean place that each question's strongest documents have for each translation, ``[questions, n]``.

    Questions are the different ones of the pairs, in order; only scored documents in the main language count.
    """
    main = scores[:, pairs.main]
    top = np.argsort(-main[np.unique(pairs.question)], axis=1, kind="stable")[:, :TOP]
    place = (rankdata(main[pairs.translation], axis=1) - 1) / max(1, main.shape[1] - 1)  # equal ones share theirs
    return place[:, top].mean(-1).T


def _estimates(places: np.ndarray, pairs: _Pairs, study: Study) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Of the rule's parts, and of ``crossing`` when each translation is given another one's question."""
    question = np.unique(pairs.question, return_inverse=True)[1]
    own, n = _own(places, pairs), len(question)
    shuffled = np.random.default_rng(study.seed).permuted(np.tile(question, (study.draws, 1)), axis=1)
    null = places[shuffled, np.arange(n)].mean(1) if len(places) > 1 else np.full(1, np.nan)
    low, high = percentiles(null)
    resource = between(study, own[pairs.high], own[~pairs.high], lambda first, second: first.mean(-1) - second.mean(-1))
    estimates = present({"crossing": over_completions(study, own, null=high), "resource": resource})
    return estimates, {"crossing": Estimate(float(null.mean()), low, high, n)}


def _own(places: np.ndarray, pairs: _Pairs) -> np.ndarray:
    """Of each translation's own question, ``[n]``."""
    own: np.ndarray = places[np.unique(pairs.question, return_inverse=True)[1], np.arange(len(pairs.question))]
    return own


def _sentence(estimates: dict[str, Estimate], main: str) -> str:
    crossing, resource = estimates["crossing"], estimates.get("resource")
    text = (
        f"For {crossing.units} translations of a question, the {TOP} documents in the main language ({main}) strongest "
        f"on the question stand at {crossing.value:.2f} (95% {crossing.low:.2f} to {crossing.high:.2f}) of all in that "
        f"language, from 0 (lowest) to 1"
    )
    text += f"; with translations shuffled at up to {crossing.null:.2f}" if crossing.null == crossing.null else ""
    if resource is None:
        return f"{text}."
    return (
        f"{text}; in high-resource languages {resource.value:+.2f} (95% {resource.low:+.2f} to {resource.high:+.2f}) "
        f"above low-resource ones."
    )


def _picture(study: Study, pairs: _Pairs, places: dict[str, np.ndarray]) -> list[dict[str, object]]:
    """Each translation's mean place by each score."""
    queries = study.queries
    return [
        {
            "score": name, "completion": queries["title"].iloc[translation], "id": queries["id"].iloc[translation],
            "question": queries["title"].iloc[question], "language": queries["language"].iloc[translation],
            "resource": "high" if high else "low", "place": float(value),
        }
        for name, of_score in places.items()
        for question, translation, high, value in zip(
            pairs.question, pairs.translation, pairs.high, _own(of_score, pairs), strict=True
        )
    ]  # fmt: skip


def _documents(study: Study, pairs: _Pairs, influence: np.ndarray) -> list[dict[str, object]]:
    """The documents strongest on each question, with their place for its translation."""
    queries, rows = study.queries, []
    for question, translation in list(zip(pairs.question, pairs.translation, strict=True))[:SHOWN]:
        on_both = influence[[question, translation]][:, pairs.main]
        place = (rankdata(on_both[1]) - 1) / (len(pairs.main) - 1)
        for at in np.argsort(-on_both[0], kind="stable")[:TOP]:
            title, id = study.run.documents.loc[pairs.main[at], ["title", "id"]]
            rows.append(
                {"completion": queries["title"].iloc[translation], "question": queries["title"].iloc[question],
                 "document": title, "id": id, "influence on the question": float(on_both[0, at]),
                 "influence on the translation": float(on_both[1, at]), "place": float(place[at])}
            )  # fmt: skip
    return rows
