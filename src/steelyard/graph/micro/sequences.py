"""Random sequence micro-models: attention encoders, recurrent layers, and layers of plain products."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.graph.micro.builder import Builder, Micro, Mode, usual_size
from steelyard.graph.micro.pictures import width

_LARGEST = 8e7
"""Multiply-accumulates at which a micro-model ends."""


def _count(rng: np.random.Generator, low: int, high: int) -> int:
    """A log-uniform whole number."""
    return max(low, min(high, round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))))


def _embedded(build: Builder, batch: int, steps: int, wide: int) -> str:
    """The input as (batch, steps, wide): rows of a table by number, or a projection of real features."""
    rng = build.rng
    if rng.random() < 0.5:
        rows = _count(rng, 50, 4000)
        numbers = build.feed((batch, steps), below=rows)
        if build.mode != "dynamic":
            return str(build.node("Gather", [build.weight((rows, wide), 1), numbers]))
        # Dynamic quantizers keep the table in bytes and widen the rows that are read.
        table = build.constant(np.resize(rng.integers(0, 256, 4096, dtype=np.uint8), (rows, wide)))
        point = build.constant(np.uint8(128))
        return str(build.node("DequantizeLinear", [build.node("Gather", [table, numbers]), build.scalar(0.01), point]))
    taken = _count(rng, 4, 64)
    return build.linear(build.feed((batch, steps, taken)), batch * steps, taken, wide, is_flat=False)


def encoder_model(rng: np.random.Generator, mode: Mode) -> Micro:
    """A random transformer encoder."""
    build = Builder(rng, mode)
    heads = int(rng.choice([1, 2, 4, 4, 8]))
    wide = heads * int(rng.choice([8, 16, 16, 24, 32, 32, 64]))
    wide = min(wide, 512)
    heads = heads if wide % heads == 0 else 1
    steps = _count(rng, 8, 256) if rng.random() < 0.5 else int(rng.choice([16, 32, 49, 50, 64, 65, 100, 128, 197]))
    batch = int(rng.choice([1, 1, 1, 1, 2, 4]))
    at = _embedded(build, batch, steps, wide)
    if rng.random() < 0.7:
        at = build.node("Add", [at, build.weight((1, steps, wide), 1)])
    inner, act = wide * int(rng.choice([1, 2, 4])), str(rng.choice(["gelu", "relu", "gelu", "silu"]))
    first = bool(rng.random() < 0.5)
    style = _packed if rng.random() < 0.4 else _apart
    for _ in range(int(rng.integers(1, 5))):
        normed = _norm(build, at, wide) if first else at
        mixed = style(build, normed, _Sizes(batch, steps, wide, heads))
        at = build.node("Add", [at, mixed] if rng.random() < 0.5 else [mixed, at])
        at = at if first else _norm(build, at, wide)
        normed = _norm(build, at, wide) if first else at
        hidden = build.activate(build.linear(normed, batch * steps, wide, inner, is_flat=False), act)
        at = build.node("Add", [at, build.linear(hidden, batch * steps, inner, wide, is_flat=False)])
        at = at if first else _norm(build, at, wide)
        if build.macs > _LARGEST:
            break
    at = _norm(build, at, wide) if first and rng.random() < 0.7 else at
    pooled = build.node("ReduceMean", [at], axes=[1], keepdims=0)
    if rng.random() < 0.3:
        pooled = build.node("Gather", [at, build.constant(np.int64(0))], axis=1)
    build.outputs.append(build.linear(pooled, batch, wide, int(rng.choice([2, 5, 10])), is_flat=True))
    return build.finish("encoders")


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What attention works on."""

    batch: int
    steps: int
    wide: int
    heads: int


def _norm(build: Builder, at: str, wide: int) -> str:
    ones = build.constant(np.ones(wide, dtype=np.float32))
    zeros = build.constant(np.zeros(wide, dtype=np.float32))
    return str(build.node("LayerNormalization", [at, ones, zeros], axis=-1))


def _sizes(build: Builder, at: str, *parts: int | str) -> str:
    """A shape computed as the model runs, as tracing writes it: sizes of `at` by axis name, and constants."""
    found = []
    shape = build.node("Shape", [at])
    for part in parts:
        if isinstance(part, int):
            found.append(build.whole(part))
            continue
        taken = build.node("Gather", [shape, build.constant(np.int64(int(part)))], axis=0)
        found.append(build.node("Unsqueeze", [taken, build.whole(0)]))
    return str(build.node("Concat", found, axis=0))


