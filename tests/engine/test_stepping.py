import numpy as np

from steelyard.builtin import registry
from steelyard.core.candidate import StepSetting
from steelyard.core.task import Rows
from steelyard.engine.stepping import calibration, leading, step_of

SPARSE, INT8 = StepSetting("sparsify", (("ratio", 0.5),)), StepSetting("quantize")


def test_calibration_rows_are_all_rows_once_in_an_order_of_the_seed():
    rows = Rows(np.arange(150, dtype=np.float32)[:, None], np.zeros(150))
    seen = np.concatenate(list(calibration(rows, seed=3)))[:, 0]
    assert sorted(seen) == list(range(150))
    assert not np.array_equal(seen, np.arange(150))
    assert np.array_equal(seen, np.concatenate(list(calibration(rows, seed=3)))[:, 0])


def test_steps_on_modules_come_first():
    assert leading((SPARSE, StepSetting("share"), INT8), registry) == (SPARSE, StepSetting("share"))
    assert leading((INT8, SPARSE), registry) == ()
    assert leading((SPARSE,), registry) == (SPARSE,)


def test_a_step_has_the_settings_asked_for():
    assert step_of(registry, "module_step", SPARSE).ratio == 0.5
    assert step_of(registry, "step", INT8) is registry.get("step", "quantize")
