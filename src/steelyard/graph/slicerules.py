"""How what is kept of a tensor's axes follows from operator to operator, and what in an operator must change for it.

The rules walk a graph forwards. A tensor keeps of each of its axes all positions, or those of an index. Where an
operator holds sizes of its own (targets of Reshape, ends of Slice, groups of convolutions, hidden sizes), the rule
rewrites them from the index; where it can't be told, it says so. What meets a sliced axis and depends on no input of
the model (masks, scales, initial states) is cut to fit.
"""

from collections.abc import Callable

import numpy as np

from steelyard.graph.cutting import Cut, Index, Picked, Resists, grid, part_of, refold

Rule = Callable[[Cut], None]


def _elementwise(cut: Cut) -> None:
    given = [slot for slot in range(len(cut.node.inputs)) if cut.has(slot)]
    rank = max(len(cut.shape(slot)) for slot in given)
    found: Picked = {}
    for slot in given:
        for axis, index in cut.of(slot).items():
            found.setdefault(axis + rank - len(cut.shape(slot)), index)
    for slot in given:
        shape = cut.shape(slot)
        for place, index in found.items():
            axis = place - rank + len(shape)
            if axis >= 0 and shape[axis] != 1:
                cut.want(slot, axis, index)
    cut.give(found)


def _first(cut: Cut) -> None:
    """The output keeps what the first input keeps; further inputs are settings."""
    cut.give(cut.of(0))


def _pooled(cut: Cut) -> None:
    if any(axis > 1 for axis in cut.of(0)):
        raise Resists("it runs along an axis that is sliced")
    for output in range(len(cut.node.outputs)):
        cut.give(cut.of(0), output)


def _normalised(cut: Cut) -> None:
    """Normalisation of each channel: scale, offset and statistics beside axis 1."""
    for slot in range(1, len(cut.node.inputs)):
        cut.meet(0, 1, slot, 0)
    cut.give(cut.of(0))


def _layer_normalised(cut: Cut) -> None:
    axis = cut.axis(-1)
    for slot in range(1, len(cut.node.inputs)):
        for place in range(axis, len(cut.shape())):
            if cut.has(slot):
                cut.meet(0, place, slot, place - axis)
    cut.give(cut.of(0))


