"""How well a run of the sample finds the documents that tell each fact: ``python -m sample_data.retrieval RUN``.

For a fact told by m documents, the recall is the share of those m among the top m of a ranking. No step of a run reads
``truth.json``: rankings are held against it here and by ``python -m engine findings``.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.run import Run
from sample_data.card import rewrite_section, table
from sample_data.facts import FACTS
from sample_data.queries import planned_queries

TRUTH = Path(__file__).parent / "truth.json"
METHODS = {
    "influence": "EK-FAC influence", "gradient_dot": "gradient dot", "gradient_cosine": "gradient cosine",
    "bm25": "BM25", "hidden_similarity": "hidden states", "random": "random order",
}  # fmt: skip
GROUPS = {"64": (64, 64), "32": (32, 32), "12 and 16": (12, 16), "8": (8, 8), "4": (4, 4), "2": (2, 2), "1": (1, 1)}
GOAL = "4 or more"
DRAWS = 10_000


def wanted_queries() -> dict[str, list[str]]:
    """Of each fact the ids of the queries that ask for it in an order in which documents tell it."""
    id_of = {plan.query["title"]: plan.query["id"] for plan in planned_queries()}
    return {name: [id_of[question.title] for question in fact.asked_as_told()] for name, fact in FACTS.items()}


def recall_at(ranking: pd.Series, wanted: set[str], among: int) -> float:
    """Return the share of ``wanted`` among the first ``among`` of a ranking (id -> score, higher first).

    Ties are broken by the mean over orders: a document on the edge counts with the share of tied ones that fit.
    """
    edge = ranking.sort_values(ascending=False).iloc[among - 1]
    above, tied = ranking.index[ranking > edge], ranking.index[ranking == edge]
    share = (among - len(above)) / len(tied)
    return (len(wanted.intersection(above)) + share * len(wanted.intersection(tied))) / len(wanted)


def recalls(run: Run, change: Callable[[pd.DataFrame], pd.DataFrame] = lambda scores: scores) -> pd.DataFrame:
    """Return one row per fact, method and kind of document sought.

    Args:
        run: The run.
        change: What is done to :meth:`engine.run.Run.influence` of a query before documents are ranked.

    Columns:
        fact, exposures, method; ``sought`` is ``documents`` (that tell the fact) or ``paraphrases`` (that tell it without
        the rare name, sought among all documents but the former); ``recall``, the mean over the fact's questions.
    """
    truth = json.loads(TRUTH.read_text(encoding="utf-8"))["facts"]
    ids = run.documents.set_index("document")["id"]
    number_of = run.queries.set_index("id")["query"]
    rows = []
    for name, queries in wanted_queries().items():
        telling, paraphrases = set(truth[name]["documents"]), set(truth[name]["paraphrases"])
        for query in queries:
            scores = change(run.influence(int(number_of[query])))
            scores.index = pd.Index(ids.reindex(scores["document"]))
            scores["random"] = 0.0
            for method in METHODS:
                ranking = scores[method].fillna(-np.inf)
                rows.append((name, method, "documents", recall_at(ranking, telling, len(telling))))
                if paraphrases:
                    rest = ranking.drop(index=list(telling))
                    rows.append((name, method, "paraphrases", recall_at(rest, paraphrases, len(paraphrases))))
    frame = pd.DataFrame(rows, columns=["fact", "method", "sought", "recall"])
    frame = frame.groupby(["fact", "method", "sought"], as_index=False)["recall"].mean()
    frame["exposures"] = frame["fact"].map({name: fact.exposures for name, fact in FACTS.items()})
    return frame


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the central 95% of the mean over facts drawn anew; of a single fact there is none (nan)."""
    if len(values) < 2:
        return float("nan"), float("nan")
    draws = np.random.default_rng(seed).choice(values, (DRAWS, len(values))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def summary(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean recall with its interval per group of facts and method; groups are by exposures, then the goal, then all
    paraphrases.
    """
    told = frame[frame["sought"] == "documents"]
    groups = {label: told[told["exposures"].between(*bounds)] for label, bounds in GROUPS.items()}
    groups[GOAL] = told[told["exposures"] >= 4]
    groups["paraphrases"] = frame[frame["sought"] == "paraphrases"]
    found = []
    for label, rows in groups.items():
        for method in METHODS:
            values = rows.loc[rows["method"] == method, "recall"].to_numpy()
            low, high = interval(values)
            found.append(
                {"group": label, "facts": len(values), "method": method, "recall": float(values.mean()),
                 "low": low, "high": high}
            )  # fmt: skip
    return found


def as_table(found: list[dict[str, Any]]) -> str:
    """Return the summary as a Markdown table, a column per method."""
    rows = []
    for group in dict.fromkeys(row["group"] for row in found):
        cells = {row["method"]: row for row in found if row["group"] == group}
        shown = [as_cell(cells[method]) for method in METHODS]
        rows.append([group, str(next(iter(cells.values()))["facts"]), *shown])
    return table(["documents telling the fact", "facts", *METHODS.values()], rows)


def as_cell(row: dict[str, Any]) -> str:
    """Return a recall with its interval."""
    if np.isnan(row["low"]):
        return f"{row['recall']:.2f}"
    return f"{row['recall']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def main() -> None:
    """Print the table of a run and, if asked, put it into the card."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="folder of a finished run of the sample")
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of a table")
    parser.add_argument("--card", metavar="SECTION", help="write the table into this section of sample_data/README.md")
    arguments = parser.parse_args()
    found = summary(recalls(Run(arguments.run)))
    print(json.dumps(found, indent=1) if arguments.json else as_table(found))
    if arguments.card:
        rewrite_section(arguments.card, as_table(found))


if __name__ == "__main__":
    main()
