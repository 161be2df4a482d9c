"""The first layer of every model: raw rows in, standardised tensors out. It is part of the exported graph."""

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor, nn

from steelyard.core.errors import InputError
from steelyard.core.protocols import Task
from steelyard.core.sequence import SeriesInput, SoundInput, TextInput
from steelyard.core.task import Column, ImageInput, OutputSpec, PairInput, TableInput, TensorInput, ValueOutput
from steelyard.families.fronts import SeriesFront, SoundFront, TextFront, sequence_front


class ImageFront(nn.Module):
    """Raw images (n, h, w), (n, h, w, c) or (n, c, h, w) to standardised ones (n, c, resolution, resolution')."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ImageInput, resolution: int | None = None) -> None:
        """Keep the training split's mean and std per channel; resize where `resolution` (of the height) differs."""
        super().__init__()
        self.layout = spec.layout
        self.register_buffer("mean", torch.tensor(spec.mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std, dtype=torch.float32).view(1, -1, 1, 1))
        height = resolution or spec.height
        self.size = (height, max(1, round(spec.width * height / spec.height)))
        self.resizes = self.size != (spec.height, spec.width)
        self.shape: tuple[int, ...] = (spec.channels, *self.size)

    def forward(self, x: Tensor) -> Tensor:
        """Reorder the axes, standardise, resize."""
        if self.layout == "hw":
            x = x.unsqueeze(1)
        elif self.layout == "hwc":
            x = x.permute(0, 3, 1, 2)
        x = (x - self.mean) / self.std
        if self.resizes:
            x = F.interpolate(x, size=self.size, mode="bilinear", align_corners=False)
        return x


class TableFront(nn.Module):
    """Table rows (n, columns), NaN where a number is missing, to standardised features (n, features).

    Numbers: missing become the mean, then standardised; columns that lack values get an indicator of it.
    Categories: one-hot over the categories of the training split; missing and unknown give all zeros.
    """

    numbers: Tensor
    holes: Tensor
    codes: Tensor
    wanted: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, spec: TableInput) -> None:
        """Take means, deviations and categories from the specification."""
        super().__init__()
        numbers = [i for i, column in enumerate(spec.columns) if column.kind == "number"]
        holes = [i for i in numbers if spec.columns[i].has_missing]
        codes, wanted = one_hot_slots(spec.columns)
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.int64))
        self.register_buffer("holes", torch.tensor(holes, dtype=torch.int64))
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.int64))
        self.register_buffer("wanted", torch.tensor(wanted, dtype=torch.float32))
        self.register_buffer("mean", torch.tensor([spec.columns[i].mean for i in numbers], dtype=torch.float32))
        self.register_buffer("std", torch.tensor([spec.columns[i].std for i in numbers], dtype=torch.float32))
        self.has = (bool(numbers), bool(holes), bool(codes))
        self.is_plain = len(numbers) == len(spec.columns) and not holes
        self.shape: tuple[int, ...] = (len(numbers) + len(holes) + len(codes),)

    def forward(self, x: Tensor) -> Tensor:
        """Fill, standardise, code."""
        if self.is_plain:
            # Training rows lack nothing, but validation rows or rows to predict may.
            features = (x - self.mean) / self.std
            return torch.where(torch.isnan(features), torch.zeros_like(features), features)
        parts = []
        has_numbers, has_holes, has_codes = self.has
        if has_numbers:
            values = x.index_select(1, self.numbers)
            values = torch.where(torch.isnan(values), self.mean.expand_as(values), values)
            parts.append((values - self.mean) / self.std)
        if has_holes:
            parts.append(torch.isnan(x.index_select(1, self.holes)).to(torch.float32))
        if has_codes:
            parts.append((x.index_select(1, self.codes) == self.wanted).to(torch.float32))
        return torch.cat(parts, dim=1)


class ValueBack(nn.Module):
    """The last layer of a regression: standardised values back to the target's unit."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ValueOutput) -> None:
        """Keep the training targets' mean and std."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(spec.std, dtype=torch.float32))
        self.is_plain = spec.mean == 0.0 and spec.std == 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Undo the standardising."""
        return x if self.is_plain else x * self.std + self.mean


class Model(nn.Module):
    """Front (no weights), body (the weights), back (no weights): raw rows (n, ...) to outputs (n, width).

    Training runs the body alone on front outputs made once; the whole is exported.
    """

    def __init__(self, front: nn.Module, body: nn.Module, back: nn.Module) -> None:
        """Keep the three parts."""
        super().__init__()
        self.front = front
        self.body = body
        self.back = back

    def forward(self, x: Tensor) -> Tensor:
        """One after the other."""
        result: Tensor = self.back(self.body(self.front(x)))
        return result


def one_hot_slots(columns: tuple[Column, ...]) -> tuple[list[int], list[float]]:
    """For every one-hot feature: the column it reads and the code it stands for."""
    codes: list[int] = []
    wanted: list[float] = []
    for index, column in enumerate(columns):
        if column.kind == "category":
            codes += [index] * len(column.categories)
            wanted += [float(code + 1) for code in range(len(column.categories))]
    return codes, wanted


Front = ImageFront | TableFront | SeriesFront | SoundFront | TextFront


def front_of(task: Task, resolution: int | None = None) -> Front:
    """The front that fits the task's input."""
    if isinstance(task.input, ImageInput):
        return ImageFront(task.input, resolution)
    if isinstance(task.input, TensorInput):
        raise InputError(f"'model' must be compressed, not searched for, where the task {task.name!r} is made for one.")
    if isinstance(task.input, SeriesInput | TextInput | SoundInput):
        return sequence_front(task.input)
    if isinstance(task.input, PairInput):
        raise InputError(f"'model' must look up users and items for {task.name!r}, as factorization does.")
    return TableFront(task.input)


def back_of(output: OutputSpec) -> nn.Module:
    """The back that fits the task's output; scores of classes pass as they are."""
    return ValueBack(output) if isinstance(output, ValueOutput) else nn.Identity()
