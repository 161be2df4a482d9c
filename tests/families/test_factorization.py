"""Matrix factorisation: its contract, its biases, and what it says of the unknown."""

import numpy as np
import pytest
import torch

from steelyard.core.candidate import Scale
from steelyard.families.factorization import FACTORIZATION
from steelyard.families.pairs import DAMPING, damped_biases
from steelyard.tasks.reading import from_arrays
from steelyard.testing import check_family
from steelyard.testing.fakes import FakeTask
from steelyard.training.losses import penalty_of


@pytest.fixture(scope="module")
def task():
    random = np.random.default_rng(0)
    pairs = random.integers(0, 6, (120, 2))
    ratings = 3 + 0.5 * pairs[:, 0] - 0.3 * pairs[:, 1] + random.normal(0, 0.1, 120)
    return from_arrays(pairs, ratings, "recommendation")


def test_the_contract_holds(task):
    check_family(FACTORIZATION, task)


def test_it_refuses_what_has_no_users():
    assert FACTORIZATION.refusal(FakeTask.table()) == "it needs users and items, as recommendation has them"


def test_factors_are_fewer_than_users_and_items(task):
    assert [knob.choices for knob in FACTORIZATION.knobs(task)] == [(0, 2, 4)]


def test_one_rating_moves_a_bias_by_a_quarter_of_what_it_says():
    biases, _ = damped_biases(np.array([[1, 1]]), np.array([2.0]), (2, 2))
    assert DAMPING == 3
    # At the fixed point b = (2 − c) / 4 and c = (2 − b) / 4.
    assert biases == pytest.approx([0.0, 0.4], abs=1e-6)


def test_biases_alone_say_nearly_all_where_ratings_are_sums(task):
    module = FACTORIZATION.build(Scale.from_json({"factors": 0}), task, 0).eval()
    with torch.no_grad():
        errors = module(torch.from_numpy(task.test.x)).numpy()[:, 0] - task.test.y
    assert np.sqrt(np.mean(errors**2)) < 0.5 * np.std(task.test.y)


def test_an_unknown_pair_gets_the_mean_and_keeps_it_in_training(task):
    module = FACTORIZATION.build(Scale.from_json({"factors": 4}), task, 0)
    optimizer = torch.optim.Adam(module.body.parameters(), lr=0.1)
    x = torch.tensor([[0.0, 0.0], [0.0, 3.0], [2.0, 0.0]])
    for _ in range(3):
        optimizer.zero_grad()
        (module(x).square().mean() + penalty_of(module.body)).backward()
        optimizer.step()
    with torch.no_grad():
        assert float(module(torch.zeros(1, 2))) == pytest.approx(task.output.mean, abs=1e-6)


def test_the_penalty_is_the_weighed_sum_of_squares(task):
    body = FACTORIZATION.build(Scale.from_json({"factors": 2}), task, 0).body
    squares = {name: float(value.detach().square().sum()) for name, value in body.named_parameters()}
    wanted = 3 * (squares["user_bias.weight"] + squares["item_bias.weight"])
    wanted += 15 * (squares["user.weight"] + squares["item.weight"])
    assert float(penalty_of(body).detach()) == pytest.approx(wanted / len(task.train), rel=1e-5)


def test_other_modules_have_no_penalty():
    assert penalty_of(torch.nn.Linear(2, 2)) == 0.0
