"""Encode: files that load and run as before."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from steelyard.core.errors import BundleError
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME, open_session
from steelyard.steps.encode import ENCODE
from steelyard.testing.steps import check_step

ROWS = np.random.default_rng(0).normal(size=(40, 1, 12, 12)).astype(np.float32)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 30), nn.ReLU(), nn.Linear(30, 5))
    with torch.no_grad():
        for each in module.parameters():
            each.copy_(torch.round(each * 40) / 64)
    export(module, ROWS[:2], tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_encode_keeps_the_contract_of_steps(plain: Path) -> None:
    check_step(ENCODE, plain, ROWS)


def test_an_encoded_file_gives_the_very_outputs_of_its_source(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.syd"
    report = ENCODE.apply(plain, target, iter(()))
    assert report == {"bytes": target.stat().st_size, "from_bytes": plain.stat().st_size}
    assert 8 * report["bytes"] < report["from_bytes"]
    wanted = RUNTIME.load(plain).run(ROWS)
    assert np.array_equal(RUNTIME.load(target).run(ROWS), wanted)
    run: Callable[..., object] = open_session(str(target), 1)
    assert np.array_equal(run(ROWS), wanted)


def test_the_runtime_refuses_an_altered_file_in_one_sentence(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.syd"
    ENCODE.apply(plain, target, iter(()))
    data = bytearray(target.read_bytes())
    data[-3] ^= 1
    target.write_bytes(bytes(data))
    with pytest.raises(BundleError) as refused:
        RUNTIME.load(target)
    assert refused.value.message == (
        "model 'model.syd' was cut short or altered after it was encoded; restore the file."
    )
