"""Micro-models of single operators side by side, and the draw of a micro-model by number."""

import math
from collections.abc import Callable

import numpy as np

from steelyard.graph.micro.builder import Builder, Micro, Mode
from steelyard.graph.micro.pictures import picture_model
from steelyard.graph.micro.sequences import encoder_model, product_model, recurrent_model

_ELEMENTS = (50, 200_000)
"""Fewest and most elements of a tensor that a single operator works on."""


def _shape(rng: np.random.Generator, rank: int) -> tuple[int, ...]:
    total = float(np.exp(rng.uniform(*np.log(_ELEMENTS))))
    parts = rng.dirichlet(np.ones(rank)) * np.log(total)
    return tuple(max(1, round(float(np.exp(part)))) for part in parts)


def _unary(build: Builder, rng: np.random.Generator) -> str:
    at = build.feed(_shape(rng, int(rng.integers(2, 5))))
    name = str(
        rng.choice(["relu", "sigmoid", "tanh", "gelu", "silu", "leaky", "hardswish", "relu6", "elu", "softplus"])
    )
    if rng.random() < 0.3:
        return str(build.node(str(rng.choice(["Erf", "Exp", "Neg", "Abs", "Floor", "Sqrt", "Log"])), [at]))
    return build.activate(at, name)


def _binary(build: Builder, rng: np.random.Generator) -> str:
    shape = _shape(rng, int(rng.integers(2, 5)))
    at = build.feed(shape)
    operator = str(rng.choice(["Add", "Mul", "Sub", "Div", "Max", "Min", "Add", "Mul"]))
    kind = int(rng.integers(4))
    if kind == 0:
        other = build.node("Abs", [build.feed(shape)])
    elif kind == 1:
        other = build.scalar(1.5)
    elif kind == 2:
        other = build.weight((shape[-1],), 1)
    else:
        other = build.weight((1, shape[1], *[1] * (len(shape) - 2)), 1)
    return str(build.node(operator, [at, other]))


def _softmax(build: Builder, rng: np.random.Generator) -> str:
    shape = _shape(rng, int(rng.integers(2, 5)))
    return str(build.node("Softmax", [build.feed(shape)], axis=-1))


def _norm(build: Builder, rng: np.random.Generator) -> str:
    shape = _shape(rng, int(rng.integers(2, 4)))
    scales = [build.weight((shape[-1],), 1) for _ in range(2)]
    return str(build.node("LayerNormalization", [build.feed(shape), *scales], axis=-1))


def _transpose(build: Builder, rng: np.random.Generator) -> str:
    shape = _shape(rng, int(rng.integers(2, 6)))
    return str(build.node("Transpose", [build.feed(shape)], perm=[int(axis) for axis in rng.permutation(len(shape))]))


def _reduce(build: Builder, rng: np.random.Generator) -> str:
    shape = _shape(rng, int(rng.integers(2, 5)))
    first = int(rng.integers(1, len(shape)))
    axes = list(range(first, int(rng.integers(first + 1, len(shape) + 1))))
    operator = str(rng.choice(["ReduceMean", "ReduceMean", "ReduceMax"]))
    return str(build.node(operator, [build.feed(shape)], axes=axes, keepdims=int(rng.integers(2))))


def _join(build: Builder, rng: np.random.Generator) -> str:
    shape = _shape(rng, int(rng.integers(2, 5)))
    axis = int(rng.integers(1, len(shape)))
    return str(build.node("Concat", [build.feed(shape) for _ in range(int(rng.integers(2, 4)))], axis=axis))


def _part(build: Builder, rng: np.random.Generator) -> str:
    shape = _shape(rng, int(rng.integers(2, 5)))
    axis = int(rng.integers(1, len(shape)))
    end = max(1, round(shape[axis] * float(rng.uniform(0.3, 1.0))))
    return str(build.node("Slice", [build.feed(shape), build.whole(0), build.whole(end), build.whole(axis)]))


def _split(build: Builder, rng: np.random.Generator) -> str:
    shape = _shape(rng, 3)
    count = int(rng.choice([2, 3]))
    shape = (*shape[:-1], shape[-1] * count)
    parts = build.node("Split", [build.feed(shape)], axis=-1, outputs=count)
    for part in parts[1:]:
        build.ends(part)
    return str(parts[0])


def _pick(build: Builder, rng: np.random.Generator) -> str:
    wide, rows = int(rng.choice([8, 16, 32, 64, 128, 256])), int(rng.integers(50, 3000))
    table = build.weight((rows, wide), 1)
    steps = max(1, round(float(np.exp(rng.uniform(0, np.log(512))))))
    return str(build.node("Gather", [table, build.feed((1, steps), below=rows)]))


def _pad(build: Builder, rng: np.random.Generator) -> str:
    shape = _shape(rng, 4)
    return str(build.node("Pad", [build.feed(shape), build.whole(0, 0, 1, 1, 0, 0, 1, 1)]))


def _spread(build: Builder, rng: np.random.Generator) -> str:
    shape = _shape(rng, 3)
    at = build.feed((shape[0], 1, shape[2]))
    return str(build.node("Expand", [at, build.whole(1, shape[1], 1)]))


