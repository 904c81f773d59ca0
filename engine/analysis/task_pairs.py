"""Do completions of one task correlate over documents more than those of different tasks, or than controls?"""

from dataclasses import dataclass

import numpy as np

from engine.analysis.matrix import query_draws


def without_norms(scores: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """What a straight line in the documents' gradient norms leaves of each completion's scores.

    Args:
        scores: ``[q, d]``; documents with a nan are left out.
        norms: ``[d]``.

    Returns:
        Residuals of mean 0, ``[q, scored documents]``.
    """
    scored = ~np.isnan(scores).any(0) & ~np.isnan(norms)
    line = norms[scored] - norms[scored].mean()
    centred = scores[:, scored] - scores[:, scored].mean(1, keepdims=True)
    return centred - np.outer(centred @ line / max(line @ line, np.finfo(float).tiny), line)


@dataclass(frozen=True)
class TaskPairs:
    """Correlations of all pairs of completions, and which of them are of interest.

    Attributes:
        correlation: ``[n, n]``, completions with a task first; 0 where undefined.
        same: Whether both have the same task, bool ``[n, n]``.
        different: Whether they have different ones.
        compared: ``same``, of the tasks that have controls.
        control: Whether the second is a control of the first's task.
        tasks: Completions that have a task.
    """

    correlation: np.ndarray
    same: np.ndarray
    different: np.ndarray
    compared: np.ndarray
    control: np.ndarray
    tasks: int

    @classmethod
    def of(cls, scores: np.ndarray, task: np.ndarray, control_of: np.ndarray) -> "TaskPairs":
        """Correlate completions over documents.

        Args:
            scores: ``[n, d]``, each completion's of mean 0.
            task: Each completion's task, ``[n]``; "" for controls, which stand last.
            control_of: Each control's task, ``[n]``; else "".
        """
        length = np.sqrt((scores**2).sum(1))
        varies = length > 1e-9 * length.max()
        unit = scores / np.where(varies, length, 1)[:, None]
        known = varies[:, None] & varies & ~np.eye(len(task), dtype=bool)
        both = known & (task[:, None] != "") & (task != "")
        same = both & (task[:, None] == task)
        control = known & (task[:, None] == control_of) & (control_of != "")
        return cls(
            np.where(varies[:, None] & varies, unit @ unit.T, 0), same, both & ~same,
            same & np.isin(task, control_of)[:, None], control, int((task != "").sum()),
        )  # fmt: skip

    def mean(self, among: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Mean correlation of some pairs, ``[draws]``, where completions stand ``weights`` ``[draws, n]`` times.

        A completion drawn twice is no pair with itself.
        """
        sums = [np.einsum("dn,nm,dm->d", weights, pairs, weights, optimize=True)
                for pairs in (among * self.correlation, among.astype(float))]  # fmt: skip
        return np.divide(sums[0], sums[1], out=np.full(len(weights), np.nan), where=sums[1] > 0)

    def weights(self, draws: int, seed: int) -> np.ndarray:
        """How often each completion stands: once; then drawn anew, controls on their own, ``[1 + draws, n]``."""
        sizes = self.tasks, len(self.same) - self.tasks
        parts = [query_draws(size, draws, [seed, place]) for place, size in enumerate(sizes) if size]
        return np.concatenate(parts, 1)

    def shuffled(self, draws: int, seed: int) -> np.ndarray:
        """Same task minus different tasks with the tasks dealt out anew among the completions, ``[draws]``."""
        random, found = np.random.default_rng(seed), np.empty(draws)
        inner = slice(self.tasks), slice(self.tasks)
        for draw in range(draws):
            order = random.permutation(self.tasks)
            correlation = self.correlation[np.ix_(order, order)]
            same, different = (correlation[among[inner]] for among in (self.same, self.different))
            found[draw] = same.sum() / max(1, len(same)) - different.sum() / max(1, len(different))
        return found
