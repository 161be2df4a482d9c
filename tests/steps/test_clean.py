"""The clean-up as a step."""

import numpy as np
import onnx
import torch
from torch import nn

from steelyard.graph.masks import find_masks
from steelyard.steps.clean import CLEAN, Clean
from steelyard.steps.quantize import Quantize
from steelyard.testing import check_step

TOKENS = np.random.default_rng(0).integers(0, 200, (64, 16))


def test_the_contract_holds(write):
    rows = np.random.default_rng(0).standard_normal((40, 12)).astype(np.float32)
    torch.manual_seed(0)
    check_step(CLEAN, write(nn.Sequential(nn.Linear(12, 8), nn.Dropout(), nn.Linear(8, 3)), torch.zeros(2, 12)), rows)


def test_masks_are_raised_and_nothing_else_changes(write, zoo, tmp_path):
    source = write(zoo.Attending(), torch.from_numpy(TOKENS[:2]))
    report = CLEAN.apply(source, tmp_path / "clean.onnx", iter([TOKENS]))
    (raised,) = report["masks"]
    assert raised["was"] == -1e4
    assert -60 < raised["now"] < -18
    assert find_masks(onnx.load(tmp_path / "clean.onnx")) == ()
    wanted = zoo.run(source, {"x": TOKENS}, plain=True)
    assert zoo.off_by(wanted, zoo.run(tmp_path / "clean.onnx", {"x": TOKENS})) < 1e-6
    assert report["operators_after"] < report["operators_before"]


def test_masks_may_be_left_alone(write, zoo, tmp_path):
    source = write(zoo.Attending(), torch.from_numpy(TOKENS[:2]))
    assert Clean(masks=False).apply(source, tmp_path / "clean.onnx", iter([]))["masks"] == []
    assert len(find_masks(onnx.load(tmp_path / "clean.onnx"))) == 1


def test_quantize_says_which_masks_it_raised(write, zoo, tmp_path):
    for lowest in (-1e4, -np.inf):
        source = write(zoo.Attending(lowest), torch.from_numpy(TOKENS[:2]))
        report = Quantize(chains=True).apply(source, tmp_path / "q.onnx", iter([TOKENS]))
        assert len(report["masks"]) == 1
        wanted = zoo.run(source, {"x": TOKENS}, plain=True)
        assert zoo.off_by(wanted, zoo.run(tmp_path / "q.onnx", {"x": TOKENS})) < 0.03