def _product(build: Builder, rng: np.random.Generator) -> str:
    """A product of two computed factors, as in attention."""
    count = int(rng.choice([1, 2, 4, 8, 16]))
    rows, inner, columns = (max(1, round(float(np.exp(rng.uniform(np.log(4), np.log(200)))))) for _ in range(3))
    left = build.feed((1, count, rows, inner))
    if rng.random() < 0.5:
        right = build.node("Transpose", [build.feed((1, count, columns, inner))], perm=[0, 1, 3, 2])
    else:
        right = build.feed((1, count, inner, columns))
    return str(build.node("MatMul", [left, right]))


def _linear(build: Builder, rng: np.random.Generator) -> str:
    rows = int(rng.choice([1, 1, 2, 4, 8, 16, 32, 64, 128, 197]))
    inner, columns = (max(1, round(float(np.exp(rng.uniform(np.log(4), np.log(1200)))))) for _ in range(2))
    if rows * inner * columns > 3e7:
        rows = max(1, round(3e7 / (inner * columns)))
    at = build.feed((rows, inner))
    result = build.linear(at, rows, inner, columns, is_flat=bool(rng.random() < 0.6), bias=bool(rng.random() < 0.8))
    return build.activate(result, str(rng.choice(["none", "relu", "gelu", "tanh"])))


def _index(build: Builder, rng: np.random.Generator) -> str:
    """Sizes of a tensor taken apart and put together again, as tracing leaves them."""
    shape = _shape(rng, 3)
    at = build.feed(shape)
    sizes = build.node("Shape", [at])
    if rng.random() < 0.4:
        sizes = build.node("Cast", [build.node("Cast", [sizes], to=1)], to=7)
    parts = []
    for axis in range(2):
        if rng.random() < 0.5:
            taken = build.node("Gather", [sizes, build.constant(np.int64(axis))], axis=0)
            if rng.random() < 0.5:
                taken = build.node("Div", [build.node("Mul", [taken, build.constant(np.int64(4))]),
                                           build.constant(np.int64(4))])  # fmt: skip
            parts.append(build.node("Unsqueeze", [taken, build.whole(0)]))
        else:
            parts.append(build.node("Slice", [sizes, build.whole(axis), build.whole(axis + 1), build.whole(0)]))
    wanted = build.node("Concat", [*parts, build.whole(-1)], axis=0)
    if rng.random() < 0.2:
        last = build.node("Slice", [sizes, build.whole(-1), build.whole(2**62), build.whole(0)])
        root = build.node("Sqrt", [build.node("Cast", [last], to=1)])
        at = build.node("Div", [at, build.node("Sqrt", [build.node("Div", [build.scalar(1.0), root])])])
    if rng.random() < 0.3:
        spread = build.node(
            "Expand", [build.scalar(0.5), build.node("Concat", [*parts, build.whole(shape[2])], axis=0)]
        )
        at = build.node("Add", [at, spread])
    return str(build.node("Reshape", [at, wanted]))


_SINGLES: tuple[Callable[[Builder, np.random.Generator], str], ...] = (
    _unary, _unary, _binary, _binary, _softmax, _norm, _transpose, _transpose, _reduce, _join, _part, _split, _pick,
    _pad, _spread, _product, _product, _product, _linear, _linear, _linear, _index, _index, _index,
)  # fmt: skip


def mixture_model(rng: np.random.Generator, mode: Mode) -> Micro:
    """Some single operators, each with an input and an output of its own."""
    build = Builder(rng, mode)
    for _ in range(int(rng.integers(4, 11))):
        build.ends(_SINGLES[int(rng.integers(len(_SINGLES)))](build, rng))
        if build.macs > 1e8:
            break
    return build.finish("mixture")


_STYLES: tuple[tuple[str, float, Callable[[np.random.Generator, Mode], Micro], tuple[float, ...]], ...] = (
    ("pictures", 0.50, picture_model, (0.5, 0.32, 0.18, 0.0)),
    ("encoders", 0.17, encoder_model, (0.5, 0.08, 0.0, 0.42)),
    ("recurrent", 0.12, recurrent_model, (0.6, 0.0, 0.0, 0.4)),
    ("products", 0.11, product_model, (0.45, 0.3, 0.1, 0.15)),
    ("mixture", 0.10, mixture_model, (0.7, 0.15, 0.0, 0.15)),
)
"""Name, share, generator, and the shares of the modes float, weighted, static and dynamic."""

_MODES: tuple[Mode, ...] = ("float", "weighted", "static", "dynamic")


def draw_micro(number: int) -> Micro:
    """Micro-model `number`: the same for the same number everywhere."""
    rng = np.random.default_rng([number, 0x57EE])
    shares = np.array([share for _, share, _, _ in _STYLES])
    _, _, make, modes = _STYLES[int(rng.choice(len(_STYLES), p=shares / shares.sum()))]
    mode = _MODES[int(rng.choice(4, p=np.array(modes) / math.fsum(modes)))]
    return make(rng, mode)
