"""What a step on a module learns from."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from steelyard.core.task import Rows
from steelyard.training.lesson import Lesson, first_output, inputs_of


def lesson(rows: int = 5, *, labels: bool = True) -> Lesson:
    x = np.arange(rows * 3, dtype=np.float64).reshape(rows, 3)
    split = Rows(x, np.arange(rows, dtype=np.uint8))
    return Lesson(split, split, torch.nn.Linear(3, rows), cross_entropy if labels else None)


def test_every_row_comes_once_an_epoch_with_its_target() -> None:
    batches = list(lesson(6).batches(2))
    targets = torch.cat([y for _, y in batches if y is not None])
    inputs = torch.cat([x for (x,), _ in batches])
    assert sorted(targets.tolist()) == list(range(6))
    assert torch.equal(inputs[:, 0], 3.0 * targets)


def test_a_seed_fixes_the_order_and_another_changes_it() -> None:
    orders = [torch.cat([x for (x,), _ in lesson(64).batches(8, seed=seed)])[:, 0].tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_a_last_batch_of_one_row_is_left_out_unless_it_is_the_only_one() -> None:
    assert [len(x) for (x,), _ in lesson(5).batches(2)] == [2, 2]
    assert [len(x) for (x,), _ in lesson(1).batches(2)] == [1]


def test_without_a_loss_there_are_no_targets() -> None:
    assert all(y is None for _, y in lesson(labels=False).batches(2))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("u1", torch.float32), ("f8", torch.float32), ("i4", torch.int64), ("i8", torch.int64), ("?", torch.bool)],
)
def test_pixels_become_floats_and_codes_stay_whole(kind: str, expected: torch.dtype) -> None:
    (tensor,) = inputs_of(np.ones((2, 3), dtype=kind))
    assert tensor.dtype == expected
    assert tensor.shape == (2, 3)


def test_several_inputs_are_the_fields_of_their_rows() -> None:
    x = np.zeros(4, dtype=[("ids", "i8", (7,)), ("extra", "f4", (2,))])
    assert [each.shape for each in inputs_of(x)] == [(4, 7), (4, 2)]


def test_of_several_outputs_the_first_is_judged() -> None:
    one = torch.ones(2)
    assert first_output((one, 3)) is one
    assert first_output({"logits": one, "hidden": (3,)}) is one
    assert first_output(one) is one


def test_numbered_batches_tell_which_rows_they_hold() -> None:
    given = lesson(6)
    for index, (x,), y in given.numbered(2):
        assert torch.equal(x, torch.from_numpy(given.train.x[index].astype(np.float32)))
        assert y is not None
        assert y.tolist() == index.tolist()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("rows", [1, 5, 9])
def test_the_steps_of_an_epoch_are_counted(rows: int, size: int) -> None:
    given = lesson(rows)
    assert given.steps(size) == len(list(given.batches(size)))
