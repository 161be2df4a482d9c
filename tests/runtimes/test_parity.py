"""How outputs of a file agree with its source's."""

import numpy as np
import pytest

from steelyard.core.errors import WorkerError
from steelyard.runtimes.parity import check_parity, parity_of


def test_equal_outputs_are_in_parity():
    outputs = np.array([[0.0, 3.0], [2.0, 1.0]], dtype=np.float32)
    assert check_parity(outputs, outputs.copy(), decides=True) == {
        "max_abs": 0.0,
        "max_rel": 0.0,
        "agreement": 1.0,
        "flips": 0,
        "n": 2,
    }


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


def test_the_relative_difference_is_of_the_largest_output_and_flips_are_counted():
    wanted = np.array([[4.0, 0.0], [0.0, 2.0], [1.0, 0.0]], dtype=np.float32)
    got = np.array([[4.0, 0.0], [0.0, 2.0], [1.0, 1.5]], dtype=np.float32)
    assert parity_of(wanted, got, decides=True) == {
        "max_abs": 1.5,
        "max_rel": pytest.approx(0.375),
        "agreement": pytest.approx(2 / 3),
        "flips": 1,
        "n": 3,
    }


def test_outputs_that_decide_nothing_agree_on_nothing():
    found = parity_of(np.zeros((4, 1), np.float32), np.zeros((4, 1), np.float32), decides=False)
    assert found == {"max_abs": 0.0, "max_rel": 0.0, "agreement": None, "flips": None, "n": 4}
