"""What a review comes to: documents to keep and to drop, with reasons, and the check of what dropping them would do."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from engine.analysis.matrix import influence_matrix
from engine.check.settings import LeaveOutSettings
from engine.review.labels import Outcome
from engine.review.review import Review
from engine.review.standing import Standing
from engine.run import Run

COLUMNS = ["id", "title", "source", "language", "decision", "label", "reviewers", "reasons", "decided_at", "completion",
           "influence", "content_hash", "run_hash"]  # fmt: skip


def to_drop(review: Review) -> list[int]:
    """Numbers of the documents that the team agreed to drop."""
    return [number for number, outcome in outcomes(review, review.standings()).items() if outcome == "drop"]


def outcomes(review: Review, standings: Mapping[int, Standing]) -> dict[int, Outcome]:
    """Number -> outcome of the documents whose label is agreed on; ``none`` where that settles nothing."""
    labels = review.team.every_label
    agreed = {number: found.label for number, found in standings.items() if found.state == "agreed"}
    return {number: labels[label].outcome for number, label in agreed.items()}


def decided(review: Review, outcome: Outcome | None = None, query: int | None = None) -> pd.DataFrame:
    """The documents that the team agreed to keep or drop.

    Args:
        review: The review.
        outcome: ``keep`` or ``drop``; None for both.
        query: Number of the completion whose influence is told; None for the one that each document raised most.

    Returns:
        id, title, source, language, decision, label, reviewers, reasons, decided_at (UTC, the last label), completion
        (its title), influence (None where the document was not scored), content_hash (of the text), run_hash.
    """
    wanted = ("keep", "drop") if outcome is None else (outcome,)
    standings = review.standings()
    chosen = {number: one for number, one in outcomes(review, standings).items() if one in wanted}
    numbers = list(chosen)
    table = review.run.documents.set_index("document").loc[numbers, ["id", "title", "source", "language"]]
    said = pd.DataFrame([_said(standings[number]) for number in numbers], index=table.index)
    table = table.assign(decision=list(chosen.values())).join(said)
    table = table.join(_influences(review.run, numbers, query))
    table["content_hash"] = [review.keys[number].content_hash for number in numbers]
    return table.assign(run_hash=review.run_hash).reindex(columns=COLUMNS).reset_index(drop=True)


def _said(found: Standing) -> dict[str, str]:
    """Label, who gave it, why, and when the last of them did."""
    given = [one for one in found.opinions if one.label]
    comments = [(one.reviewer, said) for one in found.opinions for said in (one.why, *one.comments) if said]
    return {
        "label": found.label,
        "reviewers": "; ".join(str(one.reviewer) for one in given),
        "reasons": "; ".join(f"{reviewer}: {said}" for reviewer, said in comments),
        "decided_at": max(one.at for one in given),
    }


def _influences(run: Run, documents: Sequence[int], query: int | None) -> pd.DataFrame:
    """Completion and influence of each document: of the query, or of the one that it raised most."""
    queries = run.queries["query"].tolist() if query is None else [query]
    influence = influence_matrix(run, queries)[:, list(documents)]
    scored = ~np.isnan(influence).any(0)
    strongest = np.where(scored, np.nan_to_num(influence).argmax(0), 0)
    titles = run.queries.set_index("query")["title"].loc[queries].to_numpy()
    values = influence[strongest, np.arange(len(documents))]
    told = [float(value) if known else None for value, known in zip(values, scored, strict=True)]
    columns = {"completion": titles[strongest], "influence": pd.Series(told, index=list(documents), dtype=float)}
    return pd.DataFrame(columns, index=list(documents))


def leave_out_settings(run: Run, query: int, documents: Sequence[int]) -> LeaveOutSettings:
    """Settings of the check ``leave-out`` that trains on with and without these documents.

    It trains on twice as many others beside them, and at least as many as it does by default.
    """
    ids = run.documents.set_index("document")["id"].loc[list(documents)].tolist()
    completion = run.queries.set_index("query").at[query, "id"]
    beside = max(LeaveOutSettings.beside, 2 * len(ids))
    return LeaveOutSettings(str(run.path.resolve()), completion, documents=ids, beside=beside)
