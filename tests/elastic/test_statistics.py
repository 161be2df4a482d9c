"""Batch norm's statistics, estimated anew."""

import numpy as np
import torch
from torch import nn

from steelyard.core.task import Rows
from steelyard.elastic.statistics import reestimate_norms
from steelyard.training.lesson import Lesson


def test_statistics_are_those_of_the_training_rows():
    x = np.random.default_rng(0).normal(3, 2, (256, 5)).astype(np.float32)
    rows = Rows(x, np.zeros(256, np.int64))
    module = nn.Sequential(nn.BatchNorm1d(5), nn.Dropout(0.9)).train()
    assert reestimate_norms(module, Lesson(rows, rows, module)) == 1
    np.testing.assert_allclose(module[0].running_mean, x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(module[0].running_var, x.var(0, ddof=1), rtol=0.02)
    assert module[0].momentum == 0.1
    assert module.training and module[1].training


def test_a_module_without_norms_is_left_alone():
    rows = Rows(np.zeros((4, 5), np.float32), np.zeros(4, np.int64))
    assert reestimate_norms(nn.Linear(5, 2), Lesson(rows, rows, nn.Linear(5, 2))) == 0
    assert torch.is_grad_enabled()
