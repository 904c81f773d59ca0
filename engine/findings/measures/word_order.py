"""What does reversing the order of words leave of the influence of a completion's strongest documents?

The relation's subject is the prompt's rarest word that a document holds. Beside the variants stands what the corpus
itself shows: facts told in one order only, asked in the other. Of the controls only the gradient dot is measured on
variants: BM25 counts words, whatever their order, and of hidden states no query's are kept.
"""

import numpy as np
import pandas as pd

from engine.analysis.word_order import effects
from engine.check.result import Tables
from engine.errors import WhenceError
from engine.findings.estimates import over_completions, present
from engine.findings.orders import orders
from engine.findings.reversing import DELETED, FLIPPED, REVERSED, SCORES, scored_variants
from engine.findings.rules import RULES, Estimate
from engine.findings.study import INFLUENCE, Found, Study
from engine.variants import LABELS

SHOWN = 3
"""Documents of a completion that are listed."""
NEEDED = {
    "left": "documents of influence above the noise whose order could be reversed",
    "beyond_deleted": "such documents that hold a word of the prompt, the relation's subject, too",
}


def measure(study: Study) -> Found:
    """What is left when the order is reversed, and how much more that is than without the relation's subject."""
    found = Found(tables=orders(study))
    if not found.tables:
        found.open.append(
            "Which documents tell a fact, and in which order, is not known -- facts asked in the other order could not "
            "be counted -- give --truth a file with subject, answer and documents of completions."
        )
    try:
        variants = scored_variants(study)
    except (WhenceError, OSError) as error:
        found.open.append(f"Documents in another order could not be scored: {error}")
        return found
    kinds = study.queries.set_index("query")["kind"]
    left = {name: effects(of, kinds).dropna(subset=["left"]) for name, of in variants.groupby("score", sort=False)}
    of_influence = left.get(INFLUENCE, effects(variants.head(0), kinds))
    flipped = int((of_influence["variant"] == FLIPPED).sum())
    reversing = FLIPPED if flipped >= RULES["word_order"].parts["left"].least else REVERSED
    for name in SCORES.values():
        estimates = _estimates(variants[variants["score"] == name], kinds, reversing, study)
        if name == INFLUENCE:
            found.estimates = estimates
        else:
            found.controls[name] = estimates
    found.sentence = _sentence(found.estimates, reversing, flipped)
    found.tables |= _tables(study, variants, left, reversing)
    found.open += _few(found.estimates)
    return found


def _estimates(variants: pd.DataFrame, kinds: pd.Series, reversing: str, study: Study) -> dict[str, Estimate]:
    """Of the rule's parts that any completion has."""
    reversed_only = variants[variants["variant"] == reversing]
    two = variants[variants["variant"].isin([reversing, DELETED])]
    both = two[two.groupby(["query", "document"])["variant"].transform("size") == 2]
    beside = effects(both, kinds).pivot(index="query", columns="variant", values="left")
    beside = beside.reindex(columns=[reversing, DELETED]).astype(float)
    samples = {
        "left": effects(reversed_only, kinds)["left"].dropna().to_numpy(float),
        "beyond_deleted": (beside[reversing] - beside[DELETED]).dropna().to_numpy(),
    }
    return present({name: over_completions(study, values, np.median) for name, values in samples.items()})


def _few(estimates: dict[str, Estimate]) -> list[str]:
    """Parts that too few completions have."""
    counts = {name: estimates[name].units if name in estimates else 0 for name in NEEDED}
    least = {name: part.least for name, part in RULES["word_order"].parts.items()}
    return [
        f"{counts[name]} completions have {what} -- {least[name]} needed -- give more completions."
        for name, what in NEEDED.items()
        if counts[name] < least[name]
    ]


def _sentence(estimates: dict[str, Estimate], reversing: str, flipped: int) -> str:
    left, beyond = estimates.get("left"), estimates.get("beyond_deleted")
    if left is None:
        return ""
    how = "the order of the relation" if reversing == FLIPPED else "all words"
    text = (
        f"Reversing {how} leaves {left.value:.0%} (95% {left.low:.0%} to {left.high:.0%}) of the influence of a "
        f"completion's strongest documents (median over {left.units} completions)"
    )
    if reversing == REVERSED:
        text += f"; the corpus records a reversed relation for {flipped} of them only"
    if beyond is None:
        return f"{text}."
    points = [f"{100 * value:+.0f}" for value in (beyond.value, beyond.low, beyond.high)]
    return (
        f"{text}, {points[0]} percentage points ({points[1]} to {points[2]}) beyond what deleting its subject leaves."
    )


def _tables(study: Study, variants: pd.DataFrame, left: dict[str, pd.DataFrame], reversing: str) -> Tables:
    """A mark per completion, variant and score; each variant's median; and the strongest documents."""
    titles = study.queries.set_index("query")["title"]
    marks = [
        {"score": name, "completion": titles[row.query], "kind": row.kind, "variant": LABELS[row.variant],
         "documents": row.documents, "left": row.left}
        for name, each in left.items() for row in each.itertuples()
    ]  # fmt: skip
    medians = [
        {"score": name, "variant": LABELS[variant], "completions": one.units, "left": one.value, "low": one.low,
         "high": one.high}
        for name, each in left.items() for variant, of in each.groupby("variant", sort=False)
        if (one := over_completions(study, of["left"].to_numpy(float), np.median))
    ]  # fmt: skip
    named = study.run.documents.set_index("document")
    listed = variants[(variants["score"] == INFLUENCE) & variants["variant"].isin([reversing, DELETED])]
    listed = listed[listed.groupby(["query", "variant"]).cumcount() < SHOWN]
    documents = [
        {"completion": titles[row.query], "document": named.at[row.document, "title"],
         "id": named.at[row.document, "id"], "variant": LABELS[row.variant], "influence": row.original,
         "influence of the variant": row.influence}
        for row in listed.itertuples()
    ]  # fmt: skip
    return {"picture": marks, "variants": medians, "documents": documents}
