"""What decides the time of a kernel: amounts of work, and the sizes and remainders that bend it."""

import math
from collections.abc import Callable, Sequence

Numbers = Sequence[float]
Described = tuple[list[float], list[float]]
"""Amounts of work (each the weight of one term of the baseline), and features of a regression."""

LANES = 16
"""Floats in a vector register of 512 bits; kernels of shorter registers have divisors of it."""
BLOCK = 64
"""Channels or columns that kernels finish at a time: four vectors of floats, or one tile of bytes."""
ROWS = 6
"""Rows that kernels of products and convolutions finish at a time (MLAS, kernels for AVX2 and AVX-512: 6 or 12)."""


def describe(kind: str, numbers: Numbers) -> Described:
    """Work and features of a kernel.

    Args:
        kind: "group/operator:variant:type", see `steelyard.graph.kernels`.
        numbers: what the kind's group gives, in its order.
    """
    return _GROUPS[kind.partition("/")[0]](numbers)


def _log(value: float) -> float:
    return math.log(max(value, 1e-3))


def _waste(value: float, lanes: int) -> float:
    """By how much the value grows when it is padded to whole lanes."""
    return math.ceil(value / lanes) * lanes / max(value, 1.0)


def _convolution(numbers: Numbers) -> Described:
    rows, width, incoming, outgoing, groups, area, kernel, stride, dilation, act, adds = numbers
    places, channels = rows * width, outgoing * groups
    macs = places * incoming * channels * area
    read, stored, written = places * stride * stride * incoming * groups, incoming * channels * area, places * channels
    logs = [macs, rows, width, incoming, outgoing, groups, area, read, stored, written]
    bends = [
        _waste(channels, LANES), _waste(channels, BLOCK), _waste(width, ROWS), _waste(incoming * groups, LANES),
        _waste(incoming * area, BLOCK), _waste(places, LANES), kernel, stride, dilation, act, adds,
    ]  # fmt: skip
    return [1.0, macs, read, stored, written], [*map(_log, logs), *bends]


def _product(numbers: Numbers) -> Described:
    count, rows, inner, columns, bias, act, turned_left, turned_right = numbers
    macs = count * rows * inner * columns
    left, right, out = count * rows * inner, count * inner * columns, count * rows * columns
    bends = [
        _waste(columns, LANES), _waste(columns, BLOCK), _waste(rows, ROWS), _waste(rows, LANES), _waste(inner, LANES),
        _waste(inner, BLOCK), bias, act, turned_left, turned_right,
    ]  # fmt: skip
    logs = [macs, count, rows, inner, columns, left, right, out]
    return [1.0, count, macs, left, right, out], [*map(_log, logs), *bends]


def _recurrent(numbers: Numbers) -> Described:
    steps, batch, width, hidden, directions = numbers
    turns, stored = steps * directions, directions * hidden * (width + hidden)
    states, macs = turns * batch * hidden, turns * batch * hidden * (width + hidden)
    logs = [steps, batch, width, hidden, turns, states, macs, stored, turns * batch * hidden * hidden]
    work = [1.0, turns, turns * batch, states, macs, stored]
    return work, [*map(_log, logs), directions, _waste(hidden, LANES), _waste(hidden, 4)]


def _pooling(numbers: Numbers) -> Described:
    out, channels, width, area, stride, shrink = numbers
    return [1.0, out, out * area, out * shrink], [
        *map(_log, [out, channels, width, area, out * area, out * shrink]),
        stride,
    ]


def _mean(numbers: Numbers) -> Described:
    channels, places = numbers
    return [1.0, channels, channels * places], [*map(_log, [channels, places, channels * places])]


def _rows(numbers: Numbers) -> Described:
    rows, length, inner, outs = numbers
    return [1.0, rows, rows * length], [*map(_log, [rows, length, inner, rows * length]), outs, _waste(length, LANES)]


def _reduction(numbers: Numbers) -> Described:
    outer, reduced, inner = numbers
    total = outer * reduced * inner
    return [1.0, outer, outer * inner, total, outer * reduced], [*map(_log, [outer, reduced, inner, total])]


def _transposition(numbers: Numbers) -> Described:
    total, run, read, written = numbers
    return [1.0, total, total / run], [*map(_log, [total, run, read, written, total / run])]


def _moving(numbers: Numbers) -> Described:
    total, run, count, source = numbers
    return [1.0, total, total / run, count], [*map(_log, [total, run, total / run, source + 1.0]), count]


def _plain(numbers: Numbers) -> Described:
    return [1.0, numbers[0]], [_log(numbers[0])]


def _reorder(numbers: Numbers) -> Described:
    total, channels, places = numbers
    return [1.0, total, channels, places], [
        *map(_log, [total, channels, places]),
        _waste(channels, LANES),
        _waste(places, 4),
    ]


def _elements(numbers: Numbers) -> Described:
    total, whole, run, many = numbers
    return [1.0, total, total * whole, total / run], [
        *map(_log, [total, run, total / run]),
        whole,
        many,
        _waste(run, LANES),
    ]


_GROUPS: dict[str, Callable[[Numbers], Described]] = {
    "convolution": _convolution,
    "product": _product,
    "recurrent": _recurrent,
    "pooling": _pooling,
    "mean": _mean,
    "rows": _rows,
    "reduction": _reduction,
    "transposition": _transposition,
    "moving": _moving,
    "alias": _plain,
    "reorder": _reorder,
    "elements": _elements,
}
