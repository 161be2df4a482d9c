"""One candidate's life up to its model file: train, export, check parity, compress, evaluate. Runs in a worker."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.candidate import Candidate, StepSetting, loading_of
from steelyard.core.errors import WorkerError
from steelyard.core.protocols import Exporter, Family, Feed, FittedFamily, Metric, Runtime, Task
from steelyard.core.quantity import Quantity
from steelyard.core.registry import Registry
from steelyard.core.task import Array, ClassOutput, Rows, feed_of
from steelyard.core.wire import Plain
from steelyard.engine.chain import Chain
from steelyard.engine.clock import Clock
from steelyard.engine.conversion import SOURCE_SUFFIX, artifact_bytes, floor_model, floor_ports
from steelyard.engine.elastic import SharedWeights
from steelyard.engine.evaluating import outputs_of
from steelyard.engine.formlooks import look_at_forms
from steelyard.engine.inspecting import audit_file
from steelyard.engine.messages import EARLIER_NOTES, HOPELESS, SEED_FOLDER, Assignment, Exploration, FormLooks, Made
from steelyard.engine.modulesteps import ModuleSteps
from steelyard.engine.once import made_once
from steelyard.engine.slimming import SharedStructures
from steelyard.engine.stepping import calibration, leading, step_of
from steelyard.engine.takeover import earlier_fit, keep_weights
from steelyard.graph.audit import check_quantized
from steelyard.graph.counting import count
from steelyard.graph.reading import read_model
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.runtimes.parity import check_parity
from steelyard.select.quality import quality_interval
from steelyard.training.fit import Fit, HopelessError, Problem, fit
from steelyard.training.modules import module_outputs, stable_rate_of
from steelyard.training.recipe import Recipe
from steelyard.training.recovery import Recovered

PARITY_ROWS = 256
"""Validation rows on which the exported file must agree with its source."""
UNTRAINED = "untrained"
"""The folder, among the trained models, of files with fresh weights; it goes once they are measured."""
TAKEN_OVER, SHARED, SCRATCH = "an earlier study", "shared weights", "scratch"
"""Where a model started."""
TRAIN_ROWS = 5_000
"""Training rows whose quality is reported beside the validation split's."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Everything that candidates of one study are made with."""

    task: Task
    registry: Registry
    families: Mapping[str, Family | FittedFamily]
    recipe: Recipe
    metrics: Mapping[str, Metric]
    monitor: str
    goal_metric: str
    seed: int
    fits: Path
    loss: Callable[..., Any] | None = None
    loop: Callable[..., Any] | None = None
    chain: Chain | None = None
    elastic: SharedWeights | None = None
    structures: SharedStructures | None = None

    def explore(self, asked: Exploration, tell: Callable[[str], None]) -> Made:
        """Train the shared weights of a family and judge its scales.

        Raises:
            WorkerError: if its models can't share weights, or need not.
        """
        if self.structures is not None:
            return self.structures.explore(asked, Clock(tell))
        if self.elastic is None:
            raise WorkerError("a training loop of your own trains one model at a time.", stage="share")
        return self.elastic.explore(asked, Clock(tell))

    def look(self, asked: FormLooks, tell: Callable[[str], None]) -> Made:
        """Look at forms of scales that share weights.

        Raises:
            WorkerError: if there are no shared weights.
        """
        if self.elastic is None:
            raise WorkerError("there are no shared weights to look at.", stage="look")
        return look_at_forms(self.elastic, asked, Clock(tell))

    def make(self, assignment: Assignment, tell: Callable[[str], None]) -> Made:
        """Make one candidate.

        Raises:
            WorkerError: with the stage at which it failed.
        """
        if assignment.seed is not None:
            apart = self.fits / f"{SEED_FOLDER}{assignment.seed}"
            return replace(self, seed=assignment.seed, fits=apart, elastic=None).make(
                replace(assignment, seed=None), tell
            )
        clock = Clock(tell)
        if assignment.untrained:
            return self._untrained(assignment.candidate, clock)
        try:
            return self._made(assignment, clock)
        except HopelessError as short:
            noted = {"epoch": short.epoch, "quality": short.quality, "curve": short.curve}
            return Made("", {}, clock.seconds, trained=False, notes={HOPELESS: noted})

    def _made(self, assignment: Assignment, clock: Clock) -> Made:
        """The candidate trained, exported, checked, compressed and evaluated."""
        candidate = assignment.candidate
        steps = candidate.steps
        if self.chain is None:
            source, notes, trained = self._trained(candidate.uncompressed.file, assignment, clock)
            on_module = leading(steps, self.registry)
            if on_module:
                source, notes, trained = self._module_stepped(candidate, on_module, notes, assignment.limit_s, clock)
                steps = steps[len(on_module) :]
        else:
            source, notes, trained = self.chain.made(candidate, assignment.limit_s, clock)
            steps = steps[len(self.chain.module_steps(steps)) :]
            notes = {**notes, "steps": notes["chain"]}
        if steps:
            source, done = self._compressed(candidate.file, steps, source, clock)
            notes = {**notes, "steps": [*notes.get("steps", ()), *done]}
        path = self._runtime_file(candidate, source, clock)
        with clock.stage("evaluate"):
            figures = self._evaluate(candidate, path, source)
            figures["train_s"] = Quantity.exact(notes["train_s"], "s")
        plain = {name: quantity.to_json() for name, quantity in figures.items()}
        return Made(str(path), plain, clock.seconds, trained, notes)

    def _trained(self, candidate: Candidate, assignment: Assignment, clock: Clock) -> tuple[Path, dict[str, Any], bool]:
        """The uncompressed model's ONNX file and notes; trained once a study, however many candidates share it.

        The runtime's own file stands beside it, under the same name with the runtime's suffix.
        """
        family = self.families[candidate.family]
        if isinstance(family, FittedFamily):
            return self._learned(family, candidate, assignment.limit_s, clock)
        has_curve = False

        def train(folder: Path) -> dict[str, Any]:
            nonlocal has_curve
            with clock.stage("export" if (home / EARLIER_NOTES).is_file() else "train"):
                model, result, start = self._fitted(candidate, home, assignment)
            with clock.stage("export"):
                path, how = self._exported(model, candidate, folder)
            with clock.stage("parity"):
                parity = self._parity(model, candidate, path)
            taken_over = start == TAKEN_OVER
            has_curve = not taken_over and bool(result.curve)
            notes = {**_notes(result, how, parity), **keep_weights(model, folder), "taken_over": taken_over}
            return {**notes, "start": start} if start == SHARED else notes

        home = self.fits / candidate.key
        notes = made_once(home, "fit.json", train)
        return home / f"model{SOURCE_SUFFIX}", notes, has_curve

    def _learned(
        self, family: FittedFamily, candidate: Candidate, limit_s: float, clock: Clock
    ) -> tuple[Path, dict[str, Any], bool]:
        """As `_trained`, of a family that learns by itself and writes its own file."""
        is_new = False

        def learn(folder: Path) -> dict[str, Any]:
            nonlocal is_new
            source = folder / f"model{SOURCE_SUFFIX}"
            with clock.stage("train"):
                notes = family.fit(candidate.scale, self.task, self.seed, source, limit_s)
            with clock.stage("parity"):
                self._check_file(candidate, source)
            is_new = True
            return {"exporter": family.name, **notes}

        home = self.fits / candidate.key
        notes = made_once(home, "fit.json", learn)
        return home / f"model{SOURCE_SUFFIX}", notes, is_new

    def _check_file(self, candidate: Candidate, path: Path) -> None:
        """Refuse a file that a family wrote where it does not run, or gives outputs of another width than asked for.

        Raises:
            WorkerError: saying so.
        """
        rows = next(self.task.valid.batches(PARITY_ROWS))
        got = OnnxRuntime().load(path).run(rows)
        wanted = (len(got), self.task.output.width)
        if got.shape != wanted or not np.isfinite(got).all():
            raise WorkerError(
                f"{candidate.family} must write a file whose outputs are finite and of shape (n, {wanted[1]}), got "
                f"{got.shape}.",
                stage="parity",
            )

    def _module_stepped(
        self, candidate: Candidate, steps: tuple[StepSetting, ...], notes: dict[str, Any], limit_s: float, clock: Clock
    ) -> tuple[Path, dict[str, Any], bool]:
        """The ONNX file of a trained model after steps on its module, which may train it further; made once a study."""
        before = self.fits / candidate.uncompressed.key
        home = self.fits / replace(candidate.file, steps=steps).key / "module"
        stepped = ModuleSteps(self.task, self.registry, self.metrics[self.goal_metric], self.seed, self.loss)

        def apply(folder: Path) -> Plain:
            model = self._built(candidate)
            with clock.stage("compress"):
                model, done = stepped.applied(model, before, steps, limit_s)
            with clock.stage("export"):
                export(model, _example(self.task.train), folder / f"model{SOURCE_SUFFIX}")
            return {"steps": done}

        found = made_once(home, "steps.json", apply)
        took = sum(float(each.get("train_s", 0.0)) for each in found["steps"])
        notes = {**notes, "steps": found["steps"], "train_s": notes["train_s"] + took}
        return home / f"model{SOURCE_SUFFIX}", notes, True

    def _fitted(self, candidate: Candidate, home: Path, assignment: Assignment) -> tuple[Any, Fit, str]:
        """A trained model, how it was trained, and where it started: an earlier study, shared weights, or scratch."""
        model = self._built(candidate)
        earlier = earlier_fit(model, home)
        if earlier is not None:
            return model, earlier, TAKEN_OVER
        if self.elastic is not None and self.elastic.has(candidate):
            model, done = self.elastic.tuned(candidate, assignment.limit_s)
            return model, _as_fit(done, -1.0 if self.metrics[self.monitor].higher_is_better else 1.0), SHARED
        return model, self._fit(model, candidate, assignment), SCRATCH

    def _untrained(self, candidate: Candidate, clock: Clock) -> Made:
        """The runtime's file of the model with fresh weights, and its size: other costs are for the lane to measure."""
        folder = self.fits / UNTRAINED / candidate.key
        folder.mkdir(parents=True, exist_ok=True)
        with clock.stage("export"):
            path, _ = self._exported(self._built(candidate), candidate, folder)
            size = Quantity.exact(artifact_bytes(path, self._runtime(candidate).companions), "B")
        return Made(str(path), {"size_bytes": size.to_json()}, clock.seconds, trained=False)

    def _exported(self, model: Any, candidate: Candidate, folder: Path) -> tuple[Path, str]:
        """The runtime's file of a trained model, and how it was written; the ONNX file is always there too."""
        runtime, exporter = self._runtime(candidate), self._exporter(candidate)
        source = folder / f"model{SOURCE_SUFFIX}"
        how = export(model, _example(self.task.train), source)
        path = source.with_suffix(runtime.suffix)
        if path == source:
            return path, how
        if "onnx" in exporter.sources:
            exporter.convert(source, path)
            return path, how
        floor_model(self.registry, candidate.runtime, floor_ports(self.task.input), self.fits)
        return path, exporter.export(model, _example(self.task.train), path)

    def _runtime(self, candidate: Candidate) -> Runtime:
        runtime: Runtime = self.registry.get("runtime", candidate.runtime)
        return runtime

    def _exporter(self, candidate: Candidate) -> Exporter:
        exporter: Exporter = self.registry.get("exporter", candidate.runtime)
        return exporter

    def _built(self, candidate: Candidate) -> Any:
        """The untrained model, its outputs of the width that the task asks for.

        Raises:
            WorkerError: if they have another.
        """
        family = self.families[candidate.family]
        if isinstance(family, FittedFamily):
            raise WorkerError(f"{candidate.family} learns by itself and has no file before it has.", stage="train")
        model = family.build(candidate.scale, self.task, self.seed)
        rows = _example(self.task.train)
        shape = module_outputs(model, rows).shape
        if len(shape) < 2 or (shape[0], math.prod(shape[1:])) != (len(rows), self.task.output.width):
            raise WorkerError(
                f"the model must give outputs of shape (n, {self.task.output.width}), got {shape} for "
                f"{len(rows)} rows; check its last layer.",
                stage="train",
            )
        return model

    def _fit(self, model: Any, candidate: Candidate, assignment: Assignment) -> Fit:
        if self.task.environment:
            # What learns by playing writes its own files; only the baseline is left, which has nothing to learn.
            return Fit(0.0, {"epoch": [1.0]}, "nothing to learn", 0.0)
        problem = Problem(
            train=self.task.train,
            valid=self.task.valid,
            output=self.task.output,
            metric=self.metrics[self.monitor],
            recipe=self.recipe,
            seed=self.seed,
            limit_s=assignment.limit_s,
            stable_rate=self._stable_rate(model, candidate),
            loss=self.loss,
            needed=dict(assignment.needed),
        )
        if self.loop is None or not any(True for _ in model.body.parameters()):
            return fit(model, problem)
        start = time.perf_counter()
        self.loop(model, (self.task.train.x, self.task.train.y), (self.task.valid.x, self.task.valid.y), self.seed)
        return Fit(0.0, {"epoch": [1.0]}, "the user's own loop", time.perf_counter() - start)

    def _stable_rate(self, model: Any, candidate: Candidate) -> float | None:
        """Known for linear regressions, whose loss has one curvature."""
        if candidate.family != "linear" or isinstance(self.task.output, ClassOutput):
            return None
        return stable_rate_of(model, np.asarray(_sample(self.task.train, TRAIN_ROWS, self.seed).x, dtype=np.float32))

    def _parity(self, model: Any, candidate: Candidate, path: Path) -> Plain:
        """The file against the module it came from, on real inputs.

        Raises:
            WorkerError: if they differ by more than the format explains.
        """
        rows = next(self.task.valid.batches(PARITY_ROWS))
        wanted = module_outputs(model, rows)
        # What this study wrote itself can be trusted.
        got = self._runtime(candidate).load(path, trust=True).run(rows)
        if not np.isfinite(wanted).all():
            raise WorkerError("the trained model gives outputs that are not finite.", stage="train")
        return check_parity(wanted, got, decides=isinstance(self.task.output, ClassOutput))

    def _audit(self, candidate: Candidate, path: Path) -> Plain | None:
        """What of a quantized file ONNX Runtime computes in float all the same: why int8 may be no faster."""
        if candidate.runtime != "onnxruntime":
            return None
        audit = audit_file(path)
        return None if audit is None else audit.to_json()

    def _runtime_file(self, candidate: Candidate, source: Path, clock: Clock) -> Path:
        """The runtime's own file beside an ONNX file, made where it is missing."""
        path = source.with_suffix(self._runtime(candidate).suffix)
        if not path.is_file():
            with clock.stage("export"):
                self._exporter(candidate).convert(source, path)
        return path

    def _compressed(
        self, candidate: Candidate, steps: tuple[StepSetting, ...], source: Path, clock: Clock
    ) -> tuple[Path, Plain]:
        """The last step's ONNX file and what each step did; made once a study, whatever options it is loaded with."""

        def compress(folder: Path) -> Plain:
            with clock.stage("compress"):
                done = self._stepped(candidate, steps, source, folder)
                path = folder / _step_file(steps)
                made = path.with_suffix(self._runtime(candidate).suffix)
                if made != path:
                    self._exporter(candidate).convert(path, made)
            return done

        home = self.fits / candidate.key
        done = made_once(home, "steps.json", compress)
        return home / _step_file(steps), done

    def _stepped(self, candidate: Candidate, steps: tuple[StepSetting, ...], source: Path, folder: Path) -> list[Plain]:
        """Apply the steps one after another, each into a file of its own; what each did."""
        done: list[Plain] = []
        path = source
        for number, setting in enumerate(steps):
            step = step_of(self.registry, "step", setting)
            target = folder / f"step{number}{SOURCE_SUFFIX}"
            report = step.apply(path, target, calibration(self.task.train, self.seed))
            if setting.name == "quantize":
                check_quantized(read_model(target), allowed=report.get("float_weights", ()))
                report = {**report, "audit": self._audit(candidate, target)}
            done.append({"name": setting.name, **report})
            path = target
        return done

    def _evaluate(self, candidate: Candidate, path: Path, source: Path) -> dict[str, Quantity]:
        """The figures of a runtime's file as it is loaded; operators are counted in the ONNX file it stands for."""
        runtime = self._runtime(candidate)
        # Training has one processor, and threads change no output: only the other options apply.
        _, options = loading_of(candidate.options)
        session = runtime.load(path, threads=1, trust=True, **options)
        valid = outputs_of(session.run, self.task.valid, self.task.environment)
        if not np.isfinite(valid).all():
            raise WorkerError("the model file gives outputs that are not finite.", stage="evaluate")
        judged = [("", valid, self.task.valid.y)]
        if not self.task.environment:
            some = _sample(self.task.train, TRAIN_ROWS, self.seed)
            judged.append(("_train", outputs_of(session.run, some), some.y))
        figures: dict[str, Quantity] = {}
        for name, metric in self.metrics.items():
            for suffix, outputs, targets in judged:
                figure = self._quality(metric, outputs, targets)
                if figure is not None:
                    figures[name + suffix] = figure
        counts = count(read_model(source))
        figures["parameters"] = Quantity.exact(counts.parameters)
        figures["macs"] = Quantity.exact(counts.macs)
        figures["size_bytes"] = Quantity.exact(artifact_bytes(path, runtime.companions), "B")
        return figures

    def _quality(self, metric: Metric, outputs: Array, targets: Array) -> Quantity | None:
        """The figure; with its interval where the goal or the training watches it (resampling others costs seconds).

        None where nothing depends on it and it is not finite: nobody knows it then.
        """
        if metric.name in (self.monitor, self.goal_metric) or metric.proof == "trinomial":
            return quality_interval(metric, outputs, targets, seed=self.seed)
        value = metric(outputs, targets)
        return Quantity(value, metric.unit, n=len(targets)) if np.isfinite(value) else None


