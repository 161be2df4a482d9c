"""Networks that people train, at random scales: what the cost model is judged on. It shares no code with micro-models.

Each is a torch module, exported by steelyard's exporter; its int8 twin comes from steelyard's own step (static) or, for
recurrent nets and transformers, from ONNX Runtime's dynamic quantizer.
"""

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from steelyard.runtimes.onnxruntime.export import export
from steelyard.steps.quantize import Quantize

torch.set_num_threads(1)
# The fused path of torch's own encoder can't be traced.
torch.backends.mha.set_fastpath_enabled(False)


@dataclass(frozen=True)
class Made:
    """A model file and one row of its input."""

    family: str
    type: str
    name: str
    path: Path
    rows: np.ndarray[Any, Any]


class Plain(nn.Module):
    """VGG-like: stages of convolutions, each ended by pooling."""

    def __init__(self, pick: np.random.Generator, classes: int) -> None:
        super().__init__()
        wide, layers, before = int(pick.choice([8, 12, 16, 24, 32, 48])), [], 3
        act = [nn.ReLU, nn.ReLU, nn.LeakyReLU, nn.Hardswish][int(pick.integers(4))]
        kernel = int(pick.choice([3, 3, 5]))
        for _ in range(int(pick.integers(2, 5))):
            for _ in range(int(pick.integers(1, 4))):
                layers += [nn.Conv2d(before, wide, kernel, padding=kernel // 2), nn.BatchNorm2d(wide), act()]
                before = wide
            layers += [nn.MaxPool2d(2)]
            wide = min(wide * 2, 256)
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.head(self.body(x))


class Block(nn.Module):
    """The basic or the bottleneck block of a residual net."""

    def __init__(self, before: int, wide: int, stride: int, *, narrow: bool) -> None:
        super().__init__()
        if narrow:
            inner = max(8, wide // 4)
            self.way = nn.Sequential(
                nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
                nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
                nn.Conv2d(inner, wide, 1, bias=False), nn.BatchNorm2d(wide),
            )  # fmt: skip
        else:
            self.way = nn.Sequential(
                nn.Conv2d(before, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
                nn.Conv2d(wide, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide),
            )  # fmt: skip
        same = stride == 1 and before == wide
        self.short = nn.Identity() if same else nn.Sequential(nn.Conv2d(before, wide, 1, stride), nn.BatchNorm2d(wide))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return torch.relu(self.way(x) + self.short(x))


class Residual(nn.Module):
    """ResNet-like, with a stem for small or for large pictures."""

    def __init__(self, pick: np.random.Generator, classes: int) -> None:
        super().__init__()
        wide, narrow = int(pick.choice([8, 16, 24, 32, 48, 64])), bool(pick.random() < 0.35)
        if pick.random() < 0.4:
            stem = [nn.Conv2d(3, wide, 7, 2, 3), nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        else:
            stem = [nn.Conv2d(3, wide, 3, 1, 1), nn.BatchNorm2d(wide), nn.ReLU()]
        layers, before = stem, wide
        for stage in range(int(pick.integers(2, 5))):
            for index in range(int(pick.integers(1, 4))):
                layers.append(Block(before, wide, 2 if stage and not index else 1, narrow=narrow))
                before = wide
            wide = min(wide * 2, 320)
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.head(self.body(x).mean((2, 3)))


class Inverted(nn.Module):
    """The inverted bottleneck of MobileNetV2 and V3."""

    def __init__(
        self, before: int, out: int, stride: int, grow: int, *, act: type[nn.Module], gated: bool, kernel: int
    ) -> None:
        super().__init__()
        inner = before * grow
        start = [] if grow == 1 else [nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), act()]
        self.start = nn.Sequential(
            *start,
            nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            act(),
        )
        small = max(8, inner // 4)
        gate = [
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inner, small, 1),
            nn.ReLU(),
            nn.Conv2d(small, inner, 1),
            nn.Hardsigmoid(),
        ]
        self.gate = nn.Sequential(*gate) if gated else None
        self.end = nn.Sequential(nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out))
        self.is_residual = stride == 1 and before == out

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        y = self.start(x)
        if self.gate is not None:
            y = y * self.gate(y)
        y = self.end(y)
        return x + y if self.is_residual else y


class Depthwise(nn.Module):
    """MobileNet-like: V1's separable layers, or inverted bottlenecks."""

    def __init__(self, pick: np.random.Generator, classes: int) -> None:
        super().__init__()
        act = [nn.ReLU6, nn.ReLU, nn.Hardswish][int(pick.integers(3))]
        wide = int(pick.choice([8, 12, 16, 24, 32]))
        layers: list[nn.Module] = [nn.Conv2d(3, wide, 3, 2, 1, bias=False), nn.BatchNorm2d(wide), act()]
        first, gated = bool(pick.random() < 0.3), bool(pick.random() < 0.3)
        before, kernel = wide, int(pick.choice([3, 3, 5]))
        for _ in range(int(pick.integers(2, 5))):
            wide = min(int(wide * float(pick.choice([1.5, 2.0]))) // 4 * 4, 256)
            for index in range(int(pick.integers(1, 4))):
                stride = 1 if index else 2
                if first:
                    layers += [
                        nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False), nn.BatchNorm2d(before), act(),  # noqa: E501
                        nn.Conv2d(before, wide, 1, bias=False), nn.BatchNorm2d(wide), act(),
                    ]  # fmt: skip
                else:
                    layers.append(
                        Inverted(before, wide, stride, int(pick.choice([3, 4, 6])), act=act, gated=gated, kernel=kernel)
                    )
                before = wide
        last = before * 2
        self.body = nn.Sequential(*layers, nn.Conv2d(before, last, 1), nn.BatchNorm2d(last), act())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, classes))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.head(self.body(x))


class Recurrent(nn.Module):
    """LSTM or GRU over features or tokens; the last state, or the mean of all, is classified."""

    def __init__(self, pick: np.random.Generator, classes: int, vocabulary: int, features: int) -> None:
        super().__init__()
        hidden = int(pick.choice([16, 24, 32, 48, 64, 96, 128, 160, 200, 256]))
        both = bool(pick.random() < 0.4)
        cell = nn.LSTM if pick.random() < 0.6 else nn.GRU
        wide = int(pick.choice([16, 32, 64, 100, 128])) if vocabulary else features
        self.table = nn.Embedding(vocabulary, wide) if vocabulary else None
        layers = int(pick.choice([1, 1, 2, 2, 3]))
        self.cell = cell(wide, hidden, layers, batch_first=True, bidirectional=both)
        out = hidden * (2 if both else 1)
        self.last = bool(pick.random() < 0.6)
        middle = int(pick.choice([0, 32, 64, 128]))
        self.head = nn.Linear(out, classes)
        if middle:
            self.head = nn.Sequential(nn.Linear(out, middle), nn.ReLU(), nn.Linear(middle, classes))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.table is not None:
            x = self.table(x)
        y = self.cell(x)[0]
        return self.head(y[:, -1] if self.last else y.mean(1))


class Attention(nn.Module):
    """Self-attention as most people write it."""

    def __init__(self, wide: int, heads: int, *, packed: bool) -> None:
        super().__init__()
        self.heads, self.packed = heads, packed
        if packed:
            self.qkv = nn.Linear(wide, 3 * wide)
        else:
            self.query, self.key, self.value = nn.Linear(wide, wide), nn.Linear(wide, wide), nn.Linear(wide, wide)
        self.out = nn.Linear(wide, wide)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        batch, steps, wide = x.shape
        if self.packed:
            shape = (batch, steps, 3, self.heads, wide // self.heads)
            q, k, v = self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            shape = (batch, steps, self.heads, wide // self.heads)
            q, k, v = (part(x).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value))
        weights = torch.softmax(q @ k.transpose(-1, -2) / (wide // self.heads) ** 0.5, -1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, steps, wide))


class Layer(nn.Module):
    """A layer of an encoder, normalised first or last."""

    def __init__(self, wide: int, heads: int, inner: int, act: type[nn.Module], *, first: bool, packed: bool) -> None:
        super().__init__()
        self.mix = Attention(wide, heads, packed=packed)
        self.one, self.two, self.first = nn.LayerNorm(wide), nn.LayerNorm(wide), first
        self.feed = nn.Sequential(nn.Linear(wide, inner), act(), nn.Linear(inner, wide))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.first:
            x = x + self.mix(self.one(x))
            return x + self.feed(self.two(x))
        x = self.one(x + self.mix(x))
        return self.two(x + self.feed(x))


class Encoder(nn.Module):
    """A transformer encoder over tokens or patches: torch's own layers, or hand-written ones."""

    def __init__(self, pick: np.random.Generator, classes: int, steps: int, vocabulary: int, features: int) -> None:
        super().__init__()
        heads = int(pick.choice([2, 4, 4, 8]))
        wide, depth = heads * int(pick.choice([8, 16, 24, 32, 48])), int(pick.integers(1, 5))
        inner, act = wide * int(pick.choice([2, 4])), [nn.GELU, nn.GELU, nn.ReLU][int(pick.integers(3))]
        self.into = nn.Embedding(vocabulary, wide) if vocabulary else nn.Linear(features, wide)
        self.places = nn.Parameter(torch.randn(1, steps, wide))
        first, packed = bool(pick.random() < 0.5), bool(pick.random() < 0.5)
        if pick.random() < 0.4:
            name = "gelu" if act is nn.GELU else "relu"
            layer = nn.TransformerEncoderLayer(wide, heads, inner, 0.0, name, batch_first=True, norm_first=first)
            self.body: nn.Module = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        else:
            layers = [Layer(wide, heads, inner, act, first=first, packed=packed) for _ in range(depth)]
            self.body = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(wide)
        self.head = nn.Linear(wide, classes)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.head(self.norm(self.body(self.into(x) + self.places)).mean(1))


class Dense(nn.Module):
    """Linear layers on a row of features, scaled first."""

    def __init__(self, pick: np.random.Generator, classes: int, features: int) -> None:
        super().__init__()
        wide, act = int(pick.choice([32, 64, 100, 128, 256, 384, 512, 768, 1024])), nn.ReLU
        if pick.random() < 0.3:
            act = nn.GELU if pick.random() < 0.5 else nn.SiLU
        self.register_buffer("mean", torch.randn(features))
        self.register_buffer("scale", torch.rand(features) + 0.5)
        layers: list[nn.Module] = []
        before = features
        for _ in range(int(pick.integers(1, 7))):
            layers += [nn.Linear(before, wide), act()]
            before = wide
            wide = max(16, wide // 2) if pick.random() < 0.3 else wide
        self.body = nn.Sequential(*layers, nn.Linear(before, classes))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.body((x - self.mean) / self.scale)


Pair = tuple[nn.Module, np.ndarray[Any, Any]]


def _picture(make: Callable[[np.random.Generator, int], nn.Module], sides: list[int]) -> Callable[..., Pair]:
    def pair(pick: np.random.Generator) -> Pair:
        side = int(pick.choice(sides))
        module = make(pick, int(pick.choice([2, 10, 100, 1000])))
        return module, pick.standard_normal((2, 3, side, side), dtype=np.float32)

    return pair


def _recurrent(pick: np.random.Generator) -> Pair:
    steps, features = int(pick.choice([10, 16, 24, 32, 50, 64, 100])), int(pick.choice([1, 6, 9, 16, 32, 64]))
    vocabulary = int(pick.choice([0, 0, 500, 2000]))
    module = Recurrent(pick, int(pick.choice([2, 6, 10])), vocabulary, features)
    rows = pick.integers(0, vocabulary, (2, steps)) if vocabulary else _normal(pick, (2, steps, features))
    return module, rows


def _transformer(pick: np.random.Generator) -> Pair:
    steps, features = int(pick.choice([16, 32, 49, 64, 65, 100, 128, 197])), int(pick.choice([12, 16, 48, 64]))
    vocabulary = int(pick.choice([0, 500, 2000]))
    module = Encoder(pick, int(pick.choice([2, 10])), steps, vocabulary, features)
    rows = pick.integers(0, vocabulary, (2, steps)) if vocabulary else _normal(pick, (2, steps, features))
    return module, rows


def _dense(pick: np.random.Generator) -> Pair:
    features = int(pick.choice([8, 13, 30, 54, 64, 100, 128, 256, 784, 1024]))
    return Dense(pick, int(pick.choice([1, 2, 10, 100])), features), _normal(pick, (2, features))


def _normal(pick: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return pick.standard_normal(shape, dtype=np.float32)


FAMILIES: dict[str, Callable[[np.random.Generator], Pair]] = {
    "cnn": _picture(Plain, [16, 24, 28, 32, 48, 64, 96]),
    "residual": _picture(Residual, [24, 32, 32, 48, 64, 96]),
    "depthwise": _picture(Depthwise, [32, 48, 64, 96, 128]),
    "recurrent": _recurrent,
    "transformer": _transformer,
    "mlp": _dense,
}


def make_model(family: str, number: int, folder: Path, *, int8: bool) -> Made:
    """Model `number` of a family; with `int8` the quantized twin of another network."""
    seed = [list(FAMILIES).index(family), number, int(int8)]
    pick = np.random.default_rng(seed)
    torch.manual_seed(number)
    module, rows = FAMILIES[family](pick)
    name = f"{family}-{number}-{'int8' if int8 else 'fp32'}"
    path = folder / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(module.eval(), rows, path)
        if int8:
            _quantize(path, family, rows)
    return Made(family, "int8" if int8 else "fp32", name, path, rows[:1])


def _quantize(path: Path, family: str, rows: np.ndarray[Any, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.onnx"
        model = onnx.load(path)
        # Shapes of the traced example contradict what the quantizer infers.
        del model.graph.value_info[:]
        onnx.save(model, source)
        if family in ("recurrent", "transformer"):
            quantize_dynamic(str(source), str(path), weight_type=QuantType.QInt8)
        else:
            Quantize(rows=len(rows)).apply(source, path, iter([rows]))
