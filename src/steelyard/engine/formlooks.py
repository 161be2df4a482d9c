"""Forms of explored scales in a worker: cut from the shared weights, compressed without training, looked at."""

import itertools
import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from steelyard.core.candidate import Candidate, Scale, StepSetting, steps_text
from steelyard.core.errors import SteelyardError
from steelyard.core.explored import Explored
from steelyard.core.protocols import Step
from steelyard.core.task import Rows
from steelyard.engine.clock import Clock
from steelyard.engine.elastic import NORM_ROWS, SharedWeights
from steelyard.engine.looks import Look
from steelyard.engine.messages import FormLooks, Made
from steelyard.engine.stepping import calibration, leading, step_of
from steelyard.engine.subnets import SubnetFiles
from steelyard.graph.audit import check_quantized
from steelyard.graph.reading import read_model
from steelyard.training.course import Course

log = logging.getLogger(__name__)

NO_COURSE = Course(epochs=0)
"""What a step on a module learns by in a look: nothing. Its estimate is that of the form before it has recovered."""


def look_at_forms(elastic: SharedWeights, asked: FormLooks, clock: Clock) -> Made:
    """Look at forms one after the other until the time is over; at least one.

    Returns:
        Notes with the forms `explored`; those `barred`, whose steps can't be applied; and `refused`: why, by the steps
        in words.
    """
    with clock.stage("look"), tempfile.TemporaryDirectory() as scratch:
        judge = _FormJudge(elastic, asked, Path(scratch))
        found = judge.looked()
    notes = {
        "metric": elastic.goal_metric.name,
        "explored": [each.to_json() for each in found],
        "refused": judge.refused,
        "barred": [each.to_json() for each in judge.barred],
    }
    return Made("", {}, clock.seconds, trained=False, notes=notes)


@dataclass(slots=True)
class _FormJudge:
    """Looks at forms by the files that they would have."""

    elastic: SharedWeights
    asked: FormLooks
    folder: Path
    look: Look = field(init=False)
    files: SubnetFiles = field(init=False)
    refused: dict[str, str] = field(default_factory=dict)
    barred: list[Candidate] = field(default_factory=list)
    _models: dict[Scale, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        elastic, asked = self.elastic, self.asked
        runtime = asked.candidates[0].runtime
        self.look = Look.by(
            elastic.registry,
            runtime,
            elastic.goal_metric,
            elastic.judged,
            batch=asked.batch,
            threads=asked.threads,
        )
        self.files = elastic.files(asked.space, self.folder)

    def looked(self) -> list[Explored]:
        until = time.perf_counter() + self.asked.limit_s
        found: list[Explored] = []
        for _, group in itertools.groupby(self.asked.candidates, key=lambda each: each.scale):
            for steps, forms in self._by_steps(tuple(group)):
                if found and time.perf_counter() > until:
                    return found
                try:
                    found += self._of_steps(steps, forms)
                except SteelyardError as error:
                    log.info("%s can't be looked at: %s", forms[0], error.message)
                    self.refused[steps_text(steps)] = error.message
                    self.barred += forms
        return found

    def _by_steps(self, candidates: tuple[Candidate, ...]) -> Iterator[tuple[tuple[StepSetting, ...], list[Candidate]]]:
        """The candidates of one scale by their steps: those that differ in options alone have one file."""
        steps = dict.fromkeys(each.steps for each in candidates)
        return ((one, [each for each in candidates if each.steps == one]) for one in steps)

    def _of_steps(self, steps: tuple[StepSetting, ...], forms: list[Candidate]) -> list[Explored]:
        """Looks at the forms of one file."""
        path = self.look.file(self._written(steps, forms[0]))
        quality, size = self.look.quality(path), self.look.size_bytes(path)
        rows = len(self.look.rows)
        return [Explored(each, quality, rows, self.look.latency_s(path, each.options), size) for each in forms]

    def _written(self, steps: tuple[StepSetting, ...], candidate: Candidate) -> Path:
        """The ONNX file of a form."""
        elastic = self.elastic
        model = self._model(candidate.scale)
        on_module = leading(steps, elastic.registry)
        for setting in on_module:
            model, _ = self._unlearned(setting).apply(model, self._lesson(model))
        path = self.files.written(candidate.scale, model)
        for number, setting in enumerate(steps[len(on_module) :]):
            step: Step = step_of(elastic.registry, "step", setting)
            target = self.folder / f"form{number}.onnx"
            report = step.apply(path, target, calibration(elastic.task.train, elastic.seed))
            if setting.name == "quantize":
                check_quantized(read_model(target), allowed=report.get("float_weights", ()))
            path = target
        return path

    def _model(self, scale: Scale) -> Any:
        """The scale's own model; only the last one is kept."""
        if scale not in self._models:
            self._models.clear()
            self._models[scale] = self.elastic.subnet(self.asked.space, scale)
        return self._models[scale]

    def _unlearned(self, setting: StepSetting) -> Any:
        """A step on a module that learns nothing."""
        step = step_of(self.elastic.registry, "module_step", setting)
        return replace(step, course=NO_COURSE) if any(each.name == "course" for each in fields(step)) else step

    def _lesson(self, model: Any) -> Any:
        lesson = self.elastic.lesson(model, 1.0, None)
        train = lesson.train
        return replace(lesson, train=Rows(train.x[:NORM_ROWS], train.y[:NORM_ROWS]))
