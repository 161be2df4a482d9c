"""The cost model: latency of a model that is never run, with an interval and the kernels that are least familiar."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from steelyard.measure.predicted.composition import (
    Composition,
    Described,
    Record,
    describe_record,
    fit_composition,
    fit_correction,
    fit_kinds,
)
from steelyard.measure.predicted.conformal import conformal_quantile, interval

Floats = NDArray[np.float64]

HELD_OUT = 4
"""Every fourth model is kept from fitting: the intervals come from its residuals."""
STYLE_OF_PARTS = "mixture"
"""Micro-models of operators side by side: their kernels teach, their totals are like no model's."""
_FAMILIAR = 0.05
"""Share of a model's time from kernels outside of what was learned below which none is named."""
_LEAST_RECORDS = 60
"""Models below which there is no cost model."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How wrong estimates are.

    Attributes:
        scale: coefficients of the log of the expected residual on `_signs`.
        scores: residuals of models that took no part in fitting, each over its expected size, (models,).
        styles: what sort each of those models is; "anchor SORT" where it was measured by the full protocol.
    """

    scale: Floats
    scores: Floats
    styles: tuple[str, ...]

    def expected(self, signs: Floats) -> Floats:
        """Expected size of the log residual (n,)."""
        return np.asarray(np.exp(np.clip(signs @ self.scale, math.log(0.01), math.log(50.0))))

    def quantile(self, level: float, without: Sequence[str] = ()) -> float:
        """The conformal quantile of the scores of all styles but some."""
        kept = np.array([style.rpartition(" ")[2] not in without for style in self.styles], dtype=bool)
        return conformal_quantile(self.scores[kept], level)


@dataclass(frozen=True, slots=True)
class Prediction:
    """An estimate of a model's latency.

    Attributes:
        seconds: latency p50; NaN where nothing is known.
        intervals: low and high by level.
        kernels: seconds of each kernel, in the order they run; NaN for unknown kinds.
        novelty: how far outside of what was learned each kernel lies.
    """

    seconds: float
    intervals: Mapping[float, tuple[float, float]]
    kernels: Floats
    novelty: Floats


@dataclass(frozen=True, slots=True)
class CostModel:
    """What was learned on this machine.

    Attributes:
        composition: how kernels add up to a latency.
        calibration: how wrong that is.
        models: how many models it was learned from.
        drift: log of what a measurement by the full protocol gives over what the quick ones gave that it learned from.
    """

    composition: Composition
    calibration: Calibration
    models: int
    drift: float = 0.0

    def predict(self, record: Record, levels: Sequence[float] = (0.9, 0.95), without: Sequence[str] = ()) -> Prediction:
        """The estimate of a model, whose `seconds` are not looked at.

        Args:
            record: the model.
            levels: of the intervals.
            without: styles whose residuals take no part in the intervals.
        """
        model = describe_record(record)
        seconds = self.composition.kernel_seconds(model)
        novelty = self.composition.novelty(model)
        novelty[list(model.unknown)] = np.inf
        if np.isnan(seconds).all():
            return Prediction(math.nan, {}, seconds, novelty)
        total = self.composition.total(model, seconds) * math.exp(self.drift)
        scale = float(self.calibration.expected(_signs(total, seconds, novelty)[None])[0])
        intervals = {level: interval(total, scale, self.calibration.quantile(level, without)) for level in levels}
        return Prediction(total, intervals, seconds, novelty)


def _signs(total: float, seconds: Floats, novelty: Floats) -> Floats:
    """What tells how wrong an estimate may be: how short it is, and what share of it lies how far outside."""
    known = np.nan_to_num(seconds)
    share = known / max(float(known.sum()), 1e-9)
    outside = float((share * np.minimum(np.where(np.isinf(novelty), 0.0, novelty), 5.0)).sum())
    unknown = float(np.isnan(seconds).sum()) / len(seconds)
    return np.array([1.0, math.log(min(max(total, 1e-5), 1e-3) / 1e-4), outside, 4.0 * unknown + 1.0 * (unknown > 0)])


_OUTSIDE_GROWTH = 1.5
"""Least growth of the log of the expected residual per unit of novelty: at twice the largest size seen, 2.8 times."""
_UNKNOWN_GROWTH = 3.0
"""Growth of it by kernels of unknown kinds, whose time nothing tells: one alone makes it twenty times as large."""


