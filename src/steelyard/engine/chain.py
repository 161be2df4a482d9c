"""Steps on a torch module, one after the other, each result kept: a longer chain begins where a shorter one ended."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.errors import RuntimeFailureError, WorkerError
from steelyard.core.protocols import Feed, Metric, Task
from steelyard.core.registry import Registry
from steelyard.core.task import ClassOutput
from steelyard.core.wire import Plain
from steelyard.engine.clock import Clock
from steelyard.engine.conversion import SOURCE_SUFFIX
from steelyard.engine.evaluating import outputs_of
from steelyard.engine.given import GivenModel, example_of
from steelyard.engine.once import made_once
from steelyard.graph.whole import write_whole
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.runtimes.parity import check_parity
from steelyard.select.quality import loss
from steelyard.steps.prune import sizes_of
from steelyard.training.lesson import Lesson, Taught
from steelyard.training.losses import loss_of
from steelyard.training.modules import module_outputs
from steelyard.training.weights import load_state, save_state

PARITY_ROWS = 256
"""Validation rows on which an exported file is compared with its module."""
MOST_TAUGHT = 250_000_000
"""Numbers that the teacher's outputs on the training rows may be: a gigabyte."""
ALONE = 16
"""Validation rows that are compared one by one as well: tracing takes one way through every branch."""
KEPT = 4
"""Modules that are kept in memory: the chain that grows, and where it may branch."""
NOTES, WEIGHTS = "fit.json", "weights.safetensors"
"""Files of a result beside its model."""
Steps = tuple[StepSetting, ...]


