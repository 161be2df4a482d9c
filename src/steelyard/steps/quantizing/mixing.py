"""Mixed precision: the operators that hurt most stay in float, as few as the bound allows."""

import time
from collections.abc import Callable, Sequence

import onnx

from steelyard.core.errors import SteelyardError
from steelyard.steps.quantizing.sensitivity import Sensitivity

LIMIT_S = 60.0
"""Seconds that looking for the fewest operators may take."""

Error = Callable[[frozenset[str]], tuple[float, onnx.ModelProto]]
"""The output error of the model that keeps these operators in float, and that model."""


def most_sensitive(found: Sequence[Sensitivity], number: int) -> frozenset[str]:
    """Names of so many operators, those of the largest output error."""
    ordered = sorted(found, key=lambda each: -(each.output_error if each.output_error is not None else float("inf")))
    return frozenset(each.name for each in ordered[:number])


def fewest_in_float(
    found: Sequence[Sensitivity], error_of: Error, bound: float, *, always: frozenset[str], limit_s: float = LIMIT_S
) -> tuple[frozenset[str], float, onnx.ModelProto]:
    """The shortest prefix of the operators, in the order of their harm, that keeps the output error within the bound.

    Doubling and halving: O(log n) models are built and run.

    Args:
        found: the sensitivity of each operator.
        error_of: builds a model and measures it.
        bound: on the output error.
        always: operators that stay in float in any case.
        limit_s: seconds after which the best so far is taken.

    Returns:
        the operators that stay in float, the error, the model.

    Raises:
        SteelyardError: if not even one quantized operator is within the bound.
    """
    order = [each.name for each in sorted(found, key=lambda each: -each.harm) if each.name not in always]
    ends = time.monotonic() + limit_s

    def tried(number: int) -> tuple[frozenset[str], float, onnx.ModelProto]:
        kept = always | frozenset(order[:number])
        return (kept, *error_of(kept))

    failed, number = -1, 0
    best = tried(number)
    least = best[1]
    while best[1] > bound and number < len(order) - 1 and time.monotonic() < ends:
        failed, number = number, min(max(2 * number, 1), len(order) - 1)
        best = tried(number)
        least = min(least, best[1])
    if best[1] > bound:
        raise SteelyardError(
            f"'max_error' must be at least {least:.2g} for this model to be quantized, got {bound:g}; raise it."
        )
    while number - failed > 1 and time.monotonic() < ends:
        middle = (failed + number) // 2
        attempt = tried(middle)
        if attempt[1] <= bound:
            number, best = middle, attempt
        else:
            failed = middle
    return best
