"""Agreement of partitions and silhouettes, against scikit-learn's."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, silhouette_samples

from steelyard.statistics.partitions import adjusted_rand, row_silhouettes

LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40)


@settings(max_examples=50, deadline=None)
@given(LABELS)
def test_agreement_is_that_of_scikit_learn(pairs):
    one, other = np.array(pairs, dtype=np.int64).T
    assert np.isclose(adjusted_rand(one, other), adjusted_rand_score(one, other))
    assert adjusted_rand(one, one) == 1.0
    assert np.isclose(adjusted_rand(one, other), adjusted_rand(4 - one, other))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 4))
def test_silhouettes_are_those_of_scikit_learn(seed, clusters):
    rng = np.random.default_rng(seed)
    points, labels = rng.normal(size=(30, 3)), rng.integers(0, clusters, 30)
    labels[:2] = 0, 1
    np.testing.assert_allclose(row_silhouettes(points, labels), silhouette_samples(points, labels), atol=1e-9)


def test_one_cluster_has_no_silhouette():
    assert row_silhouettes(np.ones((4, 2)), np.zeros(4, dtype=np.int64)).tolist() == [0.0] * 4
