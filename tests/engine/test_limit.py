"""The machine's peaks: measured for real once, then read from the cache."""

import json

import pytest

from steelyard.core.quantity import Quantity
from steelyard.engine.limit import limit_of, machine_peaks, write_probes
from steelyard.graph.counting import count
from steelyard.graph.reading import read_model
from steelyard.measure.layers import RUNTIME as OWN
from steelyard.measure.layers import Layer
from steelyard.measure.roofline import Bandwidth, Peaks, Roof
from steelyard.runtimes.onnxruntime.run import RUNTIME

PEAKS = Peaks({"float32": Quantity(1e11, "1/s")}, (Bandwidth(10, Quantity(1e10, "1/s")),), Quantity(1e-7, "s"), {})


def layer(name: str, seconds: float, roof: Roof | None) -> Layer:
    return Layer(name, "Conv", "float32", Quantity(seconds, "s"), seconds / 1e-4, 1, 1, roof)


def test_the_limit_says_how_far_and_bound_by_what() -> None:
    layers = (
        layer("a", 60e-6, Roof(30e-6, 1e-6, 1e-7, 30e-6, True)),
        layer("b", 30e-6, Roof(1e-6, 10e-6, 1e-7, 10e-6, True)),
        layer(OWN, 10e-6, None),
    )
    found = limit_of(layers, Quantity(1e-4, "s", 0.8e-4, 1.25e-4, 8), PEAKS)
    assert json.loads(json.dumps(found)) == found
    assert found["attainable_s"] == pytest.approx(50e-6)
    assert found["distance"] == pytest.approx(2)
    assert found["time_by_bound"] == {"compute": pytest.approx(0.6), "memory": pytest.approx(0.3), "overhead": 0.1}
    assert found["bound"] == "compute"
    used = found["utilisation"]
    assert (used["low"], used["value"], used["high"]) == pytest.approx((31 / 125, 0.31, 31 / 80))


def test_a_model_with_work_that_is_not_known_has_no_limit() -> None:
    layers = (layer("a", 60e-6, Roof(0, 0, 1e-7, 1e-7, False)), layer(OWN, 10e-6, None))
    found = limit_of(layers, Quantity(1e-4, "s"), PEAKS)
    assert (found["bound"], found["attainable_s"], found["utilisation"]) == ("unknown", None, None)


def test_probes_do_the_work_that_they_are_timed_for(tmp_path) -> None:
    for probe in write_probes(tmp_path):
        counts = count(read_model(probe.subject.path))
        if probe.type == "idle":
            assert len(counts.nodes) == probe.work
        else:
            assert counts.macs_by_type == {probe.type: probe.work}


@pytest.mark.slow
def test_peaks_are_measured_once_and_cached(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = machine_peaks(RUNTIME, cpu=None, nominal_s=1e-4)
    assert found.macs_per_s["float32"].value > 1e8
    assert found.macs_per_s["int8"].value > 1e8
    assert found.bandwidths[0].rate.value >= found.bandwidths[-1].rate.value > 1e8
    assert len(list((tmp_path / "steelyard").glob("peaks-*.json"))) == 1
    # A second measurement could not give the very same figures.
    assert machine_peaks(RUNTIME, cpu=None, nominal_s=1e-4) == found