@dataclass(slots=True)
class Chain:
    """The model given, and what steps on modules make of it.

    Every result has a folder: the exported file, the weights, and notes, which come last. A module that is needed
    again in another process is made anew from the model given by the steps that change its structure, whose outcome
    depends on the weights they found and the seed alone, and is then filled with the weights that were kept.
    `sliced` cuts a structure of given sizes from shared weights, where there are such.
    """

    given: GivenModel
    task: Task
    registry: Registry
    metric: Metric
    seed: int
    fits: Path
    sliced: Callable[[tuple[int, ...]], tuple[Any, Plain] | None] | None = None
    _modules: dict[Steps, Any] = field(default_factory=dict)
    _taught: Taught | None = None

    def made(self, candidate: Candidate, limit_s: float, clock: Clock) -> tuple[Path, dict[str, Any], bool]:
        """The ONNX file and the notes of a candidate's steps on modules, and whether weights were trained for it now.

        Raises:
            WorkerError: with the stage at which it failed.
        """
        steps = self.module_steps(candidate.steps)
        if not self.given.is_module:
            return self._copied(clock)
        missing = [end for end in range(len(steps) + 1) if not self._is_made(steps[:end])]
        lessons = max(1, sum(_learns(self._step(steps[end - 1])) for end in missing if end))
        for end in missing:
            self._make(steps[:end], limit_s / lessons, clock)
        home = self._home(steps)
        notes = json.loads((home / NOTES).read_text(encoding="utf-8"))
        trained = any(_learns(self._step(steps[end - 1])) for end in missing if end)
        return home / f"model{SOURCE_SUFFIX}", notes, trained

    def module_steps(self, steps: Steps) -> Steps:
        """The steps at the beginning that work on modules; the rest work on files."""
        known = self.registry.names("module_step")
        count = next((at for at, step in enumerate(steps) if step.name not in known), len(steps))
        return steps[:count]

    def _home(self, steps: Steps) -> Path:
        return self.fits / Candidate(self.given.name, Scale(), steps).key

    def _is_made(self, steps: Steps) -> bool:
        return (self._home(steps) / NOTES).is_file()

    def _step(self, setting: StepSetting) -> Any:
        step = self.registry.get("module_step", setting.name)
        return type(step)(**dict(setting.settings)) if setting.settings else step

    def _copied(self, clock: Clock) -> tuple[Path, dict[str, Any], bool]:
        """A file without training code is taken as it is, but whole and for any number of rows."""

        def copy(folder: Path) -> dict[str, Any]:
            path = folder / f"model{SOURCE_SUFFIX}"
            batch = write_whole(Path(str(self.given.path)), path)
            if batch is not None:
                self._check_freed(path, batch)
            return {"train_s": 0.0, "curve": {}, "exporter": "as given", "chain": []}

        home = self._home(())
        with clock.stage("export"):
            notes = made_once(home, NOTES, copy)
        return home / f"model{SOURCE_SUFFIX}", notes, False

    def _check_freed(self, path: Path, batch: int) -> None:
        """Refuse a file that gives other outputs for many rows at once than the given one for as many as it takes.

        Raises:
            WorkerError: if they differ.
        """
        own, freed = RUNTIME.load(Path(str(self.given.path))), RUNTIME.load(path)
        parts = [each for each in itertools.islice(self.task.valid.batches(batch), ALONE) if rows_in(each) == batch]
        if not parts:
            return
        rows = next(self.task.valid.batches(batch * len(parts)))
        wanted = np.concatenate([own.run(each) for each in parts])
        try:
            check_parity(wanted, freed.run(rows), decides=isinstance(self.task.output, ClassOutput))
        except (WorkerError, RuntimeFailureError) as error:
            raise WorkerError(
                f"the model takes exactly {batch} row(s) at a time and mixes them where it is given more; export it "
                "with a free batch axis.",
                stage="parity",
            ) from error

    def _make(self, steps: Steps, limit_s: float, clock: Clock) -> None:
        """One more step on what is made already, exported and checked."""

        def make(folder: Path) -> dict[str, Any]:
            before = self._notes(steps[:-1]) if steps else {}
            module, report = self._stepped(steps, limit_s, clock)
            path = folder / f"model{SOURCE_SUFFIX}"
            with clock.stage("export"):
                how = export(module, example_of(self.given, self.task.train.x), path)
            with clock.stage("parity"):
                parity = self._parity(module, path)
            save_state(module, folder / WEIGHTS)
            self._keep(steps, module)
            return {
                "train_s": before.get("train_s", 0.0) + float(report.get("train_s", 0.0)),
                "curve": report.get("curve", {}),
                "exporter": how,
                "parity": parity,
                "chain": [*before.get("chain", []), *([{"name": steps[-1].name, **report}] if steps else [])],
            }

        made_once(self._home(steps), NOTES, make)

    def _stepped(self, steps: Steps, limit_s: float, clock: Clock) -> tuple[Any, Plain]:
        """The module after the last of the steps, and what that did."""
        if not steps:
            with clock.stage("export"):
                return self.given.module(), {}
        step = self._step(steps[-1])
        with clock.stage("train" if _learns(step) else "compress"):
            found = self._from_shared(steps)
            module, report = found or step.apply(self._module(steps[:-1]), self.lesson(limit_s))
        return module, report

    def _from_shared(self, steps: Steps) -> tuple[Any, Plain] | None:
        """A structure cut from shared weights, where that is what the only step asks for."""
        sizes = dict(steps[0].settings).get("sizes") if len(steps) == 1 and steps[0].name == "prune" else None
        return None if sizes is None or self.sliced is None else self.sliced(sizes_of(str(sizes)))

    def prepare(self, clock: Clock) -> None:
        """Have the file of the model given, which tells what it says of rows."""
        if not self._is_made(()):
            self._make((), 0.0, clock)

    def _notes(self, steps: Steps) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self._home(steps) / NOTES).read_text(encoding="utf-8"))
        return found

    def _module(self, steps: Steps) -> Any:
        """The module that steps made, from memory or made anew."""
        if steps not in self._modules:
            module = self._structure(steps)
            load_state(module, self._home(steps) / WEIGHTS)
            self._keep(steps, module)
        return self._modules[steps]

    def _structure(self, steps: Steps) -> Any:
        """A module of the structure that steps made, whatever its weights."""
        if not steps:
            return self.given.module()
        step = self._step(steps[-1])
        if step.keeps_structure:
            return self._structure(steps[:-1])
        parent = self._structure(steps[:-1])
        load_state(parent, self._home(steps[:-1]) / WEIGHTS)
        module, _ = step.apply(parent, self.lesson(0.0))
        return module

    def _keep(self, steps: Steps, module: Any) -> None:
        self._modules[steps] = module.eval()
        while len(self._modules) > KEPT:
            del self._modules[next(each for each in self._modules if each != ())]

    def lesson(self, limit_s: float) -> Lesson:
        """What steps learn from, within so many seconds."""
        output = self.task.output
        metric, has_labels = self.metric, self.task.kind != "label-free"
        return Lesson(
            train=self.task.train,
            valid=self.task.valid,
            teacher=self._modules.get(()) or self._first(),
            loss=loss_of(output) if has_labels else None,
            judge=lambda outputs, targets: loss(metric, metric(outputs, targets)),
            seed=self.seed,
            limit_s=limit_s,
            taught=self._teaching() if limit_s > 0 else None,
        )

    def _teaching(self) -> Taught | None:
        """What the model given says of the rows; its file is asked, which answers faster than the module."""
        if self._taught is None:
            session = RUNTIME.load(self._home(()) / f"model{SOURCE_SUFFIX}")
            valid = outputs_of(session.run, self.task.valid)
            if valid[0].size * len(self.task.train) <= MOST_TAUGHT:
                self._taught = Taught(outputs_of(session.run, self.task.train), valid)
        return self._taught

    def _first(self) -> Any:
        module = self.given.module()
        self._keep((), module)
        return module

    def _parity(self, module: Any, path: Path) -> Plain:
        """The file against the module it came from, on real inputs.

        Raises:
            WorkerError: if they differ by more than the format explains.
        """
        rows, session = next(self.task.valid.batches(PARITY_ROWS)), RUNTIME.load(path)
        wanted, got = module_outputs(module, rows), session.run(rows)
        if not np.isfinite(wanted).all():
            raise WorkerError("the model gives outputs that are not finite.", stage="parity")
        decides = isinstance(self.task.output, ClassOutput)
        for row in itertools.islice(self.task.valid.batches(1), ALONE):
            try:
                check_parity(module_outputs(module, row), session.run(row), decides=decides)
            except WorkerError as error:
                why = error.message.removeprefix("parity: ").rstrip(".")
                raise WorkerError(
                    "the exported file and the module differ on single rows; the forward pass must not branch on "
                    f"values, draw at random or mix the rows of a batch ({why}).",
                    stage="parity",
                ) from error
        return check_parity(wanted, got, decides=decides)


def rows_in(feed: Feed) -> int:
    """How many rows a feed holds."""
    return len(next(iter(feed.values())) if isinstance(feed, Mapping) else feed)


def _learns(step: Any) -> bool:
    """Whether a step trains, so that it takes a share of the time."""
    return bool(step.learns)
