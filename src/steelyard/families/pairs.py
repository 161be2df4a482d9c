"""The torch module of matrix factorisation."""

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.candidate import Scale
from steelyard.core.errors import InputError
from steelyard.core.protocols import Task
from steelyard.core.task import Array, PairInput, ValueOutput
from steelyard.families.parts import Model, back_of

DAMPING = 3.0
"""Ratings that a bias is held back by: with 3 of them, half of what they say is believed.

On MovieLens latest-small 2, 3, 5 and 10 gave a validation RMSE of .890, .889, .890 and .896.
"""
HOLD = 15.0
"""The same for factors: the weight of their squares, in squared errors of standardised ratings.

By alternating least squares with 16 factors on the same data 5, 10 and 20 gave .892, .884 and .886 at their best.
"""
SWEEPS = 10
"""Rounds of fitting biases in turn; the fourth changes nothing in the third digit."""
FIRST_FACTORS = 0.1
"""Standard deviation of fresh factors, small against that of the standardised ratings (1)."""


def factorization(scale: Scale, task: Task, seed: int) -> Model:
    """Biases start at the damped means of the training ratings, so that training has the factors left to find."""
    if not isinstance(task.input, PairInput) or not isinstance(task.output, ValueOutput):
        raise InputError(f"'model' factorization needs users and items, which {task.name!r} does not have.")
    torch.manual_seed(seed)
    counts = tuple(len(column.categories) + 1 for column in task.input.columns)
    ratings = (np.asarray(task.train.y, dtype=np.float64) - task.output.mean) / task.output.std
    biases = damped_biases(np.asarray(task.train.x).astype(np.int64), ratings, (counts[0], counts[1]))
    body = _Factors(biases, scale.integer("factors", 8), max(1, len(task.train)))
    return Model(_Pairs(), body, back_of(task.output))


def damped_biases(pairs: Array, ratings: Array, counts: tuple[int, int]) -> tuple[Array, Array]:
    """Biases of users and items that explain the ratings, each held back towards 0 by `DAMPING` ratings.

    Those of code 0 are 0. O(sweeps × rows).

    Args:
        pairs: codes (n, 2) of users and items.
        ratings: (n,) less their mean.
        counts: of codes: of users, of items.

    References:
        Koren, "Factor in the neighbors: scalable and accurate collaborative filtering", ACM TKDD, 2010, section 2.1.
    """
    biases = [np.zeros(count) for count in counts]
    seen = [np.bincount(pairs[:, side], minlength=counts[side]) + DAMPING for side in (0, 1)]
    for _ in range(SWEEPS):
        for side in (1, 0):
            rest = ratings - biases[1 - side][pairs[:, 1 - side]]
            biases[side] = np.bincount(pairs[:, side], rest, counts[side]) / seen[side]
            biases[side][0] = 0.0
    return biases[0], biases[1]


class _Pairs(nn.Module):
    """Passes codes (n, 2) on as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = (2,)

    def forward(self, x: Tensor) -> Tensor:
        return x


class _Factors(nn.Module):
    """Bias of the user + bias of the item + inner product of their factors; all are 0 at code 0."""

    def __init__(self, biases: tuple[Array, Array], factors: int, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.user_bias, self.item_bias = (_table(torch.from_numpy(each.astype(np.float32))[:, None]) for each in biases)
        self.has_factors = factors > 0
        if factors:
            # The same seed gives smaller models other values: shared weights make them equal where that is wanted.
            fresh = (FIRST_FACTORS * torch.randn(len(each), factors) for each in biases)
            self.user, self.item = (_table(each) for each in fresh)

    def forward(self, x: Tensor) -> Tensor:
        user, item = x[:, 0].to(torch.int64), x[:, 1].to(torch.int64)
        value: Tensor = self.user_bias(user) + self.item_bias(item)
        if self.has_factors:
            value = value + (self.user(user) * self.item(item)).sum(dim=1, keepdim=True)
        return value

    def penalty(self) -> Tensor:
        """The squares of all biases and factors, weighed as if spread over the training ratings."""
        held = sum((each.weight.square().sum() for each in (self.user_bias, self.item_bias)), torch.zeros(()))
        total = DAMPING * held
        if self.has_factors:
            total = total + HOLD * sum((e.weight.square().sum() for e in (self.user, self.item)), torch.zeros(()))
        return total / self.rows


def _table(values: Tensor) -> nn.Embedding:
    """Rows to look up; that of code 0 is 0 and stays so, because nothing is learned about it."""
    rows, width = values.shape
    table = nn.Embedding(rows, width, padding_idx=0)
    with torch.no_grad():
        table.weight.copy_(values)
        table.weight[0] = 0.0
    return table
