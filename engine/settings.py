"""Settings of the three steps, checked when made; each is kept whole in the run's manifest (no torch)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any

from engine.errors import WhenceError

UNITS = {"log_prob": "nats", "logit": "logits", "margin": "nats", "contrast": "nats"}
"""The measurements and their units; a margin is a difference of log-odds, so it is in nats too."""

REFINED, SAMPLED = "ekfac-cg", "bif"
ESTIMATORS = {
    REFINED: "EK-FAC, refined", "ekfac": "EK-FAC", "kfac": "K-FAC", "diagonal": "diagonal", "identity": "identity",
    SAMPLED: "BIF",
}  # fmt: skip
"""Approximations of the curvature and their names on pages, the closest first; the last one samples weights instead."""
FACTORED = [name for name in ESTIMATORS if name not in (REFINED, SAMPLED)]
"""Estimators that are nothing but their factors."""
DAMPING_FACTOR = 0.1
"""The usual one, of Grosse et al. 2023."""
OF_REFINED = ("cg_iterations", "cg_documents")
OF_SAMPLED = ("chains", "burn_in", "draws", "every", "batch", "n_beta", "step_size", "preconditioner")
"""Settings of steps that only one estimator has."""
BATCH_TOKENS = 1024
"""On a CPU within a few hundredths of the quickest, or quicker; twice as many take up to two thirds more memory."""
SPEED_ONLY = {"batch_tokens", "memory_gb"}
"""Settings that change speed and memory but not results: a step that ran out of memory may go on with others."""


PRECONDITIONERS = {"ekfac": "EK-FAC", "none": "none"}
"""What sets the pace of the Bayesian influence function's sampler in each direction."""


def at_least(settings: Any, **least: float) -> None:
    """Refuse settings of which one is less than its bound; None is no value.

    Raises:
        WhenceError: That says which.
    """
    for name, bound in least.items():
        value = getattr(settings, name)
        if value is not None and value < bound:
            raise WhenceError(f"{name} is {value} -- it must be at least {bound}.")


def known_estimator(estimator: str) -> None:
    """Refuse an estimator of another name.

    Raises:
        WhenceError: That says which there are.
    """
    if estimator not in ESTIMATORS:
        raise WhenceError(f"estimator {estimator!r} is unknown -- choose one of {', '.join(ESTIMATORS)}.")


def belong(settings: Any, names: Sequence[str], owner: str, estimator: str) -> bool:
    """Whether a run's estimator is the one that some settings belong to.

    Args:
        settings: Settings of a step.
        names: Settings that only one estimator has; None where they are not given.
        owner: That estimator.
        estimator: The run's.

    Raises:
        WhenceError: If it is not, but one of them is given.
    """
    given = [name for name in names if getattr(settings, name) is not None]
    if estimator != owner and given:
        raise WhenceError(
            f"{given[0]} is {getattr(settings, given[0])}, but the run was fitted with {ESTIMATORS[estimator]} -- it "
            f"is a setting of the estimator {owner} only -- leave {given[0]} out, or fit another --run with "
            f"--estimator {owner}."
        )
    return estimator == owner


def _check_damping(damping_factor: float) -> None:
    if damping_factor == math.inf:
        raise WhenceError("damping_factor is inf -- every influence would be zero -- the usual one is 0.1.")
    if not damping_factor > 0:
        raise WhenceError(
            f"damping_factor is {damping_factor} -- directions the corpus never used would be "
            "divided by zero -- use a positive number; the usual one is 0.1."
        )


