"""What in a document carries its influence? Variants of it, scored exactly for the same completion.

A variant is scored as the corpus pass would score it, had the document had that text: tokenised, cut
into windows and run through the same model, directions and definition (position influence, which sums
to the document's). The model is not trained anew, so this says what the trained model makes of the
words as they would stand, not what training on them would have done.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from engine.ablation_file import ablation_key, is_kept, read_ablation, read_top, write_ablation, write_top
from engine.analysis.ablation import Ablation, VariantInfluence, noise_level, unrelated
from engine.corpus import Tokens, tokenize
from engine.errors import RunError
from engine.factors import run_cutting
from engine.live import LoadedRun, query_scorer
from engine.progress import Progress, SilentProgress
from engine.run import TokenInfluence
from engine.subject import document_frequency, find_subject, prompt_words
from engine.token_pass import Scorer
from engine.variants import VariantSettings, make_variants, rewrite
from engine.windows import positions

RESCORED = 1e-5
"""Bound on |rescored - stored| relative to the sum of magnitudes of the token influences, in float32. Observed:
7e-7. One more space at the end of a text: 8e-5 and more."""


def score_texts(
    loaded: LoadedRun, query: int, texts: Sequence[str], progress: Progress | None = None
) -> list[tuple[Tokens, TokenInfluence]]:
    """Position influence of any texts on a completion, each as a document of its own, in one pass.

    Args:
        loaded: The run with its model.
        query: Number of the query.
        texts: The texts.
        progress: Where progress is reported.

    Returns:
        For each text its tokens and their influence.

    Raises:
        RunError: If the run has no such query, or an influence is not finite.
    """
    return _score(loaded, query_scorer(loaded, query), texts, progress or SilentProgress(), "Scoring texts")


def ablate(
    loaded: LoadedRun,
    query: int,
    document: int,
    settings: VariantSettings | None = None,
    progress: Progress | None = None,
) -> Ablation:
    """Score variants of a document for a completion, all in one pass.

    Args:
        loaded: The run with its model.
        query: Number of the query.
        document: Number of the document.
        settings: Which variants; None for those that need nothing from the caller.
        progress: Where progress is reported.

    Raises:
        RunError: If the run has no such query or document, or an influence is not finite.
    """
    return _Maker(loaded, query, settings or VariantSettings()).ablate(document, progress or SilentProgress())


def kept_ablation(
    loaded: LoadedRun,
    query: int,
    document: int,
    settings: VariantSettings | None = None,
    progress: Progress | None = None,
) -> Ablation:
    """:func:`ablate`, kept in the run; what was kept before is read.

    Arguments and errors are those of :func:`ablate`.
    """
    settings = settings or VariantSettings()
    asked = loaded.run, query, document, ablation_key(settings)
    kept = read_ablation(*asked)
    if kept is None:
        write_ablation(loaded.run.folder, ablate(loaded, query, document, settings, progress), settings)
        kept = read_ablation(*asked)  # in float32, as the next one will see it
    assert kept is not None
    return kept


def ablate_top(
    loaded: LoadedRun,
    queries: Sequence[int],
    per_query: int = 5,
    settings: VariantSettings | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Variants of the documents that raised each completion most, and of as many unrelated ones as controls.

    Kept in the run, a file per query, so that a killed job goes on where it stopped. A file
    made with other settings is computed anew.

    Args:
        loaded: The run with its model.
        queries: Numbers of the queries.
        per_query: Documents of each query, and controls.
        settings: Which variants; None for the defaults. Other documents and given texts belong to one document.
        progress: Where progress is reported.

    Returns:
        One row per query, document, variant and draw: query, document, control, and the columns
        of :meth:`Ablation.table`.

    Raises:
        RunError: If the run has no such query, the settings hold texts or documents, or ``per_query`` is below 1.
    """
    settings, progress, folder = settings or VariantSettings(), progress or SilentProgress(), loaded.run.folder
    if settings.documents or settings.texts:
        raise RunError("a text or another document stands beside one document only -- leave both out of a bulk job.")
    if per_query < 1:
        raise RunError(f"per_query is {per_query} -- there would be nothing to score -- it must be at least 1.")
    asked = list(dict.fromkeys(queries))
    with folder.locked():
        todo = [query for query in asked if not is_kept(folder, query, per_query, settings)]
        if todo:
            progress.start("Ablating documents", 2 * per_query * len(todo), "documents")
        for query in todo:
            write_top(
                folder, query, _ablate_query(_Maker(loaded, query, settings), per_query, progress), per_query, settings
            )
        progress.finish()
        return read_top(folder, asked, settings)


