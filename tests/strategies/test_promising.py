"""The next candidate by expected gain of hypervolume: laws on spaces whose front is planted."""

import numpy as np
import pytest

from steelyard.core.errors import InputError
from steelyard.strategies.promising import error_of_estimates, most_promising

NONE = np.zeros((0, 2))
NOBODY = np.zeros(0, dtype=np.int64)
REFERENCE = np.array([1.5, 1.5])


def bowl(count=300, seed=0):
    """Features, and objectives of which the first falls and the second grows with the first feature."""
    features = np.random.default_rng(seed).random((count, 3))
    off = 0.5 * ((features[:, 1:] - 0.4) ** 2).sum(axis=1)
    return features, np.column_stack([(1 - features[:, 0]) ** 2 + off, features[:, 0]])


def propose(features, truth, known, **more):
    known = np.asarray(known, dtype=np.int64)
    options = {"costs": None, "estimates": None, "reference": REFERENCE, "seed": 0} | more
    return most_promising(features, known, truth[known], **options)


@pytest.mark.parametrize("knows_costs", [True, False])
@pytest.mark.parametrize("knows_estimates", [True, False])
def test_every_candidate_is_proposed_once(knows_costs, knows_estimates):
    features, truth = bowl(30)
    known: list[int] = []
    for number in range(len(features)):
        pending = known[-2:] if number % 3 else []
        done = [row for row in known if row not in pending]
        costs = truth[:, 1:] if knows_costs else None
        estimates = truth[:, 0] if knows_estimates else None
        known.append(propose(features, truth, done, costs=costs, estimates=estimates, pending=pending))
    assert sorted(known) == list(range(len(features)))


def test_a_proposal_depends_on_its_arguments_alone():
    features, truth = bowl()
    known = np.arange(0, 100, 7)
    assert propose(features, truth, known) == propose(features, truth, known)
    starts = {propose(features, truth, NOBODY, seed=seed, estimates=np.zeros(300)) for seed in range(8)}
    assert len(starts) > 1


def test_perfect_estimates_and_known_costs_give_a_point_of_the_front():
    features, truth = bowl()
    known: list[int] = []
    for _ in range(12):
        row = propose(features, truth, known, costs=truth[:, 1:], estimates=truth[:, 0])
        dominated = np.all(truth <= truth[row], axis=1) & np.any(truth < truth[row], axis=1)
        assert not dominated.any()
        known.append(row)
