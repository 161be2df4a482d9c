"""One family's shared weights in a worker: trained once a study, explored, the start of confirmed candidates."""

import json
import logging
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Space
from steelyard.core.errors import SteelyardError, WorkerError
from steelyard.core.explored import Explored
from steelyard.core.protocols import Family, Metric, Task
from steelyard.core.registry import Registry
from steelyard.core.task import OutputSpec, Rows, ValueOutput, feed_of
from steelyard.core.wire import Plain
from steelyard.elastic.sandwich import Course, Trained, step_s, train_supernet
from steelyard.elastic.statistics import reestimate_norms
from steelyard.elastic.supernet import Supernet
from steelyard.engine.clock import Clock
from steelyard.engine.evaluating import outputs_of
from steelyard.engine.looks import Look
from steelyard.engine.messages import WEIGHTS, Exploration, Made
from steelyard.engine.once import made_once
from steelyard.engine.subnets import SubnetFiles
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.select.quality import loss
from steelyard.strategies.features import features_of
from steelyard.strategies.surrogate import predict
from steelyard.training.fit import default_loss
from steelyard.training.lesson import Lesson, Loss, Taught
from steelyard.training.recipe import Recipe
from steelyard.training.recovery import Recovered, Recovery, recover

log = logging.getLogger(__name__)

MOST_SCALES = 512
"""Scales of a family that share weights; of a larger space its ends, its edges and a sample do."""
EPOCHS, LEAST_STEPS = 120, 12_000
"""Passes over the training rows at most, but at least so many steps: small data need many passes."""
TURNS = 4
"""Times as many passes as the user asks for, because a pass trains one sub-network a batch."""
LEAST_BATCH = 16
"""Rows a step at least, where there are so many."""
JUDGED_ROWS, NORM_ROWS = 3_000, 512
"""Validation rows that shared weights are judged on, and training rows that statistics are estimated on."""
EXPLORING_SHARE = 0.25
"""The part of an exploration's time that judging and timing may take."""
LEAST_SMOOTHED = 8
"""Explored scales from which what is found of one counts for its neighbours."""
TUNING = Recovery(weight=0.5, temperature=2.0, patience=None, rate=3e-3)
"""How a sub-network becomes a candidate: half by labels and half by what the reference says."""
TUNING_EPOCHS, TUNING_STEPS = 4, 1_500
"""Its passes, but at least so many steps; its time may end it before."""
REFERENCE = Recovery(weight=0.0, rate=2e-3)
"""How the largest one becomes the reference: from its shared weights, by labels alone, until it stops improving."""
CHEAP_EPOCHS = 15.0
"""Passes that one training from scratch takes, roughly: what sharing has to be cheaper than."""
REPORT = "explored.json"


