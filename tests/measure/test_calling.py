"""Functions called in a process of their own: what comes back, and what does not take the caller along."""

from pathlib import Path

import pytest

from steelyard.core.errors import InputError, MeasurementError
from steelyard.measure.calling import call

FUNCTIONS = '''
"""What a stranger's file may do to the library that opens it."""

import os
import time

from steelyard.core.errors import InputError, RuntimeFailureError


def echo(value):
    print("a library greets standard output")
    return {"value": value, "nan": float("nan")}


def refuse():
    raise InputError("the model is broken.", field="model")


def fail():
    raise RuntimeFailureError("the runtime can't load it.")


def break_():
    raise KeyError("gone")


def crash():
    os.abort()


def hang():
    time.sleep(3600)


def swell():
    return len(bytearray(2**33))
'''


@pytest.fixture(autouse=True)
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "strangers.py").write_text(FUNCTIONS, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def called(name: str, arguments: dict | None = None, **limits) -> object:
    return call(f"strangers:{name}", arguments or {}, key="m", **{"limit_s": 30, **limits})


def test_what_a_function_returns_comes_back_without_nan() -> None:
    assert called("echo", {"value": [1, "a"]}) == {"value": [1, "a"], "nan": None}


def test_an_input_error_stays_one() -> None:
    with pytest.raises(InputError, match=r"^the model is broken\.$") as error:
        called("refuse")
    assert error.value.field == "model"


@pytest.mark.parametrize(
    ("name", "message", "limits"),
    [
        ("fail", r"^the runtime can't load it\.$", {}),
        ("break_", r"^model 'm' could not be measured: KeyError: 'gone'\.$", {}),
        ("crash", r"^model 'm' could not be measured: its process was killed by signal 6", {}),
        ("hang", r"^model 'm' did not finish within 1 s and was stopped\.$", {"limit_s": 1}),
        ("swell", r"could not be measured: it needs more than 1000000000 bytes of memory\.$", {"memory_bytes": 10**9}),
    ],
)
def test_whatever_else_happens_is_a_measurement_error_in_one_sentence(name, message, limits) -> None:
    with pytest.raises(MeasurementError, match=message):
        called(name, **limits)
