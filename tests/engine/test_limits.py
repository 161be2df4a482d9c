"""The machine's peaks: measured for real once, then read from the cache."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steelyard.core.errors import MeasurementError
from steelyard.core.quantity import Quantity
from steelyard.engine.lane import make_protocol
from steelyard.engine.limits import audit_of, limit_from, limit_of, machine_peaks, write_probes
from steelyard.graph.counting import count
from steelyard.graph.probes import integer_product_model, product_model
from steelyard.graph.reading import read_model
from steelyard.measure.layers import RUNTIME as OWN
from steelyard.measure.layers import Layer
from steelyard.measure.process import Subject
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
    found = limit_from(layers, Quantity(1e-4, "s", 0.8e-4, 1.25e-4, 8), PEAKS)
    assert json.loads(json.dumps(found)) == found
    assert found["attainable_s"] == pytest.approx(50e-6)
    assert found["distance"] == pytest.approx(2)
    assert found["time_by_bound"] == {"compute": pytest.approx(0.6), "memory": pytest.approx(0.3), "overhead": 0.1}
    assert found["bound"] == "compute"
    assert found["text"] == (
        "Reaches 50 % of the speed that this machine's peaks allow (50.0 µs against 100 µs); bound by its products."
    )
    used = found["utilisation"]
    assert (used["low"], used["value"], used["high"]) == pytest.approx((31 / 125, 0.31, 31 / 80))


def test_a_model_with_work_that_is_not_known_has_no_limit() -> None:
    layers = (layer("a", 60e-6, Roof(0, 0, 1e-7, 1e-7, False)), layer(OWN, 10e-6, None))
    found = limit_from(layers, Quantity(1e-4, "s"), PEAKS)
    assert (found["bound"], found["attainable_s"], found["utilisation"]) == ("unknown", None, None)


def test_probes_do_the_work_that_they_are_timed_for(tmp_path) -> None:
    for probe in write_probes(tmp_path):
        counts = count(read_model(probe.subject.path))
        if probe.type == "idle":
            assert len(counts.nodes) == probe.work
        else:
            assert counts.macs_by_type == {probe.type: probe.work}


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """Where the peaks of this machine are kept: measured by the first test that needs them."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
def test_peaks_are_measured_once_and_cached(cache, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    found = machine_peaks(RUNTIME, cpu=None, nominal_s=1e-4)
    assert found.macs_per_s["float32"].value > 1e8
    assert found.macs_per_s["int8"].value > 1e8
    assert found.bandwidths[0].rate.value >= found.bandwidths[-1].rate.value > 1e8
    assert len(list((cache / "steelyard").glob("peaks-*.json"))) == 1
    # A second measurement could not give the very same figures.
    assert machine_peaks(RUNTIME, cpu=None, nominal_s=1e-4) == found


@pytest.mark.parametrize(
    "plain",
    [[], {}, {"macs_per_s": []}, {"macs_per_s": 1, "bandwidths": [], "kernel_s": {}, "best": {}}, {"bandwidths": [1]}],
)
def test_peaks_of_a_broken_file_are_an_error_that_leads_to_measuring_anew(plain) -> None:
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        Peaks.from_json(plain)


@pytest.mark.slow
def test_layers_of_a_file_add_up_and_its_limit_is_told(tmp_path, cache, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    subject = Subject("product", product_model(tmp_path / "product.onnx", 64, 64, 64))
    protocol = make_protocol(RUNTIME, batch=64, threads=1, cpu=None)
    latency, rows = Quantity(2e-5, "s", 1.9e-5, 2.1e-5, 8), np.ones((64, 64), np.float32)
    layers, found = limit_of(subject, rows, protocol, latency, Quantity(5e-6, "s"))
    assert sum(row["time_s"]["value"] for row in layers) == pytest.approx(2e-5)
    assert [row["macs"] for row in layers] == [64**3, 0]
    assert json.loads(json.dumps(found)) == found
    assert 0 < found["utilisation"]["low"] < found["utilisation"]["high"]
    assert found["text"].startswith("Reaches ")
    # With more threads the peaks of one say nothing; without a floor the trace tells the runtime's share.
    layers, found = limit_of(subject, rows, replace(protocol, threads=2), latency, None)
    assert found is None
    assert sum(row["time_s"]["value"] for row in layers) == pytest.approx(2e-5)
    assert {row["utilisation"] for row in layers} == {None}


def test_a_file_that_can_not_be_traced_is_a_measurement_error(tmp_path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")
    protocol = make_protocol(RUNTIME, batch=1, threads=1, cpu=None)
    with pytest.raises(MeasurementError, match=r"^[^\n]+broken\.onnx[^\n]+$"):
        limit_of(Subject("broken", path), np.ones((1, 4), np.float32), protocol, Quantity(1e-5, "s"), None)


def test_an_audit_takes_the_rows_of_the_trace(tmp_path) -> None:
    assert audit_of(product_model(tmp_path / "float.onnx", 4, 4, 4)) is None
    path: Path = integer_product_model(tmp_path / "int8.onnx", 4, 4, 4)
    audit = audit_of(path, [{"name": "y", "share": 0.5}])
    assert (audit["integers"], audit["unfused"], audit["lost_share"]) == (1, [], 0)
    assert audit["sentences"] == ["All 1 products run in integers."]
