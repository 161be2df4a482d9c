"""Shared weights of a given model in a worker: trained once a study, explored, the start of recoveries."""

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.errors import SteelyardError, WorkerError
from steelyard.core.explored import Explored
from steelyard.core.task import Array, Rows, feed_of
from steelyard.core.wire import Plain
from steelyard.elastic.files import WholeFile, check_same, stored_values
from steelyard.elastic.importance import scores_of
from steelyard.elastic.sandwich import Course, Trained
from steelyard.elastic.slimmable import Sizes, Slimmable, crossed, fine_units, ladder, varied
from steelyard.elastic.slimming import RATE, Slimming
from steelyard.elastic.statistics import reestimate_norms
from steelyard.elastic.trying import anatomy_of
from steelyard.engine.chain import Chain
from steelyard.engine.clock import Clock
from steelyard.engine.evaluating import outputs_of
from steelyard.engine.given import example_of
from steelyard.engine.looks import quick_latency
from steelyard.engine.messages import WEIGHTS, Exploration, Made
from steelyard.engine.once import made_once
from steelyard.graph.reading import read_model
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.runtimes.onnxruntime.unfolded import export_unfolded
from steelyard.select.quality import drop, loss
from steelyard.steps.processor import block
from steelyard.steps.prune import pruning_told, sizes_text
from steelyard.training.jury import Jury
from steelyard.training.lesson import Lesson
from steelyard.training.recipe import Recipe
from steelyard.training.weights import load_state, save_state

EXPLORING_SHARE = 0.3
"""The part of an exploration's time that judging and timing structures may take."""
LEAST_SHARE = 0.2
"""The part that training has in any case, however long tracing and scoring the model took."""
EPOCHS, LEAST_STEPS = 40, 4_000
"""Passes over the training rows at most, but at least so many steps: small data need many passes."""
POOL, BASES = 160, 16
"""Structures that are trained, and shares of the time that each way of shrinking gives one of them for."""
JUDGED_ROWS, FOCUS_ROWS, NORM_ROWS = 2_000, 500, 256
"""Validation rows that structures are judged on, in the training and after it; rows that statistics take."""
TRIES = 200
"""Tries to breed a structure that is not known yet."""
FIRST_SHARE = 0.4
"""The part of the exploring after which new structures are bred from the best so far, not drawn."""
HOPELESS = 6.0
"""Structures that have lost so many times the permitted drop breed no others."""
MOST = 4_000
"""Structures that are explored at most."""
ORDER, REPORT = "order.npz", "explored.json"


@dataclass(slots=True)
class SharedStructures:
    """The structures that a given model has within it, over one set of weights; kept in memory and in files."""

    chain: Chain
    _net: Slimmable | None = None

    @property
    def home(self) -> Path:
        """The folder of the shared weights."""
        return self.chain.fits / "elastic-given"

    def explore(self, asked: Exploration, clock: Clock) -> Made:
        """Train the shared weights and judge structures by them; once a study.

        Raises:
            WorkerError: if the model has no groups of channels, or can't share their weights.
        """

        def make(folder: Path) -> Plain:
            with clock.stage("share"):
                start = time.perf_counter()
                net = self._fresh()
                explorer = _Explorer(net, self.chain, asked)
                done = explorer.trained(time.perf_counter() - start)
            with clock.stage("explore"), tempfile.TemporaryDirectory() as scratch:
                found, files = explorer.explored(Path(scratch))
                save_state(net.module, folder / WEIGHTS)
                scores = {f"g{at}": net.scores[each.name] for at, each in enumerate(net.anatomy.groups)}
                scores = {f"g{at}": net.scores[each.name] for at, each in enumerate(net.anatomy.groups)}
                np.savez(folder / ORDER, allow_pickle=False, **scores)
            self._net = net
            return {
                "metric": self.chain.metric.name,
                "knobs": [],
                "trained": _plain(done),
                "explored": [each.to_json() for each in found],
                "files": files,
                "shared": 1.0,
                "shares": [round(explorer.slimming.low, 4), round(explorer.slimming.high, 4)],
            }

        self.chain.prepare(clock)
        notes = made_once(self.home, REPORT, make)
        return Made(str(self.home / WEIGHTS), {}, clock.seconds, trained=True, notes=notes)

    def sliced(self, sizes: Sizes) -> tuple[Any, Plain] | None:
        """A module cut from the shared weights, and what was done; None where there are no shared weights."""
        if not (self.home / REPORT).is_file():
            return None
        net = self._kept()
        small = net.extracted(sizes)
        norms = reestimate_norms(small, self.chain.lesson(0.0))
        told = pruning_told(net.module, net.anatomy, net.kept(sizes), small)
        return small, {**told, "norms_reestimated": norms, "start": "shared weights"}

    def _kept(self) -> Slimmable:
        if self._net is None:
            module = self.chain.given.module().eval()
            anatomy = anatomy_of(module, self.chain.lesson(0.0).example())
            with np.load(self.home / ORDER, allow_pickle=False) as order:
                scores = {each.name: order[f"g{at}"] for at, each in enumerate(anatomy.groups)}
            load_state(module, self.home / WEIGHTS)
            self._net = Slimmable(module, anatomy, scores, fine_units(anatomy, block()))
        return self._net

    def _fresh(self) -> Slimmable:
        module = self.chain.given.module().eval()
        lesson = self.chain.lesson(0.0)
        anatomy = anatomy_of(module, lesson.example())
        if not anatomy.groups:
            raise WorkerError("the model has no groups of channels that can go.", stage="share")
        scores = scores_of(module, anatomy, lesson, "taylor")
        net = Slimmable(module, anatomy, scores, fine_units(anatomy, block()))
        # The smallest structure shows at once whether the model's parts follow their sizes under views.
        net.outputs(tuple(unit.sizes[-1] for unit in net.units), lesson.example())
        return net