def fit_cost_model(records: Sequence[Record], tuned: Mapping[str, Floats] | None = None) -> CostModel:
    """Learn from measured models.

    Args:
        records: models that were measured, in the order they were.
        tuned: length scales of an earlier fit by kind ("" for the correction's), which spares the time to find them.

    Raises:
        ValueError: if there are too few records.
    """
    if len(records) < _LEAST_RECORDS:
        raise ValueError(f"'records' must be at least {_LEAST_RECORDS} models, got {len(records)}.")
    models = [describe_record(record) for record in records]
    is_held = [place % HELD_OUT == 0 and record.style != STYLE_OF_PARTS for place, record in enumerate(records)]
    learned = [place for place, held in enumerate(is_held) if not held]
    kinds = fit_kinds([records[i] for i in learned], [models[i] for i in learned], tuned or {})
    whole = [i for i in learned if records[i].style != STYLE_OF_PARTS]
    composition = fit_composition([records[i] for i in whole], [models[i] for i in whole], kinds)
    usual = _usual(composition, [records[i] for i in whole], [models[i] for i in whole])
    chosen = [i for i, keep in zip(whole, usual, strict=True) if keep]
    correction = fit_correction(
        composition, [records[i] for i in chosen], [models[i] for i in chosen], (tuned or {}).get("")
    )
    composition = replace(composition, correction=correction)
    held = [place for place, each in enumerate(is_held) if each]
    calibration = calibrate(composition, [records[i] for i in held], [models[i] for i in held])
    return CostModel(composition, calibration, len(records))


def tuned_of(model: CostModel) -> dict[str, Floats]:
    """The length scales that a model was fitted with, for a later fit to `fit_cost_model`."""
    named = dict(model.composition.kinds)
    if model.composition.correction is not None:
        named[""] = model.composition.correction
    return {kind: np.array([*each.scales, *each.spread]) for kind, each in named.items() if len(each.weights)}


def adjust(model: CostModel, measured: Sequence[Record]) -> CostModel:
    """The model in the light of models that were measured by the full protocol.

    The middle of their residuals moves all estimates; with few of them it moves them little. Their residuals from
    there join those that the intervals come from.

    Args:
        model: as it was fitted.
        measured: models that took no part in fitting.
    """
    if not measured:
        return model
    plain = replace(model, drift=0.0)
    found = [(record, plain.predict(record, ()).seconds) for record in measured]
    logs = np.array([math.log(record.seconds / seconds) for record, seconds in found if seconds > 0])
    if not len(logs):
        return model
    drift = float(np.median(logs)) * len(logs) / (len(logs) + _DRIFT_PRIOR)
    scores, styles = [], []
    for record, seconds in found:
        if seconds > 0:
            described = describe_record(record)
            kernels = model.composition.kernel_seconds(described)
            signs = _signs(seconds, kernels, model.composition.novelty(described))
            size = abs(math.log(record.seconds / seconds) - drift)
            scores.append(size / float(model.calibration.expected(signs[None])[0]))
            styles.append(record.style)
    calibration = replace(
        model.calibration,
        scores=np.r_[model.calibration.scores, scores],
        styles=(*model.calibration.styles, *styles),
    )
    return replace(model, calibration=calibration, drift=drift)


_DRIFT_PRIOR = 4
"""Models that a drift of nothing is worth."""


def _usual(composition: Composition, records: Sequence[Record], models: Sequence[Described]) -> list[bool]:
    """Whether the sum of a model's kernels is within a factor of two of its latency: others were disturbed."""
    sums = [composition.total(model, composition.kernel_seconds(model)) for model in models]
    return [0.5 < total / record.seconds < 2.0 for total, record in zip(sums, records, strict=True)]


def calibrate(composition: Composition, records: Sequence[Record], models: Sequence[Described]) -> Calibration:
    """The expected size of residuals, and the residuals over it, of models that took no part in fitting."""
    signs, residuals = [], []
    for record, model in zip(records, models, strict=True):
        seconds, novelty = composition.kernel_seconds(model), composition.novelty(model)
        total = composition.total(model, seconds)
        signs.append(_signs(total, seconds, novelty))
        residuals.append(abs(math.log(record.seconds / total)))
    matrix, sizes = np.array(signs), np.maximum(np.array(residuals), 1e-3)
    inside = matrix[:, 2] < 0.01
    base = np.linalg.lstsq(matrix[inside][:, :2], np.log(sizes[inside]), rcond=None)[0]
    scale = np.array([base[0], min(base[1], 0.0), _OUTSIDE_GROWTH, _UNKNOWN_GROWTH])
    expected = np.exp(np.clip(matrix @ scale, math.log(0.01), math.log(50.0)))
    return Calibration(scale, np.array(residuals) / expected, tuple(record.style for record in records))


def unfamiliar(prediction: Prediction, texts: Sequence[str], most: int = 3) -> tuple[str, ...]:
    """The kernels farthest outside of what was learned that matter, the farthest first.

    Args:
        prediction: of the model.
        texts: what each kernel is called.
        most: how many are named.
    """
    known = np.nan_to_num(prediction.kernels)
    share = known / max(float(known.sum()), 1e-9)
    matters = np.isinf(prediction.novelty) | ((prediction.novelty > _OUTSIDE) & (share > _FAMILIAR))
    order = sorted(map(int, np.flatnonzero(matters)), key=lambda place: -prediction.novelty[place])
    return tuple(dict.fromkeys(texts[place] for place in order))[:most]


_OUTSIDE = 0.2
"""Overshoot in log size from which a kernel is called unfamiliar: a fifth beyond the largest that was seen."""
