"""The machine's peaks: measured for real once, then read from the cache."""

import pytest

from steelyard.engine.limit import machine_peaks, write_probes
from steelyard.graph.counting import count
from steelyard.graph.reading import read_model
from steelyard.runtimes.onnxruntime.run import RUNTIME


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