@dataclass(slots=True)
class _Explorer:
    """Trains, then judges and times structures, first those drawn, then those bred from the best."""

    net: Slimmable
    chain: Chain
    asked: Exploration
    slimming: Slimming = field(init=False)
    random: np.random.Generator = field(init=False)
    reference: float = field(init=False)

    def __post_init__(self) -> None:
        """Judge the model given."""
        self.random = np.random.default_rng(self.chain.seed)
        # A long lesson has the teacher's answers; its own limit is the course's.
        lesson = replace(self.chain.lesson(1.0), limit_s=math.inf)
        jury = Jury.of(_short(lesson, FOCUS_ROWS, self.chain.seed))
        self.reference = jury(lesson.teacher).loss
        self.slimming = Slimming(self.net, lesson, self._spent, jury)

    def trained(self, used_s: float) -> Trained:
        """Train the shared weights in the time that is left; what came before has used some."""
        rows = len(self.chain.task.train)
        batch = max(2, Recipe().batch_size(rows) // 2)
        epochs = max(EPOCHS, math.ceil(LEAST_STEPS * batch / rows))
        limit_s = max((1 - EXPLORING_SHARE) * self.asked.limit_s - used_s, LEAST_SHARE * self.asked.limit_s)
        return self.slimming.train(Course(epochs, batch, limit_s, self.chain.seed, RATE), self._drawn)

    def explored(self, folder: Path) -> tuple[list[Explored], Plain]:
        """As many as the time allows, and how their files were made."""
        start, limit_s = time.perf_counter(), EXPLORING_SHARE * self.asked.limit_s
        looker = _Looker(self.net, self.chain, self.asked, folder)
        found: dict[Sizes, Explored] = {}
        ladders = ladder(self.net, np.geomspace(self.slimming.high, self.slimming.low, BASES).tolist())
        drawn = list(dict.fromkeys([*ladders, *self.slimming.pool]))
        while len(found) < MOST:
            used = (time.perf_counter() - start) / limit_s
            if used >= 1 and found:
                break
            is_drawn = drawn and (used <= FIRST_SHARE or not found)
            sizes = drawn.pop(0) if is_drawn else self._bred(found)
            if sizes is None:
                break
            try:
                one = looker.look(sizes)
            except SteelyardError as error:
                looker.refused = looker.refused or error.message
                continue
            if sizes not in found and math.isfinite(one.quality):
                found[sizes] = one
        if not found:
            raise WorkerError(f"no structure could be judged: {looker.refused}", stage="explore")
        return list(found.values()), looker.told()

    def _bred(self, found: dict[Sizes, Explored]) -> Sizes | None:
        """A new structure like the best so far, or between two of them; None where tries find none."""
        best = self._front(found)
        for _ in range(TRIES if best else 0):
            one, other = (best[int(self.random.integers(len(best)))] for _ in range(2))
            child = varied(self.net, crossed(one, other, self.random), self.random)
            if child not in found and child != self.net.full:
                return child
        return None

    def _front(self, found: dict[Sizes, Explored]) -> list[Sizes]:
        costs = {sizes: self._cost(sizes, each) for sizes, each in found.items()}
        lost = {sizes: self._spent(loss(self.chain.metric, each.quality)) for sizes, each in found.items()}
        order = sorted((each for each in found if lost[each] <= HOPELESS), key=lambda each: (costs[each], lost[each]))
        front: list[Sizes] = []
        least = math.inf
        for each in order:
            if lost[each] < least:
                front.append(each)
                least = lost[each]
        return front or sorted(found, key=lambda each: lost[each])[:4]

    def _cost(self, sizes: Sizes, each: Explored) -> float:
        if self.asked.minimize == "size":
            return float(each.size_bytes or 0)
        return self.net.cost(sizes) if each.latency_s is None else each.latency_s

    def _spent(self, value: float) -> float:
        """The share of the permitted drop that a loss of quality is."""
        sign = -1.0 if self.chain.metric.higher_is_better else 1.0
        lost = drop(self.chain.metric, sign * self.reference, sign * value, relative=self.asked.relative)
        return lost / max(self.asked.max_drop, 1e-3)

    def _drawn(self, low: float, high: float) -> Sequence[Sizes]:
        """Structures between two shares of the whole's rough time: ways of shrinking, and others like these."""
        bases = ladder(self.net, np.geomspace(high, low, BASES).tolist())
        found = dict.fromkeys(bases)
        whole = self.net.cost(self.net.full)
        for _ in range(4 * POOL):
            if len(found) >= POOL:
                break
            other = varied(self.net, bases[int(self.random.integers(len(bases)))], self.random)
            if low <= self.net.cost(other) / whole <= high:
                found.setdefault(other)
        return list(found)


class _Looker:
    """Judges one structure after the other by the shared weights, and looks at what its file costs."""

    def __init__(self, net: Slimmable, chain: Chain, asked: Exploration, folder: Path) -> None:
        self.net, self.chain, self.asked = net, chain, asked
        self.path = folder / "explored.onnx"
        self.lesson = chain.lesson(0.0)
        self.rows = _some(chain.task.valid, JUDGED_ROWS, chain.seed)
        self.example = example_of(chain.given, chain.task.train.x)
        self.row = feed_of(self.rows.x[:1])
        self.cut, self.exported, self.refused = 0, 0, ""
        self.whole: WholeFile | None = None
        try:
            whole = folder / "whole.onnx"
            self.whole = WholeFile(whole, export_unfolded(net.module, self.example, whole))
        except SteelyardError as error:
            self.refused = error.message

    def look(self, sizes: Sizes) -> Explored:
        """What a structure is worth."""
        module = self.net.extracted(sizes)
        reestimate_norms(module, self.lesson, NORM_ROWS)
        session = RUNTIME.load(self._file(sizes, module), threads=1)
        quality = self.chain.metric(outputs_of(session.run, self.rows), self.rows.y)
        has_times = self.asked.runtime == "onnxruntime" and self.asked.batch == self.asked.threads == 1
        latency_s = quick_latency(session, self.row) if has_times else None
        steps = (StepSetting("prune", (("sizes", sizes_text(sizes)),)), StepSetting("distill"))
        candidate = Candidate(self.chain.given.name, Scale(), steps, self.asked.runtime)
        return Explored(candidate, float(quality), len(self.rows), latency_s, self.path.stat().st_size)

    def told(self) -> Plain:
        """How many files were cut and exported, and why not cut."""
        return {"cut": self.cut, "exported": self.exported, "knobs": [], "refused": self.refused or None}

    def _file(self, sizes: Sizes, module: Any) -> Path:
        if self.whole is not None:
            try:
                self.whole.write(self.path, self.net.slices(sizes), stored_values(module))
                if self.cut == 0:
                    # The first file is compared; the others differ in sizes alone.
                    check_same(module, self.path, self.lesson.example(), self._run)
                self.cut += 1
                return self.path
            except SteelyardError as error:
                self.refused, self.whole = error.message, None
        export(module, self.example, self.path)
        self.exported += 1
        return self.path

    def _run(self, path: Path, inputs: tuple[Array, ...]) -> Sequence[Array]:
        names = [each.name for each in read_model(path).graph.input]
        feed: Any = inputs[0] if len(inputs) == 1 else dict(zip(names, inputs, strict=True))
        return [RUNTIME.load(path).run(feed)]


def _some(rows: Rows, most: int, seed: int) -> Rows:
    some = np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])
    return Rows(rows.x[some], rows.y[some])


def _short(lesson: Lesson, most: int, seed: int) -> Lesson:
    """A lesson judged on some of its validation rows."""
    some = np.sort(np.random.default_rng(seed).permutation(len(lesson.valid.x))[:most])
    valid = Rows(lesson.valid.x[some], lesson.valid.y[some])
    taught = None if lesson.taught is None else replace(lesson.taught, valid=lesson.taught.valid[some])
    return replace(lesson, valid=valid, taught=taught)


def _plain(done: Trained) -> Plain:
    values = {name: getattr(done, name) for name in Trained.__dataclass_fields__}
    return {name: None if isinstance(at, float) and not math.isfinite(at) else at for name, at in values.items()}