def _as_fit(done: Recovered, sign: float) -> Fit:
    """What the fine-tuning of shared weights did, in the words of a training; `sign` turns a loss into the quality."""
    curve: dict[str, list[float]] = {name: done.curve[name] for name in ("epoch", "train_loss")}
    curve["valid_quality"] = [sign * value for value in done.curve["valid_loss"]]
    return Fit(done.rate, curve, done.stopped, done.train_s, list(done.notes))


def _step_file(steps: tuple[StepSetting, ...]) -> str:
    """The name of the last step's ONNX file."""
    return f"step{len(steps) - 1}{SOURCE_SUFFIX}"


def _sample(rows: Rows, most: int, seed: int) -> Rows:
    if len(rows) <= most:
        return rows
    index = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
    return Rows(rows.x[index], rows.y[index])


def _example(rows: Rows) -> Feed:
    return feed_of(rows.x[:2] if len(rows) > 1 else np.concatenate([rows.x[:1], rows.x[:1]]))


def _notes(result: Fit, exporter: str, parity: Plain) -> dict[str, Any]:
    return {
        "train_s": result.train_s,
        "learning_rate": result.learning_rate,
        "stopped": result.stopped,
        "curve": result.curve,
        "cures": result.notes,
        "stable_rate": result.stable_rate,
        "exporter": exporter,
        "parity": parity,
    }
