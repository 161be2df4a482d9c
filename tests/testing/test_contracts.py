"""Fakes keep their contracts, ours do, and what breaks one is named in a sentence."""

import json
import math
import random
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest

from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, Knob, Scale
from steelyard.core.errors import RuntimeFailureError, SteelyardError
from steelyard.core.protocols import Metric, Task
from steelyard.core.task import ClassOutput, Column, Rows, TableInput, ValueOutput
from steelyard.families.mlp import MLP
from steelyard.runtimes.onnxruntime.export import export
from steelyard.tasks.metrics import METRICS, QualityMetric, metrics_of, more_metrics_of
from steelyard.testing import (
    ContractError,
    check_family,
    check_metric,
    check_runtime,
    check_step,
    check_strategy,
    check_task,
)
from steelyard.testing.fakes import (
    FakeFamily,
    FakeProblem,
    FakeRuntime,
    FakeSession,
    FakeStep,
    FakeStrategy,
    FakeTask,
    failed,
    fake_space,
    measured,
)

IMAGE, TABLE, VALUES = FakeTask.image(), FakeTask.table(), FakeTask.values()
CLASSES, NUMBERS = ClassOutput(("a", "b", "c")), ValueOutput(3.0, 2.0)


def broken(action, part):
    with pytest.raises(ContractError) as caught:
        action()
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


# Tasks.


SEQUENCES = (FakeTask.series(), FakeTask.text(), FakeTask.sound(), FakeTask.language())


@pytest.mark.parametrize(
    "task", [IMAGE, TABLE, VALUES, FakeTask.image(channels=3), *SEQUENCES], ids=lambda each: each.name
)
def test_fake_tasks_keep_the_contract(task):
    assert isinstance(task, Task)
    check_task(task)


@pytest.mark.parametrize("name", registry.names("task"))
def test_built_in_tasks_keep_the_contract(name):
    task = registry.get("task", name)()
    check_task(task)
    assert task.name == name


def test_fake_tasks_are_the_same_each_time():
    again = FakeTask.table()
    assert np.array_equal(again.train.x, TABLE.train.x, equal_nan=True)
    assert not np.array_equal(FakeTask.table(seed=1).train.x, TABLE.train.x, equal_nan=True)


def with_train(task, x=None, y=None, groups=None):
    rows = task.train
    return replace(task, train=Rows(rows.x if x is None else x, rows.y if y is None else y, groups))


BROKEN_TASKS = {
    "a name with blanks": (replace(TABLE, name="my task"), "'name' of the task"),
    "an unknown kind": (replace(TABLE, kind="sudoku"), "'kind' must be one of"),
    "an output of another kind": (replace(TABLE, output=NUMBERS), "'output' must fit the kind"),
    "an input of another kind": (replace(TABLE, input=IMAGE.input), "'input' must fit the kind"),
    "one class": (replace(TABLE, output=ClassOutput(("a",))), "'labels' must name two or more classes"),
    "a class twice": (replace(TABLE, output=ClassOutput(("a", "a"))), "'labels' must name two or more classes"),
    "a std of zero": (replace(VALUES, output=ValueOutput(0.0, 0.0)), "every 'std' must be positive"),
    "no rows": (replace(TABLE, test=Rows(TABLE.test.x[:0], TABLE.test.y[:0])), "'test' must hold at least one row"),
    "rows of another shape": (with_train(IMAGE, x=IMAGE.train.x[:, :4]), "'train' must hold inputs of shape"),
    "fewer rows than targets": (with_train(IMAGE, x=IMAGE.train.x[:9]), "'train' must hold inputs of shape"),
    "doubles": (with_train(IMAGE, x=IMAGE.train.x.astype(np.float64)), "must be float32 or uint8"),
    "infinite rows": (with_train(IMAGE, x=np.full_like(IMAGE.train.x, np.inf)), "must not be infinite"),
    "images of NaN": (with_train(IMAGE, x=np.full_like(IMAGE.train.x, np.nan)), "images of 'train' must be finite"),
    "a class too many": (with_train(TABLE, y=TABLE.train.y + 1), "must lie in 0 to 1, got 1 to 2"),
    "targets of another type": (with_train(TABLE, y=TABLE.train.y.astype(np.int32)), "must be int64, got int32"),
    "targets of NaN": (with_train(VALUES, y=np.full_like(VALUES.train.y, np.nan)), "must be finite"),
    "an unknown code": (
        with_train(TABLE, x=np.where(np.arange(4) == 2, 9, TABLE.train.x).astype(np.float32)),
        "column 'colour' of 'train' must hold codes 0 to 3",
    ),
    "holes that are not told": (
        replace(TABLE, input=TableInput((Column("age", "number"), Column("dose", "number"), *TABLE.input.columns[2:]))),
        "'has_missing' of column 'dose' must be True",
    ),
    "a group in two splits": (
        replace(with_train(TABLE, groups=np.zeros(60, int)), test=Rows(TABLE.test.x, TABLE.test.y, np.zeros(60, int))),
        "group 0 must lie in one split, got 'train' and 'test'",
    ),
    "defaults of NaN": (replace(TABLE, defaults={"learning_rate": math.nan}), "'defaults' must be plain JSON"),
    "no word on the splits": (replace(TABLE, split_how=" "), "'split_how' must say"),
    "no hash": (replace(TABLE, data_hash=""), "'data_hash' must be a hash"),
    "no metric": (replace(TABLE, metric=""), "'metric' must name a metric"),
}