def _heads_of(build: Builder, at: str, steps: int, heads: int, size: int, *, turned: bool) -> str:
    wanted = build.whole(0, steps, heads, size)
    if build.rng.random() < 0.5:
        wanted = _sizes(build, at, "0", "1", heads, size)
    split = build.node("Reshape", [at, wanted])
    return str(build.node("Transpose", [split], perm=[0, 2, 3, 1] if turned else [0, 2, 1, 3]))


def _attended(build: Builder, query: str, key: str, value: str, size: int) -> str:
    rng = build.rng
    if rng.random() < 0.3:
        # A root that is taken as the model runs, as tracing leaves it.
        last = build.node("Slice", [build.node("Shape", [query]), build.whole(-1), build.whole(2**62), build.whole(0)])
        wide = build.node("Cast", [last], to=1)
        root = build.node("Sqrt", [wide]) if rng.random() < 0.5 else build.node("Pow", [wide, build.scalar(0.5)])
        scores = build.node("Div", [build.node("MatMul", [query, key]), root])
    elif rng.random() < 0.5:
        query = build.node("Mul", [query, build.scalar(1 / math.sqrt(size))])
        scores = build.node("MatMul", [query, key])
    else:
        scores = build.node("Div", [build.node("MatMul", [query, key]), build.scalar(math.sqrt(size))])
    return str(build.node("MatMul", [build.node("Softmax", [scores], axis=-1), value]))


def _joined(build: Builder, mixed: str, batch: int, steps: int, wide: int) -> str:
    back = build.node("Transpose", [mixed], perm=[0, 2, 1, 3])
    wanted = build.whole(0, steps, wide) if build.rng.random() < 0.5 else _sizes(build, back, "0", "1", wide)
    return build.linear(build.node("Reshape", [back, wanted]), batch * steps, wide, wide, is_flat=False)


def _apart(build: Builder, at: str, sizes: _Sizes) -> str:
    """Attention with query, key and value from three products."""
    batch, steps, wide, heads = sizes.batch, sizes.steps, sizes.wide, sizes.heads
    size = wide // heads
    query, key, value = (
        _heads_of(build, build.linear(at, batch * steps, wide, wide, is_flat=False), steps, heads, size, turned=turned)
        for turned in (False, True, False)
    )
    build.macs += 2.0 * batch * steps * steps * wide
    return _joined(build, _attended(build, query, key, value, size), batch, steps, wide)


def _packed(build: Builder, at: str, sizes: _Sizes) -> str:
    """Attention with query, key and value from one product."""
    batch, steps, wide, heads = sizes.batch, sizes.steps, sizes.wide, sizes.heads
    size = wide // heads
    packed = build.linear(at, batch * steps, wide, 3 * wide, is_flat=False)
    build.macs += 2.0 * batch * steps * steps * wide
    if build.rng.random() < 0.5:
        parts = build.node("Split", [packed], axis=-1, outputs=3)
        query, key, value = (
            _heads_of(build, part, steps, heads, size, turned=turned)
            for part, turned in zip(parts, (False, True, False), strict=True)
        )
    else:
        split = build.node("Reshape", [packed, build.whole(0, steps, 3, heads, size)])
        turned = build.node("Transpose", [split], perm=[2, 0, 3, 1, 4])
        query, key, value = (
            build.node("Gather", [turned, build.constant(np.int64(part))], axis=0) for part in range(3)
        )
        key = build.node("Transpose", [key], perm=[0, 1, 3, 2])
    return _joined(build, _attended(build, query, key, value, size), batch, steps, wide)


def recurrent_model(rng: np.random.Generator, mode: Mode) -> Micro:
    """A random stack of LSTM or GRU layers."""
    build = Builder(rng, mode)
    cell = str(rng.choice(["LSTM", "GRU"]))
    steps, batch = _count(rng, 4, 128), int(rng.choice([1, 1, 1, 1, 2, 4, 8]))
    hidden = usual_size(rng, 8, 320)
    both = bool(rng.random() < 0.35)
    directions = 2 if both else 1
    if rng.random() < 0.5:
        taken = _count(rng, 3, 128)
        at = build.feed((batch, steps, taken))
    else:
        taken = width(rng, 8, 256)
        at = _embedded(build, batch, steps, taken)
    at = build.node("Transpose", [at], perm=[1, 0, 2])
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        at = _layer(build, cell, at, (steps, batch, taken, hidden, directions))
        taken = hidden * directions
        if build.macs > _LARGEST / 4:
            break
    at = build.node("Transpose", [at], perm=[1, 0, 2])
    if rng.random() < 0.6:
        at = build.node("Gather", [at, build.constant(np.int64(-1))], axis=1)
    else:
        at = build.node("ReduceMean", [at], axes=[1], keepdims=0)
    for _ in range(int(rng.choice([0, 0, 1]))):
        out = width(rng, 8, 256)
        at, taken = build.activate(build.linear(at, batch, taken, out, is_flat=True), "relu"), out
    build.outputs.append(build.linear(at, batch, taken, int(rng.choice([1, 2, 10])), is_flat=True))
    return build.finish("recurrent")