class _Maker:
    """Everything that the documents of one query share."""

    def __init__(self, loaded: LoadedRun, query: int, settings: VariantSettings) -> None:
        self.loaded, self.run, self.query, self.settings = loaded, loaded.run, query, settings
        self.scorer = query_scorer(loaded, query)
        self.influence = self.run.influence(query)
        self.noise = noise_level(self.influence)
        row = self.run.queries.set_index("query").loc[query]
        self.prompt, self.completion = str(row["prompt"]), str(row["completion"])
        self.finds_subject = settings.subject is None and not settings.only_given
        asked = prompt_words(self.prompt) if self.finds_subject else []
        self.holding = document_frequency(self.run, asked)

    def ablate(self, document: int, progress: Progress) -> Ablation:
        text = self.run.text(document)
        subject = self.settings.subject or ""
        if self.finds_subject:
            subject = find_subject(self.prompt, text, self.holding, len(self.run.documents))
        flipped, same = ("", []) if self.settings.only_given else self.run.recorded(document)
        texts = {"relation_flipped": flipped} if flipped else {}
        settings = replace(self.settings, texts=texts | dict(self.settings.texts))
        variants = make_variants(text, self.completion, subject, settings)
        for name, others in (("same_content", same), ("other_document", self.settings.documents)):
            variants += [rewrite(name, text, self.run.text(other), draw) for draw, other in enumerate(others)]
        scored = _score(self.loaded, self.scorer, [one.text for one in variants], progress, "Scoring variants")
        found = tuple(
            VariantInfluence(one.name, one.draw, one.text, tokens, values.influence, values.has_start, one.origin)
            for one, (tokens, values) in zip(variants, scored, strict=True)
        )
        return Ablation(self.query, document, self.run.unit, self.noise, found)


def _score(
    loaded: LoadedRun, scorer: Scorer, texts: Sequence[str], progress: Progress, step: str
) -> list[tuple[Tokens, TokenInfluence]]:
    """:func:`score_texts` with a scorer of one query, whichever its number."""
    cutting = run_cutting(loaded.run.folder)
    tokens = [tokenize(loaded.model.tokenizer, text) for text in texts]
    windows = [w for place, one in enumerate(tokens) for w in cutting.windows(place, str(place), one.ids)]
    (query,) = scorer.place
    progress.start(step, sum(map(len, windows)))
    lengths = {place: positions(cutting, len(one)) for place, one in enumerate(tokens)}
    found = list(scorer.position({place: [query] for place in lengths}, windows, lengths, progress))
    progress.finish()
    if not all(np.isfinite(values).all() for _, _, values in found):
        raise RunError(
            f"{loaded.run.path}: an influence came out as NaN or infinity -- the model overflows in "
            f"{loaded.model.dtype} on this text -- change the text, or fit a new run with --dtype float32."
        )
    return [
        (one, TokenInfluence("position", values, loaded.run.has_start))
        for one, (_, _, values) in zip(tokens, found, strict=True)
    ]


def _ablate_query(maker: _Maker, per_query: int, progress: Progress) -> list[dict[str, Any]]:
    """Rows of one query's table."""
    raised = maker.influence[maker.influence["influence"] > 0].sort_values(
        ["influence", "document"], ascending=[False, True]
    )
    top = raised["document"].head(per_query).tolist()
    others = [document for document in unrelated(maker.influence)["document"].tolist() if document not in top]
    draw = random.Random(f"{maker.settings.seed}\x1f{maker.query}")
    controls = draw.sample(others, min(per_query, len(others)))
    rows = []
    for document in [*top, *controls]:
        table = maker.ablate(document, _Pulse(progress)).table()
        table = table.assign(query=maker.query, document=document, control=document in controls)
        rows += table.to_dict("records")
        progress.advance(1)
    progress.advance(2 * per_query - len(top) - len(controls))
    return rows


class _Pulse(SilentProgress):
    """Keeps a longer step alive, so that it can be cancelled within a document."""

    def __init__(self, outer: Progress) -> None:
        self._outer = outer

    def advance(self, amount: int) -> None:
        self._outer.advance(0)
