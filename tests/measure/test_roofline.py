"""The roofline: arithmetic against figures worked out by hand."""

import json

import pytest

from steelyard.core.quantity import Quantity
from steelyard.measure.roofline import Bandwidth, Peaks, Work, roof_of, roof_over

PEAKS = Peaks(
    macs_per_s={"float32": Quantity(1e11, "1/s"), "int8": Quantity(1e12, "1/s")},
    bandwidths=(Bandwidth(1000, Quantity(1e11, "1/s")), Bandwidth(100_000, Quantity(1e10, "1/s"))),
    kernel_s=Quantity(2e-7, "s"),
    best={"float32": "a", "int8": "b"},
)


def test_products_bind_where_they_take_longest() -> None:
    roof = roof_of(Work(10**7, "float32", 400, 400), PEAKS, stored_bytes=500)
    assert roof.compute_s == pytest.approx(1e-4)
    assert roof.attainable_s == roof.compute_s
    assert roof.bound == "compute"
    assert roof.utilisation(2e-4) == pytest.approx(0.5)


def test_weights_stream_from_the_level_of_the_model_and_activations_from_that_of_the_kernel() -> None:
    roof = roof_of(Work(0, "float32", 50_000, 1000), PEAKS, stored_bytes=90_000)
    assert roof.memory_s == pytest.approx(50_000 / 1e10 + 1000 / 1e11)
    assert roof.bound == "memory"


def test_a_kernel_that_does_next_to_nothing_is_bound_by_its_call() -> None:
    roof = roof_of(Work(10, "int8", 10, 10), PEAKS, stored_bytes=10)
    assert roof.bound == "overhead"
    assert roof.attainable_s == 2e-7


@pytest.mark.parametrize(("kind", "seconds"), [("int8", 1e-5), ("uint8", 1e-5), ("float32", 1e-4), ("float16", 1e-4)])
def test_products_are_held_against_the_peak_of_their_type(kind, seconds) -> None:
    assert roof_of(Work(10**7, kind, 0, 0), PEAKS, stored_bytes=0).compute_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    "work", [Work(None, "float32", 1, 1), Work(1, "float32", None, 1), Work(1, "float32", 1, None)]
)
def test_what_is_not_known_gives_no_utilisation(work) -> None:
    roof = roof_of(work, PEAKS, stored_bytes=1)
    assert roof.bound == "unknown"
    assert roof.utilisation(1.0) is None


def test_a_model_is_bound_by_what_its_kernels_spend_most_on() -> None:
    big = roof_of(Work(10**7, "float32", 0, 0), PEAKS, stored_bytes=0)
    small = roof_of(Work(0, "float32", 0, 10), PEAKS, stored_bytes=0)
    whole = roof_over([big, small, small])
    assert whole.attainable_s == pytest.approx(1e-4 + 2 * 2e-7)
    assert whole.bound == "compute"
    assert not roof_over([big, roof_of(Work(None, "", 0, 0), PEAKS, stored_bytes=0)]).is_complete


def test_a_working_set_beyond_all_that_were_measured_has_the_slowest_bandwidth() -> None:
    assert [PEAKS.bandwidth(size) for size in (1, 1000, 1001, 10**12)] == [1e11, 1e11, 1e10, 1e10]


def test_peaks_survive_their_wire_form() -> None:
    assert Peaks.from_json(json.loads(json.dumps(PEAKS.to_json()))) == PEAKS
