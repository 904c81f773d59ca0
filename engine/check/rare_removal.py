"""Is a rare token lost once its strongest documents are, and a frequent one not? By training without them.

Completion tokens are taken in pairs, a rare one beside a frequent one that the model finds as surprising, since a
surprising token has more to lose than one that any text teaches.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from engine.analysis.concentration import influence_of_tokens
from engine.analysis.rare_tokens import token_concentration
from engine.analysis.resampling import interval
from engine.check.result import Tables
from engine.check.retraining import Bench, Reading
from engine.check.settings import RemovalSettings
from engine.run import Run

RARE, FREQUENT = "rare", "frequent"
RANDOM_DRAWS = 3
"""Random removals that stand beside the chosen ones."""
ABOUT = ["pair", "group", "id", "completion", "kind", "text", "occurrences", "loss", "top_10"]


def remove_for_tokens(bench: Bench, run: Run, settings: RemovalSettings) -> Tables:
    """Leave out the documents of highest influence on single completion tokens, train anew, and measure the token.

    Args:
        bench: Documents, completions and the folder of trainings.
        run: The run of EK-FAC on them.
        settings: Of the check.

    Returns:
        ``rare_tokens``: one row per token: pair, group, completion, occurrences in the corpus, loss, top_10 (share of
        its ten strongest documents in its positive influence), then in nats ``learned``, what reading all documents
        gave it, the ``predicted`` and ``measured`` change by leaving out its strongest documents, and ``random``, that
        by leaving out as many others. ``rare_groups``: of each group ``lost``, the share of what it had learned that
        was lost, with its 95% interval over tokens, ``lost_random``, and the mean ``top_10``.
    """
    tokens = matched_pairs(token_concentration(run, sign="positive"), settings.pairs, settings.seed)
    of_queries = pd.DataFrame([{"id": one.id, "completion": one.title, "kind": one.kind} for one in bench.queries])
    tokens = tokens.join(of_queries, on="query")
    influence = influence_of_tokens(run, tokens)
    top = np.argsort(-influence, axis=1, kind="stable")[:, : settings.top]
    count, seeds = len(bench.documents), range(settings.seeds)
    left_out = [*top, *random_documents(count, settings)]
    readings = [without(documents.tolist(), count, seed) for documents in left_out for seed in seeds]
    all_read = [bench.all_read(seed) for seed in seeds]
    after = [found.mean(0) for found in bench.measured_tokens(all_read, "Training on all documents")]
    before = [found[0] for found in bench.measured_tokens([Reading(())], "Before any of them")]
    found = bench.measured_tokens(readings, "Training without a token's documents")
    windows = run.training_windows
    assert windows
    rows = []
    for place, token in enumerate(tokens.to_dict("records")):
        query, at = token["query"], token["token"]
        values = found[query][:, at].reshape(len(left_out), settings.seeds).mean(1) - after[query][at]
        rows.append(
            {name: token[name] for name in ABOUT}
            | {"learned": float(after[query][at] - before[query][at])}
            | {"predicted": float(-influence[place, top[place]].sum() / windows)}
            | {"measured": float(values[place]), "random": float(values[len(tokens) :].mean())}
        )
    return {"rare_tokens": rows, "rare_groups": compare_groups(rows)}


def matched_pairs(table: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Rare tokens drawn at random, each followed by the frequent token nearest in loss that no other has taken.

    Rare is the lowest third of all tokens' occurrences in the corpus, frequent the highest.

    Args:
        table: Of :func:`engine.analysis.rare_tokens.token_concentration`.
        count: Pairs; fewer where there are not as many.
        seed: Of the draw.

    Returns:
        Its rows, with columns pair and group.
    """
    low, high = table["occurrences"].quantile([1 / 3, 2 / 3])
    rare = table[table["occurrences"] <= low].sample(frac=1, random_state=seed)
    frequent = table[table["occurrences"] > max(high, low)]
    chosen = []
    for pair, place in enumerate(rare.index[: min(count, len(frequent))]):
        nearest = (frequent["loss"] - table.at[place, "loss"]).abs().idxmin()
        frequent = frequent.drop(nearest)
        chosen += [(place, pair, RARE), (nearest, pair, FREQUENT)]
    places = [place for place, _, _ in chosen]
    groups = {"pair": [pair for _, pair, _ in chosen], "group": [group for _, _, group in chosen]}
    return table.loc[places].reset_index(drop=True).assign(**groups)


def random_documents(documents: int, settings: RemovalSettings) -> list[np.ndarray]:
    """As many documents as are left out, drawn at random, several times."""
    draw = np.random.default_rng([settings.seed, 1])
    return [draw.permutation(documents)[: settings.top] for _ in range(RANDOM_DRAWS)]


def without(documents: Iterable[int], count: int, seed: int) -> Reading:
    """The reading of all documents but these."""
    out = set(documents)
    return Reading(tuple(number for number in range(count) if number not in out), seed)


def compare_groups(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of rare and of frequent tokens the share lost of what they had learned, a ratio of sums over tokens."""
    found = []
    for group in (RARE, FREQUENT):
        own = pd.DataFrame([row for row in rows if row["group"] == group])
        lost, learned = -own["measured"].to_numpy(), own["learned"].to_numpy()
        low, high = interval(len(own), partial(_ratio, lost, learned))
        of_random = float(-own["random"].sum() / learned.sum())
        about = {"group": group, "tokens": len(own), "lost": float(lost.sum() / learned.sum())}
        means = {name: float(own[name].mean()) for name in ("loss", "learned", "top_10")}
        found.append(about | {"lost_low": low, "lost_high": high, "lost_random": of_random} | means)
    return found


def _ratio(a: np.ndarray, b: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.asarray(a[places].sum(-1) / b[places].sum(-1))
