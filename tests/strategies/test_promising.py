"""The next candidate by expected gain of hypervolume: laws on spaces whose front is planted."""

import re

import numpy as np
import pytest

from steelyard.core.errors import InputError
from steelyard.select.pareto import hypervolume
from steelyard.strategies.promising import POOL, most_promising

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
    equal = {"costs": np.zeros((300, 1)), "estimates": np.zeros(300)}
    starts = {propose(features, truth, NOBODY, seed=seed, **equal) for seed in range(8)}
    assert len(starts) > 1


def test_perfect_estimates_and_known_costs_give_a_point_of_the_front():
    features, truth = bowl()
    known: list[int] = []
    for _ in range(12):
        row = propose(features, truth, known, costs=truth[:, 1:], estimates=truth[:, 0])
        dominated = np.all(truth <= truth[row], axis=1) & np.any(truth < truth[row], axis=1)
        assert not dominated.any()
        known.append(row)


def volume_share(features, truth, count, **more):
    known: list[int] = []
    for _ in range(count):
        known.append(propose(features, truth, known, **more))
    return hypervolume(truth[known], REFERENCE) / hypervolume(truth, REFERENCE)


@pytest.mark.parametrize("knows_costs", [True, False])
def test_a_planted_front_is_found_sooner_than_by_chance(knows_costs):
    features, truth = bowl(400)
    drawn = np.random.default_rng(0).choice(400, 20, replace=False)
    chance = hypervolume(truth[drawn], REFERENCE) / hypervolume(truth, REFERENCE)
    assert volume_share(features, truth, 20, costs=truth[:, 1:] if knows_costs else None) > max(0.97, chance + 0.01)


def test_estimates_that_are_far_off_but_in_order_are_put_right():
    features, truth = bowl()
    assert volume_share(features, truth, 12, costs=truth[:, 1:], estimates=3 * truth[:, 0] + 2) > 0.95


def test_worthless_estimates_do_not_keep_the_front_hidden():
    features, truth = bowl()
    noise = np.random.default_rng(1).permutation(truth[:, 0])
    assert volume_share(features, truth, 30, costs=truth[:, 1:], estimates=noise) > 0.95


def test_missing_estimates_are_no_reason_to_be_passed_over():
    features, truth = bowl()
    best = int(np.argmin(((truth - [0.25, 0.5]) ** 2).sum(axis=1)))
    estimates = np.where(np.arange(300) % 2 == best % 2, np.nan, truth[:, 0])
    known: list[int] = []
    for _ in range(20):
        known.append(propose(features, truth, known, costs=truth[:, 1:], estimates=estimates))
    assert np.isnan(estimates[known]).any()


def test_a_pending_candidate_is_not_proposed_a_second_time_in_another_form():
    """Its twin, whose features are the same, gains nothing once the pending one is believed."""
    features, truth = bowl(100)
    known = np.arange(0, 100, 4)
    first = propose(features, truth, known)
    features, truth = np.vstack([features, features[first]]), np.vstack([truth, truth[first]])
    assert propose(features, truth, known, pending=[first]) not in {first, 100}


def test_three_objectives_are_searched_too():
    features, truth = bowl(80)
    three = np.column_stack([truth, 1 - features[:, 1]])
    corner = np.array([1.5, 1.5, 1.5])
    known: list[int] = []
    for _ in range(14):
        known.append(propose(features, three, known, reference=corner))
    assert hypervolume(three[known], corner) > 0.9 * hypervolume(three, corner)


@pytest.mark.parametrize("knows", [True, False])
def test_of_a_large_space_only_a_part_is_looked_at(knows):
    features, truth = bowl(6 * POOL)
    known = np.arange(12)
    options = {"costs": truth[:, 1:], "estimates": truth[:, 0]} if knows else {}
    row = propose(features, truth, known, **options)
    assert row not in known
    if knows:
        assert not (np.all(truth <= truth[row], axis=1) & np.any(truth < truth[row], axis=1)).any()


def test_estimates_of_nothing_are_none():
    features, truth = bowl(50)
    known = np.arange(10)
    assert propose(features, truth, known, estimates=np.full(50, np.nan)) == propose(features, truth, known)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"costs": np.zeros((4, 2))}, "'costs' must have the shape (5, 1), got (4, 2)."),
        ({"estimates": np.zeros(4)}, "'estimates' must have the shape (5,), got (4,)."),
        ({"reference": np.ones(3)}, "'objectives' must have the shape (2, 3), got (2, 2)."),
        ({"pending": [2, 3, 4]}, "'features' must hold a candidate that is neither known nor pending, got none."),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    features, truth = bowl(5)
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        propose(features, truth, [0, 1], **change)


def test_a_failure_is_no_objective():
    features, truth = bowl(5)
    truth[0, 1] = np.nan
    message = "'objectives' must be finite numbers, got NaN or infinity; leave failures out."
    with pytest.raises(InputError, match=f"^{message}$"):
        propose(features, truth, [0, 1])
