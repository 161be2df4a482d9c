"""The table of layers: it adds up to the latency, whatever the profiler did to the times."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.quantity import Quantity
from steelyard.measure.layers import RUNTIME, layers_of, roof_of_model, work_of
from steelyard.measure.roofline import Bandwidth, Peaks, Work
from steelyard.measure.tracing import Kernel, Trace

PEAKS = Peaks(
    macs_per_s={"float32": Quantity(1e11, "1/s"), "int8": Quantity(1e12, "1/s")},
    bandwidths=(Bandwidth(1000, Quantity(1e11, "1/s")),),
    kernel_s=Quantity(2e-7, "s"),
    best={},
)


def kernel(name: str, *seconds: float, macs: int | None = 1000) -> Kernel:
    return Kernel(name, "Conv", "float32", macs, 100, 200, 300, (), (), seconds)


def trace(*kernels: Kernel, plain_s: float, idle_s: float = 2e-7, idle_traced_s: float = 16e-7) -> Trace:
    processes = len(kernels[0].seconds)
    return Trace(
        kernels, (plain_s,) * processes, (0.0,) * processes, 1, (idle_s,) * processes, (idle_traced_s,) * processes
    )


times = st.lists(st.floats(1e-6, 1e-2), min_size=1, max_size=12)


@given(seconds=times, plain_s=st.floats(1e-5, 1e-1), latency=st.floats(1e-5, 1e-1), floor=st.floats(1e-6, 1e-3))
@settings(max_examples=60, deadline=None)
def test_layers_and_the_runtime_add_up_to_the_latency(seconds, plain_s, latency, floor) -> None:
    found = trace(*(kernel(str(index), each, each * 1.1) for index, each in enumerate(seconds)), plain_s=plain_s)
    layers = layers_of(found, Quantity(latency, "s", latency * 0.99, latency * 1.01), Quantity(floor, "s"))
    assert sum(layer.time.value for layer in layers) == pytest.approx(latency)
    assert sum(layer.share for layer in layers) == pytest.approx(1)
    assert all(layer.time.value >= 0 and layer.time.low <= layer.time.value <= layer.time.high for layer in layers[:-1])
    assert layers[-1].name == RUNTIME


def test_what_the_profiler_adds_to_an_idle_kernel_is_taken_off_every_kernel() -> None:
    # 101.4 and 11.4 µs were traced, of which 1.4 µs are the profiler's.
    found = trace(kernel("a", 101.4e-6), kernel("b", 11.4e-6), plain_s=115e-6)
    assert found.kernel_seconds(0) == pytest.approx([100e-6, 10e-6])
    assert found.covered == pytest.approx(110 / 115)
    layers = layers_of(found, Quantity(115e-6, "s"), Quantity(5e-6, "s"))
    assert [layer.time.value for layer in layers] == pytest.approx([100e-6, 10e-6, 5e-6])


def test_times_follow_the_speed_of_the_machine_and_not_that_of_the_trace() -> None:
    found = trace(kernel("a", 201.4e-6), kernel("b", 21.4e-6), plain_s=225e-6)
    layers = layers_of(found, Quantity(112.5e-6, "s"), Quantity(2.5e-6, "s"))
    assert [layer.time.value for layer in layers] == pytest.approx([100e-6, 10e-6, 2.5e-6])


def test_a_model_at_the_floor_is_all_runtime() -> None:
    layers = layers_of(trace(kernel("a", 3e-6), plain_s=6e-6), Quantity(6e-6, "s"), Quantity(7e-6, "s"))
    assert [layer.share for layer in layers] == [0, 1]
    assert layers[0].macs_per_s is None
    assert layers[0].utilisation is None


def test_a_row_says_its_work_its_rate_and_its_bound() -> None:
    found = trace(kernel("a", 101.4e-6, macs=10**6), plain_s=105e-6)
    first, own = layers_of(found, Quantity(105e-6, "s"), Quantity(5e-6, "s"), PEAKS)
    plain = json.loads(json.dumps(first.to_json()))
    assert plain["macs_per_s"] == pytest.approx(1e10)
    assert plain["bytes_per_s"] == pytest.approx(600 / 100e-6)
    assert plain["attainable_s"] == pytest.approx(1e-5)
    assert (plain["bound"], plain["utilisation"]) == ("compute", pytest.approx(0.1))
    assert (own.bound, own.utilisation, own.macs) == ("overhead", None, 0)
    assert roof_of_model((first, own)) == first.roof
    assert roof_of_model((own,)) is None


def test_work_that_the_table_does_not_know_stays_unknown() -> None:
    unknown = Kernel("a", "Secret", "", None, None, None, None, (), (), (1e-5,))
    assert work_of(unknown) == Work(None, "", None, None)
    layer = layers_of(trace(unknown, plain_s=2e-5), Quantity(2e-5, "s"), Quantity(5e-6, "s"), PEAKS)[0]
    assert (layer.bound, layer.utilisation, layer.to_json()["attainable_s"]) == ("unknown", None, None)
