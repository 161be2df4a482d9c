"""What learns, and how fast, where some of a model is known already."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from steelyard.core.errors import InputError
from steelyard.core.task import ClassOutput, Rows
from steelyard.families.parts import Model
from steelyard.tasks.metrics import METRICS
from steelyard.training.fit import Problem, fit
from steelyard.training.recipe import Recipe
from steelyard.training.tuning import GENTLE, Tuning, learning_groups, set_rate, train_mode

KNOWN = frozenset({"0.weight", "0.bias", "1.weight", "1.bias"})


class _Front(nn.Identity):
    shape = (4,)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))


def test_known_parameters_learn_at_a_share_of_the_rate():
    groups = learning_groups(net(), Tuning(KNOWN))
    set_rate(groups, 0.5)
    rates = {id(each): group["lr"] for group in groups for each in group["params"]}
    assert sorted(set(rates.values())) == [0.5 * GENTLE, 0.5]
    assert len(rates) == 6


def test_without_a_start_there_is_one_group_of_all():
    body = net()
    (group,) = learning_groups(body, None)
    assert [id(each) for each in group["params"]] == [id(each) for each in body.parameters()]
    assert group["share"] == 1.0


def test_where_all_is_known_all_learns_at_the_rate_itself():
    body = net()
    every = frozenset(name for name, _ in body.named_parameters())
    (group,) = learning_groups(body, Tuning(every))
    assert group["share"] == 1.0


def test_frozen_layers_keep_their_statistics_while_others_learn():
    body, tuning = net(), Tuning(KNOWN, "head")
    tuning.freeze(body)
    train_mode(body, tuning)
    assert [each.training for each in body] == [False, False, True, True]
    assert [name for name, each in body.named_parameters() if each.requires_grad] == ["3.weight", "3.bias"]
    train_mode(body, Tuning(KNOWN))
    assert all(each.training for each in body)


def trained(tuning: Tuning | None) -> tuple[nn.Sequential, nn.Sequential]:
    """A net before and after three epochs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype(np.float32)
    rows = Rows(x, (x[:, 0] > 0).astype(np.int64))
    body = net()
    before = copy.deepcopy(body)
    if tuning is not None:
        tuning.freeze(body)
    recipe = Recipe(epochs=3, learning_rate=0.05)
    fit(
        Model(_Front(), body, nn.Identity()),
        Problem(rows, rows, ClassOutput((0, 1)), METRICS["accuracy"], recipe, seed=0, tuning=tuning),
    )
    return before, body


def moved(before: nn.Sequential, after: nn.Sequential) -> dict[str, float]:
    now = after.state_dict()
    return {name: float((now[name].float() - each.float()).norm()) for name, each in before.state_dict().items()}


def test_training_the_head_changes_nothing_of_the_rest():
    change = moved(*trained(Tuning(KNOWN, "head")))
    assert all(each == 0 for name, each in change.items() if not name.startswith("3."))
    assert change["3.weight"] > 0


def test_training_all_changes_the_known_part_less_than_training_from_scratch():
    gentle, plain = moved(*trained(Tuning(KNOWN))), moved(*trained(None))
    assert 0 < gentle["0.weight"] < 0.5 * plain["0.weight"]
    assert gentle["3.weight"] > 0.5 * plain["3.weight"]


def test_an_unknown_way_is_refused():
    with pytest.raises(InputError, match=r"^'tune' must be all or head, got 'some'\.$"):
        Recipe(tune="some")
