"""Finding 2: is influence on rare tokens concentrated in few documents? Of the tokens of all completions."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from engine.analysis.rare_tokens import LOSS_BINS, frequency_correlation, token_concentration
from engine.analysis.tails import cluster_interval, percentiles, permuted, rank_correlation
from engine.check.found import find_result
from engine.findings.groups import shortages
from engine.findings.rules import RULES, Estimate
from engine.findings.study import Found, Study

MARKS = 2_000
"""Tokens in the picture at most, drawn at random."""
VERSION_DRAWS = 200
"""Draws of the intervals of other versions of the correlation."""
CAUSAL = (
    "Whether a rare token is lost once its ten strongest documents are, and a frequent one is not, takes training: "
    "`python -m engine check removal` answers it."
)
NO_CONTROLS = (
    "Gradient dot, BM25 and hidden states have one score per completion, not per token, so only shuffled frequencies "
    "stand beside influence -- for a control, ask completions of a single token."
)


def measure(study: Study) -> Found:
    """Rank correlations of tokens' occurrences with the concentration of their positive influence."""
    table = token_concentration(study.run, sign="positive")
    found = {part: correlation(study, table, part) for part in RULES["rare_tokens"].parts}
    own = {part: estimate for part, (estimate, _) in found.items() if estimate.units}
    shuffled = {part: chance for part, (_, chance) in found.items() if part in own}
    opened = shortages("rare_tokens", own, "ask more completions")
    if len(own) < len(found):
        opened.append("No completion token has documents of positive influence -- check the run's scores.")
    return Found(
        own, {"shuffled labels": shuffled}, _sentence(own), _tables(study, table), [*opened, NO_CONTROLS, _causal()]
    )


def correlation(study: Study, table: pd.DataFrame, part: str) -> tuple[Estimate, Estimate]:
    """Correlation of occurrences with a measure, matched for loss; and the same with occurrences shuffled among types.

    Args:
        study: Says how many draws, and their seed.
        table: Of :func:`engine.analysis.rare_tokens.token_concentration`.
        part: The measure: ``effective_number`` or ``top_10``.
    """
    table = table[table[part].notna()]
    statistic = partial(rank_correlation, bins=LOSS_BINS)
    columns = [table[name].to_numpy() for name in ("occurrences", part, "loss")]
    clusters, units = table["query"].to_numpy(), table["query"].nunique()
    if not units:
        return (Estimate(np.nan, np.nan, np.nan, 0),) * 2
    chance = permuted(statistic, columns, table["token_id"].to_numpy(), study.draws, study.seed)
    low, high = percentiles(chance)
    nearer = high if RULES["rare_tokens"].parts[part].side == "above" else low
    ends = cluster_interval(statistic, columns, clusters, study.draws, study.seed)
    shuffled = Estimate(float(np.nanmean(chance)) if np.isfinite(chance).any() else np.nan, low, high, units)
    return Estimate(statistic(*columns), *ends, units, nearer), shuffled


def _causal() -> str:
    """What training came to without the strongest documents of rare and of frequent tokens."""
    found = find_result("removal").result
    if found is None:
        return CAUSAL
    rows = {row["group"]: row for row in found.tables["rare_groups"]}
    rare, frequent = (
        f"{row['lost']:.0%} (95%: {row['lost_low']:.0%} to {row['lost_high']:.0%})"
        for row in (rows["rare"], rows["frequent"])
    )
    return (
        f"By training (`check removal`): without the {found.settings['top']} documents strongest on a token, "
        f"{rows['rare']['tokens']} rare tokens lost {rare} of what reading had taught the model of them, as many "
        f"frequent ones of like loss {frequent}."
    )


def _tables(study: Study, table: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    about = study.queries.set_index("query")[["id", "title", "kind"]].rename(columns={"title": "completion"})
    shown = table.join(about, on="query")
    columns = ["id", "completion", "kind", "text", "occurrences", "document_frequency", "loss"]
    shown = shown[[*columns, "effective_number", "top_10"]].rename(columns={"text": "token"})
    drawn = shown.sample(min(MARKS, len(shown)), random_state=study.seed).sort_index()
    versions = [
        {"influence": name, "measure": part} | row
        for name, of in (("positive", table), ("of either sign", token_concentration(study.run, sign="both")))
        for part in RULES["rare_tokens"].parts
        if of[part].notna().any()
        for row in frequency_correlation(of, part, draws=min(study.draws, VERSION_DRAWS)).to_dict("records")
    ]
    rarest = shown.sort_values(["occurrences", "id"]).drop_duplicates("completion")
    return {
        "picture": drawn.assign(score="influence").to_dict("records"),
        "completions": rarest.to_dict("records"),
        "versions": versions,
    }


def _sentence(found: dict[str, Estimate]) -> str:
    if not {"effective_number", "top_10"} <= found.keys():
        return ""
    spread, held = found["effective_number"], found["top_10"]
    return (
        f"Among tokens of like loss, the rank correlation of a token's occurrences in the corpus with the effective "
        f"number of documents it draws on is {spread.value:+.2f} (95%: {spread.low:+.2f} to {spread.high:+.2f}), "
        f"with the share of its ten strongest documents {held.value:+.2f} ({held.low:+.2f} to {held.high:+.2f}); "
        f"tokens of {spread.units} completions."
    )
