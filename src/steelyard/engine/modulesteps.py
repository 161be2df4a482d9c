"""Steps on the modules of trained candidates: zeros and codebooks, learned from the labels and the trained model."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.core.candidate import StepSetting
from steelyard.core.errors import WorkerError
from steelyard.core.protocols import Metric, ModuleStep, Task
from steelyard.core.registry import Registry
from steelyard.core.wire import Plain
from steelyard.engine.elastic import lesson_loss
from steelyard.engine.messages import WEIGHTS
from steelyard.engine.stepping import step_of
from steelyard.select.quality import loss
from steelyard.training.lesson import Lesson
from steelyard.training.weights import load_state


@dataclass(frozen=True, slots=True)
class ModuleSteps:
    """Carries out steps on modules that this study trained."""

    task: Task
    registry: Registry
    metric: Metric
    seed: int
    own_loss: Callable[..., Any] | None = None

    def applied(
        self, model: Any, home: Path, steps: tuple[StepSetting, ...], limit_s: float
    ) -> tuple[Any, list[Plain]]:
        """The model after the steps, and what each did.

        Args:
            model: of the scale, untrained; it is filled with what was trained.
            home: the folder of the trained model, with its weights.
            steps: on modules, in their order.
            limit_s: seconds that all of them may learn for.

        Raises:
            WorkerError: if the weights were not kept.
        """
        if not (home / WEIGHTS).is_file():
            raise WorkerError("the trained weights were not kept, so no step can be applied to them.", stage="compress")
        load_state(model, home / WEIGHTS)
        teacher = copy.deepcopy(model).eval()
        done: list[Plain] = []
        for setting in steps:
            step: ModuleStep = step_of(self.registry, "module_step", setting)
            start = time.perf_counter()
            model, report = step.apply(model, self._lesson(teacher, limit_s / len(steps)))
            done.append({"name": setting.name, **report, "train_s": time.perf_counter() - start})
        return model.eval(), done

    def _lesson(self, teacher: Any, limit_s: float) -> Lesson:
        metric = self.metric
        return Lesson(
            train=self.task.train,
            valid=self.task.valid,
            teacher=teacher,
            loss=lesson_loss(self.own_loss, self.task.output),
            judge=lambda outputs, targets: loss(metric, metric(outputs, targets)),
            seed=self.seed,
            limit_s=limit_s,
        )
