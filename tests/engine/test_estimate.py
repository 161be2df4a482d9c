"""Building, going on after a kill, estimating, and what a bad file does."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from steelyard.core.errors import InputError, MeasurementError, RuntimeFailureError
from steelyard.engine.estimate import estimate, observe
from steelyard.engine.lane import lanes, nominal_time
from steelyard.engine.learning import build_cost_model, learning_folder, read_cost_model, read_records
from steelyard.engine.optimiser import Optimiser
from steelyard.measure.latency import Protocol, measure_latency
from steelyard.measure.process import Subject
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME

BUILDING = """
import sys
from pathlib import Path
from steelyard.engine.learning import build_cost_model
build_cost_model(600.0, folder=Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a build that was killed in the middle, with at least thirty micro-models in it."""
    place = tmp_path_factory.mktemp("learned")
    process = subprocess.Popen([sys.executable, "-c", BUILDING, str(place)], start_new_session=True)
    records = place / "records.jsonl"
    until = time.monotonic() + 120
    while time.monotonic() < until and (not records.exists() or records.read_bytes().count(b"\n") < 30):
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # The measuring process sees that nobody waits for it, and ends.
    time.sleep(2)
    with records.open("a") as stream:
        stream.write('{"number": 99999, "sty')
    return place


@pytest.fixture
def network(tmp_path: Path) -> Path:
    layers = [torch.nn.Conv2d(3, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(32, 64, 3, 2, 1), torch.nn.ReLU()]
    module = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(64 * 256, 10))
    path = tmp_path / "network.onnx"
    export(module, np.zeros((2, 3, 32, 32), dtype=np.float32), path)
    return path


@pytest.mark.bench
def test_a_killed_build_goes_on_and_estimates_within_a_factor_of_two(
    folder: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(read_records(folder))
    assert before >= 30
    model = build_cost_model(40.0, folder=folder)
    assert len(read_records(folder)) > before
    again = read_cost_model(folder)
    assert again is not None
    assert again.models == model.models
    found = estimate(network, model=model)
    cpu = lanes(1)[0]
    protocol = Protocol(loader=RUNTIME.loader, imports=RUNTIME.imports, cpu=cpu, processes=1, cap_s=0.5)
    rows = np.zeros((1, 3, 32, 32), dtype=np.float32)
    measured = measure_latency([Subject("m", network)], rows, protocol, nominal_s=nominal_time(cpu))
    seconds = measured.metrics["m"]["latency_p50_s"].value
    assert 0.5 < found.latency_p50_s.value / seconds < 2
    assert found.latency_p50_s.low is not None
    assert found.latency_p50_s.low <= found.low_90 <= found.latency_p50_s.value <= found.high_90
    assert any("Conv 3x3, 3 to 32 channels, 32x32" in kernel.text for kernel in found.kernels)
    json.dumps(found.to_json())
    # What a study measures is kept, and moves the estimates towards it.
    monkeypatch.setattr("steelyard.engine.learning.learning_folder", lambda: folder)
    for _ in range(3):
        observe(network, 3 * seconds)
    moved = read_cost_model(folder)
    assert moved is not None
    assert moved.drift > model.drift


def test_without_a_cost_model_the_sentence_says_so(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))
    assert learning_folder().parent == tmp_path / "nothing" / "steelyard"
    with pytest.raises(MeasurementError, match=r"^no cost model was built on this machine; build one first"):
        estimate(network)


def test_a_damaged_cost_model_is_none(tmp_path: Path) -> None:
    (tmp_path / "model.npz").write_bytes(b"PK\x03\x04 cut")
    assert read_cost_model(tmp_path) is None


def test_latencies_that_are_no_times_are_refused(network: Path) -> None:
    with pytest.raises(InputError, match=r"^'seconds' must be a positive number, got -1\.0\.$"):
        observe(network, -1.0)


@pytest.mark.slow
def test_a_file_that_the_runtime_refuses_is_one_sentence_and_the_next_goes_on(
    network: Path, tmp_path: Path, make_strange: Callable[[Path], None]
) -> None:
    strange = tmp_path / "strange.onnx"
    make_strange(strange)
    with Optimiser() as optimiser:
        with pytest.raises(RuntimeFailureError, match=r"^ONNX Runtime can't load strange\.onnx: "):
            optimiser.optimise(strange, tmp_path / "out.onnx")
        optimiser.optimise(network, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").is_file()


@pytest.mark.slow
def test_a_process_that_dies_or_hangs_is_one_sentence_and_the_next_goes_on(network: Path, tmp_path: Path) -> None:
    with Optimiser() as optimiser:
        os.kill(optimiser._process.pid, signal.SIGKILL)
        optimiser._process.wait()
        with pytest.raises(RuntimeFailureError, match=r"^ONNX Runtime can't optimise network\.onnx: its process ended"):
            optimiser.optimise(network, tmp_path / "out.onnx")
        os.kill(optimiser._process.pid, signal.SIGSTOP)
        with pytest.raises(RuntimeFailureError, match=r"its process did not finish within 1 s\.$"):
            optimiser.optimise(network, tmp_path / "out.onnx", limit_s=1.0)
        optimiser.optimise(network, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").is_file()


@pytest.fixture
def make_strange() -> Callable[[Path], None]:
    """Writes a model with an operator that no runtime has."""

    def write(path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import onnx
            from onnx import TensorProto, helper

            values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
            nodes = [helper.make_node("Mystery", ["x"], ["y"], domain="nowhere")]
            graph = helper.make_graph(nodes, "strange", values[:1], values[1:])
            opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
            onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)

    return write
