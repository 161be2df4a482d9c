"""Writing small ONNX graphs node by node, in float32 or with the operators of an int8 file."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from steelyard.graph.identity import OPSET

IR_VERSION = 8
"""The file version that belongs to operator set 17: ONNX, docs/Versioning.md."""

Mode = Literal["float", "weighted", "static", "dynamic"]
"""How numbers are stored: float32; int8 around operators with weights alone; int8 throughout; weights in int8 and
activations rounded as the model runs."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    """An input of a micro-model: its shape, its element type, and below which number integers stay."""

    name: str
    shape: Shape
    type: Literal["float32", "int64"] = "float32"
    below: int = 1


@dataclass(frozen=True, slots=True)
class Micro:
    """A micro-model and what it is fed with."""

    style: str
    mode: Mode
    model: onnx.ModelProto
    feeds: tuple[Feed, ...]


@dataclass(slots=True)
class Builder:
    """Collects nodes and weights; `shapes` tells the shape of every tensor it made."""

    rng: np.random.Generator
    mode: Mode = "float"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    macs: float = 0.0
    _count: int = 0
    _wrapped: dict[str, str] = field(default_factory=dict)
    _positive: set[str] = field(default_factory=set)

    @property
    def is_quantized(self) -> bool:
        """Whether weights and activations are stored in int8."""
        return self.mode in ("weighted", "static")

    def fresh(self, stem: str) -> str:
        """A name that no tensor has."""
        self._count += 1
        return f"{stem}_{self._count}"

    def feed(self, shape: Shape, below: int = 0) -> str:
        """A new input; integers where `below` says up to which number."""
        name = self.fresh("input")
        self.feeds.append(Feed(name, shape, "int64", below) if below else Feed(name, shape))
        return name

    def node(
        self, operator: str, inputs: Sequence[str], *, domain: str = "", outputs: int = 1, **attributes: Any
    ) -> Any:
        """A new node; the name of its output, or the names where there are several."""
        names = [self.fresh(operator.lower()) for _ in range(outputs)]
        self.nodes.append(
            helper.make_node(operator, list(inputs), names, name=self.fresh(operator), domain=domain, **attributes)
        )
        return names[0] if outputs == 1 else names

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """A stored tensor."""
        name = self.fresh("weight")
        value = np.asarray(value)
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        self.weights.append(
            helper.make_tensor(name, kind, value.shape, np.ascontiguousarray(value).tobytes(), raw=True)
        )
        return name

    def whole(self, *numbers: int) -> str:
        """A stored list of integers, as shapes and axes are."""
        return self.constant(np.asarray(numbers, dtype=np.int64))

    def scalar(self, value: float) -> str:
        """A stored float32 of no dimension."""
        return self.constant(np.float32(value))

    def weight(self, shape: Shape, fan_in: int) -> str:
        """A stored float32 weight of the size that keeps activations near one."""
        block = self.rng.standard_normal(min(4096, math.prod(shape)), dtype=np.float32) / np.float32(math.sqrt(fan_in))
        return self.constant(np.resize(block, shape))

    def bytes_weight(self, shape: Shape) -> str:
        """A stored int8 weight."""
        block = self.rng.integers(-100, 101, min(4096, math.prod(shape)), dtype=np.int8)
        return self.constant(np.resize(block, shape))

    def mark_positive(self, tensor: str) -> str:
        """Note that the tensor is never negative: its zero is then the lowest byte, as calibration finds it."""
        self._positive.add(tensor)
        return tensor

    def is_positive(self, tensor: str) -> bool:
        """Whether the tensor is known to be never negative."""
        return tensor in self._positive

    def wrap(self, tensor: str) -> str:
        """The tensor rounded to uint8 and back; once a tensor."""
        if tensor not in self._wrapped:
            scale = self.scalar(_SCALE)
            point = self.constant(np.uint8(0 if tensor in self._positive else 128))
            packed = self.node("QuantizeLinear", [tensor, scale, point])
            self._wrapped[tensor] = self.node("DequantizeLinear", [packed, scale, point])
        return self._wrapped[tensor]

    def settle(self, tensor: str) -> str:
        """The tensor as a quantizer of the whole graph leaves it: wrapped in mode static, as it is otherwise."""
        if self.mode != "static":
            return tensor
        found = self.wrap(tensor)
        return self.mark_positive(found) if self.is_positive(tensor) else found

    def stored_weight(self, shape: Shape, fan_in: int, axis: int) -> str:
        """A weight as the mode stores it; int8 with one scale for each place on `axis`."""
        if not self.is_quantized:
            return self.weight(shape, fan_in)
        scales = self.constant(np.full(shape[axis], _weight_scale(fan_in), dtype=np.float32))
        zeros = self.constant(np.zeros(shape[axis], dtype=np.int8))
        return str(self.node("DequantizeLinear", [self.bytes_weight(shape), scales, zeros], axis=axis))

    def stored_bias(self, width: int, fan_in: int) -> str:
        """A bias as the mode stores it; a runtime fuses it only where its scale is that of the product."""
        if not self.is_quantized:
            return self.constant(np.zeros(width, dtype=np.float32))
        scales = self.constant(np.full(width, np.float32(_SCALE) * _weight_scale(fan_in), dtype=np.float32))
        zeros = self.constant(np.zeros(width, dtype=np.int32))
        return str(
            self.node("DequantizeLinear", [self.constant(np.ones(width, dtype=np.int32)), scales, zeros], axis=0)
        )

    def activate(self, tensor: str, name: str) -> str:
        """An activation by name, written as exporters write it."""
        if name == "silu":
            return str(self.node("Mul", [tensor, self.node("Sigmoid", [tensor])]))
        if name == "gelu":
            turned = self.node("Erf", [self.node("Div", [tensor, self.scalar(math.sqrt(2))])])
            lifted = self.node("Add", [turned, self.scalar(1.0)])
            return str(self.node("Mul", [self.node("Mul", [tensor, lifted]), self.scalar(0.5)]))
        if name == "relu6":
            return self.mark_positive(self.node("Clip", [tensor, self.scalar(0.0), self.scalar(6.0)]))
        if name == "hardswish":
            gate = self.node("HardSigmoid", [tensor], alpha=1 / 6)
            return str(self.node("Mul", [tensor, gate]))
        if name == "none":
            return tensor
        found = str(self.node(_PLAIN[name], [tensor]))
        return self.mark_positive(found) if name in ("relu", "sigmoid", "softplus") else found

    def linear(self, tensor: str, rows: int, width: int, out: int, *, is_flat: bool, bias: bool = True) -> str:
        """A linear layer on (rows, width), written as Gemm, or on more axes, written as MatMul and Add."""
        self.macs += float(rows) * width * out
        if self.mode == "dynamic":
            return self._dynamic_linear(tensor, width, out, bias)
        if self.is_quantized:
            tensor = self.wrap(tensor)
        if is_flat:
            weight = self.stored_weight((out, width), width, 0)
            result = self.node("Gemm", [tensor, weight, *([self.stored_bias(out, width)] if bias else [])], transB=1)
        else:
            result = self.node("MatMul", [tensor, self.stored_weight((width, out), width, 1)])
            if self.is_quantized:
                result = self.wrap(result)
            if bias:
                return str(self.node("Add", [self.constant(np.zeros(out, dtype=np.float32)), result]))
        return self.wrap(result) if self.is_quantized else str(result)

    def _dynamic_linear(self, tensor: str, width: int, out: int, bias: bool) -> str:
        """A product of rounded activations and int8 weights, as dynamic quantizers write it."""
        packed, scale, zero = self.node("DynamicQuantizeLinear", [tensor], outputs=3)
        names = [self.bytes_weight((width, out)), self.constant(np.int8(0))]
        product = self.node("MatMulInteger", [packed, names[0], zero, names[1]])
        scales = self.node("Mul", [scale, self.scalar(0.0001)])
        result = self.node("Mul", [self.node("Cast", [product], to=TensorProto.FLOAT), scales])
        return str(self.node("Add", [result, self.constant(np.zeros(out, dtype=np.float32))])) if bias else str(result)

    def ends(self, tensor: str) -> None:
        """Make one element of the tensor an output, so that large results cost no copy."""
        flat = self.node("Reshape", [tensor, self.whole(-1)])
        self.outputs.append(self.node("Slice", [flat, self.whole(0), self.whole(1), self.whole(0)]))

    def finish(self, style: str) -> Micro:
        """The model, with a free first axis of every input."""
        inputs = [
            helper.make_tensor_value_info(
                feed.name,
                TensorProto.INT64 if feed.type == "int64" else TensorProto.FLOAT,
                [f"n{feed.shape[0]}", *feed.shape[1:]],
            )
            for feed in self.feeds
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in self.outputs]
        graph = helper.make_graph(self.nodes, "micro", inputs, outputs, self.weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return Micro(style, self.mode, model, tuple(self.feeds))


POPULAR = (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 100, 128, 160, 192, 200, 256, 320, 384, 512, 768, 1024)
"""Sizes that people choose more often than others: kernels handle multiples of their vectors differently, so these
must be learned as they are and not from their neighbours alone."""


def usual_size(rng: np.random.Generator, low: int, high: int) -> int:
    """A size between two: half of them popular ones, the others log-uniform."""
    usual = [size for size in POPULAR if low <= size <= high]
    if usual and rng.random() < 0.5:
        return int(rng.choice(usual))
    return max(low, min(high, round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))))


_SCALE = 0.02
"""Scale of every rounded activation: values between -2.56 and 2.54."""


def _weight_scale(fan_in: int) -> np.float32:
    """Scale of an int8 weight that keeps activations near one."""
    return np.float32(0.01 / math.sqrt(fan_in))


_PLAIN = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "leaky": "LeakyRelu",
    "softplus": "Softplus",
    "elu": "Elu",
}
