import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.core.errors import InputError
from steelyard.core.measured import LARGEST_FILE_BYTES, Measured, read_measured

A, B = "a" * 12, "b" * 12


def quantity(value, unit="s", low=None, high=None, n=1000):
    return {"value": value, "low": low, "high": high, "n": n, "unit": unit}


def point(p50=2e-5):
    return {
        "sha256": "0" * 64,
        "metrics": {
            "latency_p50_s": quantity(p50, low=0.9 * p50, high=1.1 * p50),
            "latency_p95_s": quantity(2 * p50),
            "throughput_per_s": quantity(1 / p50, "1/s"),
            "peak_memory_bytes": quantity(1.5e7, "B", 1.4e7, 1.6e7, 2),
        },
        "notes": {"latency": {"calls": 1000}},
    }


def plain():
    return {
        "schema": 1,
        "kit": "c" * 12,
        "study": "d" * 12,
        "environment": {
            "processor": "Cortex-A76",
            "cores": 4,
            "memory_bytes": 8_000_000_000,
            "system": "Linux 6.6 aarch64",
            "python": "3.11.2",
            "versions": {"numpy": "2.4.6"},
            "flags": ["asimd"],
        },
        "points": {A: point(), B: point(4e-5)},
        "ratios": {f"{A}/{B}": quantity(0.5, "1", 0.4, 0.8)},
        "failures": {},
        "absent": {"energy_j": "a kit reads no energy counter"},
        "how": {"batch": 1, "threads": 1, "processes": 8, "inputs": "random", "twin": None},
    }


def changed(path, value):
    """The plain form with one value replaced; a value of `...` takes the field away."""
    found = copy.deepcopy(plain())
    at = found
    for name in path[:-1]:
        at = at[name]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return found


def test_what_was_written_is_read_back_the_same():
    assert Measured.from_json(plain()).to_json() == plain()


def test_a_ratio_is_known_both_ways_round():
    measured = Measured.from_json(plain())
    assert measured.ratio(A, B).value == 0.5
    turned = measured.ratio(B, A)
    assert (turned.value, turned.low, turned.high) == (2.0, 1.25, 2.5)
    assert measured.ratio(A, "e" * 12) is None
    assert measured.has("peak_memory_bytes")
    assert not measured.has("energy_j")


P50 = ("points", A, "metrics", "latency_p50_s")


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("schema",), 2, "its schema is 2, where 1 is read"),
        (("kit",), ..., "the whole lacks 'kit'"),
        (("more",), 1, "the whole has the unknown field 'more'"),
        (("study",), "../../etc", "a key must be twelve hexadecimal digits, got '../../etc'"),
        (("points",), {}, "it has no point that could be measured"),
        (("points",), [], "points must be an object, got []"),
        ((*P50, "value"), -1, f"points.{A}.metrics.latency_p50_s.value must be a number from 1e-09 to 86400, got -1"),
        ((*P50, "value"), 1e6, f"points.{A}.metrics.latency_p50_s.value must be a number from 1e-09 to 86400, got 10"),
        ((*P50, "value"), "1", f"points.{A}.metrics.latency_p50_s.value must be a number from 1e-09 to 86400, got '1'"),
        ((*P50, "value"), True, f"points.{A}.metrics.latency_p50_s.value must be a number from 1e-09 to 86400, got Tr"),
        ((*P50, "low"), 3e-5, "'low' must be at most 'high', got 3e-05 > 2.2"),
        ((*P50, "high"), 1.9e-5, f"points.{A}.metrics.latency_p50_s.value must lie in its interval, got 2e-05 in"),
        ((*P50, "unit"), "ms", f"points.{A}.metrics.latency_p50_s.unit must be 's', got 'ms'"),
        ((*P50, "n"), 0, f"points.{A}.metrics.latency_p50_s.n must be a whole number of at least 1, got 0"),
        (P50, ..., f"points.{A}.metrics lacks 'latency_p50_s'"),
        (
            ("points", A, "metrics", "accuracy"),
            quantity(1, "1"),
            f"points.{A}.metrics has 'accuracy', which a kit does",
        ),
        (("points", A, "metrics", "latency_p95_s"), quantity(1e-6), f"points.{A}.metrics has percentiles that fall"),
        (("points", A, "sha256"), "0", f"points.{A}.sha256 must be a SHA-256, got '0'"),
        (("ratios",), {f"{A}/{A}": quantity(1, "1")}, f"ratios has '{A}/{A}', which names no two of its points"),
        (("environment", "cores"), 0, "environment.cores must be a whole number of at least 1, got 0"),
        (("environment", "flags"), "avx", "environment.flags must be a list of texts, got 'avx'"),
        (("environment", "processor"), 3, "environment.processor must be a text, got 3"),
        (("failures",), {A: 3}, f"failures.'{A}' must be a text, got 3"),
        (("how", "batch"), 0, "how.batch must be a whole number of at least 1, got 0"),
    ],
)
def test_what_can_not_be_true_is_refused_with_its_place(path, value, why, tmp_path):
    file = tmp_path / "measured.json"
    file.write_text(json.dumps(changed(path, value)), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_measured(file)
    assert str(caught.value).startswith(f"'measured' {file} is not what a kit's measure.py writes ({why}")
    assert str(caught.value).endswith("); copy it again or measure again.")
    assert caught.value.field == "measured"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        (json.dumps(plain())[:-100], ""),
        (json.dumps(plain()).replace("2e-05", "NaN"), "it holds NaN, which is no figure"),
        (json.dumps(plain()).replace("2e-05", "1e999"), f"points.{A}.metrics.latency_p50_s.value must be a number"),
        ('{"kit": 1, "kit": 2}', "it has a field twice"),
        ("[" * 100_000, ""),
        ("1" * 10_000, ""),
        (" " * (LARGEST_FILE_BYTES + 1), "it is larger than 16 MiB"),
    ],
    ids=["empty", "cut short", "NaN", "infinite", "twice", "deep", "long number", "large"],
)
def test_text_that_is_no_result_is_refused(text, why, tmp_path):
    file = tmp_path / "measured.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_measured(file)
    assert str(caught.value).startswith(f"'measured' {file} is not what a kit's measure.py writes ({why}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"can't be read \(No such file or directory\); check the path\.$"):
        read_measured(tmp_path / "none.json")
    with pytest.raises(InputError, match=r"can't be read \(Is a directory\); check the path\.$"):
        read_measured(tmp_path)


@given(st.data())
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_mutated_file_brings_down_the_reader(tmp_path, data):
    text = bytearray(json.dumps(plain()).encode())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=6))
    file = tmp_path / "mutated.json"
    file.write_bytes(bytes(text))
    try:
        measured = read_measured(file)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert Measured.from_json(measured.to_json()) == measured
