"""Settings of the checks, refused when made if they cannot be used; each is kept whole with its result (no torch)."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import WhenceError
from engine.settings import DAMPING_FACTOR, BifSettings, at_least, known_estimator


@dataclass(frozen=True)
class ExactSettings:
    """Settings of ``check exact``.

    Attributes:
        corpus: JSONL file of documents; None for the sample's.
        documents: Documents that the tiny model is trained on.
        queries: Completions to study.
        responses: Documents whose proximal Bregman response is computed.
        layers: ``mlp``, ``attention``, ``all`` or a regular expression on the tiny model's layer names.
        seed: Of weights, labels and the choice of documents.
    """

    corpus: str | None = None
    documents: int = 128
    queries: int = 12
    responses: int = 16
    layers: str = "mlp"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.responses < 3 or self.documents < self.responses or self.queries < 2:
            raise WhenceError(
                f"{self.documents} documents, {self.responses} responses and {self.queries} queries -- a correlation "
                "needs 3 documents, an interval 2 queries, and responses are of the documents -- ask for more."
            )


@dataclass(frozen=True)
class RetrainingSettings:
    """Settings of the checks that train a model again and again.

    Attributes:
        model: Hugging Face causal language model; None for the sample's small one.
        own_weights: Begin with the model's own weights, which must not have read the documents. Else weights of the
            same shape are trained from scratch on all other documents of the corpus.
        corpus: JSONL file of documents; None for the sample's.
        queries: JSONL file of completions; None for the sample's.
        documents: Documents that are read or left out: for each completion the nearest by BM25, the rest at random.
        completions: Completions to study, drawn at random.
        layers: ``mlp``, ``attention``, ``all`` or a regular expression on layer names.
        damping_factor: Damping as a multiple of each layer's own mean eigenvalue; of ``bif`` it stays the usual one.
        seed: Of all that is drawn.
        device: ``cpu``, ``cuda``, ...
    """

    model: str | None = None
    own_weights: bool = False
    corpus: str | None = None
    queries: str | None = None
    documents: int = 600
    completions: int = 40
    layers: str = "mlp"
    damping_factor: float = DAMPING_FACTOR
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        at_least(self, documents=10, completions=2)


@dataclass(frozen=True)
class LdsSettings(RetrainingSettings):
    """Settings of ``check lds``.

    Attributes:
        masks: Random halves of the documents that a model is fine-tuned on.
        seeds: Fine-tunings of each half, which differ in the order of batches.
        estimators: Estimators held against training; None for all but ``ekfac-cg``, which takes hours more.
        draws: Of ``bif``: draws of a chain; None for 25.
    """

    masks: int = 100
    seeds: int = 2
    estimators: Sequence[str] | None = None
    draws: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, masks=3, seeds=2, draws=8)
        for estimator in self.estimators or ():
            known_estimator(estimator)


@dataclass(frozen=True)
class RemovalSettings(RetrainingSettings):
    """Settings of ``check removal``.

    Attributes:
        removed_for: Completions for which documents and tokens are left out.
        top: Documents left out.
        share: Share of all loss terms left out, apart from that.
        pairs: Rare completion tokens, each beside a frequent one of like loss, whose strongest documents are left out.
        seeds: Trainings without them, which differ in the order of batches.
    """

    removed_for: int = 12
    top: int = 10
    share: float = 0.01
    pairs: int = 15
    seeds: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, removed_for=2, top=1, pairs=2, seeds=1)
        if not 0 < self.share < 1:
            raise WhenceError(f"share is {self.share} -- it is a share of all loss terms -- choose between 0 and 1.")
        if self.removed_for > self.completions or self.top >= self.documents:
            raise WhenceError(
                f"removed_for is {self.removed_for} of {self.completions} completions, top {self.top} of "
                f"{self.documents} documents -- there are not as many, or nothing would be left -- ask for fewer."
            )


@dataclass(frozen=True)
class LeaveOutSettings:
    """Settings of ``check leave-out``.

    Attributes:
        run: Folder of a finished run.
        query: Title or id of the completion.
        documents: Titles or ids of the documents to leave out; None for the strongest.
        top: How many of the strongest are left out where none are named.
        beside: Documents that are trained on beside them, drawn at random.
        epochs: Passes over them.
        rate: Highest learning rate.
        seeds: Trainings of each kind, which differ in the order of batches.
        seed: Of the documents drawn at random.
    """

    run: str
    query: str
    documents: Sequence[str] | None = None
    top: int = 10
    beside: int = 500
    epochs: int = 3
    rate: float = 1e-3
    seeds: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, top=1, beside=1, epochs=1, seeds=1, seed=0)
        if not self.rate > 0:
            raise WhenceError(f"rate is {self.rate} -- nothing would be learned -- use a positive learning rate.")


@dataclass(frozen=True)
class StabilitySettings:
    """Settings of ``check stability``.

    Attributes:
        run: Folder of a finished run.
        directions: Random directions that show what a meaningless one finds, at least 200.
        seed: Of the directions and of the halves.
        memory_gb: Memory for gradients that share a pass over the corpus. Changes speed only.
    """

    run: str
    directions: int = 200
    seed: int = 0
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        at_least(self, directions=200, seed=0, memory_gb=0)


@dataclass(frozen=True, kw_only=True)
class CheckBifSettings(BifSettings):
    """Settings of ``check bif``.

    Attributes:
        run: Folder of a finished run.
        documents: Documents that are read at each draw, taken at random; ``all`` for all.
    """

    run: str
    documents: int | None = 600

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, documents=3)