@pytest.mark.parametrize(("task", "part"), BROKEN_TASKS.values(), ids=BROKEN_TASKS)
def test_a_broken_task_is_named(task, part):
    broken(lambda: check_task(task), part)


# Metrics.


OF_CLASSES = ("agreement", *metrics_of("classification"), *more_metrics_of("classification"))
OF_VALUES = (*metrics_of("regression"), *more_metrics_of("regression"))


@pytest.mark.parametrize("name", [*OF_CLASSES, *OF_VALUES])
def test_every_metric_keeps_the_contract(name):
    assert isinstance(METRICS[name], Metric)
    check_metric(METRICS[name], NUMBERS if name in OF_VALUES else CLASSES)


def metric(compute, higher=True, unit_range=False, worst=-math.inf):
    return QualityMetric("mine", compute, higher, unit_range, "bootstrap", worst)


def hits(outputs, targets):
    return float(np.mean(outputs.argmax(axis=1) == targets))


BROKEN_METRICS = {
    "the wrong way round": (metric(hits, higher=False, worst=math.inf), "must not be worse than guesses"),
    "above one": (metric(lambda o, t: 2 * hits(o, t), unit_range=True), "must be at most 1"),
    "by chance": (metric(lambda o, t: hits(o, t) * random.random()), "one figure for one input"),
    "by order": (metric(lambda o, t: float(o[0, 0])), "must not depend on the order of rows"),
    "no bound": (metric(lambda o, t: math.nan), "must be finite"),
    "a failure": (metric(lambda o, t: 1 / 0), "must not fail, got ZeroDivisionError"),
    "NaN is best": (metric(lambda o, t: 2.0 if np.isnan(o).any() else hits(o, t)), "must not be better than perfect"),
}


@pytest.mark.parametrize(("bad", "part"), BROKEN_METRICS.values(), ids=BROKEN_METRICS)
def test_a_broken_metric_is_named(bad, part):
    broken(lambda: check_metric(bad, CLASSES), part)


def test_a_metric_that_gives_nan_is_named():
    @dataclass(frozen=True)
    class Nan:
        name: str = "nan"
        unit: str = "1"
        higher_is_better: bool = True
        in_unit_range: bool = False
        proof: str = "mean"

        def __call__(self, outputs, targets):
            return math.nan if np.isnan(outputs).any() else hits(outputs, targets)

    broken(lambda: check_metric(Nan(), CLASSES), "NaN outputs must give the worst value, got NaN")
    broken(lambda: check_metric(Nan(proof="hope"), CLASSES), "'proof' must be one of")


# Families.


@pytest.mark.parametrize("task", [IMAGE, TABLE, VALUES], ids=lambda each: each.name)
def test_the_fake_family_keeps_the_contract(task):
    check_family(FakeFamily(), task)