def _convolved(cut: Cut) -> None:
    """A convolution: weights (out, in / groups, ...); whole groups go."""
    source, weight = cut.shape(), cut.shape(1)
    groups = int(cut.get("group", 1))
    if groups == 1:
        cut.meet(0, 1, 1, 1)
    made = cut.of(1).get(0, np.arange(weight[0]))
    if groups > 1:
        kept, inner = grid(cut.of(0).get(1, np.arange(source[1])), (groups, source[1] // groups))
        rows, _ = grid(made, (groups, weight[0] // groups))
        if not np.array_equal(rows, kept):
            raise Resists(f"it keeps {len(rows)} of its {groups} groups where its input keeps {len(kept)}")
        if not np.array_equal(cut.of(1).get(1, np.arange(weight[1])), inner):
            raise Resists("its weights keep other channels of a group than its input")
        if len(kept) != groups:
            cut.set("group", len(kept))
    _finish_convolution(cut, made, weight[0])


def _turned(cut: Cut) -> None:
    """A transposed convolution: weights (in, out / groups, ...); whole groups go."""
    source, weight = cut.shape(), cut.shape(1)
    groups = int(cut.get("group", 1))
    taken = cut.meet(0, 1, 1, 0)
    kept, _ = grid(np.arange(source[1]) if taken is None else taken, (groups, source[1] // groups))
    inner = cut.of(1).get(1, np.arange(weight[1]))
    if len(kept) != groups:
        cut.set("group", len(kept))
    _finish_convolution(cut, (kept[:, None] * weight[1] + inner).ravel(), groups * weight[1])


def _finish_convolution(cut: Cut, made: Index, whole: int) -> None:
    found = {axis: index for axis, index in cut.of(0).items() if axis != 1}
    if any(axis > 1 for axis in found):
        raise Resists("it runs along an axis that is sliced")
    _fit_kernel(cut)
    if not np.array_equal(made, np.arange(whole)):
        found[1] = made
        if cut.has(2):
            cut.want(2, 0, made)
    elif cut.of(2):
        raise Resists(f"{cut.node.inputs[2]!r} keeps other channels than what it meets")
    cut.give(found)


def _fit_kernel(cut: Cut) -> None:
    """A part of a kernel: the taps that go were beyond its edge, so that much less padding is read."""
    picked = {axis - 2: index for axis, index in cut.of(1).items() if axis > 1}
    if not picked:
        return
    count = len(cut.shape(1)) - 2
    if cut.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET"):
        raise Resists("its padding follows from its kernel (auto_pad), which is sliced")
    shape, pads = list(cut.shape(1)[2:]), list(cut.get("pads", [0] * 2 * count))
    stretch = list(cut.get("dilations", [1] * count))
    for axis, index in picked.items():
        if not np.array_equal(index, np.arange(index[0], index[0] + len(index))):
            raise Resists("what it keeps of its kernel is no block")
        pads[axis] -= int(index[0]) * stretch[axis]
        pads[count + axis] -= (shape[axis] - 1 - int(index[-1])) * stretch[axis]
        shape[axis] = len(index)
    if min(pads) < 0:
        raise Resists("less padding surrounds its input than its kernel loses")
    cut.set("kernel_shape", shape)
    cut.set("pads", pads)


def _gemm(cut: Cut) -> None:
    a, b = int(cut.get("transA", 0)), int(cut.get("transB", 0))
    cut.meet(0, 0 if a else 1, 1, 1 if b else 0)
    found = {0: cut.of(0).get(1 if a else 0), 1: cut.of(1).get(0 if b else 1)}
    picked = {axis: index for axis, index in found.items() if index is not None}
    if cut.has(2):
        shape = cut.shape(2)
        for axis, index in picked.items():
            place = axis - 2 + len(shape)
            if place >= 0 and shape[place] != 1:
                cut.want(2, place, index)
        if set(cut.of(2)) - {axis - 2 + len(shape) for axis in picked}:
            raise Resists(f"{cut.node.inputs[2]!r} keeps other channels than what it meets")
    cut.give(picked)


def _matmul(cut: Cut) -> None:
    left, right = len(cut.shape(0)), len(cut.shape(1))
    if min(left, right) < 2:
        raise Resists("it multiplies a vector")
    cut.meet(0, left - 1, 1, right - 2)
    rank = max(left, right)
    found: Picked = {}
    for slot, ndim in ((0, left), (1, right)):
        for axis in range(ndim - 2):
            if axis in cut.of(slot):
                found.setdefault(axis + rank - ndim, cut.of(slot)[axis])
    for slot, ndim in ((0, left), (1, right)):
        for place, index in found.items():
            axis = place - rank + ndim
            if axis >= 0 and cut.shape(slot)[axis] != 1:
                cut.want(slot, axis, index)
    for slot, axis, place in ((0, left - 2, rank - 2), (1, right - 1, rank - 1)):
        if axis in cut.of(slot):
            found[place] = cut.of(slot)[axis]
    cut.give(found)


def _einsum(cut: Cut) -> None:
    equation = cut.get("equation", b"")
    text = (equation.decode() if isinstance(equation, bytes) else equation).replace(" ", "")
    left, arrow, right = text.partition("->")
    if "." in text or not arrow:
        raise Resists(f"its equation {text!r} does not name every axis")
    terms = left.split(",")
    letters: dict[str, Index] = {}
    for slot, term in enumerate(terms):
        letters.update({term[axis]: index for axis, index in cut.of(slot).items()})
    for slot, term in enumerate(terms):
        for axis, letter in enumerate(term):
            if letter in letters:
                cut.want(slot, axis, letters[letter])
    cut.give({axis: letters[letter] for axis, letter in enumerate(right) if letter in letters})


def _transposed(cut: Cut) -> None:
    order = list(cut.get("perm", range(len(cut.shape()))[::-1]))
    cut.give({order.index(axis): index for axis, index in cut.of(0).items()})


def _refolded(cut: Cut) -> None:
    """Flatten, Squeeze and Unsqueeze: their sizes follow by themselves."""
    cut.give(refold(cut.shape(), cut.of(0), cut.facts.shape(cut.node.outputs[0])))


def _reshaped(cut: Cut) -> None:
    """Every size that is fixed is written anew; a free one is copied from its place, left, or the one that is told."""
    name, source, before = cut.node.outputs[0], cut.node.inputs[0], cut.shape()
    after = cut.facts.shape(name)
    if cut.get("allowzero", 0):
        raise Resists("its target may hold zeros (allowzero)")
    picked = refold(before, cut.of(0), after)
    target: list[int | None] = []
    is_constant = cut.node.inputs[1] in cut.facts.arrays
    for axis, size in enumerate(after):
        is_copied = axis < len(before) and before[axis] == size and axis not in cut.of(0)
        if not cut.facts.is_free(name, axis):
            target.append(len(picked[axis]) if axis in picked else size)
        elif axis not in picked and is_copied and cut.facts.is_free(source, axis):
            target.append(0)
        else:
            target.append(-1 if axis in picked or is_constant else None)
    if target.count(None) == 1 and -1 not in target:
        target[target.index(None)] = -1
    if target.count(-1) > 1:
        raise Resists("more than one of its sizes is free")
    cut.mix(1, target)
    cut.give(picked)


def _expanded(cut: Cut) -> None:
    name, before = cut.node.outputs[0], cut.shape()
    after = cut.facts.shape(name)
    shift = len(after) - len(before)
    picked = {axis + shift: index for axis, index in cut.of(0).items()}
    sizes = cut.sizes.get(cut.node.inputs[1], (None,) * len(after))
    target: list[int | None] = []
    for axis, size in enumerate(after):
        if axis >= shift and before[axis - shift] == size:
            target.append(1)
            continue
        told = sizes[axis - len(after) + len(sizes)] if axis - len(after) + len(sizes) >= 0 else None
        if told is False:
            raise Resists("its target is computed from the size of a sliced axis")
        if told is not None and told is not True:
            picked[axis] = told
        target.append(None if cut.facts.is_free(name, axis) else len(picked[axis]) if axis in picked else size)
    if cut.node.inputs[1] in cut.facts.arrays:
        target = [size if each is None else each for each, size in zip(target, after, strict=True)]
    cut.mix(1, target)
    cut.give(picked)


def _filled(cut: Cut) -> None:
    sizes = cut.sizes.get(cut.node.inputs[0], ())
    if False in [each for each in sizes if isinstance(each, bool)]:
        raise Resists("its shape is computed from the size of a sliced axis")
    cut.give({axis: each for axis, each in enumerate(sizes) if each is not None and not isinstance(each, bool)})


def _concatenated(cut: Cut) -> None:
    axis = cut.axis(0)
    given = range(len(cut.node.inputs))
    found = {each: index for slot in given for each, index in cut.of(slot).items() if each != axis}
    for slot in given:
        for each, index in found.items():
            try:
                cut.want(slot, each, index)
            except Resists as error:
                raise Resists(f"its inputs keep different channels of axis {each}") from error
    if any(axis in cut.of(slot) for slot in given):
        parts, start = [], 0
        for slot in given:
            size = cut.shape(slot)[axis]
            parts.append(cut.of(slot).get(axis, np.arange(size)) + start)
            start += size
        found[axis] = np.concatenate(parts)
    cut.give(found)


def _split(cut: Cut) -> None:
    axis = cut.axis(0)
    index = cut.of(0).get(axis)
    rest = {each: kept for each, kept in cut.of(0).items() if each != axis}
    if index is None and cut.has(1) and cut.node.inputs[1] in cut.sizes:
        raise Resists("its sizes are computed from the size of a sliced axis")
    if index is None:
        for output in range(len(cut.node.outputs)):
            cut.give(rest, output)
        return
    sizes, start = [], 0
    for output, name in enumerate(cut.node.outputs):
        size = cut.facts.shape(name)[axis]
        part, _ = part_of(index, start, start + size)
        cut.give({**rest, **({} if np.array_equal(part, np.arange(size)) else {axis: part})}, output)
        sizes.append(len(part))
        start += size
    if "split" in cut.node.attributes:
        cut.set("split", sizes)
    else:
        cut.put(1, sizes)


def _sliced(cut: Cut) -> None:
    picked = dict(cut.of(0))
    shape = cut.shape()
    axes = [each + len(shape) if each < 0 else each for each in cut.numbers(3, "axes", range(len(shape)))]
    if any(slot < len(cut.node.inputs) and cut.node.inputs[slot] in cut.sizes for slot in (1, 2)) and not (
        set(axes) <= set(picked)
    ):
        raise Resists("its ends are computed from the size of a sliced axis")
    if not set(axes) & set(picked):
        cut.give(picked)
        return
    starts, ends = cut.numbers(1, "starts"), cut.numbers(2, "ends")
    steps = cut.numbers(4, "steps", [1] * len(axes))
    for number, axis in enumerate(axes):
        if axis not in picked:
            continue
        if steps[number] != 1:
            raise Resists("it takes every so many-th of the channels of a sliced axis")
        start, end, _ = slice(starts[number], ends[number]).indices(shape[axis])
        part, first = part_of(picked[axis], start, end)
        starts[number], ends[number] = first, first + len(part)
        picked[axis] = part
        if np.array_equal(part, np.arange(end - start)):
            del picked[axis]
    for slot, name, value in ((1, "starts", starts), (2, "ends", ends)):
        if cut.has(slot):
            cut.put(slot, value)
        else:
            cut.set(name, value)
    cut.give(picked)


def _gathered(cut: Cut) -> None:
    axis, taken = cut.axis(0), len(cut.shape(1))
    if cut.of(1):
        raise Resists("it looks up by what is sliced")
    index = cut.of(0).get(axis)
    found = {each if each < axis else each + taken - 1: kept for each, kept in cut.of(0).items() if each != axis}
    if index is not None:
        if taken > 1 or cut.node.inputs[1] not in cut.facts.arrays:
            raise Resists("it looks up along a sliced axis")
        size = cut.shape()[axis]
        wanted = np.array(cut.numbers(1)) % size
        where = {int(each): place for place, each in enumerate(index)}
        stays = [number for number, each in enumerate(wanted.tolist()) if each in where]
        if not stays or (taken == 0 and len(stays) != 1):
            raise Resists("nothing is kept of what it takes")
        new = np.array([where[int(wanted[number])] for number in stays], np.int64)
        cut.proto.input[1] = cut.constant(new if taken else new.reshape(()), cut.node.inputs[1])
        if taken and len(stays) < len(wanted):
            found[axis] = np.array(stays, np.int64)
    cut.give(found)


def _reduced(cut: Cut) -> None:
    shape = cut.shape()
    axes = cut.numbers(1, "axes", [] if cut.get("noop_with_empty_axes", 0) else range(len(shape)))
    gone = {each + len(shape) if each < 0 else each for each in axes}
    left = [axis for axis in range(len(shape)) if axis not in gone]
    keeps = bool(cut.get("keepdims", 1))
    cut.give({axis if keeps else left.index(axis): index for axis, index in cut.of(0).items() if axis not in gone})


def _chosen(cut: Cut) -> None:
    """ArgMax and ArgMin: positions along a sliced axis mean others than before."""
    axis = cut.axis(0)
    if axis in cut.of(0):
        raise Resists("it numbers the channels of a sliced axis")
    keeps = bool(cut.get("keepdims", 1))
    cut.give({each if keeps or each < axis else each - 1: index for each, index in cut.of(0).items()})


def _padded(cut: Cut) -> None:
    picked = cut.of(0)
    pads = cut.numbers(1, "pads")
    axes = cut.numbers(3, "", range(len(cut.shape()))) if cut.has(3) else list(range(len(cut.shape())))
    for number, axis in enumerate(axes):
        if axis in picked and (pads[number] or pads[len(axes) + number]):
            raise Resists("it pads a sliced axis")
    cut.give(picked)


def _resized(cut: Cut) -> None:
    if any(axis > 1 for axis in cut.of(0)):
        raise Resists("it runs along an axis that is sliced")
    sizes = cut.facts.arrays.get(cut.node.inputs[3]) if cut.has(3) else None
    if sizes is not None and len(sizes) == len(cut.shape()):
        cut.put(3, [len(cut.of(0)[axis]) if axis in cut.of(0) else int(each) for axis, each in enumerate(sizes)])
    cut.give(cut.of(0))


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _recurred(cut: Cut) -> None:
    """LSTM, GRU and RNN: weights (directions, gates · hidden, in), one hidden size for both directions."""
    if cut.get("layout", 0):
        raise Resists("its batch comes first (layout)")
    if any(axis == 0 for slot in (1, 2, 3) for axis in cut.of(slot)):
        raise Resists("one of its directions is sliced away")
    gates = GATES[cut.node.operator]
    cut.meet(0, 2, 1, 2)
    whole = cut.shape(2)[2]
    rows = cut.of(1).get(1, np.arange(gates * whole))
    kept, hidden = grid(rows, (gates, whole))
    if len(kept) != gates:
        raise Resists("one of its gates is sliced away")
    cut.meet(1, 1, 2, 1)
    picked: Picked = {}
    if len(hidden) < whole or not np.array_equal(hidden, np.arange(whole)):
        picked = {3: hidden}
        cut.want(2, 2, hidden)
        if cut.has(3):
            cut.want(3, 1, (np.arange(2 * gates)[:, None] * whole + hidden).ravel())
        for slot in (5, 6):
            if cut.has(slot):
                cut.want(slot, 2, hidden)
        if cut.has(7):
            raise Resists("it has peepholes")
        cut.set("hidden_size", len(hidden))
    elif any(cut.of(slot) for slot in (2, 3, 5, 6)):
        raise Resists("its weights keep different channels")
    cut.give(picked)
    for output in (1, 2):
        cut.give({axis - 1: index for axis, index in picked.items()}, output)


def spread(cut: Cut, name: str, picked: Picked) -> None:
    """Cut a tensor that was made already and keeps all: where its channels are copies of one, fewer are made.

    Raises:
        Resists: if they are no copies, or something else reads them too.
    """
    number = cut.flow.makers.get(name)
    if number is None or cut.flow.reads[name] != 1:
        raise Resists(f"{name!r} is read elsewhere too")
    node = cut.flow.nodes[number]
    source = node.inputs[0]
    if node.operator == "Reshape":
        spread(cut, source, refold(cut.facts.shape(name), picked, cut.facts.shape(source)))
    elif node.operator == "Expand":
        before, after = cut.facts.shape(source), cut.facts.shape(name)
        if any(axis >= len(after) - len(before) and before[axis - len(after)] != 1 for axis in picked):
            raise Resists(f"{name!r} holds no copies")
        cut.sizes[node.inputs[1]] = tuple(picked.get(axis) for axis in range(len(after)))
    elif node.operator in ("Cast", "Identity"):
        spread(cut, source, picked)
    else:
        raise Resists(f"{name!r} holds no copies")
    now = cut.node, cut.proto, cut.number
    cut.node, cut.proto, cut.number = node, cut.protos[number], number
    RULES[node.operator](cut)
    cut.node, cut.proto, cut.number = now


_BROADCAST = (
    "Add Sub Mul Div Pow Min Max Sum Mean Mod Where PRelu Equal Less Greater LessOrEqual GreaterOrEqual And Or Xor "
    "BitShift"
)
_SAME = (
    "Relu LeakyRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign Mish Gelu ThresholdedRelu Erf "
    "Exp Log Sqrt Reciprocal Neg Abs Sign Floor Ceil Round Sin Cos Tan Sinh Cosh Asin Acos Atan Not IsNaN IsInf Cast "
    "CastLike Identity Dropout Clip Softmax LogSoftmax Hardmax CumSum Swish"
)
_POOLS = "MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool LRN"
_REDUCING = (
    "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp"
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(_BROADCAST.split(), _elementwise),
    **dict.fromkeys(_SAME.split(), _first),
    **dict.fromkeys(_POOLS.split(), _pooled),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), _normalised),
    "LayerNormalization": _layer_normalised,
    "Conv": _convolved,
    "ConvTranspose": _turned,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Einsum": _einsum,
    "Transpose": _transposed,
    **dict.fromkeys(("Flatten", "Squeeze", "Unsqueeze"), _refolded),
    "Reshape": _reshaped,
    "Expand": _expanded,
    "ConstantOfShape": _filled,
    "Concat": _concatenated,
    "Split": _split,
    "Slice": _sliced,
    "Gather": _gathered,
    **dict.fromkeys(_REDUCING.split(), _reduced),
    **dict.fromkeys(("ArgMax", "ArgMin"), _chosen),
    "Pad": _padded,
    "Resize": _resized,
    **dict.fromkeys(GATES, _recurred),
}
"""What each operator of ONNX does to what is kept; one that is not here must meet nothing sliced."""
