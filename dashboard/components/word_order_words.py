"""The word-order page's answers in sentences."""

import math

import pandas as pd

from dashboard.analyses import word_order as analyses
from dashboard.components import text

VANISHES = 0.1
"""Up to this share left counts as almost nothing."""
WITHIN_WINDOWS = f"shuffling within windows of {analyses.DEFAULT_VARIANTS.window_words} words"
EXPECTED = (
    "Published work on models of up to 52 billion parameters (Grosse et al. 2023) found that influence almost vanishes "
    "when the order is reversed, up to what the completion's own words contribute."
)


def answer(found: analyses.Ablation, summary: pd.DataFrame) -> tuple[str, str]:
    """The answer for one document: a headline and a sentence with its numbers.

    Args:
        found: The document's variants.
        summary: Of :func:`engine.analysis.ablation.summarise`.
    """
    unit, original = f"{found.unit} per unit of weight", found.original.total
    rows = {row.variant: row for row in summary.itertuples()}
    noise = (
        f"19 of 20 unrelated documents stay below {text.size(found.noise)} {unit}" if found.noise == found.noise else ""
    )
    if not rows:
        return "No variant of this text can be made.", "It is too short for its words to change places."
    above = abs(original) > found.noise
    first = rows.get("words_reversed")
    if not above:
        head = "This document's influence is within the noise, so no share of it is given."
        changed = (
            f" Reversing the words changes it by **{text.number(first.difference)}** {unit}."
            if first is not None else ""
        )  # fmt: skip
        return head, f"It is **{text.number(original)}** {unit}; {noise or 'the noise is unknown'}.{changed}"
    said = []
    if first is None:
        head = "This text has no other order of words."
    else:
        head = f"Reversing the words leaves {text.share(first.ratio)} of this document's influence."
        if first.ratio < 0:
            head = "Reversing the words turns this document's influence into its opposite."
        elif first.ratio > 1:
            head = f"Reversing the words strengthens this document's influence, to {text.share(first.ratio)}."
        said.append(f"**{text.number(first.influence)}** of **{text.number(original)}** {unit} is left")
    for name, what in (
        ("words_shuffled", "shuffling all words leaves"),
        ("words_shuffled_nearby", WITHIN_WINDOWS),
        ("completion_removed", "the order kept but the completion's own words removed,"),
    ):
        if name in rows:
            said.append(f"{what} **{text.share(rows[name].ratio)}**{_range(rows[name])}")
    sentence = "; ".join(said) + "."
    sentence = sentence[:1].upper() + sentence[1:]
    return head, f"{sentence} {noise}." if noise else sentence


def _range(row: object) -> str:
    """The range of a share over draws, where there are several."""
    if row.draws == 1:
        return ""
    return f" (range of {row.draws} draws: {text.share(row.ratio_low)} to {text.share(row.ratio_high)})"


def overall(left: pd.DataFrame, change: pd.DataFrame, documents: int) -> tuple[str, str]:
    """The answer over many completions: a headline with its interval, and how it stands to what is known.

    Args:
        left: Spread of the share left, all kinds together.
        change: Spread of the change, all kinds together.
        documents: Related documents that were scored.
    """
    known = {row.variant: row for row in left.itertuples()}
    first = known.get("words_reversed")
    if first is None:
        return (
            "No completion has a document that stands above the noise, so no share is given.",
            "Look at the change of influence below.",
        )
    completions = f"{first.completions:,} completion{'' if first.completions == 1 else 's'}"
    head = f"Over {completions}, reversing the words leaves {text.share(first.median)} of the influence."
    whole = f"Median over completions, from {documents:,} strongest documents"
    if math.isfinite(first.low):
        whole += f"; 95% interval **{text.share(first.low)}** to **{text.share(first.high)}**"
    else:
        whole += ", too few for an interval"
    others = [
        f"{words} **{text.share(known[name].median)}**"
        for name, words in (
            ("words_shuffled", "shuffling all words"),
            ("words_shuffled_nearby", WITHIN_WINDOWS),
            ("sentences_reversed", "reversing the sentences"),
            ("completion_removed", "removing the completion's words"),
        )
        if name in known
    ]
    rest = f" Left by {', '.join(others)}." if others else ""
    unrelated = change[change["control"] & (change["variant"] == "words_reversed")]
    control = ""
    if len(unrelated):
        size = abs(float(unrelated["median"].iloc[0]))
        control = f" Reversing an unrelated document changes its influence by {size:.2g} noise levels (median)."
    return head, f"{whole}.{rest}{control} {EXPECTED} {_verdict(first)}"


def _verdict(first: object) -> str:
    low, high = first.low, first.high
    if not math.isfinite(low):
        return "Here there are too few completions to say."
    if high <= VANISHES:
        return "**That is reproduced here**: the whole interval lies below a tenth."
    if low > VANISHES:
        return "**That is not reproduced here**: the whole interval lies above a tenth."
    return "Here it is undecided: the interval holds a tenth."
