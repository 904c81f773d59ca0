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
    """Each goal with the ratio found."""
    found = []
    for work, queries, against, most in GOALS:
        here = [row for row in rows if row["work"] == work and (queries is None or row["queries"] == queries)]
        ours = [row for row in here if row["tool"] == "whence"]
        base = _base(here, against)
        if ours and base is not None:
            ratio = ours[0]["seconds"] / base
            found.append({"work": work, "queries": queries, "against": against, "ratio": ratio, "goal": most})
    for work in dict.fromkeys((row["work"], row["queries"]) for row in rows):
        here = [row for row in rows if (row["work"], row["queries"]) == work]
        ours = [row["peak_bytes"] for row in here if row["tool"] == "whence"]
        base = min(row["peak_bytes"] for row in here if row["tool"] != "whence")
        found.append(
            {"work": f"peak memory, {work[0]}", "queries": work[1] or None, "against": "better peer",
             "ratio": ours[0] / base, "goal": 1.0}  # fmt: skip
        )
    return found


def _base(rows: list[dict], against: str) -> float | None:
    if against == "floor":
        return rows[0]["floor_seconds"] if rows else None
    if against == "better peer":
        seconds = [row["seconds"] for row in rows if row["tool"] != "whence"]
    elif against == "bergson":
        seconds = [row["seconds"] for row in rows if row["tool"] == "bergson"]
    else:
        low = "low" in against
        seconds = [row["seconds"] for row in rows if row["tool"] == "kronfluence" and (row["setting"]["rank"] is not None) == low]
    return min(seconds, default=None)


def markdown(told: dict) -> str:
    """Both tables."""
    lines = [
        f"Model {told['model']}, layers {told['layers']}, {told['fit_documents']} documents fitted and {told['documents']} "
        f"scored, {told['tokens_per_document']} tokens each; medians of {told['rounds']} rounds, {told['threads']} threads on "
        f"{told['cores']} cores, load {told['load']:.1f}, {told['date']}.",
        "",
        "| work | queries | tool | setting | seconds | over the floor | Whence's share | preparing queries, s | peak memory, MB "
        "| rank correlation with own full rank | with Whence's |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in told["rows"]:
        ours = next(
            one for one in told["rows"]
            if one["tool"] == "whence" and (one["work"], one["queries"]) == (row["work"], row["queries"])
        )  # fmt: skip
        setting = ", ".join(f"{key} {'full' if value is None else value}" for key, value in row["setting"].items())
        correlations = [row.get("spearman_own_full_rank"), row.get("spearman_whence_full_rank")]
        lines.append(
            f"| {row['work']} | {row['queries'] or ''} | {row['tool']} | {setting} | {row['seconds']:.2f} | "
            f"{row['seconds'] / row['floor_seconds']:.2f} | {ours['seconds'] / row['seconds']:.2f} | "
            f"{row['preparation_seconds']:.1f} | {row['peak_bytes'] / 1e6:.0f} | "
            + " | ".join("" if one is None else f"{one:.3f}" for one in correlations)
            + " |"
        )
    lines += ["", "| work | queries | against | ratio | goal | reached |", "|---|---|---|---|---|---|"]
    for one in told["verdicts"]:
        lines.append(
            f"| {one['work']} | {one['queries'] or ''} | {one['against']} | {one['ratio']:.2f} | {one['goal']} | "
            f"{'yes' if one['ratio'] <= one['goal'] else 'no'} |"
        )
    return "\n".join(lines) + "\n"
