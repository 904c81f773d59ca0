"""Finding 7: do the strongest documents influence reasoning less than factual answers, and hold the answer less often?

Influence per nat of completion as in Ruis et al. 2024 (finding 2): a completion that the model did not expect has more
in it to be influenced.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from engine.findings.estimates import over_completions, present
from engine.findings.groups import between, shortages
from engine.findings.rules import TOP, TOP_SHARE, Estimate
from engine.findings.study import CONTROLS, INFLUENCE, Found, Study, score_matrices
from engine.findings.texts import Ngram, found_by_chance, holders, pieces, strongest, texts

FAMILIES = ("factual", "reasoning")
SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Parts of a ranking in the picture."""
NEEDS_BOTH = (
    "Factual and reasoning completions are compared, and the run has {factual} and {reasoning} of them -- ask "
    'questions of the kinds "Fact" and "Arithmetic".'
)
ADVICE = 'ask more questions of the kinds "Fact" and "Arithmetic"'


def measure(study: Study) -> Found:
    """Influence of the top 1% per nat, how it varies, and where answers stand, for both families."""
    numbers = study.queries["family"].value_counts().reindex(FAMILIES, fill_value=0)
    if not numbers.all():
        return Found(open=[NEEDS_BOTH.format(**numbers)])
    chosen = completions(study)
    scores = {name: matrix[chosen["place"]] for name, matrix in score_matrices(study.run).items()}
    rows = {name: _with_values(chosen, matrix) for name, matrix in scores.items()}
    estimates = {CONTROLS.get(name, name): _estimates(study, table) for name, table in rows.items()}
    own = estimates.pop(INFLUENCE)
    tables = {
        "picture": _curves(study, chosen, scores[INFLUENCE]),
        "answers": [row for name, table in rows.items() for row in _answer_rows(CONTROLS.get(name, name), table)],
        "completions": _completion_rows(rows[INFLUENCE]),
        "documents": _documents(study, chosen, scores[INFLUENCE]),
    }
    sentence = _sentence(study, rows[INFLUENCE], own)
    return Found(own, estimates, sentence, tables, shortages("reasoning", own, ADVICE))


def completions(study: Study) -> pd.DataFrame:
    """The completions of both families and the documents that hold their answers.

    Columns: place (in the run), id, completion (title), family, nats, answer (as sought, readable), holding (places of
    the documents that hold it in any wording), by_chance (probability that one of :data:`.rules.TOP` random ones does).
    """
    table = study.queries.assign(place=range(len(study.queries)), nats=-study.queries["log_prob"])
    table = table[table["family"].isin(FAMILIES)].reset_index(drop=True)
    wordings = [list(study.known(row.id).answer) or [row.completion.strip()] for row in table.itertuples()]
    asked: list[list[Ngram]] = [[tuple(pieces(one)) for one in some] for some in wordings]
    found = holders(texts(study.run), chain.from_iterable(asked), pieces)
    nowhere = np.array([], dtype=np.int64)
    holding = [np.unique(np.concatenate([nowhere, *(found.of.get(one, nowhere) for one in some)])) for some in asked]
    table = table.assign(answer=[" or ".join(some) for some in wordings], holding=holding)
    table["by_chance"] = [float(found_by_chance(found.documents, len(some), TOP)) for some in holding]
    columns = ["place", "id", "title", "family", "nats", "answer", "holding", "by_chance"]
    return table[columns].rename(columns={"title": "completion"})


def per_nat(scores: np.ndarray, nats: np.ndarray, share: float) -> np.ndarray:
    """Sum of the highest scores over the nats of each completion, ``[q]``; nan where it has none.

    Args:
        scores: ``[q, d]``; nan are left out.
        nats: ``[q]``.
        share: How many of the documents, rounded, at least one.
    """
    sums = [row[strongest(row, max(1, round(share * int((~np.isnan(row)).sum()))))].sum() for row in scores]
    return _over(np.array(sums), nats)


