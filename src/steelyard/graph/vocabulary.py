"""What the skeletons of encoded models are likely to hold: deflating starts with it as if it had been seen before.

It is written as ONNX serializes it (onnx.proto3): a node's attributes as torch's exporter and ONNX Runtime's tools
write them, its operator, the ports of a graph. Its bytes are part of the format of encoded files: whatever changes
them raises the format's number.
"""

_OPERATORS = (
    "Cast Clip Concat Constant ConstantOfShape Cos CumSum Div Einsum Equal Erf Exp Expand Floor GRU Greater "
    "GroupNormalization HardSigmoid HardSwish InstanceNormalization LSTM Less Log LogSoftmax Max Min Mod Neg Not "
    "OneHot PRelu Pad Pow RNN Range Reciprocal ReduceMax ReduceMean ReduceSum Resize ScatterND Selu Shape Sin Slice "
    "Softplus Split Squeeze Tile TopK Where DynamicQuantizeLinear MatMulInteger ConvInteger QLinearConv QLinearMatMul "
    "com.microsoft Gelu LayerNormalization SimplifiedLayerNormalization Sqrt Sub Tanh Identity Dropout Elu LeakyRelu "
    "Sigmoid Softmax BatchNormalization ConvTranspose QuantizeLinear DequantizeLinear Gather Unsqueeze Transpose "
    "Reshape MatMul Mul Add GlobalAveragePool AveragePool"
)


def _attribute(name: str, value: bytes, kind: int) -> bytes:
    """An attribute of a node: its name, its value as serialized, the number of its type."""
    body = b"\x0a" + bytes([len(name)]) + name.encode() + value + b"\xa0\x01" + bytes([kind])
    return b"\x2a" + bytes([len(body)]) + body


def _whole(name: str, value: int) -> bytes:
    return _attribute(name, b"\x18" + bytes([value]), 2)


def _wholes(name: str, *values: int) -> bytes:
    return _attribute(name, b"".join(b"\x40" + bytes([each]) for each in values), 7)


def _operator(name: str) -> bytes:
    return b'"' + bytes([len(name)]) + name.encode()


def _window(operator: str, size: int, *others: bytes) -> bytes:
    """A convolution or a pooling in two dimensions."""
    return _operator(operator) + _wholes("kernel_shape", size, size) + b"".join(others)


def _ports() -> bytes:
    """The end of a model: input pictures (n, 3, 32, 32), an output (n, 10), operators of set 17."""
    free = b"\x0a\x03\x12\x01n"
    sizes = b"".join(b"\x0a\x02\x08" + bytes([each]) for each in (3, 32, 32))
    taken = b"\x0a\x01x\x12\x17\x0a\x15\x08\x01\x12\x11" + free + sizes
    given = b"\x0a\x01y\x12\x0f\x0a\x0d\x08\x01\x12\x09" + free + b"\x0a\x02\x08\x0a"
    return b"\x12\x01gZ" + bytes([len(taken)]) + taken + b"b" + bytes([len(given)]) + given + b"\x42\x02\x10\x11"


def _initializer(name: str, *sizes: int) -> bytes:
    """The shape, type float32 and name of a weight."""
    body = b"".join(b"\x08" + bytes([each]) for each in sizes) + b"\x10\x01\x42\x01" + name.encode()
    return b"\x2a" + bytes([len(body)]) + body


def _between(taken: str, given: str) -> bytes:
    """An activation between two layers, whose values have short names."""
    return b"\x0a\x0c\x0a\x01" + taken.encode() + b"\x12\x01" + given.encode() + _operator("Relu")


def _dense(taken: str, weight: str, bias: str, given: str) -> bytes:
    body = b"".join(b"\x0a\x01" + each.encode() for each in (taken, weight, bias)) + b"\x12\x01" + given.encode()
    body += _operator("Gemm") + _whole("transB", 1)
    return b"\x0a" + bytes([len(body)]) + body


VOCABULARY = b"".join(
    (
        _OPERATORS.encode(),
        b"keepdims epsilon momentum training_mode allowzero hidden_size direction bidirectional linear_before_reset",
        _wholes("axes", 1),
        _whole("axis", 1) + _whole("to", 1),
        _wholes("perm", 0, 2, 1, 3),
        _wholes("dilations", 1, 1) + _whole("group", 1) + _whole("ceil_mode", 0),
        _window("Conv", 1, _wholes("strides", 2, 2)),
        _window("Conv", 3, _wholes("pads", 1, 1, 1, 1), _wholes("strides", 2, 2)),
        _window("AveragePool", 3, _wholes("pads", 1, 1, 1, 1), _wholes("strides", 2, 2)),
        _window("Conv", 3, _wholes("pads", 1, 1, 1, 1)),
        b"\x08\x08:",
        _window("Conv", 5) + _window("MaxPool", 2, _wholes("strides", 2, 2)) + _operator("Flatten"),
        _dense("m", "e", "f", "n") + _between("n", "o"),
        _initializer("a", 16, 3, 3, 3) + _initializer("b", 16) + _initializer("e", 64, 64),
        _ports(),
    )
)
"""The vocabulary: what is likeliest stands last, where a reference to it is shortest."""
