import numpy as np
import pytest

from steelyard.core.errors import DataError, WorkerError
from steelyard.core.task import Rows
from steelyard.engine.making import Clock, calibration


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
