"""Fakes that fill the seams: small, quick, and honest about their shape."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Setting, Space, StepSetting
from steelyard.core.errors import InputError, RuntimeFailureError
from steelyard.core.explored import is_body
from steelyard.core.protocols import Feed, Problem, Session, Task
from steelyard.core.quantity import Quantity
from steelyard.core.sequence import SeriesInput, SoundInput, TextInput, Tokens
from steelyard.core.task import (
    Array,
    ClassOutput,
    Column,
    Fact,
    ImageInput,
    InputSpec,
    OutputSpec,
    Rows,
    TableInput,
    TaskKind,
    TensorOutput,
    ValueOutput,
)
from steelyard.core.trial import Failure, Measurement, Stopped, Trial
from steelyard.core.wire import Plain


@dataclass(frozen=True, slots=True)
class FakeTask:
    """A task on synthetic data that simple models learn. Made by `image`, `table`, `values` and others."""

    name: str
    kind: TaskKind
    input: InputSpec
    output: OutputSpec
    train: Rows
    valid: Rows
    test: Rows
    metric: str
    split_how: str = "made up, in thirds"
    data_hash: str = "0123456789abcdef"
    facts: tuple[Fact, ...] = (Fact("rows", "synthetic", "The rows are made up."),)
    defaults: Mapping[str, Plain] = field(default_factory=dict)
    environment: str = ""

    @classmethod
    def image(cls, *, height: int = 8, channels: int = 1, rows: int = 60, seed: int = 0) -> Self:
        """Square images of three classes: noise with one bright band a class. Layout "hwc", or "hw" for grey."""
        rng = np.random.default_rng(seed)
        y = np.arange(3 * rows, dtype=np.int64) % 3
        x = rng.normal(8.0, 1.0, (len(y), height, height, channels)).astype(np.float32)
        for row, label in enumerate(y):
            x[row, label * height // 3 : (label + 1) * height // 3] += 4.0
        grey = channels == 1
        spec = ImageInput(
            height, height, channels, "hw" if grey else "hwc", mean=(9.3,) * channels, std=(2.1,) * channels
        )
        splits = _thirds(x[..., 0] if grey else x, y)
        return cls("fake-images", "image-classification", spec, ClassOutput((0, 1, 2)), *splits, "accuracy")

    @classmethod
    def table(cls, *, rows: int = 60, seed: int = 0) -> Self:
        """Two classes; a number, a number with holes and two categories, one of them with missing values."""
        rng = np.random.default_rng(seed)
        count = 3 * rows
        numbers = rng.normal((50.0, -2.0), (10.0, 0.5), (count, 2)).astype(np.float32)
        codes = np.stack([rng.integers(1, 4, count), rng.integers(0, 3, count)], axis=1).astype(np.float32)
        y = (numbers[:, 0] > 50.0).astype(np.int64)
        numbers[::5, 1] = np.nan
        columns = (
            Column("age", "number", mean=50.0, std=10.0),
            Column("dose", "number", mean=-2.0, std=0.5, has_missing=True),
            Column("colour", "category", categories=("blue", "green", "red")),
            Column("place", "category", categories=("here", "there"), has_missing=True),
        )
        splits = _thirds(np.concatenate([numbers, codes], axis=1), y)
        output = ClassOutput(("no", "yes"))
        return cls("fake-table", "tabular-classification", TableInput(columns), output, *splits, "accuracy")

    @classmethod
    def values(cls, *, rows: int = 60, features: int = 10, seed: int = 0) -> Self:
        """A regression: the target is a weighted sum of the first two features, in units of hundreds."""
        rng = np.random.default_rng(seed)
        x = rng.normal(5.0, 2.0, (3 * rows, features)).astype(np.float32)
        y = (300.0 + 40.0 * (x[:, 0] - 5.0) - 20.0 * (x[:, 1] - 5.0)).astype(np.float32)
        columns = tuple(Column(f"x{i}", "number", mean=5.0, std=2.0) for i in range(features))
        output = ValueOutput(mean=300.0, std=90.0)
        return cls("fake-values", "tabular-regression", TableInput(columns), output, *_thirds(x, y), "rmse")

    @classmethod
    def series(
        cls, *, steps: int = 20, channels: int = 2, is_ragged: bool = True, rows: int = 60, seed: int = 0
    ) -> Self:
        """Series of two classes, slow and fast waves; where ragged, every third ends at half its steps."""
        rng = np.random.default_rng(seed)
        y = np.arange(3 * rows, dtype=np.int64) % 2
        waves = np.sin(np.arange(steps) * (0.4 + 0.8 * y[:, None]))[:, None, :]
        x = (5.0 + 2.0 * waves + rng.normal(0.0, 0.3, (len(y), channels, steps))).astype(np.float32)
        if is_ragged:
            x[::3, :, steps // 2 :] = np.nan
        spec = SeriesInput(channels, steps, (5.0,) * channels, (1.5,) * channels, has_padding=is_ragged)
        return cls("fake-series", "series-classification", spec, ClassOutput((0, 1)), *_thirds(x, y), "accuracy")

    @classmethod
    def text(cls, *, length: int = 10, rows: int = 60, seed: int = 0) -> Self:
        """Texts of three classes as characters and words; the first word is the class's own, a tenth is empty."""
        rng = np.random.default_rng(seed)
        y = np.arange(3 * rows, dtype=np.int64) % 3
        words = rng.integers(1, 40, (len(y), length)) * (np.arange(length) < rng.integers(2, length, len(y))[:, None])
        words[:, 0] = 2 + y
        words[::10] = 0
        x = np.concatenate([words % 9, words], axis=1).astype(np.uint16)
        spec = TextInput((Tokens("char", length, 9, "abcdefg"), Tokens("word", length, 40)))
        output = ClassOutput(("ask", "buy", "sell"))
        return cls("fake-text", "text-classification", spec, output, *_thirds(x, y), "accuracy")

    @classmethod
    def sound(cls, *, samples: int = 400, rows: int = 20, seed: int = 0) -> Self:
        """Sounds of two classes, a low and a high tone in noise, at 1,000 Hz."""
        rng = np.random.default_rng(seed)
        y = np.arange(3 * rows, dtype=np.int64) % 2
        tones = np.sin(2 * np.pi * np.arange(samples) * (0.05 + 0.2 * y[:, None]))
        x = (0.5 * tones + rng.normal(0.0, 0.05, (len(y), samples))).astype(np.float32)
        spec = SoundInput(1_000, samples, window=32, hop=16, mels=6, mean=(-6.0,) * 6, std=(2.0,) * 6)
        output = ClassOutput(("high", "low"))
        return cls("fake-sound", "audio-classification", spec, output, *_thirds(x, y), "accuracy")

    @classmethod
    def language(cls, *, window: int = 8, size: int = 6, rows: int = 30, seed: int = 0) -> Self:
        """Windows of tokens that count on: each token is mostly followed by the next one."""
        rng = np.random.default_rng(seed)
        steps = np.cumsum(1 + (rng.random((3 * rows, window + 1)) < 0.1), axis=1)
        ids = 2 + (rng.integers(0, size, (3 * rows, 1)) + steps) % (size - 2)
        spec = TextInput((Tokens("char", window, size, "abcd"),))
        splits = _thirds(ids[:, :-1].astype(np.uint16), ids[:, 1:].astype(np.int64))
        return cls("fake-language", "language-modelling", spec, TensorOutput(window * size), *splits, "perplexity")


