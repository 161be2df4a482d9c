"""Tasks whose data come inside a dependency: no download."""

from typing import Any

import numpy as np

from steelyard.core.task import Array, Column, Rows, TableInput, TaskKind, ValueOutput
from steelyard.tasks.assemble import prepare
from steelyard.tasks.dataset import PreparedTask, hash_rows
from steelyard.tasks.facts import describe
from steelyard.tasks.source import Source
from steelyard.tasks.splits import DEFAULT_SHARES

_BUDGET_S = 60

_DIGIT_SHARES = (0.50, 0.10, 0.40)
"""More rows to prove with than usual: 719, so that a drop of 0.42 points can be ruled out at 95 %."""


def digits(seed: int = 0) -> PreparedTask:
    """1,797 grey images of handwritten digits, 8 × 8, pixels 0 to 16.

    References:
        Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415 (seconds to import, needed here only)

    data: Any = load_digits()
    source = Source(origin="digits", x=data.images.astype(np.float32), y=data.target.astype(np.int64), target="digit")
    defaults = {"families": ["mlp"], "budget_s": _BUDGET_S}
    return prepare(source, "image-classification", name="digits", seed=seed, shares=_DIGIT_SHARES, defaults=defaults)


def breast_cancer(seed: int = 0) -> PreparedTask:
    """569 tumours, 30 measurements, malignant or benign.

    References:
        Wolberg et al., "Breast Cancer Wisconsin (Diagnostic)", UCI Machine Learning Repository, 1993.
    """
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415

    data: Any = load_breast_cancer()
    return _table("breast-cancer", "tabular-classification", data, np.asarray(data.target_names)[data.target], seed)


def wine(seed: int = 0) -> PreparedTask:
    """178 wines, 13 chemical measurements, three growers.

    References:
        Aeberhard and Forina, "Wine", UCI Machine Learning Repository, 1992.
    """
    from sklearn.datasets import load_wine  # noqa: PLC0415

    data: Any = load_wine()
    return _table("wine", "tabular-classification", data, np.asarray(data.target_names)[data.target], seed)


def diabetes(seed: int = 0) -> PreparedTask:
    """442 patients, 10 measurements, the progression of diabetes a year on.

    References:
        Efron et al., "Least Angle Regression", Annals of Statistics, 2004.
    """
    from sklearn.datasets import load_diabetes  # noqa: PLC0415

    data: Any = load_diabetes(scaled=False)
    return _table("diabetes", "tabular-regression", data, np.asarray(data.target), seed)


def _table(name: str, kind: TaskKind, data: Any, y: Array, seed: int) -> PreparedTask:
    """A task from one of scikit-learn's tables."""
    columns = {str(column): data.data[:, index] for index, column in enumerate(data.feature_names)}
    source = Source(origin=name, x=columns, y=y, target="target")
    defaults = {"families": ["mlp", "trees"], "budget_s": _BUDGET_S}
    return prepare(source, kind, name=name, seed=seed, shares=DEFAULT_SHARES, defaults=defaults)


def blobs(seed: int = 0) -> PreparedTask:
    """2,000 points around five centres in three dimensions, at least four standard deviations apart; no targets."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0, 0], [6, 0, 0], [0, 6, 0], [0, 0, 6], [6, 6, 6]], dtype=np.float64)
    points = rng.normal(centres[rng.integers(0, len(centres), 2000)], 1.0)
    return _points("blobs", points, seed)


def moons(seed: int = 0) -> PreparedTask:
    """2,000 points along two crescents that reach into each other: no two centres part them; no targets."""
    rng = np.random.default_rng(seed)
    angle, upper = rng.uniform(0, np.pi, 2000), rng.integers(0, 2, 2000)
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    return _points("moons", np.stack([x, y], axis=1) + rng.normal(0, 0.06, (2000, 2)), seed)


def _points(name: str, points: Array, seed: int) -> PreparedTask:
    """A clustering of points (n, d)."""
    columns = {f"x{at}": points[:, at] for at in range(points.shape[1])}
    source = Source(origin=name, x=columns, y=np.zeros(len(points)), target="none")
    defaults = {"families": ["kmeans"], "budget_s": _BUDGET_S}
    return prepare(source, "clustering", name=name, seed=seed, shares=DEFAULT_SHARES, defaults=defaults)


def linear(seed: int = 0) -> PreparedTask:
    """Fit y = x on x = 1 … 5 by plain gradient descent, nothing standardised: the textbook's own example.

    Its rate of 0.1 is above 2 / 23.7, where 23.7 is the largest eigenvalue of the Hessian of the mean squared
    error in weight and offset, so descent diverges there; that is the point of it.
    """
    rng = np.random.default_rng(seed)
    train = np.arange(1, 6, dtype=np.float32)
    valid, test = (rng.uniform(0, 6, count).astype(np.float32) for count in (200, 1000))
    splits = [Rows(x[:, None], x) for x in (train, valid, test)]
    spec = TableInput((Column("x", "number", mean=0.0, std=1.0),))
    output = ValueOutput(mean=0.0, std=1.0)
    return PreparedTask(
        name="linear",
        kind="tabular-regression",
        input=spec,
        output=output,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        split_how=f"train is x = 1, 2, 3, 4, 5; valid and test are drawn evenly from 0 to 6, seed {seed}",
        data_hash=hash_rows(spec, output, *splits),
        facts=describe("tabular-regression", spec, output, splits),
        metric="rmse",
        defaults={
            "families": ["linear"],
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "batch": "full",
            "budget_s": _BUDGET_S,
        },
    )
