"""Figures for people: seconds, bytes, counts and qualities as short text with their unit.

Values everywhere else are in SI units; milliseconds and megabytes (10^6 bytes) exist only here.
"""

import math
import unicodedata

from steelyard.core.quantity import Quantity

UNKNOWN = "—"
"""What stands where a figure is not known."""

PERCENT_METRICS = frozenset({"accuracy", "agreement", "precision", "recall", "f1", "top_5"})
"""Metrics that people read as percentages; every other one is shown as the number it is."""

_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_COUNTS = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


def cleaned(text: str) -> str:
    """One line of text without control and direction characters, which could rewrite a terminal or hide a name."""
    kept = (" " if character in "\n\r\t" else character for character in text)
    return "".join(character for character in kept if unicodedata.category(character) not in ("Cc", "Cf", "Cs"))


def significant(value: float, digits: int = 3) -> str:
    """A number with `digits` significant digits, thousands separated, trailing zeros kept, no exponent near 1."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else UNKNOWN
    rounded = f"{value:.{digits - 1}e}"
    magnitude = int(rounded.partition("e")[2])
    if not -5 <= magnitude < 15:
        return rounded
    return f"{value:,.{max(digits - 1 - magnitude, 0)}f}"


def format_seconds(value: float) -> str:
    """A duration: `850 ns`, `14.2 µs`, `3.10 ms`, `12.0 s`, `3 min 20 s`, `2 h 05 min`."""
    if value == 0:
        return "0 s"
    for limit, factor, unit in ((9.995e-7, 1e9, "ns"), (9.995e-4, 1e6, "µs"), (0.9995, 1e3, "ms"), (119.5, 1, "s")):
        if abs(value) < limit:
            return f"{significant(value * factor)} {unit}"
    minutes, rest = divmod(round(value), 60)
    if minutes < 120:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min"


def format_bytes(value: float) -> str:
    """A size in decimal units: `812 B`, `35.9 kB`, `2.79 MB` (MB = 10^6 bytes)."""
    for factor, unit in _SIZES:
        if abs(value) >= factor * 0.9995:
            return f"{significant(value / factor)} {unit}"
    return f"{value:,.0f} B"


def format_count(value: float) -> str:
    """A count: every digit below a million, `1.23 M` above."""
    for factor, unit in _COUNTS:
        if abs(value) >= factor:
            return f"{significant(value / factor)} {unit}"
    return f"{value:,.0f}" if float(value).is_integer() else significant(value)


def format_energy(value: float) -> str:
    """An energy: `3.10 mJ`, `12.0 J`."""
    for limit, factor, unit in ((9.995e-4, 1e6, "µJ"), (0.9995, 1e3, "mJ")):
        if abs(value) < limit:
            return f"{significant(value * factor)} {unit}"
    return f"{significant(value)} J"


def format_quality(value: float, metric: str, n: int | None = None) -> str:
    """A quality: a percentage where people read the metric as one, else four significant digits.

    Below 2,000 rows one decimal of a percentage is shown: a single row is worth more than the next.
    """
    if metric in PERCENT_METRICS:
        return f"{100 * value:.{2 if n is not None and n >= 2000 else 1}f} %"
    return significant(value, 4)


def format_figure(value: float, name: str, unit: str) -> str:
    """A figure by the name and unit of the JSON contract."""
    if unit == "s":
        return format_seconds(value)
    if unit == "B":
        return format_bytes(value)
    if unit == "J":
        return format_energy(value)
    if unit == "1/s":
        return f"{significant(value)} /s"
    return format_count(value) if name in ("parameters", "macs") else format_quality(value, quality_name(name))


def quality_name(name: str) -> str:
    """The metric behind `NAME_test`, `NAME_train`, `NAME_seed_mean` and `NAME_seed_sd`."""
    return name.removesuffix("_test").removesuffix("_train").removesuffix("_seed_mean").removesuffix("_seed_sd")


def format_interval(quantity: Quantity, name: str) -> str:
    """The figure with its 95 % interval in brackets: `97.2 % [95.9 %, 98.3 %]`; alone where there is none."""
    text = format_figure(quantity.value, name, quantity.unit)
    if quantity.low is None or quantity.high is None or quantity.low == quantity.high:
        return text
    low = format_figure(quantity.low, name, quantity.unit)
    high = format_figure(quantity.high, name, quantity.unit)
    # The unit is said once where both ends share it.
    low_number, _, low_unit = low.partition(" ")
    number, _, unit = text.partition(" ")
    if unit and low_unit == unit == high.partition(" ")[2]:
        return f"{number} [{low_number}, {high.partition(' ')[0]}] {unit}"
    return f"{text} [{low}, {high}]"


def format_share(value: float) -> str:
    """A share as it was asked for, without noise digits: `0.02`, `0.0143`."""
    return f"{value:.3g}"


def format_confidence(value: float) -> str:
    """A confidence level: `95 %`."""
    return f"{100 * value:.6g} %"


def format_times(ratio: float) -> str:
    """A ratio for `… times smaller`: two decimals near one, one below a hundred, whole above."""
    if abs(ratio - 1) < 0.1:
        return f"{ratio:.2f}"
    return f"{ratio:,.1f}" if ratio < 99.5 else f"{ratio:,.0f}"
