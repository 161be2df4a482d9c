"""A model's latency from its kernels: their sum, what the runtime adds, and a correction learned on whole models."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelyard.measure.predicted.features import describe
from steelyard.measure.predicted.regression import Regression, fit_regression

Floats = NDArray[np.float64]

_NODE_S = 2.4e-6
"""What the profiler adds to a kernel's time: the prior of every kind's own figure."""
_RATE_PRIOR, _NODE_PRIOR = 3.0, 1.0
"""Weights of the priors of a kind's rate, and of its microseconds, in units of one model's relative error."""
_WORTH = 0.0015
"""Mean share of the latency from which a kind of kernel is worth tuning."""
_LEAST_SAMPLES = 5
"""Kernels of a kind below which it is not learned."""
_SHORTEST_S = 2e-6


@dataclass(frozen=True, slots=True)
class Record:
    """A model that was measured.

    Attributes:
        style: what sort of model; calibration leaves sorts out as a whole.
        seconds: its latency.
        weight_bytes: bytes of stored tensors.
        activation_bytes: bytes of computed tensors.
        kernels: kind, numbers, and seconds where the kernel was timed by itself.
    """

    style: str
    seconds: float
    weight_bytes: float
    activation_bytes: float
    kernels: Sequence[tuple[str, Sequence[float], float | None]]


@dataclass(frozen=True, slots=True)
class Described:
    """A model's kernels by kind: places in the order they run, work (n, terms), features (n, features)."""

    count: int
    kinds: Mapping[str, tuple[NDArray[np.int64], Floats, Floats]]
    memory: tuple[float, float]
    unknown: tuple[int, ...]


def describe_record(record: Record) -> Described:
    """Work and features of all kernels; sizes of the whole model are features of each, since they share the caches."""
    memory = (math.log(record.weight_bytes + 1e4), math.log(record.activation_bytes + 1e4))
    grouped: dict[str, list[tuple[int, list[float], list[float]]]] = {}
    unknown = []
    for place, (kind, numbers, _) in enumerate(record.kernels):
        if not numbers:
            unknown.append(place)
            continue
        work, features = describe(kind, numbers)
        grouped.setdefault(kind, []).append((place, work, [*features, *memory]))
    kinds = {
        kind: (np.array([p for p, _, _ in each]), np.array([w for _, w, _ in each]), np.array([f for _, _, f in each]))
        for kind, each in grouped.items()
    }
    return Described(len(record.kernels), kinds, memory, tuple(unknown))


@dataclass(frozen=True, slots=True)
class Composition:
    """Everything that was learned, apart from the intervals.

    Attributes:
        kinds: the regression of each kind of kernel.
        rates: by kind: factor on its predicted seconds.
        nodes: by kind: seconds that the profiler added to each kernel.
        call_s: seconds a call costs without any kernel.
        groups: names of the shares that the correction looks at.
        correction: log of measured over summed seconds, from what a model is made of; None before it is fitted.
    """

    kinds: Mapping[str, Regression]
    rates: Mapping[str, float]
    nodes: Mapping[str, float]
    call_s: float
    groups: tuple[str, ...]
    correction: Regression | None = None

    def kernel_seconds(self, model: Described) -> Floats:
        """Seconds of each kernel (kernels,) as they add up; NaN for kinds that were never learned."""
        found = np.full(model.count, np.nan)
        for kind, (places, work, features) in model.kinds.items():
            regression = self.kinds.get(kind)
            if regression is not None:
                seconds = np.exp(regression.predict(work, features)) * self.rates.get(kind, 1.0)
                found[places] = np.maximum(seconds - self.nodes.get(kind, _NODE_S), 0.0)
        return found

    def novelty(self, model: Described) -> Floats:
        """How far outside of what was learned each kernel lies (kernels,): 0 inside, infinite for unknown kinds."""
        found = np.full(model.count, np.inf)
        for kind, (places, _, features) in model.kinds.items():
            regression = self.kinds.get(kind)
            if regression is not None:
                found[places] = regression.excess(features)
        return found

    def summary(self, model: Described, seconds: Floats) -> Floats:
        """What the correction looks at (features,): shares of the time by group, and the sizes of the whole."""
        known = np.nan_to_num(seconds)
        total = max(float(known.sum()), _SHORTEST_S)
        shares = dict.fromkeys(self.groups, 0.0)
        for kind, (places, _, _) in model.kinds.items():
            if group_of(kind) in shares:
                shares[group_of(kind)] += float(known[places].sum()) / total
        sizes = [math.log(total), math.log(model.count), *model.memory, math.log(total / model.count)]
        return np.array([*shares.values(), *sizes])

    def total(self, model: Described, seconds: Floats) -> float:
        """Seconds of the whole model from those of its kernels."""
        summed = max(self.call_s + float(np.nansum(seconds)), _SHORTEST_S)
        if self.correction is None:
            return summed
        log = self.correction.predict(np.ones((1, 1)), self.summary(model, seconds)[None])[0]
        return summed * math.exp(log)


