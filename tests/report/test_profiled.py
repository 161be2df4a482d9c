"""A profile for people: its tables, the sentences on other models, and names that try to write on the terminal."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from steelyard.core.environment import Environment
from steelyard.core.profiling import BatchPoint, Comparison, Profile, RuntimeProfile
from steelyard.core.quantity import Quantity
from steelyard.report.plain import render_comparison
from steelyard.report.profiled import MOST_LAYERS, comparison_sentence, sheet_of
from steelyard.report.terminal import TerminalComparison

HOSTILE = "net\x1b[31m\u202e\nmodel"
ENVIRONMENT = Environment("Example CPU", 2, 8_000_000_000, "Linux 6.1", "3.11.9", {"numpy": "2.4.1"}, ("avx2",))


def layer(number):
    return {
        "name": f"{HOSTILE}/{number}",
        "operator": "MatMul",
        "time_s": {"value": 1e-6 * (number + 1), "unit": "s", "low": None, "high": None},
        "share": 0.02,
        "macs": 1000,
        "bytes": None,
        "utilisation": 0.5,
        "bound": "compute",
    }


def profile(**changes):
    figures = {
        "latency_p50_s": Quantity(4.2e-5, "s", 4.1e-5, 4.3e-5),
        "size_bytes": Quantity.exact(7730, "B"),
        "utilisation": Quantity.exact(0.5),
    }
    parity = {"max_abs": 1e-6, "max_rel": 1e-5, "agreement": None, "flips": None, "n": 32, "source": "torch, eager"}
    point = BatchPoint(8, Quantity(2e-4, "s", 1.9e-4, 2.1e-4), Quantity(40_000.0, "1/s", 39_000.0, 41_000.0))
    given = {
        "model": HOSTILE,
        "inputs": {
            "ports": [{"name": HOSTILE, "type": "float32", "shape": [None, 6]}],
            "origin": "drawn at random",
            "batch": 1,
            "threads": 2,
        },
        "runtimes": {
            "onnxruntime": RuntimeProfile(figures, parity, (point,)),
            "openvino": RuntimeProfile({"latency_p50_s": Quantity(5e-5, "s", 4.9e-5, 5.1e-5)}),
            "litert": RuntimeProfile(error="there is no way"),
        },
        "environment": ENVIRONMENT,
        "layers": [layer(number) for number in range(MOST_LAYERS + 5)],
        "comparisons": (Comparison(HOSTILE, "onnxruntime", error=f"it is {HOSTILE}"),),
        "notices": (f"litert: {HOSTILE}",),
    }
    return Profile(**{**given, **changes})


def test_tables_hold_every_runtime_that_was_measured_and_no_other() -> None:
    figures, batches, parity, layers = sheet_of(profile()).tables
    assert [column.title for column in figures.columns] == ["figure", "onnxruntime", "openvino"]
    assert [[cell.text for cell in row.cells] for row in figures.rows] == [
        ["latency p50", "42.0 [41.0, 43.0] µs", "50.0 [49.0, 51.0] µs"],
        ["file", "7.73 kB", "—"],
        ["utilisation", "50.0 %", "—"],
    ]
    assert [cell.text for cell in batches.rows[0].cells] == ["onnxruntime", "8", "200 µs", "40,000 /s"]
    assert [cell.text for cell in parity.rows[0].cells][1:3] == ["1e-06", "1e-05"]
    assert len(layers.rows) == MOST_LAYERS
    assert layers.rows[0].cells[2].text == "25.0 µs"


def test_tables_without_rows_are_left_out() -> None:
    alone = profile(layers=(), runtimes={"openvino": RuntimeProfile({"size_bytes": Quantity.exact(5, "B")})})
    assert [table.title for table in sheet_of(alone).tables] == ["Figures, with their 95 % intervals"]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (Comparison("b", "openvino", error="it died"), "b on openvino: it died"),
        (
            Comparison("b", "openvino", Quantity(1.0, "")),
            "b on openvino: measured in one process, too few to compare",
        ),
        (
            Comparison("b", "openvino", Quantity(1.01, "", 0.99, 1.03), 0.4),
            "b on openvino: no difference (ratio 1.010 [0.990, 1.030])",
        ),
        (
            Comparison("b", "openvino", Quantity(2.0, "", 1.9, 2.1), 1e-5, is_different=True),
            "b on openvino takes 2.000 [1.900, 2.100] times as long as a",
        ),
        (
            Comparison("b", "openvino", Quantity(0.5, "", 0.4, 0.8), 1e-5, is_different=True),
            "b on openvino is 2.000 [1.250, 2.500] times faster than a",
        ),
        (
            Comparison("b", "openvino", Quantity(20.0, "", 19.0, 21.0), 1e-5, is_different=True),
            "b on openvino takes 20.0 [19.0, 21.0] times as long as a",
        ),
    ],
)
def test_two_models_in_a_sentence(found, sentence) -> None:
    assert comparison_sentence(found, "a") == sentence


@pytest.mark.parametrize("width", [40, 60, 100])
def test_nothing_overflows_and_no_name_writes_on_the_terminal(width) -> None:
    stream = io.StringIO()
    sheet = sheet_of(profile())
    Console(file=stream, width=width, color_system=None, legacy_windows=False).print(TerminalComparison(sheet))
    text = stream.getvalue()
    assert max(cell_len(line) for line in text.splitlines()) <= width
    for shown in (text, render_comparison(sheet)):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