@dataclass(slots=True)
class SharedWeights:
    """The shared weights of families, by name; kept in memory, and in files for other workers and later runs."""

    task: Task
    families: Mapping[str, Family]
    recipe: Recipe
    metric: Metric
    goal_metric: Metric
    seed: int
    fits: Path
    registry: Registry
    own_loss: Callable[..., Any] | None = None
    _nets: dict[str, Supernet] = field(default_factory=dict)
    _taught: dict[str, Taught] = field(default_factory=dict)

    def home(self, family: str) -> Path:
        """The folder of a family's shared weights."""
        return self.fits / f"elastic-{family.replace(':', '-').replace('/', '-')}"

    def explore(self, asked: Exploration, clock: Clock) -> Made:
        """Train a family's shared weights and judge its scales by them; once a study.

        Raises:
            WorkerError: if the family can't share weights, or need not.
        """
        space = asked.space

        def make(folder: Path) -> Plain:
            with clock.stage("share"):
                net = self._net(space)
                course = self._course(asked.limit_s)
                if not asked.forced:
                    _check_worth(net, len(self.task.train), self.recipe.batch_size(len(self.task.train)), asked)
                done = train_supernet(net, self.task.train, self.task.output, course, self.own_loss)
            with clock.stage("explore"), tempfile.TemporaryDirectory() as scratch:
                judge = _Judge(self, net, asked, Path(scratch))
                found = judge.explored(EXPLORING_SHARE * asked.limit_s)
                net.save(folder / WEIGHTS)
            self._nets[space.family] = net
            return {
                "metric": self.goal_metric.name,
                "knobs": [knob.to_json() for knob in space.knobs],
                "trained": _plain(done),
                "explored": [each.to_json() for each in found],
                "files": judge.files.told(),
                "shared": round(float(np.mean([net.share(scale) for scale in net.scales])), 4),
            }

        home = self.home(space.family)
        notes = made_once(home, REPORT, make)
        return Made(str(home / WEIGHTS), {}, clock.seconds, trained=True, notes=notes)

    def has(self, candidate: Candidate) -> bool:
        """Whether there are shared weights that the candidate's can be cut from."""
        path = self.home(candidate.family) / REPORT
        if not path.is_file():
            return False
        choices = {knob.name: knob.choices for knob in self._space(candidate.family).knobs}
        scale = candidate.scale.to_json()
        return scale.keys() == choices.keys() and all(scale[name] in choices[name] for name in scale)

    def tuned(self, candidate: Candidate, limit_s: float) -> tuple[Any, Recovered]:
        """A model of its own cut from the shared weights and trained to its end."""
        space = self._space(candidate.family)
        net = self._net(space)
        model = net.extracted(candidate.scale)
        is_reference = candidate.scale == space.largest
        taught = None if is_reference else self._told(candidate, space)
        lesson = self.lesson(model, limit_s, taught)
        reestimate_norms(model, lesson, NORM_ROWS)
        settings = REFERENCE if is_reference or taught is None else replace(TUNING, epochs=self._passes)
        return model, recover(
            model, lesson, replace(settings, batch=self._batch, epochs=self.recipe.epochs or settings.epochs)
        )

    @property
    def _passes(self) -> int:
        """Passes that a candidate learns for."""
        return max(TUNING_EPOCHS, math.ceil(TUNING_STEPS * self._batch / len(self.task.train)))

    def _told(self, candidate: Candidate, space: FamilySpace) -> Taught | None:
        """What the reference's file says of all rows; None where it is not there."""
        family = candidate.family
        path = self.fits / Candidate(family, space.largest, (), candidate.runtime).key / "model.onnx"
        if family not in self._taught and path.is_file():
            session = RUNTIME.load(path)
            train, valid = (outputs_of(session.run, rows) for rows in (self.task.train, self.task.valid))
            self._taught[family] = Taught(train, valid)
        return self._taught.get(family)

    def lesson(self, model: Any, limit_s: float, taught: Taught | None) -> Lesson:
        """What a model cut from the shared weights learns from, and its statistics are estimated on."""
        metric = self.metric
        return Lesson(
            train=self.task.train,
            valid=self.task.valid,
            teacher=model,
            loss=lesson_loss(self.own_loss, self.task.output),
            judge=lambda outputs, targets: loss(metric, metric(outputs, targets)),
            seed=self.seed,
            limit_s=limit_s,
            taught=taught,
        )

    def _course(self, limit_s: float) -> Course:
        rows = len(self.task.train)
        batch = self._batch
        own = None if self.recipe.epochs is None else TURNS * self.recipe.epochs
        epochs = own or max(EPOCHS, math.ceil(LEAST_STEPS * batch / rows))
        asked = self.recipe.learning_rate if self.recipe.optimizer == "adam" else None
        rate = {} if asked is None else {"rate": asked}
        return Course(epochs, batch, (1 - EXPLORING_SHARE) * limit_s, self.seed, **rate)

    @property
    def _batch(self) -> int:
        """Rows a step: a quarter of what a training from scratch takes, because there is time for few passes only."""
        whole = self.recipe.batch_size(len(self.task.train))
        return max(2, min(whole, LEAST_BATCH), whole // 4)

    def _space(self, name: str) -> FamilySpace:
        plain = json.loads((self.home(name) / REPORT).read_text(encoding="utf-8"))
        return FamilySpace(name, tuple(Knob(each["name"], tuple(each["choices"])) for each in plain["knobs"]))

    @property
    def judged(self) -> Rows:
        """The validation rows that shared weights are judged on."""
        rows = self.task.valid
        some = np.sort(np.random.default_rng(self.seed).permutation(len(rows))[:JUDGED_ROWS])
        return Rows(rows.x[some], rows.y[some])

    def subnet(self, space: FamilySpace, scale: Scale) -> Any:
        """A model cut from the shared weights as they are, its statistics estimated anew."""
        model = self._net(space).extracted(scale)
        reestimate_norms(model, self.lesson(model, math.inf, None), NORM_ROWS)
        return model

    def files(self, space: FamilySpace, folder: Path) -> SubnetFiles:
        """Files of the sub-networks of a space, written into a folder."""
        return SubnetFiles(self._net(space), space, np.asarray(feed_of(self.task.train.x[:2])), folder)

    def _net(self, space: FamilySpace) -> Supernet:
        """The shared weights of a family, with their trained values where there are any."""
        if space.family not in self._nets:
            family = self.families[space.family]
            net = Supernet(lambda scale: family.build(scale, self.task, self.seed), sharing_scales(space, self.seed))
            path = self.home(space.family) / WEIGHTS
            if path.is_file():
                net.load(path)
            self._nets[space.family] = net
        return self._nets[space.family]


def lesson_loss(own: Callable[..., Any] | None, output: OutputSpec) -> Loss:
    """The loss of whole outputs and raw targets, as a training from scratch has it of standardised ones."""
    inner = own or default_loss(output)
    if not isinstance(output, ValueOutput):
        return inner
    return lambda y, t: inner((y - output.mean) / output.std, ((t - output.mean) / output.std).reshape(-1, 1))


def sharing_scales(space: FamilySpace, seed: int) -> tuple[Scale, ...]:
    """The scales that share weights, the largest first: all of a small space, else its ends, edges and a sample."""
    ends = {knob.name: len(knob.choices) - 1 for knob in space.knobs}

    def size(scale: Scale) -> float:
        place = {knob.name: knob.choices.index(scale[knob.name]) for knob in space.knobs}
        return sum(place[name] / end for name, end in ends.items() if end)

    if space.size <= MOST_SCALES:
        return tuple(sorted(space.scales(), key=size, reverse=True))
    largest, smallest = space.largest.to_json(), space.smallest.to_json()
    chosen = [space.largest, space.smallest]
    edges: list[Scale] = []
    for knob in space.knobs:
        edges += [Scale.from_json({**base, knob.name: each}) for base in (largest, smallest) for each in knob.choices]
    chosen += edges[:: max(1, 2 * len(edges) // MOST_SCALES)]
    random = np.random.default_rng(seed)
    while len(set(chosen)) < MOST_SCALES:
        drawn = {knob.name: knob.choices[int(random.integers(len(knob.choices)))] for knob in space.knobs}
        chosen.append(Scale.from_json(drawn))
    return tuple(sorted(dict.fromkeys(chosen), key=size, reverse=True))


def _check_worth(net: Supernet, rows: int, batch: int, asked: Exploration) -> None:
    """Refuse to share weights where every candidate can be trained alone in half of the time that is left.

    Raises:
        WorkerError: saying so.
    """
    steps = CHEAP_EPOCHS * max(1, rows // batch)
    sample = net.scales[:: max(1, len(net.scales) // 8)]
    each_s = float(np.mean([step_s(net, scale, batch) for scale in sample]))
    alone_s = each_s * steps * asked.most / asked.workers
    if alone_s <= 0.5 * asked.left_s:
        raise WorkerError(
            f"its {asked.most} scales can be trained alone in about {alone_s:.0f} s, cheaper than to share.",
            stage="share",
        )


class _Judge:
    """Judges scales by shared weights, and takes a quick look at what each costs."""

    def __init__(self, elastic: SharedWeights, net: Supernet, asked: Exploration, folder: Path) -> None:
        self.elastic, self.net, self.asked = elastic, net, asked
        self.look = Look.by(
            elastic.registry,
            asked.runtime,
            elastic.goal_metric,
            elastic.judged,
            batch=asked.batch,
            threads=asked.threads,
        )
        self.files = elastic.files(asked.space, folder)

    def explored(self, limit_s: float) -> list[Explored]:
        """As many as the time allows: the ends first, then the others in a seeded order."""
        until = time.perf_counter() + limit_s
        order = np.random.default_rng(self.elastic.seed).permutation(len(self.net.scales)).tolist()
        ends = [0, len(self.net.scales) - 1]
        found: list[Explored] = []
        for at in dict.fromkeys([*ends, *order]):
            if len(found) >= len(ends) and time.perf_counter() > until:
                break
            try:
                one = self._one(self.net.scales[at])
            except SteelyardError as error:
                log.info("%s can't be explored: %s", self.net.scales[at], error.message)
                continue
            if math.isfinite(one.quality):
                found.append(one)
        if not found:
            raise WorkerError("no scale could be judged by the shared weights.", stage="explore")
        return smoothed(self.asked.space, found)

    def _one(self, scale: Scale) -> Explored:
        # The runtime answers some times faster than the module, and the file is there.
        path = self.look.file(self.files.written(scale, self.elastic.subnet(self.asked.space, scale)))
        quality, size_bytes = self.look.quality(path), self.look.size_bytes(path)
        candidate = Candidate(self.asked.space.family, scale, (), self.asked.runtime)
        return Explored(candidate, quality, len(self.look.rows), self.look.latency_s(path), size_bytes)


def smoothed(space: FamilySpace, found: Sequence[Explored]) -> list[Explored]:
    """The same with the qualities that a surrogate of all says each has.

    A thousand rows tell an accuracy to within a point and a half, and scales that are alike are about as good: what is
    found of one counts for those beside it too.
    """
    if len(found) < LEAST_SMOOTHED:
        return list(found)
    features = features_of(Space((space,)), [Candidate(space.family, each.candidate.scale) for each in found])
    raw = np.array([[each.quality] for each in found])
    means = np.clip(predict(features, raw, features).means[:, 0], raw.min(), raw.max())
    return [replace(each, quality=float(mean)) for each, mean in zip(found, means, strict=True)]


def _plain(done: Trained) -> Plain:
    values = {name: getattr(done, name) for name in Trained.__dataclass_fields__}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