@dataclass(frozen=True)
class Altered(FakeFamily):
    """A fake family with one thing wrong."""

    change: str = ""

    def refusal(self, task):
        return "no\nnever" if self.change == "two lines" else None

    def knobs(self, task):
        if self.change == "twice":
            return (Knob("width", (1,)), Knob("width", (2,)))
        return (Knob("width", (4, 2) if self.change == "downwards" else self.widths),)

    def build(self, scale, task, seed):
        import torch

        if self.change == "shrinks":
            scale = Scale.of(width=8 // scale["width"])
        if self.change == "fails" and scale["width"] == 4:
            raise MemoryError("too wide\nby far")
        model = MLP.build(scale, task, random.randrange(10**9) if self.change == "unseeded" else seed)
        if self.change == "no back":
            model.back = None
        if self.change == "wide":
            model.body.append(torch.nn.Linear(task.output.width, 7))
        if self.change == "infinite":
            model.body[-1].bias.data.fill_(math.inf)
        if self.change == "mixes rows":
            model.body.append(Centred())
        return model


def Centred():  # noqa: N802  reads as a layer
    import torch

    class Layer(torch.nn.Module):
        def forward(self, x):
            return x - x.mean(dim=0)

    return Layer()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("two lines", "'refusal' must say why in one sentence"),
        ("twice", "every knob must have a name of its own"),
        ("downwards", "choices of knob 'width' must go from small to large"),
        ("shrinks", "knobs must go from small to large"),
        ("fails", "building fake (width 4) must not fail, got MemoryError: too wide"),
        ("unseeded", "must have the same weights"),
        ("no back", "must have the parts front, body and back, got none named back"),
        ("wide", "must have shape (7, 2), got (7, 7)"),
        ("infinite", "must be finite"),
        ("mixes rows", "one by one and all at once must agree"),
    ],
)
def test_a_broken_family_is_named(change, part):
    broken(lambda: check_family(Altered(change=change), TABLE), part)


# Steps.


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    export(MLP.build(Scale.of(width=4), VALUES, 0), VALUES.train.x[:2], path)
    return path


def test_the_fake_step_keeps_the_contract(model):
    check_step(FakeStep(), model, VALUES.train.x)


@dataclass(frozen=True)
class Clumsy(FakeStep):
    """A fake step with one thing wrong."""

    change: str = ""

    def apply(self, source, target, rows):
        if self.change == "fails":
            raise SteelyardError("it does not fit.")
        if self.change == "writes nothing":
            return {}
        if self.change == "garbage":
            target.write_bytes(b"garbage")
            return {}
        if self.change == "by chance":
            export(MLP.build(Scale.of(width=4), VALUES, random.randrange(10**9)), VALUES.train.x[:2], target)
            return {}
        shutil.copyfile(source, target)
        if self.change == "changes its source":
            source.write_bytes(b"")
        if self.change == "litters":
            (target.parent / "weights.bin").write_bytes(b"")
        return {"NaN": {"loss": math.nan}, "name": {"name": "x"}, "none": None}.get(self.change, {})


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("fails", "applying fake must not fail, got SteelyardError: it does not fit."),
        ("writes nothing", "must write its target"),
        ("garbage", "running model.onnx must not fail"),
        ("by chance", "must write the same model when applied again"),
        ("changes its source", "must not change its source"),
        ("litters", "must leave nothing beside its target, got weights.bin"),
        ("NaN", "the report of fake must be plain JSON"),
        ("name", "must leave the entry 'name' to the engine"),
        ("none", "must say what was done as a dict"),
    ],
)
def test_a_broken_step_is_named(change, part, model):
    broken(lambda: check_step(Clumsy(change=change), model, VALUES.train.x), part)


# Runtimes.


@pytest.fixture
def matrix(tmp_path):
    path = tmp_path / "model.fake"
    path.write_text(json.dumps(np.arange(20).reshape(10, 2).tolist()), encoding="utf-8")
    return path


def test_the_fake_runtime_keeps_the_contract(matrix):
    check_runtime(FakeRuntime(), matrix, VALUES.train.x[:5])


@dataclass(frozen=True)
class Session(FakeSession):
    change: str = ""

    def run(self, x):
        if self.change == "changes its input":
            x += 1
        result = super().run(x)
        if self.change == "by chance":
            result = result + np.float32(random.random())
        if self.change == "mixes rows":
            result = result - result.mean(axis=0)
        return result.astype(np.float64) if self.change == "doubles" else result


