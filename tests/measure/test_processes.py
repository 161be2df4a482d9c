"""Rounds of real processes with fake models: what is measured, and who is blamed when a process dies."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steelyard.core.errors import InputError, MeasurementError
from steelyard.measure.floor import FLOOR, floor_of, floor_subject, is_at_floor
from steelyard.measure.latency import Narrow, Protocol, measure_latency
from steelyard.measure.memory import Peak, compare, measure_memory
from steelyard.measure.process import ChildError, run_child
from steelyard.measure.resampling import half_width

NOMINAL = 1e-4


def protocol(loader: str, **changes) -> Protocol:
    return Protocol(loader, **{"processes": 2, "warm_s": 0.0, "block_s": 1e-5, **changes})


@pytest.mark.slow
def test_a_round_gives_every_figure_of_every_model(loader, subject, rows) -> None:
    models = [subject("plain"), floor_subject(subject("talk").path)]
    latencies = measure_latency(models, rows, protocol(loader, batch=2), nominal_s=NOMINAL)
    assert latencies.failures == {}
    for key in ("plain", FLOOR):
        figures = latencies.metrics[key]
        assert set(figures) == {"latency_p50_s", "latency_p95_s", "latency_p99_s", "throughput_per_s", "load_s"}
        assert figures["throughput_per_s"].value == pytest.approx(2 / figures["latency_p50_s"].value)
        assert figures["latency_p95_s"].n >= 1000
        assert latencies.notes[key]["processes"] == 2
    assert floor_of(latencies) == latencies.metrics[FLOOR]["latency_p50_s"]
    assert is_at_floor(floor_of(latencies), floor_of(latencies))
    assert latencies.ratio("plain", "plain").quantity.value == 1.0


@pytest.mark.slow
def test_a_round_goes_on_until_its_intervals_are_narrow_or_its_time_is_up(loader, subject, rows) -> None:
    easy = measure_latency([subject("plain")], rows, protocol(loader), nominal_s=NOMINAL, narrow=Narrow(0.99))
    assert easy.notes["plain"]["processes"] <= 4
    hard = measure_latency(
        [subject("plain")], rows, protocol(loader), nominal_s=NOMINAL, narrow=Narrow(1e-9), limit_s=2.0
    )
    assert hard.notes["plain"]["processes"] >= 3
    assert hard.notes["plain"]["half_width"] > 1e-9


@pytest.mark.slow
def test_a_comparison_narrows_the_ratio_to_the_first_model(loader, subject, rows) -> None:
    models = [subject("plain"), subject("talk")]
    found = measure_latency(
        models, rows, protocol(loader), nominal_s=NOMINAL, narrow=Narrow(0.5, ratios=True), limit_s=20.0
    )
    ratio = found.ratio("talk", "plain")
    assert half_width(ratio.quantity) <= 0.5
    assert 0 < ratio.p <= 1


@pytest.mark.slow
def test_a_disturbed_process_is_run_again_and_what_stays_noisy_is_said(loader, subject, rows) -> None:
    # A model that sleeps leaves its processor to others, as one does that others push aside.
    pinned = protocol(loader, cpu=min(os.sched_getaffinity(0)), cap_s=0.2, waits_s=(0.0, 0.1))
    found = measure_latency([subject("slow")], rows, pinned, nominal_s=NOMINAL)
    assert found.noise == (
        "something else ran on the measuring core in 2 of 2 processes, also after 0.1 s of waiting; "
        "the intervals hold it"
    )
    assert found.notes["slow"]["processes"] == 2


@pytest.mark.parametrize("width", [0.0, 1.0, -0.1, float("nan")])
def test_a_width_that_no_round_can_reach_is_refused(width) -> None:
    with pytest.raises(InputError, match=r"^'half_width' must lie between 0 and 1, such as 0\.02, got "):
        Narrow(width)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("refuse", "model 'refuse' could not be measured: ValueError: this file is no model."),
        ("abort", "model 'abort' could not be measured: its process was killed by signal 6."),
        (
            "exit",
            "model 'exit' could not be measured: its process ended with status 7 (something native went wrong).",
        ),
    ],
)
def test_a_model_that_fails_is_named_and_the_others_are_measured(loader, subject, rows, what, message) -> None:
    models = [subject("plain"), subject(what), subject("talk")]
    latencies = measure_latency(models, rows, protocol(loader), nominal_s=NOMINAL)
    assert set(latencies.metrics) == {"plain", "talk"}
    assert {key: error.message for key, error in latencies.failures.items()} == {what: message}
    with pytest.raises(MeasurementError, match=rf"^model '{what}' has no latency in this round\.$"):
        latencies.ratio("plain", what)


@pytest.mark.slow
def test_a_model_that_hangs_is_stopped_and_named(loader, subject, rows) -> None:
    shape = protocol(loader, cap_s=0.1, start_s=0.9, load_s=0.1)
    latencies = measure_latency([subject("hang"), subject("plain")], rows, shape, nominal_s=NOMINAL)
    assert set(latencies.metrics) == {"plain"}
    assert latencies.failures["hang"].message == "model 'hang' did not finish within 1 s and was stopped."


@pytest.mark.slow
def test_a_slow_model_gets_few_calls_and_no_percentile(loader, subject, rows) -> None:
    latencies = measure_latency([subject("slow")], rows, protocol(loader, cap_s=0.3), nominal_s=NOMINAL)
    assert set(latencies.metrics["slow"]) == {"latency_p50_s", "throughput_per_s", "load_s"}


@pytest.mark.slow
def test_a_loader_that_is_missing_blames_no_model(subject, rows) -> None:
    with pytest.raises(MeasurementError, match="module 'no_such_module' of 'no_such_module:load' can't be found"):
        measure_latency([subject("plain")], rows, protocol("no_such_module:load"), nominal_s=NOMINAL)


def test_no_rows_and_no_batch_are_refused(subject) -> None:
    with pytest.raises(InputError, match=r"^'batch' must be at least 1, got 0\.$"):
        Protocol("a:b", batch=0)
    with pytest.raises(InputError, match=r"^'inputs' must hold at least one row to measure with, got none\.$"):
        measure_latency([subject("plain")], np.empty((0, 3)), Protocol("a:b"), nominal_s=NOMINAL)


@pytest.mark.slow
def test_memory_that_stays_and_memory_that_passes_are_told_apart(loader, subject, rows) -> None:
    memory = measure_memory([subject("weigh"), subject("swell"), subject("abort")], rows, protocol(loader))
    assert set(memory.peaks) == {"weigh", "swell"}
    assert set(memory.failures) == {"abort"}
    assert memory.peaks["weigh"]["load"].value == pytest.approx(32e6, rel=0.05)
    assert memory.peaks["weigh"]["run"].value == pytest.approx(32e6, rel=0.05)
    assert memory.peaks["swell"]["load"].value < 1e6
    assert memory.peaks["swell"]["peak"].value == pytest.approx(32e6, rel=0.05)


@pytest.mark.slow
def test_a_library_that_is_imported_late_is_not_charged_to_a_model(loader, subject, rows) -> None:
    with pytest.raises(MeasurementError) as error:
        measure_memory([subject("late")], rows, protocol(loader))
    assert error.value.message == (
        "'imports' must name the modules that fake_models:load imports late: colorsys_of_tests."
    )
    shape = protocol(loader, imports=("colorsys_of_tests",))
    assert set(measure_memory([subject("late")], rows, shape, repeats=1).peaks) == {"late"}


def test_peaks_are_differences_of_means_with_the_range_of_all_differences() -> None:
    peaks = compare([Peak(110, 130), Peak(114, 134)], [Peak(100, 100), Peak(101, 101), Peak(102, 102)])
    assert (peaks["load"].value, peaks["load"].low, peaks["load"].high) == (11.0, 8.0, 14.0)
    assert peaks["peak"] == peaks["run"]
    assert peaks["run"].n == 2


def test_a_model_lighter_than_noise_weighs_nothing() -> None:
    assert compare([Peak(100, 100)], [Peak(101, 101)])["peak"].value == 0.0


def test_the_child_answers_one_json_line_whatever_is_asked(tmp_path) -> None:
    request = {"kind": "yardstick", "threads": 1, "cpu": None, "warm_s": 0.0, "block_s": 1e-5, "blocks": 3}
    answer = subprocess.run(
        [sys.executable, "-P", "-m", "steelyard.measure.child"],
        input=json.dumps({**request, "limit_s": 20}).encode(),
        capture_output=True,
        check=True,
    )
    assert answer.stdout.count(b"\n") == 1
    assert len(json.loads(answer.stdout)["yardstick"]) == 3


def test_an_error_without_a_model_says_so() -> None:
    request = {"kind": "no such kind", "threads": 1, "cpu": None}
    with pytest.raises(ChildError) as error:
        run_child(request, limit_s=20)
    assert error.value.message == "the measuring process failed: KeyError: 'no such kind'."
    assert error.value.key is None


def test_the_measuring_process_imports_no_runtime_and_no_training_library() -> None:
    code = "import sys, steelyard.measure.child; print(*sys.modules)"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert not {"torch", "onnx", "onnxruntime", "scipy", "optuna"} & set(text.split())


@pytest.mark.slow
def test_a_measuring_process_ends_when_its_parent_is_gone(loader, subject, rows, tmp_path) -> None:
    np.save(tmp_path / "rows.npy", rows)
    model = subject("sign")
    code = (
        "from pathlib import Path\n"
        "from steelyard.measure.latency import Protocol, measure_latency\n"
        "from steelyard.measure.process import Subject\n"
        f"measure_latency([Subject('m', Path({str(model.path)!r}))], Path({str(tmp_path / 'rows.npy')!r}), "
        f"Protocol({loader!r}, cap_s=600), nominal_s=1e-4)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    note = Path(f"{model.path}.pid")
    wait_until(lambda: note.exists() and note.read_text(encoding="utf-8") != "")
    parent.kill()
    parent.wait()
    # It would measure for a quarter of an hour.
    wait_until(lambda: is_gone(Path("/proc") / note.read_text(encoding="utf-8")))


def is_gone(process: Path) -> bool:
    try:
        return ") Z " in (process / "stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(is_true: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_true():
            return
        time.sleep(0.05)
    pytest.fail("waited for half a minute")


def seen(model) -> set[str]:
    """How a witness was loaded: threads, OMP_NUM_THREADS, processors, options."""
    return set(Path(f"{model.path}.seen").read_text(encoding="utf-8").splitlines())


@pytest.mark.slow
def test_models_of_other_threads_run_in_a_process_of_their_own(loader, subject, rows) -> None:
    cpu = max(os.sched_getaffinity(0))
    here = len(os.sched_getaffinity(0))
    one, two = subject("witness one"), replace(subject("witness two"), threads=2, options={"arena": False})
    found = measure_latency([one, two], rows, protocol(loader, cpu=cpu), nominal_s=NOMINAL)
    assert found.failures == {}
    assert seen(one) == {"1 1 1 {}"}
    assert seen(two) == {f"2 2 {here} {{'arena': False}}"}
    assert all(found.notes[each.key]["processes"] == 2 for each in (one, two))
    ratio = found.ratio(one.key, two.key).quantity
    assert ratio.low <= ratio.value <= ratio.high


@pytest.mark.slow
def test_a_model_that_dies_is_left_out_whatever_its_threads(loader, subject, rows) -> None:
    models = [subject("plain"), replace(subject("abort"), threads=2)]
    found = measure_latency(models, rows, protocol(loader), nominal_s=NOMINAL)
    assert set(found.failures) == {"abort"}
    assert set(found.metrics) == {"plain"}


@pytest.mark.slow
def test_memory_is_that_of_a_models_own_threads(loader, subject, rows) -> None:
    model = replace(subject("witness memory"), threads=2)
    assert measure_memory([model], rows, protocol(loader, cpu=0), repeats=1).failures == {}
    assert seen(model) == {f"2 2 {len(os.sched_getaffinity(0))} {{}}"}
