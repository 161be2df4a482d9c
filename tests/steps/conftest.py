"""Small real models of each kind, with seeded weights, as the product's exporter writes them."""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import cross_entropy

from steelyard.core.task import Rows
from steelyard.training.course import Course, learn
from steelyard.training.lesson import Lesson

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Exports a module with inputs of any names and types; the batch is free unless told otherwise."""

    def export(
        module: nn.Module, *examples: torch.Tensor, names: tuple[str, ...] = ("x",), fixed: bool = False
    ) -> Path:
        path = tmp_path / "float.onnx"
        axes = {} if fixed else {name: {0: "n"} for name in (*names, "y")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                examples,
                str(path),
                dynamo=False,
                opset_version=17,
                input_names=list(names),
                output_names=["y"],
                dynamic_axes=axes,
            )
        return path

    return export


class Residual(nn.Module):
    """Two convolutions with a way around them, batch norms trained on nothing but not at their start."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.stem(x))
        x = functional.relu(x + self.second(functional.relu(self.first(x))))
        return self.last(x.mean((2, 3)))


class Recurrent(nn.Module):
    """An LSTM or GRU and a linear layer."""

    def __init__(self, kind: type[nn.Module] = nn.LSTM, *, both: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = kind(12, 32, batch_first=True, bidirectional=both)
        self.last = nn.Linear(64 if both else 32, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.body(x)[0][:, -1])


class Attending(nn.Module):
    """A table of tokens and one layer of masked attention; `lowest` is what the mask adds to hide a key."""

    def __init__(self, lowest: float = -1e4, length: int = 16) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(200, 32)
        self.mixed, self.joined = nn.Linear(32, 96), nn.Linear(32, 32)
        self.norm, self.last = nn.LayerNorm(32), nn.Linear(32, 5)
        hidden = torch.triu(torch.ones(length, length), 1).bool()
        self.register_buffer("mask", torch.zeros(length, length).masked_fill(hidden, lowest))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.table(x)
        q, k, v = self.mixed(self.norm(x)).chunk(3, dim=-1)
        weights = torch.softmax(q @ k.transpose(-1, -2) * 32**-0.5 + self.mask, dim=-1)
        return self.last((x + self.joined(weights @ v)).mean(1))


class TwoInputs(nn.Module):
    """A table for one input, a linear layer for the other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.wide, self.last = nn.Embedding(50, 16), nn.Linear(8, 16), nn.Linear(32, 4)

    def forward(self, tokens: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([self.table(tokens).mean(1), torch.relu(self.wide(values))], 1))


def run(path: Path | onnx.ModelProto, feed: dict[str, np.ndarray], *, plain: bool = False) -> np.ndarray:
    """The first output of a file, on ONNX Runtime."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 4
    if plain:
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    model = path.SerializeToString() if isinstance(path, onnx.ModelProto) else str(path)
    return onnxruntime.InferenceSession(model, settings).run(None, feed)[0]


def off_by(wanted: np.ndarray, got: np.ndarray) -> float:
    """RMS of the difference over RMS."""
    return float(np.sqrt(np.mean((got - wanted) ** 2) / np.mean(wanted**2)))


@pytest.fixture
def zoo() -> SimpleNamespace:
    """The models, and how they are run and compared."""
    return SimpleNamespace(
        Residual=Residual, Recurrent=Recurrent, Attending=Attending, TwoInputs=TwoInputs, run=run, off_by=off_by
    )


@pytest.fixture(scope="session")
def pupil() -> nn.Module:
    """A net of 20 inputs, 32 hidden units and 3 classes, trained on the rows of `lesson`."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3))
    learn(module, _lesson(module), Course(epochs=20, rate=1e-2, distill=0.0, batch=32))
    return module


@pytest.fixture
def lesson(pupil: nn.Module) -> Lesson:
    """400 rows of three classes that two of the twenty inputs tell apart."""
    return _lesson(pupil)


@pytest.fixture
def accuracy(lesson: Lesson) -> Callable[[nn.Module], float]:
    """The share of validation rows that a module gets right."""

    def judge(module: nn.Module) -> float:
        with torch.no_grad():
            found = module(torch.from_numpy(lesson.valid.x)).argmax(1).numpy()
        return float((found == lesson.valid.y).mean())

    return judge


def _lesson(teacher: nn.Module) -> Lesson:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(600, 20)).astype(np.float32)
    x[:, :2] *= 3
    y = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)
    return Lesson(Rows(x[:400], y[:400]), Rows(x[400:], y[400:]), teacher, loss=cross_entropy)
