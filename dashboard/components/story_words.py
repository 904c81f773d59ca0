"""What the story says, a sentence for each step, with the run's own numbers."""

from collections.abc import Sequence

from dashboard.analyses import story as analyses
from dashboard.analyses import trust
from dashboard.components import text

TITLES = (
    "A model says something",
    "The documents behind it",
    "The words that carry it",
    "The same words in another order",
    "A document nobody wanted",
)
COUNTED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
QUOTED = 160
CAVEAT = (
    "**What an influence is not: proof.** It estimates what a document did to this one model; only training again "
    "without the document can prove it."
)
INVENTED = " The documents and the model of this story are small and made up."


def quoted(body: str) -> str:
    """Words of the corpus in quotation marks, safe in Markdown."""
    return f"“{text.escape(body, QUOTED)}”"


def counted(number: int) -> str:
    """A number in words up to ten."""
    return COUNTED[number] if number < len(COUNTED) else f"{number:,}"


def chance(probability: float) -> str:
    """A probability as one counts: ``about 92 times in a hundred``."""
    times = round(100 * probability)
    if times >= 100:
        return "practically every time"
    if times >= 1:
        return f"about {'once' if times == 1 else f'{times} times'} in a hundred"
    return f"about once in {text.size(1 / probability, 1)} times" if probability > 0 else "practically never"


def says(told: analyses.Told, probability: float) -> str:
    """Step 1: what the model says, and how often."""
    return (
        f"Given the words {quoted(told.completion.prompt)}, the model goes on **{quoted(told.completion.text)}**: "
        f"asked again and again, it would say exactly that **{chance(probability)}**."
    )


def behind(told: analyses.Told, trained_on: bool) -> str:
    """Step 2: the documents that raised it most."""
    count, holding = len(told.documents), int(told.documents["marked"].sum())
    these = f"these {counted(count)}" if count > 1 else "this one"
    whose = "all" if holding == count and count > 1 else counted(holding) if holding else "none"
    those = "it holds" if count == 1 and holding else f"{whose} of them hold{'s' if holding == 1 else ''}"
    first = told.documents["times"].iloc[0]
    return (
        f"Of the {told.scored:,} documents {'it learned from' if trained_on else 'that were looked at'}, {these} moved "
        f"the model most towards **{quoted(told.completion.text)}**, and {those} those very words; the first did about "
        f"as much as **{text.size(first, 2)} typical ones**."
    )


def carried(told: analyses.Told, inside: analyses.Inside) -> str:
    """Step 3: the words that carry most of the strongest document's influence."""
    title = quoted(told.documents["title"].iloc[0])
    named = [f"**{quoted(word)}**" for word in inside.top]
    if not named:
        return f"Inside the strongest document, {title}, no word raised the answer."
    several = len(named) > 1
    listed = f"{', '.join(named[:-1])} and {named[-1]}" if several else f"{named[0]} alone"
    return (
        f"Inside the strongest document, {title}, the word{'s' if several else ''} "
        f"{listed} carr{'y' if several else 'ies'} **{text.share(inside.share)}** of all "
        "that moved the model towards its answer."
    )


def reordered(told: analyses.Told, orders: Sequence[analyses.Order], noise: float) -> str:
    """Step 4: what is left when the order is lost; ``noise`` is the share that unrelated documents have too."""
    share = {one.name: one.share for one in orders}
    parts = []
    for name, how in (("words_reversed", "read backwards"), ("words_shuffled", "shuffled")):
        if name in share and not parts:
            parts.append(f"{how}, the same words would have {_kept(share[name], noise)} of the document's influence")
    if "completion_removed" in share:
        answer = quoted(told.completion.text)
        parts.append(f"without {answer}, the rest would have {_kept(share['completion_removed'], noise)}")
    said = "; ".join(parts) or "this text is too short for its words to change places"
    return f"{said[:1].upper()}{said[1:]}."


def _kept(share: float, noise: float) -> str:
    if abs(share) <= noise:
        return "kept **next to none**"
    return f"kept **{text.share(share)}**" if share > 0 else f"had **the opposite of {text.share(-share)}**"


def problem(told: analyses.Told, probability: float) -> str:
    """Step 5: the probe, its answer, and the document behind it."""
    return (
        f"In a safety test, given {quoted(told.completion.prompt)}, the model goes on "
        f"**{quoted(told.completion.text)}** **{chance(probability)}**; the document most behind it is "
        f"{quoted(told.documents['title'].iloc[0])}."
    )


def fared() -> str:
    """Step 5: what predictions came to where they were checked by training again; empty where none were."""
    found = trust.calibration()
    if found is None:
        return ""
    return (
        " Where such predictions were checked by training again, "
        f"the log-probability changed **{text.between(found.row, 'slope')}** times as much as predicted."
    )


def why_flagged(told: analyses.Told, others: int) -> str:
    """Why the document of step 5 is flagged, and how many more are."""
    why = "A known problem document" if told.known else "It holds that very answer"
    rest = (
        f"; {counted(others)} more of the ten strongest {'are' if others > 1 else 'is'} flagged too" if others else ""
    )
    return f"{why}{rest}."
