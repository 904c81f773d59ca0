"""What was measured as tables, beside the goals."""

GOALS = [
    ("fit", None, "better peer", 0.5),
    ("documents", 64, "better peer", 0.6),
    ("tokens", 64, "kronfluence, low rank", 0.6),
    ("tokens", 64, "kronfluence, full rank", 0.15),
    ("tokens", 64, "bergson", 0.33),
    ("tokens", 8, "floor", 1.0),
]
"""Work, queries, what seconds are divided by, and the most that the ratio may be."""


def verdicts(rows: list[dict]) -> list[dict]:
    """Each goal with the ratio found, of seconds by the wall and of the processor."""
    found = []
    for work, queries, against, most in GOALS:
        here = [row for row in rows if row["work"] == work and (queries is None or row["queries"] == queries)]
        ratios = [_ratio(here, against, key) for key in ("seconds", "processor_seconds")]
        if None not in ratios:
            found.append({"work": work, "queries": queries, "against": against, "ratios": ratios, "goal": most})
    for work, queries in dict.fromkeys((row["work"], row["queries"]) for row in rows):
        here = [row for row in rows if (row["work"], row["queries"]) == (work, queries)]
        ratio = _ratio(here, "better peer", "peak_bytes")
        about = {"work": f"peak memory, {work}", "queries": queries, "against": "better peer"}
        found.append(about | {"ratios": [ratio], "goal": 1.0})
    return found


def _ratio(rows: list[dict], against: str, key: str) -> float | None:
    """What ours is of the others' least."""
    if not rows:
        return None
    if against == "floor":
        base = [rows[0][f"floor_{key}"]]
    else:
        base = [row[key] for row in rows if row["tool"] != "whence" and _is(row, against)]
    return rows[0][key] / min(base) if base else None


def _is(row: dict, against: str) -> bool:
    if against.startswith("kronfluence"):
        return row["tool"] == "kronfluence" and (row["setting"]["rank"] is not None) == ("low" in against)
    return against in ("better peer", row["tool"])


def markdown(told: dict) -> str:
    """Both tables."""
    columns = [
        "work", "queries", "tool", "setting", "rounds", "seconds", "processor seconds", "over the floor",
        "Whence's share", "preparing queries, s", "peak memory, MB", "rank correlation with own full rank",
        "with Whence's",
    ]  # fmt: skip
    lines = [
        f"Model {told['model']}, layers {told['layers']}, {told['fit_documents']} documents fitted and "
        f"{told['documents']} scored, {told['tokens_per_document']} tokens each; medians of rounds, "
        f"{told['threads']} threads on {told['cores']} cores, load {told['load']:.1f}, {told['date']}. "
        "Ratios of seconds by the wall / of the processor.",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for row in told["rows"]:
        ours = next(
            one for one in told["rows"]
            if one["tool"] == "whence" and (one["work"], one["queries"]) == (row["work"], row["queries"])
        )  # fmt: skip
        setting = ", ".join(f"{key} {'full' if value is None else value}" for key, value in row["setting"].items())
        correlations = [row.get("spearman_own_full_rank"), row.get("spearman_whence_full_rank")]
        over = "" if row["work"] == "fit" else _both(row, row, "floor_")  # it is that of the scored documents
        lines.append(
            f"| {row['work']} | {row['queries'] or ''} | {row['tool']} | {setting} | {row['rounds']} | "
            f"{row['seconds']:.2f} | {row['processor_seconds']:.2f} | {over} | {_both(ours, row)} | "
            f"{_preparation(row, told['tried']):.1f} | {row['peak_bytes'] / 1e6:.0f} | "
            + " | ".join("" if one is None else f"{one:.3f}" for one in correlations)
            + " |"
        )
    lines += ["", "| work | queries | against | ratio | goal | reached |", "|---|---|---|---|---|---|"]
    for one in told["verdicts"]:
        ratios = " / ".join(f"{ratio:.2f}" for ratio in one["ratios"])
        reached = "yes" if max(one["ratios"]) <= one["goal"] else "no"
        lines.append(
            f"| {one['work']} | {one['queries'] or ''} | {one['against']} | {ratios} | {one['goal']} | {reached} |"
        )
    return "\n".join(lines) + "\n"


def _preparation(row: dict, tried: list[dict]) -> float:
    """Seconds in which the queries were prepared; where that was kept, when it was done for the first time."""
    alike = [one for one in tried if all(one[key] == row[key] for key in ("tool", "queries", "setting"))]
    return max(one["preparation_seconds"] for one in [row, *alike])


def _both(row: dict, base: dict, kind: str = "") -> str:
    """A ratio of seconds by the wall and one of seconds of the processor."""
    return " / ".join(f"{row[key] / base[kind + key]:.2f}" for key in ("seconds", "processor_seconds"))
