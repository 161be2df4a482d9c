"""Histogram gradient boosting by scikit-learn, written as ONNX by skl2onnx."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.candidate import Scale
from steelyard.core.errors import WorkerError
from steelyard.core.protocols import Task
from steelyard.core.task import Array, ClassOutput
from steelyard.core.wire import Plain
from steelyard.families.categories import Recoding, recoding_of
from steelyard.families.treefile import write_trees
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.runtimes.parity import check_parity

RATE = 0.1
"""Share of each tree's correction that is taken: scikit-learn's own default."""
CHUNKS = 12
"""Looks at the valid rows in one training, at least; between two the limit is looked at too."""
PATIENCE = 3
"""Looks without gain after which boosting ends."""
FEWEST_A_LEAF, MOST_A_LEAF = 2, 20
"""Training rows that a leaf must have: scikit-learn's 20, fewer where there are less than a thousand rows."""
PARITY_ROWS = 1024
"""Valid rows on which the file must do as the trees do."""


@dataclass(slots=True)
class _Course:
    """A training so far: what the valid rows said at each look, and where they liked it best."""

    rounds: list[float]
    losses: list[float]
    stopped: str = "all trees"

    @property
    def best(self) -> int:
        """Rounds at the look with the least loss."""
        return int(self.rounds[int(np.argmin(self.losses))])


def fit(scale: Scale, task: Task, seed: int, path: Path, limit_s: float) -> Plain:
    """Boost on the training rows and write the trees; see `steelyard.core.protocols.FittedFamily.fit`.

    Raises:
        WorkerError: if the training rows lack a class, or the file does something else than the trees.
    """
    is_class = isinstance(task.output, ClassOutput)
    if is_class and len(np.unique(task.train.y)) < task.output.width:
        raise WorkerError("trees need a training row of every class.", stage="train")
    model = _model(scale, task, seed, is_class=is_class)
    start = time.perf_counter()
    recoding = recoding_of(task)
    course = _boost(model, recoding, task, scale, start + limit_s)
    _keep(model, course.best)
    train_s = time.perf_counter() - start
    write_trees(model, recoding, task.output.width, path)
    rows = np.ascontiguousarray(task.valid.x[:PARITY_ROWS], dtype=np.float32)
    parity = check_parity(_scores(model, recoding.applied(rows)), OnnxRuntime().load(path).run(rows), decides=is_class)
    return {
        "train_s": train_s,
        "curve": {"epoch": course.rounds, "valid_quality": [-each for each in course.losses]},
        "stopped": course.stopped,
        "rounds": course.best,
        "parity": parity,
        "exporter": "skl2onnx",
    }


def _model(scale: Scale, task: Task, seed: int, *, is_class: bool) -> Any:
    from sklearn.ensemble import (  # noqa: PLC0415  takes a second to import
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )

    kind = HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor
    return kind(
        learning_rate=RATE,
        max_iter=1,
        max_leaf_nodes=scale.integer("leaves", 31),
        max_depth=scale.integer("depth", 8),
        min_samples_leaf=int(np.clip(len(task.train) // 50, FEWEST_A_LEAF, MOST_A_LEAF)),
        early_stopping=False,
        warm_start=True,
        random_state=seed,
    )


def _boost(model: Any, recoding: Recoding, task: Task, scale: Scale, until: float) -> _Course:
    """Boost in chunks of rounds, until all are done, the valid rows get no better, or the time is up."""
    x, valid = (recoding.applied(np.asarray(rows.x, dtype=np.float32)) for rows in (task.train, task.valid))
    trees = scale.integer("trees", 100)
    chunk = max(1, trees // CHUNKS)
    course = _Course([], [])
    done = 0
    while done < trees:
        done = min(trees, done + chunk)
        model.set_params(max_iter=done)
        model.fit(x, task.train.y)
        course.rounds.append(float(done))
        course.losses.append(_loss(model, valid, task))
        if len(course.losses) - 1 - int(np.argmin(course.losses)) >= PATIENCE:
            course.stopped = "valid rows got no better"
            break
        if time.perf_counter() > until and done < trees:
            course.stopped = "time limit"
            break
    return course


def _loss(model: Any, x: Array, task: Task) -> float:
    """What boosting minimises, on the valid rows: mean negative log-likelihood, or the root mean squared error."""
    scores = _scores(model, x)
    y = task.valid.y
    if not isinstance(task.output, ClassOutput):
        return float(np.sqrt(np.mean(np.square(scores[:, 0] - y))))
    highest = scores.max(axis=1)
    total = highest + np.log(np.exp(scores - highest[:, None]).sum(axis=1))
    return float(np.mean(total - scores[np.arange(len(y)), y]))


def _scores(model: Any, x: Array) -> Array:
    """The outputs (n, width): log-odds of the classes, those of two classes by halves, or values."""
    if not hasattr(model, "decision_function"):
        return np.asarray(model.predict(x), dtype=np.float64)[:, None]
    scores = np.asarray(model.decision_function(x), dtype=np.float64)
    return np.stack([-scores / 2, scores / 2], axis=1) if scores.ndim == 1 else scores


def _keep(model: Any, rounds: int) -> None:
    """Drop the trees after the best round."""
    del model._predictors[rounds:]
    model.set_params(max_iter=rounds)
