"""Peaks of the machine: what is made of the probes' times, and one real measurement."""

import pytest

from steelyard.measure.peaks import Probe, _peaks
from steelyard.measure.process import Subject


def probe(key: str, kind: str, work: int) -> Probe:
    return Probe(Subject(key, None), kind, work, (1,), "float32")  # type: ignore[arg-type]


def answer(factor: float = 1.0, **seconds: float) -> dict:
    numpy = {"numpy 256": 1.0, "numpy 512": 1.0, "numpy 1024": 1.0}
    bandwidth = [[1000, 5e10], [2000, 8e10], [4000, 1e10]]
    return {"seconds": {**numpy, **seconds}, "bandwidth": bandwidth, "factor": factor}


PROBES = [probe("a", "float32", 10**10), probe("b", "float32", 10**10), probe("c", "int8", 10**10)]
CHAINS = [probe("short", "idle", 1), probe("long", "idle", 65)]


def test_the_best_probe_of_the_best_process_is_the_peak() -> None:
    times = {"short": 1e-6, "long": 7.4e-6}
    first = answer(a=0.2, b=0.1, c=0.01, **times)
    second = answer(a=0.2, b=0.2, c=0.02, **times)
    found = _peaks([*PROBES, *CHAINS], [first, second])
    rate = found.macs_per_s["float32"]
    assert found.best == {"float32": "b", "int8": "c"}
    assert (rate.low, rate.value, rate.high, rate.n) == (5e10, 1e11, 1e11, 2)
    assert found.kernel_s.value == pytest.approx(1e-7)


def test_a_smaller_working_set_is_no_slower_than_a_larger_one() -> None:
    found = _peaks([*PROBES, *CHAINS], [answer(a=1, b=1, c=1, short=0, long=1)])
    assert [each.working_set_bytes for each in found.bandwidths] == [1000, 2000, 4000]
    assert [each.rate.value for each in found.bandwidths] == [8e10, 8e10, 1e10]


def test_peaks_are_those_at_the_nominal_speed() -> None:
    found = _peaks([*PROBES, *CHAINS], [answer(0.5, a=0.2, b=0.2, c=0.2, short=0, long=64e-6)])
    assert found.macs_per_s["int8"].value == pytest.approx(1e11)
    assert found.bandwidths[-1].rate.value == pytest.approx(2e10)
    assert found.kernel_s.value == pytest.approx(5e-7)
