"""Which words completions share with documents, and how many random documents would share (no torch)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import regex
from scipy.stats import hypergeom  # type: ignore[import-untyped]

from engine.lexical import WORD
from engine.run import Run

Ngram = tuple[str, ...]
PIECE = regex.compile(WORD.pattern + r"|\S")


def words(text: str) -> list[str]:
    """The words of a text, in lower case: those that BM25 counts."""
    return WORD.findall(text.lower())


def pieces(text: str) -> list[str]:
    """Words and the single signs between them, in lower case."""
    return PIECE.findall(text.lower())


def ngrams(of: Sequence[str], n: int) -> list[Ngram]:
    """Different runs of n words (or pieces), in the order of their first places."""
    return list(dict.fromkeys(zip(*(of[start:] for start in range(n)), strict=False)))


def strongest(scores: np.ndarray, k: int) -> np.ndarray:
    """Places of the k highest scores, highest first and equal ones in order, int ``[k]``; nan are left out."""
    order = np.argsort(-scores, kind="stable")  # nan come last
    return order[: min(k, int((~np.isnan(scores)).sum()))]


def texts(run: Run) -> Iterator[str]:
    """The text of every document, in order, a few of them in memory at a time."""
    for batch in pq.ParquetFile(run.folder.documents).iter_batches(1024, columns=["text"]):
        yield from batch["text"].to_pylist()


@dataclass(frozen=True)
class Holders:
    """Which documents hold which n-grams.

    Attributes:
        of: Places of the documents that hold it, by n-gram; one that none holds is missing.
        documents: Documents looked into.
    """

    of: dict[Ngram, np.ndarray]
    documents: int

    def share(self, wanted: Sequence[Ngram], documents: np.ndarray) -> float:
        """Share of some n-grams that stand in at least one of some documents; nan of none."""
        held = [ngram in self.of and bool(np.isin(documents, self.of[ngram]).any()) for ngram in wanted]
        return float(np.mean(held)) if held else float("nan")

    def share_by_chance(self, wanted: Sequence[Ngram], k: int) -> float:
        """Mean of :meth:`share` over all choices of k documents, exactly; nan of no n-grams.

        Of D documents n hold an n-gram: k random ones miss it with ``C(D - n, k) / C(D, k)``.
        """
        held = np.array([len(self.of.get(ngram, ())) for ngram in wanted])
        return float(np.mean(1 - hypergeom.pmf(0, self.documents, held, k))) if len(held) else float("nan")


def holders(of: Iterable[str], wanted: Iterable[Ngram], n: int, cut: Callable[[str], list[str]] = words) -> Holders:
    """Look for n-grams in texts.

    Args:
        of: The texts, one by one.
        wanted: N-grams of completions.
        n: Their length.
        cut: What makes words of a text.
    """
    asked, found, place = set(wanted), defaultdict(list), -1
    for place, text in enumerate(of):
        for ngram in asked.intersection(ngrams(cut(text), n)):
            found[ngram].append(place)
    return Holders({ngram: np.array(places) for ngram, places in found.items()}, place + 1)
