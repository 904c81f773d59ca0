"""What was sampled in a run of the estimator ``bif``, and whether its draws tell enough, in words (no torch)."""

from dataclasses import dataclass

from engine.run import Run

MIXED = 1.1
"""R-hat from which chains count as apart (Gelman et al., Bayesian Data Analysis, 3rd ed., section 11.5)."""
EFFECTIVE_PER_CHAIN = 10
"""Effective draws of a chain below which they are too few (likewise)."""
WHAT_TO_DO = "Compute another run with more `--burn-in`, `--every` or `--draws` in its score step."


@dataclass(frozen=True)
class Mixing:
    """What sampling came to for one completion.

    Attributes:
        sentence: What was done, and the two measures of how well it mixed.
        warning: What is wrong with it; empty if nothing is.
    """

    sentence: str
    warning: str


def sampled(run: Run) -> str:
    """What a run sampled, in a line; empty if its influence was not sampled."""
    if not run.is_sampled:
        return ""
    told = run.score["results"]["sampling"]
    return (
        f"{told['chains']} chains of {told['draws']} draws, one every {told['every']} steps after {told['burn_in']}; "
        f"step size {told['step_size']:.2g}, n beta {told['n_beta']:,.3g}"
    )


def mixing(run: Run, query: int) -> Mixing | None:
    """What sampling came to for a completion; None if the run's influence was not sampled."""
    if not run.is_sampled:
        return None
    told = run.score["results"]["sampling"]
    r_hat, ess, halves = (told[name][query] for name in ("r_hat", "ess", "halves"))
    done = (
        "Sampled (Bayesian influence function): how a document's log-probability and this completion vary together "
        f"over {told['chains'] * told['draws']:,} draws of the weights, in {told['chains']} chains around the trained "
        "ones."
    )
    if None in (r_hat, ess, halves):
        return Mixing(done, f"The completion is the same at every draw, so that nothing influences it. {WHAT_TO_DO}")
    measured = (
        f"R-hat is {r_hat:.2f} (1 when chains have mixed); the draws tell as much as {ess:,.0f} independent ones; "
        f"influences by either half of them correlate by {halves:.2f} in rank (1 without noise)."
    )
    return Mixing(f"{done} {measured}", _warning(r_hat, ess, EFFECTIVE_PER_CHAIN * told["chains"]))


def _warning(r_hat: float, ess: float, least: int) -> str:
    wrong = [f"the chains have not mixed (R-hat above {MIXED})"] * (r_hat > MIXED)
    wrong += [f"there are few effective draws (less than {least})"] * (ess < least)
    return f"Not to be relied on: {' and '.join(wrong)}. {WHAT_TO_DO}" if wrong else ""
