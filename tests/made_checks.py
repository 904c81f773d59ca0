"""Made-up results of checks, kept as the checks keep theirs, without training anything."""

from pathlib import Path
from typing import Any

import numpy as np

from engine.analysis.resampling import mean_with_interval
from engine.check.effects import calibrate, compare_methods
from engine.check.rare_removal import compare_groups
from engine.check.result import Tables, kept
from engine.checks import settings_of

SLOPE = 0.25
NAMES = ("EK-FAC", "K-FAC", "gradient dot", "BM25")


def keep(check: str, file: Path, tables: Tables, **settings: Any) -> Path:
    """Keep a result as the check of that name would."""
    with kept(check, settings_of(check, settings), file) as result:
        result.tables = tables
    return file


def exact_tables() -> Tables:
    random, rows = np.random.default_rng(0), []
    for place, name in enumerate(("exact", *NAMES)):
        row: dict[str, Any] = {"estimator": name, "curvature_error": None, "solve_error": None}
        for column in ("correlation", "rank_correlation", "response_correlation", "response_slope"):
            row |= mean_with_interval(column, 1 - 0.2 * place + 0.05 * random.random(12))
        rows.append(row)
    rows[-1] |= {"response_slope": None, "response_slope_low": None, "response_slope_high": None}
    return {"estimators": rows}


def lds_tables() -> Tables:
    random, rows, queries = np.random.default_rng(1), [], []
    for place, name in enumerate(NAMES):
        values = 0.4 - 0.1 * place + 0.1 * random.random(20)
        rows.append({"estimator": name} | mean_with_interval("lds", values) | {"of_ceiling": values.mean() / 0.8})
        queries += [
            {"estimator": name, "id": f"q{n}", "completion": "A title", "kind": ("Fact", "Code")[n % 2], "lds": v}
            for n, v in enumerate(values)
        ]
    most = mean_with_interval("ceiling", 0.8 + 0.05 * random.random(20))
    return {"estimators": rows, "queries": queries, "ceiling": [most], "bench": [{"documents": 600, "completions": 20}]}


def removal_tables(slope: float = SLOPE, noise: float = 0.05) -> Tables:
    """Measured changes are ``slope`` of the predicted ones; EK-FAC's twice as large as those of BM25."""
    random, points = np.random.default_rng(2), []
    for what in ("documents", "tokens"):
        for method, size in (("EK-FAC", 4.0), ("BM25", 2.0), ("random", 0.01)):
            for query in range(12):
                predicted = -size * (1 + 0.2 * query / 12)
                about = {"what": what, "method": method, "id": f"q{query}", "completion": f"<b>Title</b> {query}"}
                measured = slope * predicted + noise * random.normal()
                points.append(about | {"predicted": predicted, "measured": measured})
    rare = [
        {
            "pair": pair,
            "group": group,
            "learned": 2.0,
            "measured": -size,
            "random": 0.01 * pair,
            "loss": 1.5,
            "top_10": 0.3,
        }
        for pair, size in enumerate(random.uniform(0.5, 1.5, 12))
        for group, size in (("rare", size), ("frequent", size / 2))
    ]
    found = {"methods": compare_methods(points), "points": points, "calibration": calibrate(points)}
    return found | {"rare_groups": compare_groups(rare)}


def stability_tables(queries: list[str]) -> Tables:
    """The first completion is steady with few tokens, the second shaky, all others noise."""
    verdicts = ["steady", "shaky", *["noise"] * len(queries)]
    return {
        "completions": [
            {"id": id, "completion": f"Completion {id}", "kind": "Story", "verdict": verdict, "kept_damping": 9.5,
             "kept_halves": 8.0, "kept_seeds": 10.0, "top_share": 0.4, "null_share": 0.1, "few_tokens": place == 0}
            for place, (id, verdict) in enumerate(zip(queries, verdicts, strict=False))
        ],
        "null": [{"figure": "top_share", "median": 0.05, "high": 0.1}],
        "rule": [{"text": "Steady: *seven* of ten stay."}],
    }  # fmt: skip
