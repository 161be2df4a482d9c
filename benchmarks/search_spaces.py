"""The three tasks and spaces on which strategies of search are compared, and the protocol that trains one candidate."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compression_data import SHARED, fsdd
from torch.nn import functional

from steelyard.builtin import registry
from steelyard.core.candidate import FamilySpace, Knob, Scale, Space
from steelyard.core.protocols import Family, Task
from steelyard.tasks.reading import from_data


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A task, a family and its knobs; how long one candidate is trained, whatever its scale."""

    name: str
    family: str
    knobs: tuple[Knob, ...]
    epochs: int
    size: int = 64
    rate: float = 4e-3

    @property
    def space(self) -> Space:
        """The uncompressed candidates."""
        return Space((FamilySpace(self.family, self.knobs),))


QUESTIONS = {
    each.name: each
    for each in (
        Question(
            "mnist",
            "cnn",
            (
                Knob("depth", (1, 2, 3)),
                Knob("width", (2, 4, 8, 16)),
                Knob("kernel", (3, 5)),
                Knob("resolution", (14, 18, 22, 28)),
            ),
            epochs=30,
        ),
        Question(
            "cifar10",
            "resnet",
            (Knob("depth", (1, 2, 3)), Knob("width", (4, 6, 8, 12)), Knob("resolution", (16, 20, 24, 32))),
            epochs=10,
        ),
        Question(
            "fsdd",
            "cnn",
            (
                Knob("depth", (1, 2, 3)),
                Knob("width", (2, 4, 8, 16)),
                Knob("kernel", (3, 5)),
                Knob("resolution", (32, 64)),
            ),
            epochs=30,
            size=32,
        ),
    )
}
"""96 plain convolutional networks, 48 residual networks, and 48 networks on spectrograms."""


def data_of(name: str, shared: Path, folder: Path) -> Path:
    """The file that `steelyard find --data` is given for a task."""
    if name == "mnist":
        return shared / "mnist_35k.npz"
    if name == "cifar10":
        return shared / "cifar10_12k.zip"
    path = folder / "fsdd_pictures.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        sets = {key: x[:, 0] if key.startswith("x_") else x for key, x in fsdd(shared).items()}
        np.savez(path, **sets)
    return path


def task_of(name: str, shared: Path = SHARED, folder: Path | None = None) -> Task:
    """The prepared task, as the command line reads it."""
    return from_data(data_of(name, shared, folder or default_folder()), "image-classification")


def default_folder() -> Path:
    """Where recordings in the making are kept."""
    return Path.home() / ".cache" / "steelyard-benchmarks" / "search"


@dataclasses.dataclass(frozen=True, slots=True)
class Trained:
    """What one training gave: quality on the two splits, and seconds of the processor."""

    model: Any
    valid: float
    test: float
    train_s: float


def train(question: Question, task: Task, scale: Scale, seed: int) -> Trained:
    """Train one candidate from scratch: Adam, one cycle of the learning rate, a fixed number of epochs, one thread.

    References:
        L. Smith and N. Topin, Super-convergence, 2018.
    """
    began = time.process_time()
    family: Family = registry.get("family", question.family)
    model = family.build(scale, task, seed)
    model.body.to(memory_format=torch.channels_last)
    with torch.no_grad():
        x = torch.cat([_through(model, task.train.x[at : at + 1024]) for at in range(0, len(task.train), 1024)])
    y = torch.from_numpy(np.asarray(task.train.y, dtype=np.int64))
    steps = question.epochs * math.ceil(len(y) / question.size)
    optimizer = torch.optim.Adam(model.body.parameters(), lr=question.rate, foreach=False)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, question.rate, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    model.body.train()
    for _ in range(question.epochs):
        for index in torch.randperm(len(y), generator=generator).split(question.size):
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(model.body(x[index]), y[index]).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    took = time.process_time() - began
    return Trained(model, _accuracy(model, task.valid), _accuracy(model, task.test), took)


def _through(model: Any, rows: Any) -> torch.Tensor:
    out: torch.Tensor = model.front(torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)))
    return out.contiguous(memory_format=torch.channels_last)


def _accuracy(model: Any, rows: Any) -> float:
    right = 0
    with torch.no_grad():
        for at in range(0, len(rows), 1024):
            found = model.body(_through(model, rows.x[at : at + 1024])).argmax(1).numpy()
            right += int((found == rows.y[at : at + 1024]).sum())
    return right / len(rows)
