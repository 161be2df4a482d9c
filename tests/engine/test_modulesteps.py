import numpy as np
import pytest
import torch

from steelyard.builtin import registry
from steelyard.core.candidate import Scale, StepSetting
from steelyard.core.errors import WorkerError
from steelyard.engine.messages import WEIGHTS
from steelyard.engine.modulesteps import ModuleSteps
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import FakeTask
from steelyard.training.weights import save_state

HALF = StepSetting("sparsify", (("ratio", 0.5),))


def made(task, metric):
    model = registry.get("family", "mlp").build(Scale.of(depth=1, width=8), task, 0)
    return model, ModuleSteps(task, registry, METRICS[metric], 0)


@pytest.mark.parametrize(("task", "metric"), [(FakeTask.image(), "accuracy"), (FakeTask.values(), "rmse")])
def test_steps_go_on_from_the_trained_weights_and_tell_what_they_did(tmp_path, task, metric):
    model, steps = made(task, metric)
    save_state(model, tmp_path / WEIGHTS)
    fresh, _ = made(task, metric)
    with torch.no_grad():
        for each in fresh.parameters():
            each.zero_()
    after, done = steps.applied(fresh, tmp_path, (HALF,), 5.0)
    weights = [each.detach().numpy() for each in after.body.parameters() if each.ndim > 1]
    zeros = sum(int((each == 0).sum()) for each in weights) / sum(each.size for each in weights)
    assert zeros == pytest.approx(0.5, abs=0.01)
    assert all(np.isfinite(each).all() for each in weights)
    assert [each["name"] for each in done] == ["sparsify"]
    assert done[0]["sparsity"] == pytest.approx(zeros, abs=0.01)
    assert done[0]["train_s"] > 0


def test_weights_that_were_not_kept_are_told(tmp_path):
    model, steps = made(FakeTask.image(), "accuracy")
    with pytest.raises(WorkerError) as caught:
        steps.applied(model, tmp_path, (HALF,), 5.0)
    assert (caught.value.stage, caught.value.message) == (
        "compress",
        "the trained weights were not kept, so no step can be applied to them.",
    )
