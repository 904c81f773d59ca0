"""Finding 1: is influence heavy-tailed? Shares of the top 1%, and power laws fitted to every completion's tail."""

from typing import Any

import numpy as np

from engine.analysis.amounts import MEASURES, amounts, measures
from engine.analysis.chance import shuffled_draws
from engine.analysis.concentration import influence_of_tokens
from engine.analysis.tails import MIN_TAIL, fit_tail
from engine.findings.estimates import over_completions, present
from engine.findings.rules import NORMAL_SHARE, NOT_REJECTED, TOP_SHARE, Estimate
from engine.findings.study import CONTROLS, INFLUENCE, Found, Study, score_matrices

GOODNESS_DRAWS = 50
"""Samples for a goodness of fit; the p-value's error at :data:`.rules.NOT_REJECTED` is 0.04."""
FARTHER = 5
"""Of these, samples farther from their fit than the scores after which no more are drawn: p is at least 0.1 then."""
SHUFFLES = 20
"""Shuffles of a completion's influences whose mean share is that of chance."""
NAMES = {INFLUENCE: INFLUENCE} | CONTROLS
DOCUMENTS = 50
"""Documents listed."""


def measure(study: Study) -> Found:
    """Shares and power laws of every completion's positive scores, by influence and by each control."""
    scores = score_matrices(study.run)
    study.progress.start("Fitting tails", len(scores) * len(study.queries), "completions")
    rows = []
    for name, matrix in scores.items():
        for place, values in enumerate(matrix):
            rows.append(_about(study, place) | {"score": NAMES[name]} | tail_row(values, study.seed))
            study.progress.advance(1)
    study.progress.finish()
    by_score = {name: [row for row in rows if row["score"] == name] for name in NAMES.values()}
    estimates = {name: _estimates(study, of_score) for name, of_score in by_score.items()}
    own = estimates.pop(INFLUENCE)
    chance = over_completions(study, _shuffled_shares(study), np.median)
    controls = estimates | {"shuffled labels": present({"top_share": chance})}
    columns = ("id", "completion", "kind", "score", "top_share")
    tables = {
        "picture": [{name: row[name] for name in columns} for row in rows],
        "completions": by_score[INFLUENCE],
        "documents": _documents(study, scores[INFLUENCE]),
    }
    return Found(own, controls, _sentence(own), tables, _open(by_score[INFLUENCE]))


def tail_row(values: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Share of the top 1% and the power law of one completion's scores.

    Two tests stand against a power law: the distance from its fit, and a lognormal on the same range. The first takes
    long and is left out (``fit_p`` is None) where the second rejects already.

    Args:
        values: ``[documents]``; nan are left out.
        seed: Of the samples of the goodness of fit.

    Returns:
        top_share; exponent, fit_p, lognormal_p and kept (no test rejects), None where too few values are positive.
    """
    values = values[~np.isnan(values)]
    row: dict[str, Any] = {"top_share": np.nan} | dict.fromkeys(("exponent", "fit_p", "lognormal_p", "kept"))
    if not (values > 0).any():
        return row
    row["top_share"] = float(measures(values[None], "positive")["top_share"].iloc[0])
    side = amounts(values, "positive")
    if len(np.unique(side[side > 0])) < MIN_TAIL:
        return row
    fit = fit_tail(side)
    row |= {"exponent": fit.exponent, "lognormal_p": fit.nested_p, "kept": False}
    if fit.nested_p >= NOT_REJECTED:
        row["fit_p"] = fit_tail(side, GOODNESS_DRAWS, seed, enough=FARTHER).p_value
        row["kept"] = row["fit_p"] >= NOT_REJECTED
    return row


def _about(study: Study, place: int) -> dict[str, Any]:
    row = study.queries.iloc[place]
    return {"id": row["id"], "completion": row["title"], "kind": row["kind"]}


def _estimates(study: Study, rows: list[dict[str, Any]]) -> dict[str, Estimate]:
    shares = np.array([row["top_share"] for row in rows])
    kept = np.array([row["kept"] for row in rows], dtype=np.float64)  # None becomes nan
    return present(
        {"top_share": over_completions(study, shares, np.median), "power_law": over_completions(study, kept)}
    )


def _shuffled_shares(study: Study) -> np.ndarray:
    """Share of the top 1% with each token's influences dealt out anew among the documents, ``[completions]``."""
    shares = []
    for query in study.queries["query"]:
        of_tokens = influence_of_tokens(study.run, study.run.tokens_of_query(query))
        drawn = shuffled_draws(of_tokens, "positive", SHUFFLES, study.seed).measures()
        shares.append(drawn[:, MEASURES.index("top_share")].mean())
    return np.array(shares)


def _documents(study: Study, influence: np.ndarray) -> list[dict[str, Any]]:
    """The documents that are among the top 1% most often, of all that were scored."""
    scored = ~np.isnan(influence).any(0)
    first = max(1, round(TOP_SHARE * scored.sum()))
    order = np.argsort(-np.where(scored, influence, -np.inf), axis=1, kind="stable")[:, :first]
    times = np.bincount(order.ravel(), minlength=influence.shape[1])
    about = study.run.documents
    return [
        {"id": about.at[number, "id"], "document": about.at[number, "title"], "source": about.at[number, "source"],
         "completions": int(times[number])}
        for number in np.argsort(-times, kind="stable")[:DOCUMENTS]
        if times[number]
    ]  # fmt: skip


def _sentence(found: dict[str, Estimate]) -> str:
    if "top_share" not in found:
        return "No completion has documents of positive influence."
    share = found["top_share"]
    told = (
        f"The top 1% of the documents with positive influence hold {share.value:.1%} of it (median of {share.units} "
        f"completions, 95% interval {share.low:.1%} to {share.high:.1%}; half-normal influences: {NORMAL_SHARE:.1%})"
    )
    if "power_law" not in found:
        return told + "."
    law = found["power_law"]
    return f"{told}; no test rejects a power law for {law.value:.0%} of {law.units} completions."


def _open(rows: list[dict[str, Any]]) -> list[str]:
    short = sum(row["kept"] is None for row in rows)
    if not short:
        return []
    return [
        f"The tails of {short} of {len(rows)} completions were not fitted: fewer than {MIN_TAIL} different positive "
        "influences -- use a larger corpus, or score it without --prefilter."
    ]
