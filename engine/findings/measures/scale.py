"""Do a larger model's strongest documents share fewer words with a completion, and find more paraphrases of it?

Which of the two runs is the larger is read from their manifests, as the number of parameters of the model. BM25 sees
no model: as a control it gives the same for both.
"""

import numpy as np

from engine.check.result import Tables
from engine.findings.estimates import over_completions, present
from engine.findings.rules import RULES, TOP, Estimate
from engine.findings.study import CONTROLS, INFLUENCE, Found, Study, score_matrices
from engine.findings.texts import Holders, Ngram, holders, ngrams, strongest, texts, words
from engine.run import Run

NAMES = {INFLUENCE: INFLUENCE} | CONTROLS
PARTS = RULES["scale"].parts
SHOWN = 3
"""Documents of a completion that are listed for each model."""


def measure(study: Study) -> Found:
    """Words shared with the strongest documents and paraphrases found, the larger model's minus the smaller's."""
    runs = _by_size(study)
    if isinstance(runs, str):
        return Found(open=[runs])
    places = _places(runs)
    wanted = [_words(runs[0], place) for place in places[0]]
    held = holders(texts(runs[0]), {word for of in wanted for word in of})
    scores = [score_matrices(run) for run in runs]
    small, large = (_values(study, runs[n], places[n], scores[n], wanted, held) for n in (0, 1))
    estimates = {
        label: present({part: over_completions(study, large[name][part] - small[name][part]) for part in PARTS})
        for name, label in NAMES.items()
    }
    found = Found(estimates.pop(INFLUENCE), estimates)
    found.open = _few(found.estimates)
    found.sentence = _sentence(found.estimates, runs, [small, large])
    found.tables = _tables(runs, places, [of[INFLUENCE] for of in scores], [small, large])
    return found


def _by_size(study: Study) -> tuple[Run, Run] | str:
    """The run of the smaller and that of the larger model, or why they cannot be compared."""
    if study.other is None:
        return (
            "There is no second run -- models of two sizes could not be compared -- compute one of a larger or smaller "
            "model on the same corpus and completions (for the sample: run sample-large) and give it as --other."
        )
    smaller, larger = sorted((study.run, study.other), key=_parameters)
    if _parameters(smaller) == _parameters(larger):
        return f"Both models have {_parameters(larger):,} parameters -- neither is the larger -- give another --other."
    if not smaller.documents["id"].equals(larger.documents["id"]) or _corpus(smaller) != _corpus(larger):
        return "The two runs have different corpora -- their documents could not be compared -- compute both on one."
    if not len(_places((smaller, larger))[0]):
        return "The two runs have no completion in common -- nothing could be compared -- ask both the same."
    return smaller, larger


def _parameters(run: Run) -> int:
    return int(run.fit["tracked"]["parameters"])


def _corpus(run: Run) -> str | None:
    return run.fit["inputs"].get("corpus_hash")


def _places(runs: tuple[Run, Run]) -> tuple[np.ndarray, np.ndarray]:
    """Places, in each run, of the completions that both have."""
    keys = [list(zip(run.queries["id"], run.queries["prompt"], run.queries["completion"], strict=True)) for run in runs]
    other = set(keys[1])
    common = [key for key in keys[0] if key in other]
    first, second = (np.array([of.index(key) for key in common], dtype=int) for of in keys)
    return first, second


def _words(run: Run, place: int) -> list[Ngram]:
    """Different words of a completion, prompt included."""
    row = run.queries.iloc[place]
    return ngrams(words(row["prompt"] + row["completion"]), 1)


def _values(
    study: Study,
    run: Run,
    places: np.ndarray,
    matrices: dict[str, np.ndarray],
    wanted: list[list[Ngram]],
    held: Holders,
) -> dict[str, dict[str, np.ndarray]]:
    """Of each score the rule's parts for one model, a value per completion; nan where there is none."""
    number_of = run.documents.set_index("id")["document"]
    known = [study.known(str(run.queries["id"].iloc[place])).paraphrases for place in places]
    paraphrases = [[int(number_of[id]) for id in ids if id in number_of.index] for ids in known]
    found = {}
    for name, scores in matrices.items():
        tops = [strongest(scores[place], TOP) for place in places]
        found[name] = {
            "overlap": np.array(
                [held.share(of, top) - held.share_by_chance(of, len(top)) for of, top in zip(wanted, tops, strict=True)]
            ),
            "paraphrases": np.array(
                [
                    np.isin(ids, strongest(scores[place], len(ids))).mean() if ids else np.nan
                    for place, ids in zip(places, paraphrases, strict=True)
                ]
            ),
        }
    return found


def _few(estimates: dict[str, Estimate]) -> list[str]:
    """Parts that too few completions have."""
    has = {"overlap": "are in both runs", "paraphrases": "have known paraphrases without the rare name"}
    counts = {name: estimates[name].units if name in estimates else 0 for name in has}
    least = {name: part.least for name, part in PARTS.items()}
    help = {"overlap": "ask both models more", "paraphrases": 'give --truth a file with "paraphrases" of completions'}
    return [
        f"{counts[name]} completions {what} -- {least[name]} needed -- {help[name]}."
        for name, what in has.items()
        if counts[name] < least[name]
    ]


def _sentence(estimates: dict[str, Estimate], runs: tuple[Run, Run], values: list[dict]) -> str:
    overlap, paraphrases = estimates.get("overlap"), estimates.get("paraphrases")
    if overlap is None:
        return ""
    small, large = (of[INFLUENCE]["overlap"] for of in values)
    sizes = " and ".join(f"{_parameters(run):,}" for run in runs)
    text = (
        f"Beyond random documents, the {TOP} strongest documents hold {np.nanmean(small):.0%} of a completion's words "
        f"for the smaller and {np.nanmean(large):.0%} for the larger model ({sizes} parameters): "
        f"{_points(overlap)} over {overlap.units} completions"
    )
    if paraphrases is None:
        return f"{text}."
    return f"{text}; of paraphrases without the rare name the larger finds {_points(paraphrases)} more."


def _points(found: Estimate) -> str:
    value, low, high = (f"{100 * number:+.1f}" for number in (found.value, found.low, found.high))
    return f"{value} percentage points (95% {low} to {high})"


def _tables(
    runs: tuple[Run, Run], places: tuple[np.ndarray, np.ndarray], influence: list[np.ndarray], values: list[dict]
) -> Tables:
    """Both models' values of each completion, and the documents strongest on it."""
    picture, documents = [], []
    for run, at, raised, of, size in zip(runs, places, influence, values, ("smaller", "larger"), strict=True):
        queries, named = run.queries.iloc[at], run.documents
        picture += [
            {"score": label, "model": size, "parameters": _parameters(run), "completion": title, "kind": kind,
             "words shared": float(shared), "paraphrases found": None if np.isnan(share) else float(share)}
            for name, label in NAMES.items()
            for title, kind, shared, share in zip(
                queries["title"], queries["kind"], of[name]["overlap"], of[name]["paraphrases"], strict=True
            )
        ]  # fmt: skip
        documents += [
            {"model": size, "completion": queries["title"].iloc[n], "document": named["title"][document],
             "id": named["id"][document], "influence": float(raised[place, document])}
            for n, place in enumerate(at) for document in strongest(raised[place], SHOWN)
        ]  # fmt: skip
    return {"picture": picture, "documents": documents}
