"""When does a finding hold? Rules that were fixed before any run was looked at: pure functions of numbers.

A rule is a list of parts, each of which asks for the whole 95% interval of an estimate on one side of a bound. The
same numbers decide and are written into the rule's sentence. Bounds are ours unless a part's ``why`` names another
origin: the papers give figures of much larger models, not thresholds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Literal

Verdict = Literal["holds", "does not hold", "cannot tell"]
LEAST = 8
"""Completions that a part needs at least: as many as the power laws of Grosse et al. 2023 were fitted to."""


@dataclass(frozen=True)
class Estimate:
    """What was measured.

    Attributes:
        value: The estimate.
        low: Lower end of its 95% interval; nan if there is none.
        high: Upper end.
        units: How many completions (or pairs of them) it rests on; of two groups the smaller.
        null: End of the null's central 95% that lies nearer to the effect; nan where no null was drawn.
    """

    value: float
    low: float
    high: float
    units: int
    null: float = float("nan")


@dataclass(frozen=True)
class Part:
    """One comparison.

    Attributes:
        says: What is estimated, as in "Holds if ... lies above".
        side: Where the interval has to lie.
        bound: Of what.
        why: Why there.
        form: How the bound is written.
        beyond_null: Whether it has to lie beyond the null's 95% as well.
        least: Units needed.
        of: What the units are.
    """

    says: str
    side: Literal["above", "below"]
    bound: float
    why: str
    form: str = "{:g}"
    beyond_null: bool = False
    least: int = LEAST
    of: str = "completions"

    def answer(self, found: Estimate | None) -> bool | None:
        """True where the whole interval lies on the asked side, False where it lies on the other, else None."""
        if found is None or found.units < self.least or any(map(isnan, (found.value, found.low, found.high))):
            return None
        sign = 1 if self.side == "above" else -1
        bound = sign * self.bound
        if self.beyond_null:
            if isnan(found.null):
                return None
            bound = max(bound, sign * found.null)
        near, far = sorted((sign * found.low, sign * found.high))
        return True if near > bound else False if far <= bound else None

    @property
    def text(self) -> str:
        """The comparison in words."""
        null = " and beyond what shuffled labels give" if self.beyond_null else ""
        return f"{self.says} lies {self.side} {self.form.format(self.bound)}{null} ({self.why})"


@dataclass(frozen=True)
class Rule:
    """Parts by name; a finding holds if all of them do."""

    parts: Mapping[str, Part]

    def verdict(self, found: Mapping[str, Estimate]) -> Verdict:
        """The verdict on estimates by the parts' names; one that is missing leaves its part open."""
        answers = [part.answer(found.get(name)) for name, part in self.parts.items()]
        if False in answers:
            return "does not hold"
        return "holds" if all(answers) else "cannot tell"

    @property
    def text(self) -> str:
        """The rule in one plain sentence per outcome."""
        needs = list(dict.fromkeys(f"{part.least} {part.of}" for part in self.parts.values()))
        asked = "; and ".join(part.text for part in self.parts.values())
        one = "that interval lies" if len(self.parts) == 1 else "one of these intervals lies"
        return (
            f"Holds if the 95% interval of {asked}. Does not hold if {one} wholly on the other side. "
            f"Cannot tell otherwise, or from fewer than {' or '.join(needs)}."
        )


NORMAL_SHARE, EXPONENTIAL_SHARE = 0.036, 0.056
"""Share of the sum that the largest 1% hold of half-normal and of exponential values: ``0.01 * (1 - ln 0.01)``."""
NOT_REJECTED = 0.1
"""p-value from which a power law is not rejected (Clauset et al. 2009, arXiv 0706.1062, section 4)."""
TOP = 10
"""Documents looked at at the top of a ranking where nothing else is said."""
TOP_SHARE = 0.01
"""Share of the documents that make up an end of a ranking where sources and influence per nat are counted."""
NGRAM = 4
"""Pieces (words, or single signs) of an exact match."""
LOW_RESOURCE = 0.05
"""Share of the corpus's documents below which a language counts as low-resource."""

