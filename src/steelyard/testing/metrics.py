"""The contract of `steelyard.core.protocols.Metric`."""

import math
from typing import get_args

import numpy as np

from steelyard.core.protocols import Metric, ProofMethod
from steelyard.core.quantity import Unit
from steelyard.core.task import Array, OutputSpec, ValueOutput
from steelyard.testing.contract import attempt, require, require_name

ROWS = 120
"""Rows that a metric is tried on: every class occurs many times."""


def check_metric(metric: Metric, output: OutputSpec) -> None:
    """Check that a metric is a figure: pure, finite, ordered as it says, and never NaN.

    Args:
        metric: the metric.
        output: what it judges: `ClassOutput` for scores of classes, `ValueOutput` for values.

    Raises:
        ContractError: one sentence on the first thing that does not hold.
    """
    require_name(metric.name, "the metric")
    require(metric.unit in get_args(Unit), f"'unit' must be one of {get_args(Unit)}, got {metric.unit!r}.")
    require(
        metric.proof in get_args(ProofMethod), f"'proof' must be one of {get_args(ProofMethod)}, got {metric.proof!r}."
    )
    for name in ("higher_is_better", "in_unit_range"):
        claim = getattr(metric, name)
        require(isinstance(claim, bool), f"'{name}' must be True or False, got {claim!r}.")
    perfect, guessed, targets = _cases(output)
    best = _figure(metric, perfect, targets, "perfect outputs")
    worse = _figure(metric, guessed, targets, "guessed outputs")
    require(
        _is_at_least(metric, best, worse), f"perfect outputs must not be worse than guesses, got {best} and {worse}."
    )
    if metric.in_unit_range:
        require(max(best, worse) <= 1, f"a metric in [0, 1] must be at most 1, got {max(best, worse)}.")
    _check_rows(metric, guessed, targets, worse)
    _check_not_numbers(metric, guessed, targets, best)


def _cases(output: OutputSpec) -> tuple[Array, Array, Array]:
    """Outputs that are right, outputs that know nothing, and the targets."""
    rng = np.random.default_rng(0)
    if isinstance(output, ValueOutput):
        values = (output.mean + output.std * rng.normal(size=ROWS)).astype(np.float32)
        return values[:, None], rng.permutation(values)[:, None], values
    targets = np.arange(ROWS, dtype=np.int64) % output.width
    perfect = (8 * np.eye(output.width, dtype=np.float32))[targets]
    return perfect, rng.normal(size=perfect.shape).astype(np.float32), targets


def _figure(metric: Metric, outputs: Array, targets: Array, what: str) -> float:
    kept = outputs.copy(), targets.copy()
    figure = attempt(lambda: metric(outputs, targets), f"the metric of {what}")
    require(isinstance(figure, float), f"the metric must give a float, got {type(figure).__name__}.")
    require(math.isfinite(figure), f"the metric of {what} must be finite, got {figure}.")
    unchanged = all(np.array_equal(was, now) for was, now in zip(kept, (outputs, targets), strict=True))
    require(unchanged, "the metric must not change its arguments.")
    again = metric(outputs, targets)
    require(again == figure, f"the metric must give one figure for one input, got {figure} and {again}.")
    return figure


def _is_at_least(metric: Metric, one: float, other: float) -> bool:
    return one >= other if metric.higher_is_better else one <= other


def _check_rows(metric: Metric, outputs: Array, targets: Array, figure: float) -> None:
    order = np.random.default_rng(1).permutation(len(targets))
    moved = metric(outputs[order], targets[order])
    same = math.isclose(moved, figure, rel_tol=1e-6, abs_tol=1e-9)
    require(same, f"the metric must not depend on the order of rows, got {figure} and {moved}.")


def _check_not_numbers(metric: Metric, outputs: Array, targets: Array, best: float) -> None:
    for what, broken in (("NaN", math.nan), ("infinite", math.inf)):
        spoiled = np.full_like(outputs, broken)
        figure = attempt(lambda rows=spoiled: metric(rows, targets), f"the metric of {what} outputs")  # type: ignore[misc]
        require(not math.isnan(figure), f"{what} outputs must give the worst value, got NaN.")
        require(
            _is_at_least(metric, best, figure), f"{what} outputs must not be better than perfect ones, got {figure}."
        )
