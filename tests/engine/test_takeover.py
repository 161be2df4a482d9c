import json

import numpy as np
import pytest

from steelyard.core.candidate import Scale
from steelyard.core.wire import dumps, file_sha256
from steelyard.engine.messages import EARLIER_NOTES, EARLIER_WEIGHTS, WEIGHTS
from steelyard.engine.takeover import earlier_fit, keep_weights
from steelyard.families.mlp import MLP
from steelyard.testing.fakes import FakeTask
from steelyard.training.modules import module_outputs

TASK = FakeTask.table()
NOTES = {
    "train_s": 2.5,
    "learning_rate": 0.01,
    "stopped": "no improvement",
    "curve": {"epoch": [1.0]},
    "cures": ["was cured"],
    "stable_rate": None,
    "exporter": "torchscript",
    "parity": {"max_abs": 0.0},
}


def built(seed, width=4):
    return MLP.build(Scale.of(depth=1, width=width), TASK, seed)


def outputs(model):
    return module_outputs(model, next(TASK.valid.batches(8)))


def keep(model, folder, notes=NOTES):
    told = keep_weights(model, folder)
    (folder / WEIGHTS).rename(folder / EARLIER_WEIGHTS)
    (folder / EARLIER_NOTES).write_text(dumps(notes), encoding="utf-8")
    return told


def test_a_model_takes_over_weights_and_what_is_known_of_their_training(tmp_path):
    first, second = built(0), built(1)
    assert not np.array_equal(outputs(first), outputs(second))
    assert keep(first, tmp_path) == {"weights": file_sha256(tmp_path / EARLIER_WEIGHTS)}
    fit = earlier_fit(second, tmp_path)
    assert (fit.train_s, fit.stopped, fit.notes, fit.curve) == (2.5, "no improvement", ["was cured"], {"epoch": [1.0]})
    assert np.array_equal(outputs(first), outputs(second))


def test_without_an_earlier_training_there_is_nothing_to_take_over(tmp_path):
    assert earlier_fit(built(0), tmp_path) is None


@pytest.mark.parametrize("notes", [{}, [], {"train_s": 1.0}, "text"])
def test_notes_that_are_none_are_passed_over(tmp_path, notes):
    keep(built(0), tmp_path, notes)
    assert earlier_fit(built(1), tmp_path) is None


def test_weights_of_another_scale_leave_the_model_as_it_was(tmp_path):
    keep(built(0, width=2), tmp_path)
    model = built(1)
    before = outputs(model)
    assert earlier_fit(model, tmp_path) is None
    assert np.array_equal(outputs(model), before)


def test_damaged_weights_are_passed_over(tmp_path):
    keep(built(0), tmp_path)
    (tmp_path / EARLIER_WEIGHTS).write_bytes(b"cut short")
    assert earlier_fit(built(1), tmp_path) is None
    (tmp_path / EARLIER_NOTES).write_text(json.dumps(NOTES)[:10], encoding="utf-8")
    assert earlier_fit(built(1), tmp_path) is None


def test_a_state_that_is_no_tensors_is_not_kept(tmp_path):
    class Odd:
        def state_dict(self):
            return {"a": object()}

    assert keep_weights(Odd(), tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