@dataclass(frozen=True)
class FitSettings:
    """Settings of the fit step.

    Attributes:
        layers: ``mlp``, ``attention``, ``all``, ``lora`` or a regular expression on layer names.
        estimator: How the curvature is approximated: ``ekfac``; ``ekfac-cg``, whose query step refines what EK-FAC
            gives by conjugate gradients on the curvature of all layers together, closer and far slower; ``kfac``,
            without the eigenvalue correction; ``diagonal``, the mean square of each weight's gradient; ``identity``,
            that mean over the whole layer, so that influence is the inner product of gradients up to a factor per
            layer; ``bif``, the Bayesian influence function, whose score step samples weights and takes covariances:
            no Kronecker factors, but noise, and no influence by position.
        fit_documents: Documents to fit the factors on, drawn at random; None for all.
        seed: Seed of the label sampling and of the draw of documents.
        context: Longest window in tokens; None for the model's own, at most 512.
        overlap: Tokens that a later window of a document repeats as context; None for an eighth of a window.
        training_windows: Windows of the model's whole training set, ``"corpus"`` if the corpus is all
            of it, None if unknown: then no change on leaving a document out is predicted.
        batch_tokens: Tokens per batch, padding included. Changes speed and memory only; more suits a GPU.
        device: ``cpu``, ``cuda``, ...; ``auto`` spreads a model that one GPU does not hold over all of them.
        dtype: ``float32``, ``bfloat16`` or ``float64``.
    """

    layers: str = "mlp"
    estimator: str = "ekfac"
    fit_documents: int | None = None
    seed: int = 0
    context: int | None = None
    overlap: int | None = None
    training_windows: int | str | None = None
    batch_tokens: int = BATCH_TOKENS
    device: str = "cpu"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        at_least(self, fit_documents=1, overlap=0, batch_tokens=1)
        known_estimator(self.estimator)
        known = self.training_windows
        if known is not None and known != "corpus" and not (isinstance(known, int) and known > 0):
            raise WhenceError(f"training_windows is {known!r} -- give a positive number, or 'corpus'.")


@dataclass(frozen=True)
class QuerySettings:
    """Settings of the query step.

    Attributes:
        measurement: ``log_prob``, ``logit``, ``margin`` or ``contrast``.
        damping_factor: Damping as a multiple of each layer's own mean eigenvalue; None for 0.1, with the estimator
            ``bif`` for 100, as covariances over sampled weights drown in noise with less.
        cg_iterations: Conjugate-gradient iterations of the estimator ``ekfac-cg``; None for 10.
        cg_documents: Documents whose curvature it solves with, drawn from those that were fitted on; None for 200.
    """

    measurement: str = "log_prob"
    damping_factor: float | None = None
    cg_iterations: int | None = None
    cg_documents: int | None = None

    def __post_init__(self) -> None:
        at_least(self, cg_iterations=1, cg_documents=1)
        if self.measurement not in UNITS:
            raise WhenceError(f"measurement {self.measurement!r} is unknown -- choose one of {', '.join(UNITS)}.")
        if self.damping_factor is not None:
            _check_damping(self.damping_factor)

    def for_estimator(self, estimator: str) -> "QuerySettings":
        """The settings with the estimator's usual damping factor where none is given."""
        usual = BifSettings.damping_factor if estimator == SAMPLED else DAMPING_FACTOR
        return self if self.damping_factor is not None else replace(self, damping_factor=usual)


@dataclass(frozen=True)
class ScoreSettings:
    """Settings of the score step.

    Attributes:
        keep_tokens: Documents at each end of a completion's ranking whose position influences
            are kept; None keeps all.
        keep_prediction: Documents at each end whose prediction influences are kept.
        prefilter: Score only the TF-IDF candidates of the queries, not the whole corpus.
        rank_error: Bound on the relative error of low-rank directions, in a norm that weighs what is left out by the
            corpus's gradients: about the relative error of influence, root mean square over the corpus.
        memory_gb: Memory for directions multiplied out, which makes the bulk pass quicker.
        batch_tokens: Tokens per batch, padding included. Changes speed and memory only; more suits a GPU.
        chains: Of the estimator ``bif``: chains, each from the trained weights; None for 4.
        burn_in: Of ``bif``: steps before the first draw of a chain; None for 12.
        draws: Of ``bif``: draws of a chain; None for 25.
        every: Of ``bif``: steps from one draw to the next; None for 3.
        batch: Of ``bif``: windows of a step's gradient; None for 32.
        n_beta: Of ``bif``: inverse temperature times the number of windows; None for the value at which sampled weights
            raise the loss by 0.05 nats per token.
        step_size: Of ``bif``: from 4 on the walk runs off; None for 1 over the largest curvature of a batch.
        preconditioner: Of ``bif``: pace in each direction, ``ekfac`` (its curvature) or ``none`` (the stiffest one's
            for all); None for ``ekfac``.
    """

    keep_tokens: int | None = 100
    keep_prediction: int = 10
    prefilter: bool = False
    rank_error: float = 0.05
    memory_gb: float = 4.0
    batch_tokens: int = BATCH_TOKENS
    chains: int | None = None
    burn_in: int | None = None
    draws: int | None = None
    every: int | None = None
    batch: int | None = None
    n_beta: float | None = None
    step_size: float | None = None
    preconditioner: str | None = None

    def __post_init__(self) -> None:
        at_least(self, keep_tokens=0, keep_prediction=0, batch_tokens=1, memory_gb=0)
        if not 0 < self.rank_error < 1:
            raise WhenceError(f"rank_error is {self.rank_error} -- it is a relative error -- choose between 0 and 1.")
        self.sampler(BifSettings.damping_factor, 0)  # checks its own

    def sampler(self, damping_factor: float, seed: int) -> "BifSettings":
        """Settings of the sampler of the estimator ``bif``, of a run with this damping factor and seed."""
        given = {name: getattr(self, name) for name in OF_SAMPLED if getattr(self, name) is not None}
        return BifSettings(damping_factor, seed=seed, batch_tokens=self.batch_tokens, **given)


