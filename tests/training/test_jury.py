import math

import numpy as np
import pytest
import torch
from torch import nn

from steelyard.core.task import Rows
from steelyard.training.jury import FEWEST_ROWS, Jury, Verdict
from steelyard.training.lesson import Lesson


def lesson(rows=600, judge=None, limit_s=math.inf):
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    split = Rows(x, (x[:, 0] > 0).astype(np.int64))
    torch.manual_seed(0)
    return Lesson(split, split, nn.Linear(4, 2), judge=judge, limit_s=limit_s)


def error(outputs, targets):
    return float(np.mean(outputs.argmax(-1) != targets))


def test_the_teacher_is_at_no_distance_from_itself():
    asked = lesson()
    assert Jury.of(asked)(asked.teacher) == Verdict(0.0, 0.0)


def test_the_judge_sees_every_row_with_its_label():
    asked = lesson(judge=error)
    with torch.no_grad():
        outputs = asked.teacher(torch.from_numpy(asked.valid.x)).numpy()
    assert Jury.of(asked)(asked.teacher).loss == error(outputs, asked.valid.y)


def test_a_short_limit_leaves_rows_out_but_never_most_of_few():
    jury = Jury.of(lesson(5000, judge=error, limit_s=0.0))
    assert len(jury.targets) == FEWEST_ROWS
    assert jury(nn.Linear(4, 2)).loss <= 1


@pytest.mark.parametrize(
    ("new", "old", "is_better"),
    [
        (Verdict(0.1, 9.0), Verdict(0.2, 1.0), True),
        (Verdict(0.2, 0.5), Verdict(0.2, 1.0), True),
        (Verdict(0.2, 1.0), Verdict(0.2, 1.0), False),
        (Verdict(math.nan, 0.0), Verdict(0.2, 1.0), False),
        (Verdict(0.2, 1.0), Verdict(math.nan, 1.0), True),
    ],
)
def test_the_judge_decides_and_the_distance_breaks_ties(new, old, is_better):
    assert new.is_better_than(old) is is_better
