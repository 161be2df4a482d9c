"""Shared weights in a worker: which scales share, what exploring finds, where a candidate starts."""

import json

import numpy as np
import pytest

from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale
from steelyard.core.errors import WorkerError
from steelyard.core.explored import Explored
from steelyard.engine.clock import Clock
from steelyard.engine.elastic import SharedWeights, sharing_scales, smoothed
from steelyard.engine.messages import Assignment, Exploration
from steelyard.families.own import Own
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import FakeTask
from steelyard.training.recipe import Recipe

TASK = FakeTask.image()
SPACE = FamilySpace("cnn", (Knob("depth", (1, 2)), Knob("width", (2, 4)), Knob("resolution", (4, 8))))


def service(folder, space=SPACE, family=None, task=TASK) -> SharedWeights:
    families = {space.family: family or registry.get("family", space.family)}
    metric = METRICS["accuracy" if task.metric == "accuracy" else "rmse"]
    return SharedWeights(task, families, Recipe(epochs=6), metric, metric, 0, folder, registry)


def asked(space=SPACE, *, forced: bool = True, left_s: float = 600.0) -> Exploration:
    return Exploration(space, "onnxruntime", 60.0, left_s, space.size, forced=forced)


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    elastic = service(tmp_path_factory.mktemp("fits"))
    return elastic, elastic.explore(asked(), Clock(lambda _: None))


def test_every_scale_is_judged_and_looked_at(explored):
    _, made = explored
    found = [Explored.from_json(each) for each in made.notes["explored"]]
    assert {each.candidate.scale for each in found} == set(SPACE.scales())
    assert all(0 <= each.quality <= 1 and each.latency_s > 0 and each.size_bytes > 0 for each in found)
    assert made.notes["files"]["cut"] == len(found)
    assert made.notes["files"]["exported"] == 0
    assert made.notes["files"]["knobs"] == ["width"]


def test_the_trained_weights_are_better_than_a_guess(explored):
    _, made = explored
    best = max(each["quality"] for each in made.notes["explored"])
    assert best > 0.6


def test_exploring_again_gives_what_was_found(explored):
    elastic, made = explored
    again = service(elastic.fits).explore(asked(), Clock(lambda _: None))
    assert json.dumps(again.notes) == json.dumps(made.notes)


def test_a_candidate_starts_from_its_slice_in_any_process(explored):
    elastic, _ = explored
    candidate = Candidate("cnn", Scale.of(depth=2, width=2, resolution=8))
    other = service(elastic.fits)
    assert other.has(candidate)
    assert not other.has(Candidate("cnn", Scale.of(depth=3, width=2, resolution=8)))
    assert not other.has(Candidate("mlp", Scale.of(depth=1, width=4)))
    model, done = other.tuned(candidate, 60.0)
    assert done.after.loss <= done.before.loss
    assert model.body[0].weight.shape[0] == 2


def test_what_is_cheap_to_train_alone_is_not_shared(tmp_path):
    with pytest.raises(
        WorkerError, match=r"^its 8 scales can be trained alone in about \d+ s, cheaper than to share\.$"
    ):
        service(tmp_path).explore(asked(forced=False), Clock(lambda _: None))


def test_what_is_costly_to_train_alone_is_shared(tmp_path):
    made = service(tmp_path).explore(asked(forced=False, left_s=1e-3), Clock(lambda _: None))
    assert made.notes["explored"]


def found(width: int, quality: float) -> Explored:
    return Explored(Candidate("mlp", Scale.of(width=width)), quality, 100, 1e-5, 1000)


def test_what_is_found_of_a_scale_counts_for_its_neighbours():
    space = FamilySpace("mlp", (Knob("width", tuple(range(1, 25))),))
    truth = np.linspace(0.5, 0.9, 24)
    noisy = truth + np.random.default_rng(0).normal(0, 0.05, 24)
    rows = [found(width, quality) for width, quality in zip(range(1, 25), noisy, strict=True)]
    told = np.array([each.quality for each in smoothed(space, rows)])
    assert np.abs(told - truth).mean() < 0.7 * np.abs(noisy - truth).mean()
    assert noisy.min() <= told.min() <= told.max() <= noisy.max()
    assert [each.candidate for each in smoothed(space, rows)] == [each.candidate for each in rows]


def test_few_scales_are_told_as_they_are_found():
    space = FamilySpace("mlp", (Knob("width", tuple(range(1, 25))),))
    rows = [found(1, 0.5), found(2, 0.9), found(3, 0.4)]
    assert smoothed(space, rows) == rows


def test_a_model_that_decides_by_values_can_share_nothing(tmp_path):
    import torch
    from torch import nn

    class Choosing(nn.Module):
        def __init__(self, inputs: int, outputs: int, width: int) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(inputs, width), nn.Linear(width, outputs)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.one(x.flatten(1))
            return self.two(x if x.sum() > 0 else -x)

    space = FamilySpace("own", (Knob("width", (2, 3, 4)),))
    family = Own("own", Choosing)
    with pytest.raises(WorkerError, match=r"^the module can't be traced: .* write the choice with torch\.where\.$"):
        service(tmp_path, space, family).explore(asked(space), Clock(lambda _: None))


def test_small_spaces_share_whole_and_large_ones_by_ends_edges_and_a_sample():
    scales = sharing_scales(SPACE, 0)
    assert (scales[0], scales[-1]) == (SPACE.largest, SPACE.smallest)
    assert set(scales) == set(SPACE.scales())
    large = FamilySpace("own", tuple(Knob(f"knob{number}", tuple(range(1, 12))) for number in range(4)))
    some = sharing_scales(large, 0)
    assert (some[0], some[-1], len(some), len(set(some))) == (large.largest, large.smallest, 512, 512)
    assert some == sharing_scales(large, 0)
    assert some != sharing_scales(large, 1)


def test_messages_survive_the_wire():
    exploration = asked(forced=True)
    assert Exploration.from_json(json.loads(json.dumps(exploration.to_json()))) == exploration
    assert "explore" not in Assignment(Candidate("cnn", SPACE.largest), 1.0).to_json()


def test_values_are_learned_too(tmp_path):
    task = FakeTask.values()
    space = FamilySpace("mlp", (Knob("depth", (1, 2)), Knob("width", (4, 8, 16))))
    made = service(tmp_path, space, task=task).explore(asked(space), Clock(lambda _: None))
    assert min(each["quality"] for each in made.notes["explored"]) < float(np.std(task.valid.y))
