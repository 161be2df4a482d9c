import numpy as np
import pytest

from steelyard.core.errors import DataError, WorkerError
from steelyard.core.task import Rows
from steelyard.engine.making import Clock, calibration, check_parity


def test_equal_outputs_are_in_parity():
    outputs = np.array([[0.0, 3.0], [2.0, 1.0]], dtype=np.float32)
    assert check_parity(outputs, outputs.copy(), decides=True) == {"max_abs": 0.0, "agreement": 1.0}


def test_a_difference_beyond_the_format_is_refused_with_its_size():
    wanted = np.zeros((4, 2), dtype=np.float32)
    with pytest.raises(WorkerError) as caught:
        check_parity(wanted, wanted + 0.5, decides=False)
    assert caught.value.stage == "parity"
    assert caught.value.message == "parity: outputs differ by up to 0.5 (allowed 0.001) and agree on 100.00%."


def test_flipped_decisions_are_refused_even_where_outputs_are_close():
    wanted = np.array([[0.0, 1e-5]] * 10, dtype=np.float32)
    with pytest.raises(WorkerError, match=r"agree on 0\.00%"):
        check_parity(wanted, wanted[:, ::-1].copy(), decides=True)


def test_another_shape_is_refused():
    with pytest.raises(WorkerError) as caught:
        check_parity(np.zeros((4, 2)), np.zeros((4, 3)), decides=True)
    assert caught.value.message == "parity: expected outputs of shape (4, 2), got (4, 3)."


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "ran out of memory."),
        (RuntimeError("two words\nand more"), "RuntimeError: two words"),
        (KeyError(), "KeyError: no message"),
        (DataError("one sentence."), "one sentence."),
    ],
)
def test_whatever_fails_in_a_stage_is_told_with_it(error, message):
    heard = []
    clock = Clock(heard.append)
    with pytest.raises(WorkerError) as caught, clock.stage("export"):
        raise error
    assert (caught.value.stage, caught.value.message) == ("export", message)
    assert heard == ["export"]
    assert clock.seconds["export"] >= 0


def test_calibration_rows_are_all_rows_once_in_an_order_of_the_seed():
    rows = Rows(np.arange(150, dtype=np.float32)[:, None], np.zeros(150))
    seen = np.concatenate(list(calibration(rows, seed=3)))[:, 0]
    assert sorted(seen) == list(range(150))
    assert not np.array_equal(seen, np.arange(150))
    assert np.array_equal(seen, np.concatenate(list(calibration(rows, seed=3)))[:, 0])