def _thirds(x: Array, y: Array) -> tuple[Rows, Rows, Rows]:
    third = len(y) // 3
    train, valid, test = (Rows(x[at : at + third], y[at : at + third]) for at in (0, third, 2 * third))
    return train, valid, test


def fake_space(*, widths: Sequence[int] = (1, 2, 4), depths: Sequence[int] = (1, 2)) -> Space:
    """A space of one family, two knobs and two pipelines; twelve candidates unless told otherwise."""
    knobs = (Knob("depth", tuple(depths)), Knob("width", tuple(widths)))
    return Space((FamilySpace("fake", knobs),), pipelines=((), (StepSetting("fake"),)))


def measured(
    number: int, candidate: Candidate, *, quality: float, latency_s: float = 1e-5, size_bytes: float = 1e3
) -> Trial:
    """A trial that ended in a measurement; its metric is called accuracy."""
    metrics = {
        "accuracy": Quantity(quality, "1", n=100),
        "latency_p50_s": Quantity(latency_s, "s"),
        "size_bytes": Quantity.exact(size_bytes, "B"),
    }
    return Trial(number, candidate, Measurement(metrics, artifact="0" * 64), seconds={"train": 1.0}, trained=True)


def failed(number: int, candidate: Candidate, stage: str = "train") -> Trial:
    """A trial that ended in a failure."""
    return Trial(number, candidate, Failure(stage, "it was made to fail."), seconds={"train": 1.0})


def stopped(number: int, candidate: Candidate) -> Trial:
    """A trial whose training was stopped as hopeless; it took long, and left nothing."""
    end = Stopped(4, "accuracy", 0.1, 0.4, 0.2, "front", {"epoch": [1, 2, 3, 4], "valid_quality": [0.1] * 4})
    return Trial(number, candidate, end, seconds={"train": 60.0})