SETTINGS = {"fit": FitSettings, "query": QuerySettings, "score": ScoreSettings}


def flags(settings: type, given: Mapping[str, Any]) -> list[str]:
    """The command line's words for settings of a class; those with their default are not named."""
    default = {field.name: field.default for field in fields(settings)}
    words = []
    for name, value in given.items():
        if value == default.get(name, MISSING):
            continue
        values = value if isinstance(value, list | tuple) else [] if value is True else [value]
        words += [f"--{name.replace('_', '-')}", *("all" if one is None else str(one) for one in values)]
    return words


def deciding(step: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a step that decide its results; one that was not there when they were kept has its default."""
    defaults = {field.name: field.default for field in fields(SETTINGS[step])}
    return {name: value for name, value in (defaults | settings).items() if name not in SPEED_ONLY}


@dataclass(frozen=True)
class BifSettings:
    """Settings of the Bayesian influence function's sampler.

    Attributes:
        damping_factor: Damping as a multiple of each layer's own mean eigenvalue; the localisation is ``n_beta`` times
            it. Far more than the 0.1 that a solve takes: with less, more directions are free than the tokens of a batch
            hold, and covariances of documents drown in what these do.
        n_beta: Inverse temperature times the number of windows; None for the value at which sampled weights raise the
            loss by 0.05 nats per token, so that the answer is a local one.
        step_size: Where the curvature is what the preconditioner says, 1 halves a deviation and from 4 on the walk runs
            off. None for 1 over the largest curvature of a batch, relative to that.
        preconditioner: Pace in each direction: ``ekfac``, by its curvature; ``none``, the stiffest one's for all.
        chains: Chains, each from the trained weights.
        burn_in: Steps before the first draw of a chain.
        draws: Draws of a chain.
        every: Steps from one draw to the next.
        batch: Windows of a step's gradient.
        seed: Of noise and batches.
        batch_tokens: Tokens per forward pass, padding included. Changes speed and memory only; more suits a GPU.
    """

    damping_factor: float = 100.0
    n_beta: float | None = None
    step_size: float | None = None
    preconditioner: str = "ekfac"
    chains: int = 4
    burn_in: int = 12
    draws: int = 25
    every: int = 3
    batch: int = 32
    seed: int = 0
    batch_tokens: int = BATCH_TOKENS

    def __post_init__(self) -> None:
        at_least(self, chains=1, burn_in=0, draws=8, every=1, batch=1, seed=0, batch_tokens=1)
        if self.n_beta is not None and not 0 < self.n_beta < math.inf:
            raise WhenceError(
                f"n_beta is {self.n_beta} -- it is how firmly the corpus holds the weights -- use a positive number."
            )
        _check_damping(self.damping_factor)
        if self.step_size is not None and not 0 < self.step_size < 4:
            raise WhenceError(
                f"step_size is {self.step_size} -- at 0 the walk stands still, from 4 on it runs off -- choose between."
            )
        if self.preconditioner not in PRECONDITIONERS:
            known = ", ".join(PRECONDITIONERS)
            raise WhenceError(f"preconditioner {self.preconditioner!r} is unknown -- choose one of {known}.")
