"""Energy from counters as Linux shows them: read, put right when they wrap, net of idling, absent with a reason."""

from pathlib import Path

import pytest

from steelyard.measure.counters import energy_refusal, package_counters, read_counters, spend
from steelyard.measure.energy import measure_energy
from steelyard.measure.latency import Protocol


def package(root: Path, microjoules: str, name: str = "intel-rapl:0") -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "energy_uj").write_text(microjoules, encoding="ascii")
    (folder / "max_energy_range_uj").write_text("1000000\n", encoding="ascii")
    return folder


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    assert energy_refusal(tmp_path) == "this machine shows no energy counter (RAPL)"


def test_a_counter_that_holds_no_number_is_named(tmp_path: Path) -> None:
    file = package(tmp_path, "none\n") / "energy_uj"
    assert energy_refusal(tmp_path) == f"{file} can't be read: invalid literal for int() with base 10: 'none\\n'"


def test_parts_of_a_package_are_not_counted_twice(tmp_path: Path) -> None:
    whole = package(tmp_path, "5")
    package(tmp_path, "3", "intel-rapl:0:0")
    assert package_counters(tmp_path) == (whole,)
    assert energy_refusal(tmp_path) is None


def test_a_counter_that_wraps_is_put_right(tmp_path: Path) -> None:
    folder = package(tmp_path, "999000")
    counters = read_counters([folder])
    joules, seconds = spend(counters, lambda: (folder / "energy_uj").write_text("1000", encoding="ascii"))
    assert joules == pytest.approx(0.002)
    assert seconds > 0


@pytest.mark.slow
def test_the_energy_of_an_inference_is_what_the_counter_gained_in_it(loader, subject, rows, tmp_path: Path) -> None:
    model = subject("burn")
    package(model.path.parent, "0")
    found = measure_energy(model, rows, Protocol(loader, warm_s=0.0), root=model.path.parent, energy_s=0.2)
    assert found.reason is None
    assert found.quantity.value == pytest.approx(0.003)
    assert found.quantity.unit == "J"
    assert found.quantity.low <= 0.003 <= found.quantity.high


@pytest.mark.slow
def test_energy_that_can_not_be_read_is_absent_with_its_reason(loader, subject, rows, tmp_path: Path) -> None:
    found = measure_energy(subject("plain"), rows, Protocol(loader), root=tmp_path / "nowhere")
    assert found.quantity is None
    assert found.reason == "this machine shows no energy counter (RAPL)"
