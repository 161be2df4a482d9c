"""Random convolutional micro-models: plain, residual, separable, grouped, gated, joined; in one and two dimensions."""

from dataclasses import dataclass

import numpy as np

from steelyard.graph.micro.builder import POPULAR, Builder, Micro, Mode

_ACTIVATIONS = ("relu", "relu", "relu", "relu6", "hardswish", "silu", "leaky", "none", "sigmoid", "gelu")
_SIDES = (8, 14, 16, 24, 28, 32, 32, 40, 48, 56, 64, 64, 80, 96, 112, 128)
"""Sides of pictures that people choose."""
_LARGEST = 8e7
"""Multiply-accumulates at which a micro-model ends: some milliseconds."""


@dataclass(slots=True)
class _Map:
    """A feature map on its way through the model: its tensor, channels and sizes."""

    name: str
    channels: int
    sizes: tuple[int, ...]
    batch: int

    @property
    def places(self) -> int:
        return int(np.prod(self.sizes)) * self.batch


def picture_model(rng: np.random.Generator, mode: Mode) -> Micro:
    """A random convolutional model."""
    build = Builder(rng, "weighted" if mode == "dynamic" else mode)
    rank = 1 if rng.random() < 0.12 else 2
    side = round(float(np.exp(rng.uniform(np.log(8), np.log(128)))))
    if rng.random() < 0.5:
        side = int(rng.choice(_SIDES))
    if rank == 1:
        side *= int(rng.integers(1, 9))
    batch = int(rng.choice([1, 1, 1, 1, 1, 1, 2, 4, 8]))
    channels = int(rng.choice([1, 3, 3, int(rng.integers(2, 17))]))
    at = _Map(build.feed((batch, channels, *[side] * rank)), channels, (side,) * rank, batch)
    act = str(rng.choice(_ACTIVATIONS))
    at = _conv(build, at, width(rng), kernel=int(rng.choice([3, 3, 5, 7])), stride=int(rng.choice([1, 1, 2])), act=act)
    for _ in range(int(rng.integers(2, 9))):
        block = _BLOCKS[int(rng.choice(len(_BLOCKS), p=_CHANCES))]
        at = block(build, at, str(rng.choice(_ACTIVATIONS)) if rng.random() < 0.3 else act)
        if build.macs > _LARGEST or min(at.sizes) < 2:
            break
    _head(build, at)
    return build.finish("pictures")


def width(rng: np.random.Generator, low: int = 6, high: int = 256) -> int:
    """Channels: log-uniform, mostly multiples of eight as in models that people make."""
    usual = [size for size in POPULAR if low <= size <= high]
    if usual and rng.random() < 0.6:
        return int(rng.choice(usual))
    value = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    step = int(rng.choice([1, 4, 8, 8, 16, 16, 16]))
    return max(step, round(value / step) * step)


