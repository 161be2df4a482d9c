"""Steps on modules, one after the other, each result kept."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.errors import WorkerError
from steelyard.core.port import Port
from steelyard.engine.chain import Chain
from steelyard.engine.clock import Clock
from steelyard.engine.given import GivenModel
from steelyard.graph.identity import float_port, identity_model
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.tasks.dataset import PreparedTask
from steelyard.tasks.given import Given, Material, prepare_given
from steelyard.tasks.metrics import METRICS
from steelyard.training.modules import use_one_thread

NET = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
"""
PORTS = (Port("x", "float32", ("n", 6)),)
CUT = StepSetting("prune", (("keep", 0.5),))
LEARN = StepSetting("distill", (("epochs", 2),))
INT8 = StepSetting("quantize")


@pytest.fixture
def task() -> PreparedTask:
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 6)).astype(np.float32)
    given = Given("net", PORTS, lambda rows: np.zeros((len(rows), 3), np.float32))
    return prepare_given(Material({"x": x, "y": x[:, :3].argmax(axis=1)}, "data"), given, seed=0)


@pytest.fixture
def chain(tmp_path: Path, task: PreparedTask) -> Chain:
    use_one_thread()
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    model = GivenModel("net", None, f"{tmp_path / 'net.py'}:build", None, PORTS)
    return Chain(model, task, registry, METRICS["accuracy"], 0, tmp_path / "fits")


def made(chain: Chain, *steps: StepSetting) -> tuple[Path, dict[str, object], bool]:
    return chain.made(Candidate("net", Scale(), steps), 20.0, Clock(lambda _: None))


@pytest.mark.slow
def test_every_beginning_of_a_chain_is_kept_and_none_is_made_twice(chain: Chain) -> None:
    first, _, trained = made(chain, CUT, LEARN)
    assert trained
    assert sum(each.is_dir() for each in chain.fits.iterdir()) == 3
    before = first.stat().st_mtime_ns
    path, notes, trained = made(chain, CUT, LEARN, CUT)
    assert not trained
    assert first.stat().st_mtime_ns == before
    assert [each["name"] for each in notes["chain"]] == ["prune", "distill", "prune"]  # type: ignore[attr-defined]
    assert path.stat().st_size < first.stat().st_size


@pytest.mark.slow
def test_steps_on_files_are_left_to_others(chain: Chain) -> None:
    assert chain.module_steps((CUT, LEARN, INT8)) == (CUT, LEARN)
    assert made(chain, CUT, INT8)[0] == made(chain, CUT)[0]


@pytest.mark.slow
def test_another_process_goes_on_where_the_first_one_ended(chain: Chain) -> None:
    first, _, _ = made(chain, CUT, LEARN)
    again = Chain(chain.given, chain.task, registry, chain.metric, 0, chain.fits)
    module = again._module((CUT, LEARN))
    rows = next(chain.task.valid.batches(16))
    with torch.no_grad():
        expected = module(torch.from_numpy(rows["x"])).numpy()
    assert np.abs(RUNTIME.load(first).run(rows) - expected).max() < 1e-5


@pytest.mark.slow
def test_a_result_without_its_notes_is_made_anew(chain: Chain) -> None:
    path, _, _ = made(chain, CUT)
    (path.parent / "fit.json").unlink()
    path.write_bytes(b"cut short")
    made(chain, CUT)
    assert json.loads((path.parent / "fit.json").read_text(encoding="utf-8"))["exporter"]
    assert RUNTIME.load(path) is not None


@pytest.mark.slow
def test_the_model_given_is_the_teacher_and_stays_as_it_was(chain: Chain) -> None:
    path, _, _ = made(chain)
    before = path.read_bytes()
    made(chain, CUT, LEARN)
    rows = next(chain.task.valid.batches(16))
    lesson = chain.lesson(1.0)
    with torch.no_grad():
        teacher = lesson.teacher(torch.from_numpy(rows["x"])).numpy()
    assert np.abs(RUNTIME.load(path).run(rows) - teacher).max() < 1e-5
    assert path.read_bytes() == before
    assert lesson.taught is not None
    assert lesson.taught.train.shape == (len(chain.task.train), 3)


def test_an_onnx_file_is_taken_as_it_is(tmp_path: Path, task: PreparedTask) -> None:
    path = identity_model(tmp_path / "net.onnx", (float_port((6,), "x"),))
    model = GivenModel("net", str(path), None, None, PORTS)
    made_path, notes, trained = made(Chain(model, task, registry, METRICS["accuracy"], 0, tmp_path / "fits"), INT8)
    assert made_path.read_bytes() == path.read_bytes()
    assert (notes["exporter"], trained) == ("as given", False)


BRANCHING = """
import torch
from torch import nn

class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other = nn.Linear(6, 3), nn.Linear(6, 3)
    def forward(self, x):
        return self.one(x) if x.sum() > 0 else self.other(x)

def build():
    return Branching()
"""


@pytest.mark.slow
def test_a_forward_pass_that_branches_on_values_is_found_out(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(BRANCHING, encoding="utf-8")
    with pytest.raises(
        WorkerError,
        match=r"the exported file and the module differ on single rows; the forward pass must not branch on values, "
        r"draw at random or mix the rows of a batch \(outputs differ by up to .*\)\.|torch can't export the module",
    ):
        made(chain)