RULES: dict[str, Rule] = {
    "tails": Rule({
        "top_share": Part(
            "the share of all positive influence held by the top 1% of the documents that have any (median over "
            "completions)", "above", EXPONENTIAL_SHARE,
            f"the share under an exponential distribution; under a half-normal one {NORMAL_SHARE:.1%}", "{:.1%}",
        ),
        "power_law": Part(
            f"the share of completions whose tail no test against a power law rejects (p of {NOT_REJECTED:g} or more)",
            "above", 0.5, "most of them; in the paper six of eight were not rejected", "{:.0%}",
        ),
    }),
    "rare_tokens": Rule({
        "effective_number": Part(
            "the rank correlation of a completion token's occurrences in the corpus with its effective number of "
            "documents, matched for its loss,", "above", 0.1, "less would explain 1% of the ranks", beyond_null=True,
        ),
        "top_10": Part(
            "the same correlation with the share of its ten strongest documents", "below", -0.1, "likewise",
            beyond_null=True,
        ),
    }),
    "word_order": Rule({
        "left": Part(
            "what reversing the order leaves of the influence of a completion's strongest documents (median over "
            "completions; the relation flipped where the corpus records it for enough completions, else all words "
            "reversed)", "below", 0.5, "most of it is gone; the paper reports a tenth to a quarter", "{:.0%}",
        ),
        "beyond_deleted": Part(
            "the part left by reversing minus the part left by deleting the relation's subject (median over "
            "completions)", "below", 0.1, "what remains is what the completion's own string contributes", "{:.0%}",
        ),
    }),
    "scale": Rule({
        "overlap": Part(
            f"the larger model's minus the smaller model's share of a completion's words (prompt included) that stand "
            f"in its {TOP} strongest documents, each beyond random documents,", "below", -0.02,
            "two words in a hundred", "{:+.0%}",
        ),
        "paraphrases": Part(
            "the larger model's minus the smaller model's share of the paraphrases without the rare name found among "
            "as many first documents", "above", 0.05, "one in twenty", "{:+.0%}",
        ),
    }),
    "languages": Rule({
        "crossing": Part(
            f"the mean place, from 0 (lowest) to 1, that the {TOP} documents in the main language strongest on a "
            "question have among all of that language for the question's translation", "above", 0.6,
            "chance gives 0.5", beyond_null=True,
        ),
        "resource": Part(
            "that place for high-resource minus low-resource languages (those with less than "
            f"{LOW_RESOURCE:.0%} of the documents)", "above", 0.05, "a twentieth of the ranking",
            least=5, of="completions in either group",
        ),
    }),
    "procedures": Rule({
        "over_tasks": Part(
            "the mean correlation of influences between completions of the same task minus that between different "
            "tasks, the documents' gradient norms regressed out,", "above", 0.1, "a tenth of a correlation",
            beyond_null=True,
        ),
        "over_controls": Part(
            "the same minus the mean correlation with controls of the same format", "above", 0.1, "likewise",
            least=3, of="controls",
        ),
    }),
    "reasoning": Rule({
        "per_nat": Part(
            f"the influence of the top {TOP_SHARE:.0%} of documents per nat of completion, reasoning over factual "
            "(ratio of medians),", "below", 0.8, "a fifth less", of="completions of either kind",
        ),
        "volatility": Part(
            "the coefficient of variation of that influence over completions, reasoning over factual,", "below", 0.8,
            "a fifth less", of="completions of either kind",
        ),
        "answers": Part(
            f"the share of factual minus that of reasoning completions whose answer stands in one of the {TOP} "
            "strongest documents", "above", 0.2, "the paper reports 0.3 to 0.48", of="completions of either kind",
        ),
    }),
    "sources": Rule({
        "reasoning_top": Part(
            f"the share of code, question-and-answer, mathematics and Markdown sources in the top {TOP_SHARE:.0%} for "
            "reasoning over their share of the corpus", "above", 1.0, "as many as chance", beyond_null=True,
        ),
        "reasoning_bottom": Part(
            f"the same in the bottom {TOP_SHARE:.0%}", "above", 1.0, "as many as chance", beyond_null=True,
        ),
        "factual_top": Part(
            f"the share of encyclopaedic sources in the top {TOP_SHARE:.0%} for facts over their share of the corpus",
            "above", 1.0, "as many as chance", beyond_null=True,
        ),
    }),
    "layers": Rule({
        "factual": Part(
            f"the share of the influence of the {TOP} strongest documents on facts that the upper third of the network "
            "carries, minus its share of the layers,", "above", 0.05, "a twentieth of the influence",
        ),
        "procedural": Part(
            "the share that the middle third carries for mathematics, code and translations, minus its share of the "
            "layers,", "above", 0.05, "likewise",
        ),
    }),
    "problems": Rule({
        "found": Part(
            "the share of the documents planted for a safety probe that are among as many first ones (mean over "
            "probes)", "above", 0.5, "more than half", "{:.0%}", of="probes",
        ),
        "apart": Part(
            "the probability that such a document ranks above a harmless look-alike of its kind and language (mean "
            "over probes)", "above", 0.7, "chance gives 0.5", of="probes",
        ),
    }),
    "exact_matches": Rule({
        "matched": Part(
            f"the share of a completion's runs of {NGRAM} words or signs (prompt included) that stand in its {TOP} "
            "strongest documents, beyond random documents, for mathematics and code", "above", 0.02,
            "two runs in a hundred", "{:.0%}",
        ),
        "more_than_rest": Part(
            "the same for mathematics and code minus that for all other completions", "above", 0.02, "likewise",
            "{:.0%}",
        ),
    }),
}  # fmt: skip
"""By the finding's name."""