@dataclass(frozen=True)
class Careless(FakeRuntime):
    change: str = ""

    def load(self, path, *, threads=1, trust=False, **options):
        if self.change == "takes anything" and path.name != "model.fake":
            return FakeSession(np.zeros((10, 2)))
        if self.change == "says too much" and path.name != "model.fake":
            raise RuntimeFailureError("no\nnot this")
        if self.change == "not wrapped":
            return FakeSession(np.asarray(json.loads(path.read_text(encoding="utf-8"))))
        if self.change == "takes any option":
            return Session(super().load(path).weights, self.change)
        return Session(super().load(path, **options).weights, self.change)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("changes its input", "must not change its input"),
        ("by chance", "must give one output for one input"),
        ("mixes rows", "one by one and all at once must agree"),
        ("doubles", "must be float32, got float64"),
        ("takes anything", "an empty file must raise RuntimeFailureError, got no error"),
        ("says too much", "must be refused in one sentence"),
        ("takes any option", "a setting that does not exist must raise InputError, got no error"),
        ("not wrapped", "must raise RuntimeFailureError, got JSONDecodeError"),
    ],
)
def test_a_broken_runtime_is_named(change, part, matrix):
    broken(lambda: check_runtime(Careless(change=change), matrix, VALUES.train.x[:5].copy()), part)


def test_a_model_of_another_runtime_is_refused(matrix):
    broken(lambda: check_runtime(FakeRuntime(suffix=".json"), matrix, VALUES.train.x[:5]), "must end in .json")
    broken(lambda: check_runtime(FakeRuntime(suffix="fake"), matrix, VALUES.train.x[:5]), "a suffix with its dot")


# Strategies.


def test_the_fake_strategy_keeps_the_contract():
    check_strategy(FakeStrategy(tuple(fake_space().candidates())), fake_space())


def test_a_strategy_that_stops_early_is_named_unless_it_may():
    some = FakeStrategy(tuple(fake_space().candidates())[:3])
    check_strategy(some, fake_space(), exhausts=False)
    broken(lambda: check_strategy(some, fake_space()), "must propose all 12 candidates where all succeed, got 3")
    broken(lambda: check_strategy(FakeStrategy(()), fake_space(), exhausts=False), "at least one candidate")


@dataclass(frozen=True)
class Stubborn(FakeStrategy):
    change: str = ""

    def propose(self, space, finished, pending, problem):
        if self.change == "repeats what is finished" and len(finished) > 1:
            return finished[-1].candidate
        if self.change == "repeats what is pending" and pending:
            return pending[0]
        if self.change == "by chance":
            return random.choice(list(space.candidates()))
        if self.change == "strays":
            return Candidate("elsewhere", Scale())
        if self.change == "meddles" and isinstance(finished, list):
            finished.append(failed(9, self.candidates[0]))
        if self.change == "trips over failures" and any(problem.score(trial) is None for trial in finished):
            raise KeyError("accuracy")
        return super().propose(space, finished, pending, problem)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("repeats what is finished", "must not propose what is finished"),
        ("repeats what is pending", "must not propose what is pending"),
        ("by chance", "one proposal for the same arguments"),
        ("strays", "must propose candidates of the space"),
        ("meddles", "must not change its arguments"),
        ("trips over failures", "'propose' of fake must not fail, got KeyError: 'accuracy'"),
    ],
)
def test_a_broken_strategy_is_named(change, part):
    random.seed(0)
    candidates = tuple(fake_space().candidates())
    broken(lambda: check_strategy(Stubborn(candidates, change=change), fake_space()), part)


def test_the_fake_problem_scores_what_was_measured():
    trial = measured(0, Candidate("fake", Scale()), quality=0.9, latency_s=2e-5, size_bytes=50)
    problem = FakeProblem(good_enough=0.9)
    assert problem.score(trial) == pytest.approx((0.1, 2e-5, 50))
    assert problem.is_good_enough(trial, [])
    assert not FakeProblem(good_enough=0.91).is_good_enough(trial, [])
    assert problem.score(failed(0, trial.candidate)) is None
    assert not problem.is_good_enough(failed(0, trial.candidate), [])
