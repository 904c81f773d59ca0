"""What the literature says, in our own words, where it says it, and how good its evidence is.

Written before any run was looked at. Several sentences in circulation are in no paper, or the other way round there;
they are tested all the same, and their ``evidence`` says so.
"""

from dataclasses import dataclass

GROSSE = "Grosse et al. 2023, Studying Large Language Model Generalization with Influence Functions"
RUIS = "Ruis et al. 2024, Procedural Knowledge in Pretraining Drives Reasoning in Large Language Models"


@dataclass(frozen=True)
class Source:
    """Where a claim comes from: paper, place in it, arXiv number (empty where there is none)."""

    paper: str
    place: str
    arxiv: str


@dataclass(frozen=True)
class Claim:
    """A finding of the literature.

    Attributes:
        name: Its name on the command line and in files.
        number: Its number on pages.
        title: A few words.
        says: The claim.
        sources: Where it stands.
        evidence: How good the evidence for it is.
        planted: Whether the documents that would bring the effect about were written into the embedded sample for it:
            there it tests the instrument, not the literature.
        in_sample: What of it stands in the sample by our hand.
    """

    name: str
    number: int
    title: str
    says: str
    sources: tuple[Source, ...]
    evidence: str
    planted: bool
    in_sample: str


def _grosse(place: str) -> Source:
    return Source(GROSSE, place, "2308.03296")


def _ruis(place: str) -> Source:
    return Source(RUIS, place, "2411.12580")