def _layer(build: Builder, cell: str, at: str, sizes: tuple[int, int, int, int, int]) -> str:
    steps, batch, taken, hidden, directions = sizes
    gates = (4 if cell == "LSTM" else 3) * hidden
    build.macs += float(steps) * batch * directions * gates * (taken + hidden)
    states = [_state(build, at, directions, hidden) for _ in range(2 if cell == "LSTM" else 1)]
    direction = "bidirectional" if directions == 2 else "forward"
    bias = build.constant(np.zeros((directions, 2 * gates), dtype=np.float32))
    if cell == "LSTM" and build.mode == "dynamic":
        scales = [build.constant(np.full(directions, 0.001, dtype=np.float32)) for _ in range(2)]
        zeros = [build.constant(np.zeros(directions, dtype=np.int8)) for _ in range(2)]
        weights = [build.bytes_weight((directions, taken, gates)), build.bytes_weight((directions, hidden, gates))]
        names = [at, *weights, bias, "", *states, "", scales[0], zeros[0], scales[1], zeros[1]]
        out = build.node("DynamicQuantizeLSTM", names, domain="com.microsoft", hidden_size=hidden, direction=direction)
    else:
        weights = [build.weight((directions, gates, taken), taken), build.weight((directions, gates, hidden), hidden)]
        more: dict[str, Any] = {} if cell == "LSTM" else {"linear_before_reset": 1}
        out = build.node(cell, [at, *weights, bias, "", *states], hidden_size=hidden, direction=direction, **more)
    if directions == 1:
        return str(build.node("Squeeze", [out, build.whole(1)]))
    turned = build.node("Transpose", [out], perm=[0, 2, 1, 3])
    return str(build.node("Reshape", [turned, build.whole(0, 0, -1)]))


def _state(build: Builder, at: str, directions: int, hidden: int) -> str:
    """Zeros for the first state, made as the model runs because the batch is free."""
    shape = build.node("Shape", [at])
    taken = build.node("Gather", [shape, build.constant(np.int64(1))], axis=0)
    free = build.node("Unsqueeze", [taken, build.whole(0)])
    wanted = build.node("Concat", [build.whole(directions), free, build.whole(hidden)], axis=0)
    return str(build.node("ConstantOfShape", [wanted]))


def product_model(rng: np.random.Generator, mode: Mode) -> Micro:
    """A random stack of linear layers."""
    build = Builder(rng, mode)
    batch = int(rng.choice([1, 1, 1, 1, 1, 2, 4, 16, 32]))
    taken = usual_size(rng, 2, 2048)
    at = build.feed((batch, taken))
    act = str(rng.choice(["relu", "relu", "relu", "gelu", "silu", "tanh", "sigmoid", "leaky", "elu"]))
    if rng.random() < 0.4:
        at = build.node("Div", [build.node("Sub", [at, build.weight((taken,), 1)]), build.weight((taken,), 1)])
    if rng.random() < 0.2:
        at = build.node("Flatten", [at])
    top = int(rng.choice([128, 512, 1024, 2048]))
    for _ in range(int(rng.integers(1, 7))):
        out = usual_size(rng, 8, top)
        found = build.activate(build.linear(at, batch, taken, out, is_flat=bool(rng.random() < 0.8)), act)
        if taken == out and rng.random() < 0.3:
            found = build.node("Add", [at, found])
        if rng.random() < 0.1:
            found = _norm(build, found, out)
        at, taken = build.settle(found), out
    at = build.linear(at, batch, taken, int(rng.choice([1, 2, 10, 100])), is_flat=True)
    build.outputs.append(build.node("Softmax", [at], axis=-1) if rng.random() < 0.2 else at)
    return build.finish("products")
