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
        """Mean of :meth:`share` over all choices of k documents, exactly; nan of no n-grams."""
        held = np.array([len(self.of.get(ngram, ())) for ngram in wanted])
        return float(np.mean(found_by_chance(self.documents, held, k))) if len(held) else float("nan")


def found_by_chance(documents: int, held: np.ndarray | int, k: int) -> np.ndarray:
    """Probability that k random ones of all documents are not all others than ``held`` of them.

    k documents miss n of D with ``C(D - n, k) / C(D, k)`` (hypergeometric).
    """
    return 1 - np.asarray(hypergeom.pmf(0, documents, held, min(k, documents)))


def holders(of: Iterable[str], wanted: Iterable[Ngram], cut: Callable[[str], list[str]] = words) -> Holders:
    """Look for n-grams, of one length or several, in texts.

    Args:
        of: The texts, one by one.
        wanted: N-grams of completions.
        cut: What makes words of a text.
    """
    asked, found, place = set(wanted), defaultdict(list), -1
    lengths = sorted({len(ngram) for ngram in asked})
    for place, text in enumerate(of):
        there = cut(text)
        for n in lengths:
            for ngram in asked.intersection(ngrams(there, n)):
                found[ngram].append(place)
    return Holders({ngram: np.array(places) for ngram, places in found.items()}, place + 1)
