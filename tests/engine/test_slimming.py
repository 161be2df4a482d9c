"""Shared weights of a given model: trained and explored once, the start of what is confirmed."""

from pathlib import Path

import numpy as np
import pytest

from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, FamilySpace, Scale
from steelyard.core.errors import WorkerError
from steelyard.core.explored import Explored
from steelyard.core.port import Port
from steelyard.engine.chain import Chain
from steelyard.engine.clock import Clock
from steelyard.engine.given import GivenModel
from steelyard.engine.messages import Exploration
from steelyard.engine.slimming import SharedStructures
from steelyard.steps.prune import sizes_of
from steelyard.tasks.given import Given, Material, prepare_given
from steelyard.tasks.metrics import METRICS
from steelyard.training.modules import use_one_thread

PORTS = (Port("x", "float32", ("n", 6)),)
NETS = """
import torch
from torch import nn

def deep():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))

def flat():
    return nn.Linear(6, 3)
"""
ASKED = Exploration(FamilySpace("net"), "onnxruntime", 2.0, 60.0, most=9, max_drop=0.5)


def chain_of(tmp_path: Path, function: str) -> Chain:
    use_one_thread()
    (tmp_path / "net.py").write_text(NETS, encoding="utf-8")
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 6)).astype(np.float32)
    given = Given("net", PORTS, lambda rows: np.zeros((len(rows), 3), np.float32))
    task = prepare_given(Material({"x": x, "y": x[:, :3].argmax(axis=1)}, "data"), given, seed=0)
    model = GivenModel("net", None, f"{tmp_path / 'net.py'}:{function}", None, PORTS)
    return Chain(model, task, registry, METRICS["accuracy"], 0, tmp_path / "fits")


def shared(chain: Chain) -> SharedStructures:
    structures = SharedStructures(chain)
    chain.sliced = structures.sliced
    return structures


@pytest.mark.slow
def test_structures_are_explored_once_and_a_confirmed_one_starts_from_its_slice(tmp_path: Path) -> None:
    chain = chain_of(tmp_path, "deep")
    made = shared(chain).explore(ASKED, Clock(lambda _: None))
    found = [Explored.from_json(each) for each in made.notes["explored"]]
    assert made.notes["files"] == {"cut": len(found), "exported": 0, "knobs": [], "refused": None}
    sizes = [sizes_of(str(dict(each.candidate.steps[0].settings)["sizes"])) for each in found]
    assert len(set(sizes)) == len(sizes)
    again = shared(chain).explore(ASKED, Clock(lambda _: pytest.fail("explored twice")))
    assert again.notes == made.notes
    cut = Candidate("net", Scale(), found[0].candidate.steps[:1])
    _, notes, trained = chain.made(cut, 5.0, Clock(lambda _: None))
    report = notes["chain"][0]
    assert (report["start"], trained) == ("shared weights", False)
    assert [after for _, after in report["groups"].values()] == list(sizes[0])
    other = chain_of(tmp_path, "deep")
    one, two = (each.state_dict() for each in (shared(other).sliced(sizes[0])[0], chain._module(cut.steps)))
    assert all(np.array_equal(one[name].numpy(), two[name].numpy()) for name in two)


@pytest.mark.slow
def test_without_shared_weights_a_structure_is_cut_from_the_model_given(tmp_path: Path) -> None:
    chain = chain_of(tmp_path, "deep")
    assert shared(chain).sliced((16, 8)) is None


@pytest.mark.slow
def test_a_model_without_groups_says_so(tmp_path: Path) -> None:
    chain = chain_of(tmp_path, "flat")
    with pytest.raises(WorkerError, match=r"^the model has no groups of channels that can go\.$"):
        shared(chain).explore(ASKED, Clock(lambda _: None))