@dataclass(frozen=True, slots=True)
class FakeProblem:
    """Scores trials made by `measured`: loss of accuracy, latency, bytes. Good enough is an accuracy."""

    seed: int = 0
    good_enough: float = 0.99
    objectives: tuple[str, ...] = ("accuracy", "latency_p50_s", "size_bytes")
    estimates: Mapping[Candidate, tuple[float, float]] = field(default_factory=dict)

    @property
    def minimized(self) -> int:
        """Latency is minimised."""
        return 1

    def explored(self) -> tuple[Candidate, ...]:
        """The scales and structures that estimates were given for."""
        return tuple(filter(is_body, self.estimates))

    def estimate(self, candidate: Candidate) -> tuple[float, float] | None:
        """The estimate that was given."""
        return self.estimates.get(candidate)

    def score(self, trial: Trial) -> tuple[float, ...] | None:
        """One number an objective; None for a failure."""
        if not isinstance(trial.outcome, Measurement):
            return None
        quality, *costs = (trial.outcome.metrics[name].value for name in self.objectives)
        return (1.0 - quality, *costs)

    def is_good_enough(self, trial: Trial, finished: Sequence[Trial]) -> bool:
        """Whether its accuracy is at least `good_enough`, whatever else has finished."""
        del finished
        if not isinstance(trial.outcome, Measurement):
            return False
        return trial.outcome.metrics["accuracy"].value >= self.good_enough

    def spent(self, candidate: Candidate, finished: Sequence[Trial]) -> float | None:
        """1 at the accuracy that is good enough, 0 at 1; None for what is not finished, or failed."""
        trial = next((each for each in finished if each.key == candidate.key), None)
        if trial is None or not isinstance(trial.outcome, Measurement):
            return None
        return (1.0 - trial.outcome.metrics["accuracy"].value) / (1.0 - self.good_enough)

    def worst_loss(self, finished: Sequence[Trial], share: float = 1.0) -> float | None:
        """A share of the loss at the accuracy that is good enough, whatever else has finished."""
        return share * (1.0 - self.good_enough) if finished else None


@dataclass(frozen=True, slots=True)
class FakeStrategy:
    """Proposes a fixed list of candidates, in order."""

    candidates: tuple[Candidate, ...]
    name: str = "fake"

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """The first of its candidates that is neither finished nor pending."""
        del space, problem
        seen = {trial.key for trial in finished} | {candidate.key for candidate in pending}
        return next((each for each in self.candidates if each.key not in seen), None)


@dataclass(frozen=True, slots=True)
class FakeFamily:
    """A multilayer perceptron with tiny widths, that takes tables only."""

    name: str = "fake"
    widths: tuple[int, ...] = (1, 2, 4)

    def refusal(self, task: Task) -> str | None:
        """Refuses images."""
        return "it takes tables" if isinstance(task.input, ImageInput) else None

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Its widths."""
        del task
        return (Knob("width", self.widths),)

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """A perceptron with one hidden layer."""
        from steelyard.families.mlp import MLP  # noqa: PLC0415  imports torch when it builds

        return MLP.build(scale, task, seed)


@dataclass(frozen=True, slots=True)
class FakeStep:
    """Copies the model and says so."""

    name: str = "fake"

    def apply(self, source: Path, target: Path, rows: Iterator[Array]) -> Plain:
        """Copy; counts the rows it is given."""
        shutil.copyfile(source, target)
        return {"rows": sum(len(batch) for batch in rows)}


@dataclass(frozen=True, slots=True)
class FakeSession:
    """A matrix that inputs are multiplied with."""

    weights: Array

    def run(self, x: Feed) -> Array:
        """Outputs (n, width) of inputs (n, features), the one array or the first by name."""
        x = next(iter(x.values())) if isinstance(x, Mapping) else x
        return np.asarray(x @ self.weights, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class FakeRuntime:
    """Runs `.fake` files: a matrix as JSON."""

    name: str = "fake"
    suffix: str = ".fake"
    companions: tuple[str, ...] = ()
    loader: str = "steelyard.testing.fakes:open_fake"
    describer: str = "steelyard.testing.fakes:fake_ports"
    imports: tuple[str, ...] = ()
    options: Mapping[str, tuple[Setting, ...]] = field(default_factory=lambda: {"pace": ("slow", "fast")})
    runs_code: bool = False

    def load(self, path: Path, *, threads: int = 1, trust: bool = False, **options: Setting) -> Session:
        """Read the matrix.

        Raises:
            RuntimeFailureError: if the file holds none.
            InputError: if an option is not known.
        """
        del threads, trust
        for name, setting in options.items():
            if setting not in self.options.get(name, ()):
                raise InputError(f"{self.name} has no option {name!r} of {setting!r}.", field=name)
        try:
            weights = np.asarray(json.loads(path.read_text(encoding="utf-8")), dtype=np.float32)
        except (OSError, ValueError, TypeError) as error:
            raise RuntimeFailureError(f"{path.name} holds no matrix.") from error
        return FakeSession(weights)


def open_fake(path: str, threads: int, **options: Any) -> Callable[[Feed], Array]:
    """The loader of measuring processes."""
    return FakeRuntime().load(Path(path), threads=threads, **options).run


def fake_ports(path: str, **options: Any) -> Plain:
    """What a `.fake` file takes and gives: rows as wide as its matrix is high, and as wide as it is."""
    del options
    height, width = np.asarray(json.loads(Path(path).read_text(encoding="utf-8"))).shape
    named = (("x", height), ("y", width))
    (x,), (y,) = ([{"name": name, "type": "float32", "shape": [None, size]}] for name, size in named)
    return {"inputs": [x], "outputs": [y]}
