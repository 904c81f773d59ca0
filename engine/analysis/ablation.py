"""What in a document carries its influence? Its variants, scored by :mod:`engine.ablations`, beside the original."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.corpus import Tokens
from engine.run import TokenInfluence
from engine.variants import LABELS, OF_CORPUS, Origin

RELATED_SHARE = 0.1
"""Share of a completion's documents, the strongest of either sign, that do not count as unrelated."""
NOISE_QUANTILE = 0.95
COLUMNS = pa.schema(
    [
        *((name, pa.int32()) for name in ("query", "document")),
        ("control", pa.bool_()),
        ("variant", pa.string()),
        *((name, pa.int32()) for name in ("draw", "tokens")),
        *((name, pa.float64()) for name in ("original", "influence", "difference", "ratio", "noise")),
    ]
)
"""A kept table of variants, one row per query, document, variant and draw."""


@dataclass(frozen=True)
class VariantInfluence:
    """Influence of a text that stands in a document's place.

    Attributes:
        name: Key of :data:`engine.variants.LABELS`.
        draw: Number of the draw among variants of this name, from 0.
        text: The text.
        tokens: Its tokens with the characters each came from.
        influence: Position influence, ``[completion tokens, positions]``, in the unit of the measurement per unit
            of weight. Where ``has_start``, position 0 is the model's start token; the text's tokens follow.
        has_start: Whether the model puts a start token before every text.
        origin: The text's words, each with the number of the original's word it was.
    """

    name: str
    draw: int
    text: str
    tokens: Tokens
    influence: np.ndarray
    has_start: bool
    origin: tuple[Origin, ...]

    @property
    def label(self) -> str:
        """What a page calls it."""
        return LABELS[self.name]

    @property
    def total(self) -> float:
        """Influence of the whole text on the whole completion."""
        return float(self.influence.sum())

    @property
    def by_token(self) -> TokenInfluence:
        """As the tables that pages show take it."""
        return TokenInfluence("position", self.influence, self.has_start)


@dataclass(frozen=True)
class Ablation:
    """A document's variants for one completion.

    Attributes:
        query: Number of the query.
        document: Number of the document.
        unit: Unit of the measurement.
        noise: Size of an unrelated document's influence (:func:`noise_level`); NaN where there is none.
        variants: The original first.
    """

    query: int
    document: int
    unit: str
    noise: float
    variants: tuple[VariantInfluence, ...]

    @property
    def original(self) -> VariantInfluence:
        return self.variants[0]

    def difference(self, variant: VariantInfluence) -> float:
        """The variant's influence minus the original's, in the unit of the measurement per unit of weight."""
        return variant.total - self.original.total

    def ratio(self, variant: VariantInfluence) -> float | None:
        """The variant's influence over the original's; None where the original's is not above the noise."""
        return variant.total / self.original.total if abs(self.original.total) > self.noise else None

    def table(self) -> pd.DataFrame:
        """One row per variant and draw but the original.

        Columns: variant, draw, tokens, original, influence, difference, ratio (NaN for None), noise.
        """
        rows = [
            (one.name, one.draw, len(one.tokens), self.original.total, one.total, self.difference(one), self.ratio(one))
            for one in self.variants[1:]
        ]
        table = pd.DataFrame(rows, columns=COLUMNS.names[3:-1]).astype({"ratio": float})
        return table.assign(noise=self.noise)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Draws of one variant together.

    Args:
        table: Of :func:`engine.ablations.ablate_top`, or :meth:`Ablation.table`.

    Returns:
        One row per variant (of each query and document): draw (0), draws, original, influence, difference and
        ratio as means over the draws, and the least and the greatest of a draw: low and high (of the influence),
        difference_low, difference_high, ratio_low, ratio_high. Other documents are no draws of one thing and keep
        a row each, with its draw.
    """
    keys = [name for name in ("query", "document", "control", "variant") if name in table]
    apart = table["draw"].where(table["variant"].isin(OF_CORPUS), 0)
    return table.assign(one=apart).groupby([*keys, "one"], sort=False, as_index=False).agg(
        draws=("draw", "size"), original=("original", "first"), influence=("influence", "mean"),
        low=("influence", "min"), high=("influence", "max"),
        difference=("difference", "mean"), difference_low=("difference", "min"), difference_high=("difference", "max"),
        ratio=("ratio", "mean"), ratio_low=("ratio", "min"), ratio_high=("ratio", "max"), noise=("noise", "first"),
    ).rename(columns={"one": "draw"})  # fmt: skip


def unrelated(influence: pd.DataFrame) -> pd.DataFrame:
    """Rows of :meth:`engine.run.Run.influence` outside the tenth that is strongest in either sign."""
    strongest = influence["influence"].abs().sort_values(ascending=False, kind="stable").index
    return influence.drop(strongest[: int(np.ceil(RELATED_SHARE * len(influence)))])


def noise_level(influence: pd.DataFrame) -> float:
    """Size that 19 of 20 unrelated documents stay below, in the unit of the measurement; NaN without documents."""
    sizes = unrelated(influence)["influence"].abs()
    return float(sizes.quantile(NOISE_QUANTILE)) if len(sizes) else float("nan")
