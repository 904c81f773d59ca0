"""Settings of a run's index, checked when made (no torch)."""

from dataclasses import dataclass

from engine.errors import WhenceError
from engine.settings import BATCH_TOKENS


@dataclass(frozen=True)
class IndexSettings:
    """Settings of ``index``.

    Attributes:
        document_bytes: Bytes kept of each document, a power of two.
        damping_factor: Damping as a multiple of each layer's mean eigenvalue. More than influence itself takes: the
            order of documents hardly changes, but fewer directions count, so that few bytes tell more of them.
        seed: Of the sketch.
        batch_tokens: Tokens per batch, padding included. Changes speed and memory only; more suits a GPU.
    """

    document_bytes: int = 8192
    damping_factor: float = 100.0
    seed: int = 0
    batch_tokens: int = BATCH_TOKENS

    def __post_init__(self) -> None:
        if self.document_bytes < 1 or self.document_bytes & (self.document_bytes - 1):
            raise WhenceError(f"document_bytes is {self.document_bytes} -- it must be a power of two, such as 8192.")
        if not 0 < self.damping_factor < float("inf"):
            raise WhenceError(f"damping_factor is {self.damping_factor} -- it must be a positive number.")
        if self.batch_tokens < 1 or self.seed < 0:
            raise WhenceError(
                f"batch_tokens is {self.batch_tokens}, seed {self.seed} -- they must be at least 1 and 0."
            )

    @property
    def bits(self) -> int:
        """Numbers of a sketch: one bit each."""
        return 8 * self.document_bytes
