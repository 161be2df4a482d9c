"""Proofs that a drop of quality is smaller than epsilon, on rows that the search never saw.

A proof rejects the hypothesis "the drop is epsilon or more" at the level 1 − confidence. Which test is the metric's
own choice (`Metric.proof`); with groups, rows of one group are no independent evidence, and n counts groups.

References:
    Tango, Statistics in Medicine, 1998; Berger, Boos, Journal of the American Statistical Association, 1994: accuracy.
    Clopper, Pearson, Biometrika, 1934: disagreement, and accuracy by itself.
    Efron, Tibshirani: An Introduction to the Bootstrap, 1993: means and all others.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from steelyard.core.errors import DataError, InputError
from steelyard.core.protocols import Metric
from steelyard.core.task import Array
from steelyard.select import evidence
from steelyard.select.evidence import Evidence
from steelyard.select.means import agreeing, mean_form, quality_form
from steelyard.select.quality import drop, is_share, loss, right


@dataclass(frozen=True, slots=True)
class Proof:
    """What the test rows say about one drop (`prove`) or one quality (`prove_quality`).

    `value` is the drop that was seen; `high` its upper confidence limit, never below 0 and None where unknown.
    For a quality, `value` is the quality and `high` its confidence limit on the bad side. `rejected`: the drop is
    proved smaller than epsilon. `applicable` is False where the rows are too few for the method: then nothing can be
    proved, only estimated. `exact`: the level holds at every n. `why` is one sentence.
    """

    value: float | None
    high: float | None
    p_value: float
    rejected: bool
    applicable: bool
    method: str
    exact: bool
    n: int
    why: str


def prove(
    metric: Metric,
    reference_outputs: Array,
    candidate_outputs: Array,
    targets: Array,
    *,
    epsilon: float,
    relative: bool,
    confidence: float,
    groups: Array | None = None,
    seed: int = 0,
    floor: float = 0.0,
) -> Proof:
    """Try to reject "the candidate is epsilon or more worse than the reference".

    Accuracy: exact paired trinomial test. Relative to the reference's accuracy a, the absolute drop epsilon·a_low is
    tested, where a_low is the exact lower limit of a at 2 % of the error allowed, which is added to p: still exact.
    Disagreement: exact one-sided Clopper-Pearson. Rmse and r2, and either of the former with groups: studentised
    bootstrap of a mean (`steelyard.select.means`). All others: paired, class-stratified BCa bootstrap of the drop.

    Args:
        metric: what quality is; `metric.proof` names the test.
        reference_outputs: (n, width).
        candidate_outputs: (n, width) on the same rows.
        targets: (n,).
        epsilon: the drop to rule out, in the metric's unit, or a share of |reference| where `relative`.
        relative: how epsilon is meant.
        confidence: one-sided.
        groups: (n,) which rows belong together, or None where every row is independent.
        seed: of the resamples.
        floor: the least |reference| of a relative drop, as in `steelyard.select.quality.drop`.

    Returns:
        The proof. With equal arguments, equal proofs.

    Raises:
        DataError: if the lengths differ or there is no row.
        InputError: if epsilon is negative or the confidence lies outside (0, 1).
    """
    _check(epsilon, confidence, (len(reference_outputs), len(candidate_outputs), len(targets)))
    reference_value = metric(reference_outputs, targets)
    value = drop(metric, reference_value, metric(candidate_outputs, targets), relative=relative, floor=floor)
    if not math.isfinite(value):
        return _hopeless(metric, len(targets))
    alpha = 1 - confidence
    outputs = reference_outputs, candidate_outputs
    if groups is None and metric.proof == "trinomial":
        hits = right(outputs[0], targets), right(outputs[1], targets)
        return _conclude(evidence.trinomial_drop(*hits, confidence, relative=relative), epsilon, alpha)
    if groups is None and metric.proof == "disagreement":
        return _conclude(evidence.disagreement(*outputs, confidence), epsilon, alpha)
    if metric.proof == "disagreement":
        value = float(1 - agreeing(*outputs).mean())
    rng = np.random.default_rng(seed)
    form = mean_form(metric, *outputs, targets, relative=relative, floor=floor)
    if form is not None:
        return _conclude(evidence.mean(form.summed(groups), value, alpha, rng), epsilon, alpha)

    def statistic(rows: NDArray[np.int64]) -> float:
        figures = (metric(each[rows], targets[rows]) for each in outputs)
        return drop(metric, *figures, relative=relative, floor=floor)

    found = evidence.bca(statistic, value, targets, groups, alpha=alpha, rng=rng, cells=2 * candidate_outputs.size)
    return _conclude(found, epsilon, alpha)


def prove_quality(
    metric: Metric,
    outputs: Array,
    targets: Array,
    *,
    at_least: float,
    confidence: float,
    groups: Array | None = None,
    seed: int = 0,
) -> Proof:
    """Try to prove that the quality is better than `at_least`: above it, or below it where lower is better.

    Accuracy and agreement: exact one-sided binomial test. Rmse and r2, and the former with groups: studentised
    bootstrap of a mean.
    All others: class-stratified BCa bootstrap.

    Args:
        metric: what quality is.
        outputs: (n, width).
        targets: (n,).
        at_least: in the metric's unit; an upper limit where lower is better.
        confidence: one-sided.
        groups: (n,) which rows belong together, or None.
        seed: of the resamples.

    Returns:
        The proof, with `value` the quality and `high` its confidence limit on the bad side.

    Raises:
        DataError: if the lengths differ or there is no row.
        InputError: if the confidence lies outside (0, 1).
    """
    _check(0.0, confidence, (len(outputs), len(targets)))
    value = metric(outputs, targets)
    if not math.isfinite(value):
        return _hopeless(metric, len(targets))
    alpha = 1 - confidence
    lost = loss(metric, value)
    rng = np.random.default_rng(seed)
    form = quality_form(metric, outputs, targets)
    if groups is None and is_share(metric):
        found = evidence.binomial_quality(right(outputs, targets), confidence)
    elif form is not None:
        found = evidence.mean(form.summed(groups), lost, alpha, rng)
    else:

        def statistic(rows: NDArray[np.int64]) -> float:
            return loss(metric, metric(outputs[rows], targets[rows]))

        found = evidence.bca(statistic, lost, targets, groups, alpha=alpha, rng=rng, cells=outputs.size, guarded=False)
    proof = _conclude(found, loss(metric, at_least), alpha, of_drop=False)
    return replace(proof, value=value, high=None if proof.high is None else loss(metric, proof.high))


def _conclude(found: Evidence, threshold: float, alpha: float, *, of_drop: bool = True) -> Proof:
    """Ask the evidence at one threshold."""
    if found.obstacle:
        return Proof(found.value, None, 1.0, False, False, found.method, found.exact, found.n, found.obstacle)
    p = found.p_value(threshold)
    rejected = p <= alpha
    high = found.limit()
    if high is not None:
        # The limit is searched to a tolerance; on which side of the threshold it lies is the test's word.
        high = min(high, threshold) if rejected else max(high, threshold)
        high = max(high, 0.0) if of_drop else high
    what = "a drop smaller than the permitted one" if of_drop else "the quality asked for"
    why = f"{what} is {'proved' if rejected else 'not proved'}: p = {p:.3g} with n = {found.n}."
    return Proof(found.value, high, p, rejected, True, found.method, found.exact, found.n, why)


def _hopeless(metric: Metric, n: int) -> Proof:
    why = f"nothing can be proved, because the outputs give no finite {metric.name}."
    return Proof(None, None, 1.0, False, True, metric.proof, False, n, why)


def _check(epsilon: float, confidence: float, lengths: tuple[int, ...]) -> None:
    if len(set(lengths)) > 1 or not lengths[0]:
        raise DataError(f"outputs and targets must be of one length of at least 1, got {', '.join(map(str, lengths))}.")
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise InputError(f"'epsilon' must be a finite number of at least 0, got {epsilon!r}.", field="epsilon")
    if not 0 < confidence < 1:
        raise InputError(f"'confidence' must lie between 0 and 1, got {confidence!r}.", field="confidence")