def _conv(
    build: Builder, at: _Map, out: int, *, kernel: int = 3, stride: int = 1, groups: int = 1, act: str = "none",
    dilation: int = 1,
) -> _Map:  # fmt: skip
    rank = len(at.sizes)
    fan_in = at.channels // groups * kernel**rank
    source = build.wrap(at.name) if build.is_quantized else at.name
    names = [source, build.stored_weight((out, at.channels // groups, *[kernel] * rank), fan_in, 0)]
    if build.rng.random() < 0.9:
        names.append(build.stored_bias(out, fan_in))
    pad = (kernel - 1) // 2 * dilation
    name = build.node(
        "Conv", names, kernel_shape=[kernel] * rank, strides=[stride] * rank, pads=[pad] * 2 * rank, group=groups,
        dilations=[dilation] * rank,
    )  # fmt: skip
    sizes = tuple((size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for size in at.sizes)
    found = _Map(name, out, sizes, at.batch)
    build.macs += float(found.places) * out * fan_in
    # A quantizer of the whole graph leaves only these activations inside the convolution.
    if build.mode == "weighted" or (build.mode == "static" and act not in ("relu", "relu6")):
        found.name = build.wrap(name)
    found.name = build.activate(found.name, act)
    if build.mode == "static":
        found.name = build.settle(found.name)
    return found


def _plain(build: Builder, at: _Map, act: str) -> _Map:
    rng = build.rng
    kernel, stride = int(rng.choice([1, 3, 3, 3, 5, 7])), int(rng.choice([1, 1, 1, 2]))
    return _conv(
        build, at, width(rng), kernel=kernel, stride=stride, act=act,
        dilation=int(rng.choice([1] * 15 + [2])),
    )  # fmt: skip


def _residual(build: Builder, at: _Map, act: str) -> _Map:
    rng = build.rng
    stride = int(rng.choice([1, 1, 2]))
    out = at.channels if stride == 1 and rng.random() < 0.7 else width(rng)
    if rng.random() < 0.3:
        inner = max(4, out // 4)
        way = _conv(build, at, inner, kernel=1, act=act)
        way = _conv(build, way, inner, kernel=3, stride=stride, act=act)
        way = _conv(build, way, out, kernel=1)
    else:
        way = _conv(build, at, out, kernel=3, stride=stride, act=act)
        way = _conv(build, way, out, kernel=3)
    short = at
    if stride > 1 or out != at.channels:
        short = _conv(build, at, out, kernel=1, stride=stride)
    name = build.node("Add", [way.name, short.name] if rng.random() < 0.5 else [short.name, way.name])
    way.name = build.settle(build.activate(build.settle(name), act))
    return way


def _inverted(build: Builder, at: _Map, act: str) -> _Map:
    rng = build.rng
    stride = int(rng.choice([1, 1, 2]))
    inner = at.channels * int(rng.choice([1, 2, 3, 4, 6]))
    inner = min(inner, 512)
    out = at.channels if rng.random() < 0.6 else width(rng, 8, 160)
    way = _conv(build, at, inner, kernel=1, act=act) if inner != at.channels else at
    way = _conv(build, way, inner, kernel=int(rng.choice([3, 3, 3, 5])), stride=stride, groups=inner, act=act)
    if rng.random() < 0.25:
        way = _gate(build, way, act)
    way = _conv(build, way, out, kernel=1)
    if stride == 1 and out == at.channels:
        way.name = build.settle(build.node("Add", [at.name, way.name]))
    return way


def _separable(build: Builder, at: _Map, act: str) -> _Map:
    rng = build.rng
    stride, kernel = int(rng.choice([1, 1, 2])), int(rng.choice([3, 3, 5, 7]))
    way = _conv(build, at, at.channels, kernel=kernel, stride=stride, groups=at.channels, act=act)
    return _conv(build, way, width(rng), kernel=1, act=act)


def _grouped(build: Builder, at: _Map, act: str) -> _Map:
    rng = build.rng
    groups = int(rng.choice([2, 4, 8]))
    if at.channels % groups:
        return _plain(build, at, act)
    out = max(groups, width(rng) // groups * groups)
    return _conv(build, at, out, groups=groups, stride=int(rng.choice([1, 1, 2])), act=act)


def _gate(build: Builder, at: _Map, _: str = "") -> _Map:
    """Channels scaled by a small network of their means (squeeze and excitation)."""
    rng = build.rng
    inner = max(4, at.channels // int(rng.choice([4, 8, 16])))
    rank = len(at.sizes)
    last = str(rng.choice(["sigmoid", "hard"]))
    if rng.random() < 0.5:
        pooled = build.settle(build.node("GlobalAveragePool", [at.name]))
        small = _conv(build, _Map(pooled, at.channels, (1,) * rank, at.batch), inner, kernel=1, act="relu")
        gate = _conv(build, small, at.channels, kernel=1).name
    else:
        pooled = build.node("ReduceMean", [at.name], axes=list(range(2, 2 + rank)), keepdims=0)
        middle = build.activate(build.linear(pooled, at.batch, at.channels, inner, is_flat=True), "relu")
        gate = build.linear(middle, at.batch, inner, at.channels, is_flat=True)
        for axis in range(rank):
            gate = build.node("Unsqueeze", [gate, build.whole(2 + axis)])
    gate = build.node("HardSigmoid", [gate], alpha=1 / 6) if last == "hard" else build.node("Sigmoid", [gate])
    name = build.node("Mul", [at.name, build.settle(gate)] if rng.random() < 0.5 else [build.settle(gate), at.name])
    return _Map(build.settle(name), at.channels, at.sizes, at.batch)


def _pool(build: Builder, at: _Map, _: str = "") -> _Map:
    rng, rank = build.rng, len(at.sizes)
    if min(at.sizes) < 4:
        return at
    kernel = int(rng.choice([2, 2, 3]))
    stride = int(rng.choice([1, 2, 2, 2]))
    pad = 1 if kernel == 3 else 0
    name = build.node(
        str(rng.choice(["MaxPool", "MaxPool", "AveragePool"])), [at.name],
        kernel_shape=[kernel] * rank, strides=[stride] * rank, pads=[pad] * 2 * rank,
    )  # fmt: skip
    sizes = tuple((size + 2 * pad - kernel) // stride + 1 for size in at.sizes)
    if build.is_positive(at.name):
        build.mark_positive(name)
    return _Map(build.settle(name), at.channels, sizes, at.batch)


def _joined(build: Builder, at: _Map, act: str) -> _Map:
    rng = build.rng
    ways = [at] if rng.random() < 0.5 else []
    while len(ways) < int(rng.choice([2, 2, 3, 4])):
        ways.append(_conv(build, at, width(rng, 8, 96), kernel=int(rng.choice([1, 3, 5])), act=act))
    name = build.node("Concat", [way.name for way in ways], axis=1)
    return _Map(build.settle(name), sum(way.channels for way in ways), at.sizes, at.batch)


def _normalised(build: Builder, at: _Map, act: str) -> _Map:
    """Batch norm and activation ahead of the convolution, where they can't be folded into one before it."""
    channels = at.channels
    ones = [build.constant(np.ones(channels, dtype=np.float32)) for _ in range(4)]
    name = build.activate(build.node("BatchNormalization", [at.name, *ones]), act)
    return _conv(build, _Map(build.settle(name), channels, at.sizes, at.batch), width(build.rng), kernel=3)


def _resized(build: Builder, at: _Map, act: str) -> _Map:
    if max(at.sizes) > 24 or len(at.sizes) != 2:
        return _plain(build, at, act)
    scales = build.constant(np.array([1, 1, 2, 2], dtype=np.float32))
    name = build.node("Resize", [at.name, "", scales], mode="nearest", nearest_mode="floor",
                      coordinate_transformation_mode="asymmetric")  # fmt: skip
    sizes = tuple(2 * size for size in at.sizes)
    return _conv(build, _Map(name, at.channels, sizes, at.batch), width(build.rng, 6, 64), kernel=3, act=act)


def _head(build: Builder, at: _Map) -> None:
    """What follows the feature maps: a mean or all of them, then one to three linear layers."""
    rng, rank = build.rng, len(at.sizes)
    if build.rng.random() < 0.15:
        build.ends(at.name)
        return
    features = at.channels
    if rng.random() < 0.7 or at.channels * at.places // at.batch > 8192:
        if rng.random() < 0.6:
            name = build.node("Flatten", [build.settle(build.node("GlobalAveragePool", [at.name]))])
        else:
            name = build.node("ReduceMean", [at.name], axes=list(range(2, 2 + rank)), keepdims=0)
    else:
        name, features = build.node("Flatten", [at.name]), at.channels * at.places // at.batch
    for _ in range(int(rng.choice([0, 0, 0, 1, 2]))):
        out = width(rng, 16, 512)
        name = build.settle(build.activate(build.linear(name, at.batch, features, out, is_flat=True), "relu"))
        features = out
    out = int(rng.choice([1, 2, 5, 10, 100, 1000]))
    name = build.linear(name, at.batch, features, out, is_flat=True)
    build.outputs.append(build.node("Softmax", [name], axis=-1) if rng.random() < 0.2 else name)


_BLOCKS = (_plain, _residual, _inverted, _separable, _grouped, _gate, _pool, _joined, _normalised, _resized)
_CHANCES = (0.24, 0.18, 0.20, 0.12, 0.02, 0.03, 0.12, 0.05, 0.03, 0.01)
