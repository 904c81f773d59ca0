"""The ends of a ranking are found in one pass over parts as in the whole."""

import numpy as np
import pytest

from engine.ends import Ends


@pytest.mark.parametrize("keep", [1, 3, 40, None])
def test_ends_of_parts_are_those_of_the_whole_ranking(keep):
    random = np.random.default_rng(0)
    documents = np.flatnonzero(random.random(100) < 0.7)
    influence = random.integers(-4, 5, (3, len(documents))).astype(float)  # many are equal: these go by number
    ends = Ends(3, keep)
    for part in np.array_split(np.arange(len(documents)), 7):
        ends.add(documents[part], influence[:, part])
    assert ends.scored == len(documents)
    wanted = ends.wanted(keep)
    for query, values in enumerate(influence):
        ranking = documents[np.argsort(-values, kind="stable")]
        assert ends.first(query, keep or 100).tolist() == ranking[: keep or 100].tolist()
        both = set(ranking.tolist()) if keep is None else {*ranking[:keep].tolist(), *ranking[-keep:].tolist()}
        assert {document for document, queries in wanted.items() if query in queries} == both
