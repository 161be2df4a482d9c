"""What calls without weights do to labels: moving, adding and multiplying elements, reducing, pooling, attending."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steelyard.core.task import Array
from steelyard.elastic.labels import RAW
from steelyard.elastic.tracing import Call, Extent, Rule, Tracer, tensors_in, varies

MOVES = (
    "view", "reshape", "permute", "transpose", "t", "swapaxes", "swapdims", "movedim", "moveaxis", "flatten",
    "unflatten", "squeeze", "unsqueeze", "contiguous", "clone", "expand", "expand_as", "view_as", "reshape_as",
    "chunk", "split", "unbind", "narrow", "select", "__getitem__", "cat", "concat", "concatenate", "stack",
    "flip", "roll", "repeat", "repeat_interleave", "tile", "index_select", "pixel_shuffle", "pixel_unshuffle",
    "channel_shuffle", "T", "mT", "split_with_sizes", "tensor_split", "hstack", "vstack", "dstack",
    "gather", "take_along_dim",
)  # fmt: skip
INDEXED = frozenset({"__getitem__", "index_select", "repeat_interleave", "gather", "take_along_dim"})
"""Moves whose further tensors are places, not values."""
SPLITS = frozenset({"view", "reshape", "unflatten"})
SAME = (
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "hardsigmoid",
    "hardtanh", "sigmoid", "tanh", "softplus", "softsign", "logsigmoid", "threshold", "dropout", "dropout1d",
    "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout", "abs", "neg", "__neg__", "exp", "log", "log1p",
    "sqrt", "rsqrt", "square", "reciprocal", "erf", "sin", "cos", "clamp", "clip", "to", "float", "type",
    "type_as", "detach", "nan_to_num", "round", "floor", "ceil", "sign", "positive", "data", "requires_grad",
    "logical_not", "bitwise_not", "__invert__", "tril", "triu",
)  # fmt: skip
POINTWISE = (
    "add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "__add__", "__radd__",
    "__iadd__", "__sub__", "__rsub__", "__isub__", "__mul__", "__rmul__", "__imul__", "__truediv__",
    "__rtruediv__", "__itruediv__", "__div__", "__rdiv__", "pow", "__pow__", "__rpow__", "maximum", "minimum",
    "where", "lerp", "addcmul", "addcdiv", "masked_fill", "rsub", "eq", "ne", "lt", "le", "gt", "ge", "__eq__",
    "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__and__", "__or__", "logical_and", "logical_or", "atan2",
    "copy",
)  # fmt: skip
REDUCTIONS = (
    "mean", "sum", "amax", "amin", "max", "min", "var", "std", "norm", "softmax", "log_softmax", "logsumexp",
    "cumsum", "argmax", "argmin", "prod", "any", "all", "softmin", "normalize", "median", "vector_norm",
    "linalg_norm", "linalg_vector_norm",
)  # fmt: skip
SUMS = frozenset({"sum", "norm", "normalize", "vector_norm", "linalg_norm", "linalg_vector_norm"})
"""Reductions to which a channel of zeros adds nothing."""
POOLS = {
    f"{kind}{rank}d{tail}": rank
    for kind in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "lp_pool")
    for rank in (1, 2, 3)
    for tail in ("", "_with_indices")
} | {f"boolean_dispatch{rank}": rank for rank in (1, 2, 3)}
MOST_PARTS = 3
"""A leading axis of up to three (query, key, value) beside another may be no heads."""


def moves(tracer: Tracer, call: Call) -> None:
    """Move labels by the call that moves elements."""
    if call.name in INDEXED:
        given = (_as_labels(tracer, call.args[0]), *call.args[1:])
        named = call.kwargs
    else:
        given, named = _as_labels(tracer, call.args), _as_labels(tracer, call.kwargs)
    if call.name in ("T", "mT"):
        moved = getattr(given[0], call.name)
    elif call.name in ("view_as", "reshape_as", "expand_as"):
        moved = (given[0].expand if call.name == "expand_as" else given[0].reshape)(call.args[1].shape)
    elif call.name == "view":
        moved = (
            given[0]
            if len(call.args) > 1 and isinstance(call.args[1], torch.dtype)
            else given[0].reshape(*given[1:], **named)
        )
    else:
        moved = call.func(*given, **named)
    if call.name in SPLITS:
        _split(tracer, tracer.labels.find(given[0].numpy()), moved)
    for tensor, labels in zip(tensors_in(call.found), tensors_in(moved), strict=True):
        new = labels.numpy()
        tracer.set(tensor, new)
        _note_extents(tracer, new)
    for tensor in tensors_in(call.args):
        _note_extents(tracer, tracer.zeros(tensor))


def _as_labels(tracer: Tracer, value: Any) -> Any:
    """The same arguments with labels in place of tensors."""
    if isinstance(value, Tensor):
        return torch.from_numpy(np.array(tracer.zeros(value)))
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        return type(value)(_as_labels(tracer, each) for each in value)
    if isinstance(value, dict):
        return {key: _as_labels(tracer, each) for key, each in value.items()}
    return value


def _note_extents(tracer: Tracer, labels: Array) -> None:
    """Keep the labels along each axis that they run along: code may hold its size."""
    roots = tracer.labels.find(labels)
    if not roots.any() or (tracer.labels.origin[roots] == RAW).any():
        return
    for axis in range(roots.ndim):
        if varies(roots, axis):
            first = np.moveaxis(roots, axis, 0).reshape(roots.shape[axis], -1)[:, 0]
            tracer.trace.extents.append(Extent(tracer.stack[-1], np.array(first)))


def _split(tracer: Tracer, before: Array, moved: Tensor) -> None:
    """An axis of channels that was split stays a rectangle: one new axis may shrink, the others unite.

    The heads of attention are the axis to shrink. The last axis holds the dimensions of one head, and a leading axis
    of three beside both holds query, key and value.
    """
    after = moved.numpy()
    new = [axis for axis in range(after.ndim) if varies(after, axis)]
    if (
        len(new) <= sum(varies(before, axis) for axis in range(before.ndim))
        or (tracer.labels.origin[before.ravel()] == RAW).all()
    ):
        return
    heads = [axis for axis in new[:-1] if len(new) == 2 or after.shape[axis] > MOST_PARTS] or new[:-1][-1:]
    keep = heads[0]
    if len(new) == 2 and after.shape[keep] == MOST_PARTS and not _calls_heads(tracer, MOST_PARTS):
        return
    for axis in new:
        parts = axis < keep and len(new) > 2 and after.shape[axis] <= MOST_PARTS
        if axis != keep and not parts:
            first = np.take(after, [0], axis)
            tracer.labels.union(np.array(np.broadcast_to(first, after.shape)), after)


def _calls_heads(tracer: Tracer, count: int) -> bool:
    holder = tracer.modules.get(tracer.stack[-1])
    return any("head" in name and value == count for name, value in vars(holder).items())


def same(tracer: Tracer, call: Call) -> None:
    """Labels stay where they are."""
    source = next(tensors_in((call.args, call.kwargs)))
    for each in tensors_in(call.found):
        tracer.set(each, tracer.of(source))


def pointwise(tracer: Tracer, call: Call) -> None:
    """Elements that meet are one channel."""
    given = list(tensors_in((call.args, call.kwargs)))
    for each in tensors_in(call.found):
        tracer.set(each, combined(tracer, [(tracer.zeros(one), one.shape) for one in given], tuple(each.shape)))


def combined(tracer: Tracer, operands: Sequence[tuple[Array, Sequence[int]]], shape: tuple[int, ...]) -> Array:
    """Labels of what is made elementwise of broadcast operands, each its labels and its shape.

    Stored tensors' elements follow the channel that they meet, unless they meet several. An operand without labels
    that differs along the channels can't shrink, so they can't.
    """
    find, origin = tracer.labels.find, tracer.labels.origin
    wide = [(find(np.array(np.broadcast_to(labels, shape))), _aligned(size, shape)) for labels, size in operands]
    raw = [bool(labels.any()) and bool((origin[labels[labels != 0]] == RAW).all()) for labels, _ in wide]
    main = np.zeros(shape, np.int64)
    for (labels, _), is_raw in zip(wide, raw, strict=True):
        if not is_raw:
            main = np.where(main == 0, labels, main)
    if not main.any():
        known = [labels for labels, _ in wide if labels.any()]
        for each in known[1:]:
            tracer.labels.union(known[0], each)
        return known[0] if known else main
    for (labels, real), is_raw in zip(wide, raw, strict=True):
        if is_raw:
            _adopt(tracer, labels, main, real)
            continue
        tracer.labels.union(main, labels)
        bare = (labels == 0) & (main != 0)
        if bare.any() and any(varies(main, axis) for axis in real):
            tracer.labels.fix(main[bare], "it meets values that are no channels")
    return find(main)


def _aligned(size: Sequence[int], shape: tuple[int, ...]) -> list[int]:
    """The axes of `shape` along which an operand of `size` has elements of its own."""
    offset = len(shape) - len(size)
    return [offset + axis for axis, length in enumerate(size) if length > 1]


def _adopt(tracer: Tracer, raw: Array, main: Array, real: list[int]) -> None:
    """Elements of a stored tensor join the channel that they meet, where it is one alone."""
    pairs = np.unique(np.stack([raw.ravel(), main.ravel()]), axis=1)
    ones, counts = np.unique(pairs[0], return_counts=True)
    alone = np.isin(pairs[0], ones[counts == 1]) & (pairs[1] != 0) & (pairs[0] != 0)
    tracer.labels.union(pairs[0][alone], pairs[1][alone])
    if not alone.all() and any(varies(main, axis) for axis in real):
        tracer.labels.fix(main, "it meets a stored tensor that can't be sliced with it")


def reduction(tracer: Tracer, call: Call) -> None:
    """Reducing along axes without channels keeps the labels; along channels it fixes them."""
    source = next(tensors_in(call.args))
    if len(list(tensors_in((call.args, call.kwargs)))) > 1:
        pointwise(tracer, call)
        return
    labels = tracer.zeros(source)
    axes = _reduced(call.name, source.ndim, call.args, call.kwargs)
    if any(varies(labels, axis) for axis in axes):
        others = [axis for axis in range(source.ndim) if axis not in axes]
        if call.name in SUMS and not any(varies(labels, axis) for axis in others):
            # What was silenced adds nothing to a sum.
            for each in tensors_in(call.found):
                tracer.set(each, labels if each.shape == source.shape else None)
            return
        tracer.fix(source, f"{call.name} runs over its channels")
        return
    for each in tensors_in(call.found):
        if each.shape == source.shape:
            tracer.set(each, labels)
        else:
            kept = labels.max(axis=tuple(axes), keepdims=True)
            tracer.set(each, np.array(kept).reshape(tuple(each.shape)))


def _reduced(name: str, ndim: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
    place = 2 if "norm" in name else 1
    axis = kwargs.get("dim", kwargs.get("axis", args[place] if len(args) > place else None))
    if isinstance(axis, bool) or axis is None:
        axis = 1 if name == "normalize" else list(range(ndim))
    axes = [axis] if isinstance(axis, int) else list(axis)
    return [each % ndim for each in axes]


def cosine(tracer: Tracer, call: Call) -> None:
    """The cosine between vectors of channels: two sums over their product."""
    one, other = list(tensors_in((call.args, call.kwargs)))[:2]
    shape = tuple(np.broadcast_shapes(one.shape, other.shape))
    labels = combined(tracer, [(tracer.zeros(each), each.shape) for each in (one, other)], shape)
    axis = call.kwargs.get("dim", call.args[2] if len(call.args) > 2 else 1) % len(shape)
    if any(varies(labels, each) for each in range(len(shape)) if each != axis):
        tracer.labels.fix(labels, "a cosine runs over something else than its channels")


def channelwise(tracer: Tracer, source: Tensor, found: Any, axis: int) -> Array:
    """Labels along one axis stay, whatever happens along the axes behind it."""
    along = tracer.along(source, axis)
    for each in tensors_in(found):
        shape = [1] * each.ndim
        shape[axis] = len(along)
        tracer.set(each, np.broadcast_to(along.reshape(shape), tuple(each.shape)))
    return along


def pool(tracer: Tracer, call: Call) -> None:
    """Pooling and resizing work on each channel alone."""
    source = next(tensors_in((call.args, call.kwargs)))
    rank = POOLS.get(call.name, source.ndim - 2)
    channelwise(tracer, source, call.found, source.ndim - rank - 1)


def pad(tracer: Tracer, call: Call) -> None:
    """Padding behind the channels keeps them; padding of channels fixes them."""
    source = next(tensors_in(call.args))
    labels = tracer.zeros(source)
    axes = [axis for axis in range(source.ndim) if varies(labels, axis)]
    if len(axes) != 1 or call.found.shape[axes[0]] != source.shape[axes[0]]:
        tracer.fix(source, "padding is added to its channels")
        return
    channelwise(tracer, source, call.found, axes[0])


def matmul(tracer: Tracer, call: Call) -> None:
    """A matrix product: see `contracted`; with a stored matrix on the right it is a linear layer."""
    left, right = list(tensors_in((call.args, call.kwargs)))[:2]
    if tracer.stored(right) is not None and right.ndim == 2:
        tracer.bind(right, 0, tracer.along(left, -1))
        out = tracer.made(right, 1, right.shape[1])
        tracer.set(call.found, np.broadcast_to(out, tuple(call.found.shape)))
        tracer.cost(right, call.found.numel() / right.shape[1], tracer.along(left, -1), out)
        return
    if left.ndim < 2 or right.ndim < 2:
        for each in (left, right):
            tracer.fix(each, "it meets a vector product")
        return
    out = contracted(tracer, tracer.zeros(left), tracer.zeros(right), tuple(left.shape), tuple(right.shape))
    tracer.set(call.found, out)


def contracted(
    tracer: Tracer, left: Array, right: Array, left_shape: tuple[int, ...], right_shape: tuple[int, ...]
) -> Array:
    """Labels of a product (..., n, k) · (..., k, m); what differs along k is united and summed away.

    What runs along the leading axes, or along n or m, runs on in the product.
    """
    *_, n, k = left_shape
    m = right_shape[-1]
    batch = np.broadcast_shapes(left_shape[:-2], right_shape[:-2])
    shape = (*batch, n, m)
    summed = None
    parts = []
    if varies(left, left.ndim - 1) or varies(right, right.ndim - 2):
        a, b = left[..., 0, :], right[..., :, 0]
        if varies(left, left.ndim - 2) or varies(right, right.ndim - 1):
            for each in (left, right):
                tracer.labels.fix(tracer.labels.find(each), "a matrix product runs over its channels in two ways")
            return np.zeros(shape, np.int64)
        summed = combined(tracer, [(a, (*left_shape[:-2], k)), (b, (*right_shape[:-2], k))], (*batch, k))
    else:
        parts = [
            (left[..., :, :1], (*left_shape[:-1], 1)),
            (right[..., :1, :], (*right_shape[:-2], 1, m)),
        ]
    out = combined(tracer, parts, shape) if parts else np.zeros(shape, np.int64)
    size = float(math.prod(shape) * k)
    factors = [each for each in (out if out.any() else None, summed) if each is not None]
    once = size / math.prod(factor.size for factor in factors) if factors else size
    tracer.cost(None, once, *(factor.ravel() for factor in factors))
    return out


def attention(tracer: Tracer, call: Call) -> None:
    """Scaled dot-product attention: two products."""
    query, key, value = (*call.args, *(call.kwargs[each] for each in ("query", "key", "value") if each in call.kwargs))[
        :3
    ]
    if call.kwargs.get("enable_gqa"):
        for each in (query, key, value):
            tracer.fix(each, "its attention shares keys between heads")
        return
    turned = (*key.shape[:-2], key.shape[-1], key.shape[-2])
    weights = contracted(tracer, tracer.zeros(query), tracer.zeros(key).swapaxes(-1, -2), tuple(query.shape), turned)
    tracer.set(call.found, contracted(tracer, weights, tracer.zeros(value), weights.shape, tuple(value.shape)))


def gated(tracer: Tracer, call: Call) -> None:
    """A gated linear unit: each channel of the first half meets its gate in the second."""
    source = call.args[0]
    axis = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else -1)
    values, gates = np.split(np.array(tracer.zeros(source)), 2, axis=axis)
    shape = tuple(call.found.shape)
    tracer.set(call.found, combined(tracer, [(values, shape), (gates, shape)], shape))


def einsum(tracer: Tracer, call: Call) -> None:
    """A sum of products over letters: elements that meet are one channel, what runs along a summed letter ends there.

    Raises:
        ValueError: for a form that is not followed: other than two tensors, dots, repeated letters, no arrow.
    """
    equation, *tensors = call.args[0].replace(" ", ""), *tensors_in(call.args[1:])
    taken, _, out = equation.partition("->")
    parts = taken.split(",")
    if len(parts) != 2 or len(tensors) != 2 or not out or "." in equation or any(len(set(p)) < len(p) for p in parts):
        raise ValueError(f"equation {equation}")
    letters = out + "".join(sorted(set("".join(parts)) - set(out)))
    wide = []
    for part, tensor in zip(parts, tensors, strict=True):
        order = [part.index(each) for each in letters if each in part]
        shape = [tensor.shape[part.index(each)] if each in part else 1 for each in letters]
        wide.append((tracer.zeros(tensor).transpose(order).reshape(shape), shape))
    full = [max(sizes) for sizes in zip(*(shape for _, shape in wide), strict=True)]
    # One element stands for all along letters that no channel runs along.
    runs = [any(varies(labels, axis) for labels, _ in wide) for axis in range(len(letters))]
    narrow = [(labels[tuple(slice(None if run else 1) for run in runs)], shape) for labels, shape in wide]
    space = tuple(size if run else 1 for size, run in zip(full, runs, strict=True))
    main = combined(tracer, narrow, space)
    ended = tuple(range(len(out), len(letters)))
    if any(varies(main, axis) for axis in ended):
        if any(varies(main, axis) for axis in range(len(out))):
            tracer.labels.fix(main, "einsum sums over its channels in two ways")
    else:
        tracer.set(call.found, np.array(np.broadcast_to(main.max(axis=ended), tuple(call.found.shape))))
    tracer.cost(None, math.prod(full) / main.size, main.ravel())


RULES: dict[str, Rule] = {
    **dict.fromkeys(MOVES, moves),
    **dict.fromkeys(SAME, same),
    **dict.fromkeys(POINTWISE, pointwise),
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys((*POOLS, "interpolate", "upsample"), pool),
    **dict.fromkeys(("matmul", "bmm", "__matmul__", "mm"), matmul),
    "pad": pad,
    "einsum": einsum,
    "glu": gated,
    "cosine_similarity": cosine,
    "scaled_dot_product_attention": attention,
}
"""Rules by the names of calls."""