_ALL = (
    Claim(
        "tails", 1, "Influence is heavy-tailed",
        "A completion's influence comes from few documents: its upper tail follows a power law, and the top 1% of "
        "documents hold 12% to 52% of all positive influence.",
        (_grosse("section 5.2.1"),),
        "Measured, on few completions: power laws on eight at 52 billion parameters, rejected at p < 0.1 for two of "
        "them; shares at 22 billion. Figure and text give different exponents for three of the eight.",
        False, "Nothing was written into the corpus to bring it about.",
    ),
    Claim(
        "rare_tokens", 2, "Rare tokens draw on few documents",
        "Influence on a rare token is concentrated in few documents, that on a frequent one is spread over many.",
        (Source("Secondary notes on Grosse et al. 2023", "not in the paper's text", ""),),
        "Unsupported: the sentence circulates, but no paper measures it. Nearest to it are overlaps on rare strings "
        "in small models (Grosse et al. 2023, section 5.3.1) and the weight of rare words in TF-IDF.",
        True, "Twelve rare words stand in one document each, their frequent twins in many; facts' names are rare.",
    ),
    Claim(
        "word_order", 3, "Influence vanishes when word order is reversed",
        "A document that names two things in the other order than the completion has almost no influence; what is "
        "left is what the completion's own string contributes.",
        (_grosse("section 5.3.4"), Source("Berglund et al. 2023, The Reversal Curse", "section 2", "2309.12288")),
        "Good for the relation: two invented relations with 22 hand-written texts each at three sizes, one observed "
        "fact and one translation task, all in one direction; behaviour agrees independently (the reversal curse).",
        False, "Relations told both ways and flipped texts were written; how influence reacts to them was not.",
    ),
    Claim(
        "scale", 4, "Larger models: less shared wording, more shared meaning",
        "The documents strongest on a small model's completion share its words; those of a larger model are related "
        "in meaning and share fewer words.",
        (_grosse("section 5.3.1"),),
        "Qualitative: documents of a few completions at 0.8 to 52 billion parameters, read and described; no figure.",
        False, "Paraphrases without the rare name were written; which model finds them was not decided.",
    ),
    Claim(
        "languages", 5, "Influence crosses languages, more so between well-resourced ones",
        "Documents in the main language influence a completion in another language, more in larger models, and more "
        "for high-resource than for low-resource languages.",
        (_grosse("section 5.3.1"), _ruis("appendix A.8.2")),
        "Crossing and its growth with size: one heat map of two completions in Korean and Turkish, no figures; eight "
        "and four cross-lingual answers in Ruis et al. The part on resources is in neither paper: unsupported.",
        False, "Some facts are told and asked in several languages; which documents act across them was not decided.",
    ),
    Claim(
        "procedures", 6, "Reasoning draws on procedures",
        "Documents influence completions of the same reasoning task alike, those of different tasks not: what is "
        "drawn on is the procedure, not the answer.",
        (_ruis("findings 1 and 4"),),
        "Good: pairwise correlations over 5 million documents, up to 0.96 within a task at 35 billion parameters, "
        "about 0 between tasks; but 0.05 to 0.38 with controls of the same format, and format alone moves them.",
        True, "Each procedure was written as formula, as code and as worked examples whose wording completions share.",
    ),
    Claim(
        "reasoning", 7, "Reasoning leans on documents less than facts do",
        "Per nat of completion, the strongest documents influence reasoning less and more evenly than factual "
        "answers, and hold the answer for facts but almost never for reasoning.",
        (_ruis("findings 2 and 3"),),
        "Good for the answers (55% and 30% of facts against 7% and 0%, two models); the magnitudes are shown as "
        "curves, clearest at 35 billion parameters. That this marks a phase of completion is a garbled reading.",
        False, "Documents that tell facts, and some that hold a sum's answer only, were written; magnitudes were not.",
    ),
    Claim(
        "sources", 8, "Sources are over-represented at both ends",
        "For reasoning, code, StackExchange, mathematics and Markdown are over-represented among the documents of "
        "largest influence, positive and negative alike; for facts, the encyclopaedia is.",
        (_ruis("finding 5"),),
        "Good: multipliers of 2 (code) to 62 (StackExchange) in two models, without intervals.",
        True, "In which sources procedures and facts are told was our choice; the multipliers give it back.",
    ),
    Claim(
        "layers", 9, "Which layers carry influence depends on the kind of completion",
        "Facts and memorised text are carried by the upper layers, mathematics, code and translation by the middle "
        "ones; over all kinds influence is spread nearly evenly.",
        (_grosse("section 5.3.2"),),
        "Moderate: 50 completions in nine blocks of layers at 52 billion parameters, shown as heat maps; at 0.8 "
        "billion there was no clear pattern for mathematics and code.",
        False, "Nothing was written into the corpus to bring it about.",
    ),
    Claim(
        "problems", 10, "Safety probes find the problem documents, in every language",
        "Influence on a probing completion finds the documents that taught a model something harmful, also in "
        "languages with few documents, and tells them from harmless look-alikes.",
        (
            Source("Yong et al. 2025, The State of Multilingual LLM Safety Research", "outlook", "2505.24119"),
            Source("IF-Guide: influence of training tokens on toxicity", "whole paper", "2506.01790"),
            Source("Poison detection with EK-FAC on T5-small", "whole paper", "2504.09026"),
        ),
        "Mixed: across languages a proposal without experiments. In one language 95% F1 on ten poisons among 300 "
        "documents, while other work finds plain influence weak (dropping half the data cut toxicity by a third).",
        True, "Every problem document, its phrase and its look-alikes were written for this.",
    ),
    Claim(
        "exact_matches", 11, "Mathematics and code need exact matches",
        "For mathematics and code, the strongest documents share whole strings with the completion, more than for "
        "other completions.",
        (Source("Secondary notes on Grosse et al. 2023", "against section 5.3.1", ""),),
        "Garbled: the paper has it the other way round. Shared strings are what small models show; at 52 billion "
        "parameters mathematics and code draw on documents with the same method in other words, even languages.",
        False, "Not planted, but worked examples and code repeat wordings, which favours shared strings there.",
    ),
)  # fmt: skip
CLAIMS: dict[str, Claim] = {claim.name: claim for claim in _ALL}
"""By name, in the order of their numbers."""
