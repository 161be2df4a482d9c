"""What every contract suite is made of: one error, and the few ways to ask for a thing."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from steelyard.core.errors import SteelyardError
from steelyard.core.task import Array
from steelyard.core.wire import Plain, canonical

Result = TypeVar("Result")

PARITY_TOLERANCE = 1e-3
"""Largest difference between two ways of running one model, times (1 + largest output): the product's own, fp32."""


class ContractError(SteelyardError, AssertionError):
    """An implementation breaks the contract of its protocol; the message is one sentence."""

    kind = "contract"


def require(condition: object, message: str) -> None:
    """Refuse what does not hold.

    Raises:
        ContractError: with `message`, if `condition` is false.
    """
    if not condition:
        raise ContractError(message)


def attempt(action: Callable[[], Result], what: str) -> Result:
    """The result of `action`, which must not fail.

    Raises:
        ContractError: naming `what` and the error.
    """
    try:
        return action()
    except ContractError:
        raise
    except Exception as error:
        raise ContractError(f"{what} must not fail, got {_named(error)}") from error


def require_error(action: Callable[[], object], kind: type[SteelyardError], what: str) -> None:
    """Ask that `action` raises an error of `kind` whose message is one line of text.

    Raises:
        ContractError: naming `what`, if it passes, raises something else, or says nothing.
    """
    try:
        action()
    except kind as error:
        text = str(error).strip()
        require(text and "\n" not in text, f"{what} must be refused in one sentence, got {text!r}.")
    except Exception as error:
        raise ContractError(f"{what} must raise {kind.__name__}, got {_named(error)}") from error
    else:
        raise ContractError(f"{what} must raise {kind.__name__}, got no error.")


def require_plain(value: Plain, what: str) -> None:
    """Ask that `value` is plain JSON without NaN.

    Raises:
        ContractError: naming `what`.
    """
    try:
        canonical(value)
    except (TypeError, ValueError) as error:
        raise ContractError(f"{what} must be plain JSON of finite numbers, got {value!r} ({error}).") from error


def require_name(name: object, what: str) -> None:
    """Ask that `name` is a text that a command line can carry.

    Raises:
        ContractError: naming `what`.
    """
    fits = isinstance(name, str) and name.strip() == name != "" and not any(each.isspace() for each in name)
    require(fits, f"'name' of {what} must be a text without blanks, got {name!r}.")


def require_outputs(outputs: Array, rows: int, width: int | None, what: str) -> None:
    """Ask for finite float32 outputs of shape (rows, width); `width` None allows any.

    Raises:
        ContractError: naming `what`.
    """
    fits = isinstance(outputs, np.ndarray) and outputs.ndim == 2 and len(outputs) == rows
    shape = getattr(outputs, "shape", type(outputs).__name__)
    require(
        fits and width in (None, outputs.shape[1]), f"{what} must have shape ({rows}, {width or 'width'}), got {shape}."
    )
    require(outputs.dtype == np.float32, f"{what} must be float32, got {outputs.dtype}.")
    require(np.isfinite(outputs).all(), f"{what} must be finite, got NaN or infinity.")


def require_close(got: Array, wanted: Array, what: str) -> None:
    """Ask that two arrays of outputs agree to `PARITY_TOLERANCE`.

    Raises:
        ContractError: naming `what` and the largest difference.
    """
    require(got.shape == wanted.shape, f"{what} must agree, got shapes {got.shape} and {wanted.shape}.")
    worst = float(np.abs(got - wanted).max(initial=0.0))
    allowed = PARITY_TOLERANCE * (1 + float(np.abs(wanted).max(initial=0.0)))
    require(worst <= allowed, f"{what} must agree to {allowed:.3g}, got a difference of {worst:.3g}.")


def _named(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), 'no message')}"