def group_of(kind: str) -> str:
    """The group of a kind, integer kernels apart."""
    return kind.partition("/")[0] + (" int8" if "int8" in kind else "")


def fit_kinds(
    records: Sequence[Record], models: Sequence[Described], tuned: Mapping[str, Floats]
) -> dict[str, Regression]:
    """The regression of every kind of which enough kernels were timed."""
    rows: dict[str, list[tuple[Floats, Floats, float]]] = {}
    shares: dict[str, float] = {}
    for record, model in zip(records, models, strict=True):
        for kind, (places, work, features) in model.kinds.items():
            for place, amounts, each in zip(places, work, features, strict=True):
                seconds = record.kernels[int(place)][2]
                if seconds is not None:
                    rows.setdefault(kind, []).append((amounts, each, seconds))
                    shares[kind] = shares.get(kind, 0.0) + seconds / record.seconds / len(records)
    found = {}
    for kind, samples in rows.items():
        if len(samples) >= _LEAST_SAMPLES:
            work, features, times = (np.array([each[part] for each in samples]) for part in range(3))
            found[kind] = fit_regression(work, features, times, 0, tuned=tuned.get(kind), matters=shares[kind] > _WORTH)
    return found


def fit_composition(
    records: Sequence[Record], models: Sequence[Described], kinds: Mapping[str, Regression]
) -> Composition:
    """What the runtime adds to its kernels' times, from the latencies of whole models.

    A ridge regression on relative errors: each kind has a factor near one and an overhead near the profiler's.

    Args:
        records: whole models.
        models: the same, described.
        kinds: regressions of their kernels.
    """
    names = sorted(kinds)
    index = {kind: place for place, kind in enumerate(names)}
    sums, counts = np.zeros((len(models), len(names))), np.zeros((len(models), len(names)))
    for row, model in enumerate(models):
        for kind, (_, work, features) in model.kinds.items():
            if kind in index:
                sums[row, index[kind]] = np.exp(kinds[kind].predict(work, features)).sum()
                counts[row, index[kind]] = len(work)
    seconds = np.array([record.seconds for record in records])
    left = seconds - sums.sum(1) + counts.sum(1) * _NODE_S
    columns = np.c_[np.ones(len(models)), sums, -counts * 1e-6] / seconds[:, None]
    prior = np.diag([0.0, *[_RATE_PRIOR] * len(names), *[_NODE_PRIOR] * len(names)])
    target = np.r_[left / seconds, np.zeros(len(prior))]
    found = np.linalg.lstsq(np.r_[columns, prior], target, rcond=None)[0]
    rates = {kind: 1.0 + float(found[1 + place]) for kind, place in index.items()}
    nodes = {kind: _NODE_S + float(found[1 + len(names) + place]) * 1e-6 for kind, place in index.items()}
    groups = tuple(sorted({group_of(kind) for kind in names}))
    return Composition(kinds, rates, nodes, float(max(found[0], 0.0)), groups)


def fit_correction(
    composition: Composition, records: Sequence[Record], models: Sequence[Described], tuned: Floats | None
) -> Regression:
    """Log of measured over summed seconds of whole models, from what they are made of."""
    features, ratios = [], []
    for record, model in zip(records, models, strict=True):
        seconds = composition.kernel_seconds(model)
        features.append(composition.summary(model, seconds))
        ratios.append(record.seconds / max(composition.call_s + float(np.nansum(seconds)), _SHORTEST_S))
    return fit_regression(np.ones((len(ratios), 1)), np.array(features), np.array(ratios), 0, tuned=tuned)
