"""The quick orders are those of a stable sort, whatever is equal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from engine.analysis.order import by_size, mean_ranks

VALUES = st.lists(
    st.one_of(st.integers(-3, 3), st.floats(-1e6, 1e6), st.sampled_from([0.0, -0.0, np.inf, -np.inf])), max_size=60
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(values=VALUES)
def test_the_largest_come_first_and_equal_ones_as_they_were(values, dtype):
    values = np.array(values, dtype)
    np.testing.assert_array_equal(by_size(values), np.argsort(-values, kind="stable"))


@given(values=VALUES.filter(bool))
def test_ranks_of_equal_values_are_their_mean(values):
    np.testing.assert_array_equal(mean_ranks(np.array(values, float)), rankdata(values))


def test_nothing_is_ranked_where_a_value_is_unknown():
    assert np.isnan(mean_ranks(np.array([1.0, np.nan, 2.0]))).all()
