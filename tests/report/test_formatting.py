"""Figures read right: units, rounding and intervals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.quantity import Quantity
from steelyard.report import formatting

_SECONDS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_BYTES = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (8.5e-8, "85.0 ns"),
        (1.42e-5, "14.2 µs"),
        (9.996e-4, "1.00 ms"),
        (0.00310, "3.10 ms"),
        (0.9996, "1.00 s"),
        (12, "12.0 s"),
        (119.6, "2 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_seconds_change_their_unit_with_their_size(value: float, text: str) -> None:
    assert formatting.format_seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (812, "812 B"), (999.6, "1.00 kB"), (35_900, "35.9 kB"), (2_790_000, "2.79 MB"), (4e9, "4.00 GB")],
)
def test_bytes_are_decimal(value: float, text: str) -> None:
    assert formatting.format_bytes(value) == text


@given(st.floats(1e-9, 100))
def test_seconds_read_back_are_the_value_to_three_digits(value: float) -> None:
    number, unit = formatting.format_seconds(value).split(" ")
    assert float(number) * _SECONDS[unit] == pytest.approx(value, rel=6e-3)


@given(st.floats(1e3, 1e14))
def test_bytes_read_back_are_the_value_to_three_digits(value: float) -> None:
    number, unit = formatting.format_bytes(value).split(" ")
    assert float(number.replace(",", "")) * _BYTES[unit] == pytest.approx(value, rel=6e-3)


@given(st.floats(-1e300, 1e300))
def test_significant_reads_back(value: float) -> None:
    assert float(formatting.significant(value).replace(",", "")) == pytest.approx(value, rel=6e-3, abs=1e-320)


def test_accuracy_is_a_percentage_and_rmse_is_not() -> None:
    assert formatting.format_quality(0.9722, "accuracy", 180) == "97.2 %"
    assert formatting.format_quality(0.97219, "accuracy", 10_000) == "97.22 %"
    assert formatting.format_quality(54.3219, "rmse") == "54.32"
    assert formatting.format_figure(0.97, "accuracy_test", "1") == "97.0 %"


def test_an_interval_says_its_unit_once() -> None:
    assert formatting.format_interval(Quantity(14.2e-6, "s", 13.9e-6, 15e-6, 10), "latency_p50_s") == (
        "14.2 [13.9, 15.0] µs"
    )


def test_an_interval_over_two_units_says_both() -> None:
    assert formatting.format_interval(Quantity(1.1e-3, "s", 9e-4, 1.2e-3, 10), "latency_p50_s") == (
        "1.10 ms [900 µs, 1.20 ms]"
    )


def test_an_exact_count_has_no_interval() -> None:
    assert formatting.format_interval(Quantity.exact(38_400), "parameters") == "38,400"
    assert formatting.format_interval(Quantity.exact(1_380_000), "macs") == "1.38 M"


def test_a_figure_that_is_not_finite_is_unknown() -> None:
    assert formatting.significant(math.nan) == formatting.UNKNOWN


@given(st.text())
def test_cleaned_text_can_not_steer_a_terminal(text: str) -> None:
    cleaned = formatting.cleaned(text)
    assert "\x1b" not in cleaned
    assert "\u202e" not in cleaned
    assert "\n" not in cleaned
    assert formatting.cleaned(cleaned) == cleaned