def _with_values(chosen: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    """With ``per_nat`` of the top 1% and whether the answer ``stands`` in one of the strongest documents."""
    tops = (strongest(row, TOP) for row in scores)
    stands = [bool(np.isin(top, holding).any()) for top, holding in zip(tops, chosen["holding"], strict=True)]
    return chosen.assign(per_nat=per_nat(scores, chosen["nats"].to_numpy(), TOP_SHARE), stands=stands)


def _both(table: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Factual and reasoning values."""
    factual, reasoning = (table.loc[table["family"] == name, column].to_numpy(np.float64) for name in FAMILIES)
    return factual, reasoning


def _estimates(study: Study, table: pd.DataFrame) -> dict[str, Estimate]:
    strength = _both(table, "per_nat")
    return present({
        "per_nat": between(study, *strength, lambda factual, reasoning: _ratio(reasoning, factual, np.median)),
        "volatility": between(study, *strength, lambda factual, reasoning: _ratio(reasoning, factual, _variation)),
        "answers": between(study, *_both(table, "stands"), _answers_apart),
    })  # fmt: skip


def _ratio(one: np.ndarray, other: np.ndarray, statistic: Callable[..., Any]) -> np.ndarray:
    return _over(statistic(one, axis=-1), statistic(other, axis=-1))


def _variation(values: np.ndarray, axis: int) -> np.ndarray:
    """The coefficient of variation: standard deviation over mean."""
    return _over(values.std(axis=axis), values.mean(axis=axis))


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """A quotient; nan where it is of nothing."""
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=np.asarray(below) > 0)


def _answers_apart(factual: np.ndarray, reasoning: np.ndarray) -> np.ndarray:
    return np.asarray(factual.mean(-1) - reasoning.mean(-1))


def _curves(study: Study, chosen: pd.DataFrame, scores: np.ndarray) -> list[dict[str, Any]]:
    """Median influence per nat of longer and longer parts of the ranking."""
    rows = []
    for family in FAMILIES:
        of, nats = chosen["family"] == family, chosen.loc[chosen["family"] == family, "nats"].to_numpy()
        for share in SHARES:
            found = over_completions(study, per_nat(scores[of], nats, share), np.median)
            if found is not None:
                row = {"family": family, "strongest": f"top {share:.1%}".replace(".0%", "%"), "score": INFLUENCE}
                rows.append(row | {"influence_per_nat": found.value, "low": found.low, "high": found.high})
    return rows


def _completion_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    names = {"per_nat": "influence_per_nat", "stands": "answer_in_strongest", "by_chance": "in_random_documents"}
    rows: list[dict[str, Any]] = table.drop(columns=["place", "holding"]).rename(columns=names).to_dict("records")
    return rows


def _answer_rows(name: str, table: pd.DataFrame) -> list[dict[str, Any]]:
    by_family = table.groupby("family")[["stands", "by_chance"]].mean()
    return [
        {"score": name, "family": family, "share": row["stands"], "random_documents": row["by_chance"],
         "completions": int((table["family"] == family).sum())}
        for family, row in by_family.iterrows()
    ]  # fmt: skip


def _documents(study: Study, chosen: pd.DataFrame, scores: np.ndarray) -> list[dict[str, Any]]:
    """The strongest documents that hold a completion's answer."""
    about = study.run.documents
    return [
        {"completion": row.completion, "family": row.family, "answer": row.answer, "rank": rank,
         "id": about.at[number, "id"], "document": about.at[number, "title"]}
        for row, values in zip(chosen.itertuples(), scores, strict=True)
        for rank, number in enumerate(strongest(values, TOP), 1) if number in row.holding
    ]  # fmt: skip


def _sentence(study: Study, table: pd.DataFrame, found: dict[str, Estimate]) -> str:
    if set(found) != {"per_nat", "volatility", "answers"}:
        return "No completion of one of the two families has any nats to be influenced."
    (factual, reasoning), (told, reckoned) = _both(table, "per_nat"), _both(table, "stands")
    random = [values.mean() for values in _both(table, "by_chance")]
    per, varies, apart = (found[name] for name in ("per_nat", "volatility", "answers"))
    return (
        f"The top 1% of documents influence reasoning by {_number(np.nanmedian(reasoning))} and facts by "
        f"{_number(np.nanmedian(factual))} {study.run.unit} per nat of completion (medians; {per.value:.2f} times, 95% "
        f"interval {per.low:.2f} to {per.high:.2f}), varying {varies.value:.2f} times as much ({varies.low:.2f} to "
        f"{varies.high:.2f}); the answer stands in one of the {TOP} strongest documents for {told.mean():.0%} of facts "
        f"and {reckoned.mean():.0%} of reasoning (difference {apart.low:+.0%} to {apart.high:+.0%}; in random "
        f"documents for {random[0]:.0%} and {random[1]:.0%})."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
