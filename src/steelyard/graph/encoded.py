"""Encoded models: an ONNX model in one small file, its weights as positions and codebook indices, exact to the bit.

The file: the mark `SYD` and the number of the format; 8 bytes of the BLAKE2b digest of all that follows; the length
of the skeleton; the skeleton, which is the model without the values of its initializers, deflated; then the
initializers in their order through the arithmetic coder. Names that nobody feeds or reads are shortened, and
documentation is left out; inputs, outputs and values stay as they are.

A file may declare at most `EXPANSION` bytes of weights for each byte of its own, and nothing is allocated before
that has been checked.
"""

import hashlib
import zlib
from collections.abc import Iterator
from itertools import product
from math import isqrt, prod

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from steelyard.core.errors import BundleError, SteelyardError
from steelyard.core.task import Array
from steelyard.graph.codes import MOST_ENTRIES, Layout, as_matrix, book_of, code_array
from steelyard.graph.marks import FORMAT, MARK
from steelyard.graph.rangecoder import BitReader, BitWriter, Coder, code_bits, code_number
from steelyard.graph.vocabulary import VOCABULARY

DIGEST_BYTES = 8
"""Bytes of the checksum: one altered file in 2^64 would pass."""
EXPANSION = 16_384
"""Bytes of weights that a byte of the file may stand for; zeros fill up a file that would need more."""
TRIED = 50_000
"""Cells of an array on which ways to walk it are tried; the best one is taken for all."""
SMALL = 64
"""Elements below which deflating is not tried: its own beginnings would cost more than it saves."""
LARGEST_SKELETON = 1 << 26
"""Bytes of a model without its weights: language models of a hundred layers have a tenth of that."""
LARGEST_BYTES = 2**31 - 1
"""Largest protobuf message: protobuf.dev, "Encoding", size limits."""
_WIDTHS: dict[int, int] = {
    onnx.TensorProto.FLOAT: 4,
    onnx.TensorProto.UINT8: 1,
    onnx.TensorProto.INT8: 1,
    onnx.TensorProto.UINT16: 2,
    onnx.TensorProto.INT16: 2,
    onnx.TensorProto.INT32: 4,
    onnx.TensorProto.INT64: 8,
    onnx.TensorProto.BOOL: 1,
    onnx.TensorProto.FLOAT16: 2,
    onnx.TensorProto.BFLOAT16: 2,
    onnx.TensorProto.DOUBLE: 8,
    onnx.TensorProto.UINT32: 4,
    onnx.TensorProto.UINT64: 8,
}
"""Types whose elements take whole bytes, and how many: ONNX IR specification, tensor data types."""


_WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")
_EMPTY = {"strides": 1, "dilations": 1, "pads": 0}
"""Attributes of windows that do nothing where every entry is this: ONNX operator specifications."""
_DEFAULTS: dict[tuple[str, str], float] = {
    ("Conv", "group"): 1,
    ("ConvTranspose", "group"): 1,
    ("MaxPool", "ceil_mode"): 0,
    ("MaxPool", "storage_order"): 0,
    ("AveragePool", "ceil_mode"): 0,
    ("AveragePool", "count_include_pad"): 0,
    ("Gemm", "alpha"): 1.0,
    ("Gemm", "beta"): 1.0,
    ("Gemm", "transA"): 0,
    ("Gemm", "transB"): 0,
    ("Flatten", "axis"): 1,
}
"""Attributes that may be left out where they are this: ONNX operator specifications, the same in all versions."""


def encode_model(model: onnx.ModelProto) -> bytes:
    """The model as the bytes of an encoded file.

    Args:
        model: with its weights inside; the copy that is encoded loses inner names and documentation.

    Raises:
        SteelyardError: if a weight has a type that is not encoded.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    shorten(bare)
    arrays = [_patterns(each) for each in bare.graph.initializer]
    for each in bare.graph.initializer:
        _drop_values(each)
    skeleton = _deflated(bare.SerializeToString())
    writer = BitWriter()
    for array in arrays:
        _write_array(writer, array)
    body = _varint(len(skeleton)) + skeleton + writer.finish()
    least = -(-sum(each.nbytes for each in arrays) // EXPANSION)
    body = body.ljust(least, b"\0")
    return MARK + bytes([FORMAT]) + _digest(body) + body


def decode_model(data: bytes, name: str = "the encoded model") -> onnx.ModelProto:
    """The model that the bytes of an encoded file hold, every initializer as it was.

    Raises:
        BundleError: one sentence, if the bytes are no encoded model, were cut short or altered, or declare more than
            they may.
    """
    start = len(MARK) + 1 + DIGEST_BYTES
    if not data.startswith(MARK) or len(data) <= start:
        raise BundleError(f"{name} is no encoded model, or was cut short; restore the file.", field="model")
    if data[len(MARK)] != FORMAT:
        raise BundleError(
            f"{name} has format {data[len(MARK)]}, this version reads {FORMAT}; update steelyard.", field="model"
        )
    body = data[start:]
    if _digest(body) != data[len(MARK) + 1 : start]:
        raise BundleError(f"{name} was cut short or altered after it was encoded; restore the file.", field="model")
    try:
        model, stream = _skeleton_of(body)
        shapes = [_declared(each) for each in model.graph.initializer]
        total = sum(prod(shape) * width for shape, width in shapes)
        if total > min(EXPANSION * len(body), LARGEST_BYTES):
            raise ValueError(f"it declares {total} bytes of weights in a file of {len(data)}")
        reader = BitReader(stream)
        for tensor, (shape, width) in zip(model.graph.initializer, shapes, strict=True):
            tensor.raw_data = _read_array(reader, shape, width).tobytes()
    except (ValueError, zlib.error, DecodeError) as error:
        raise BundleError(f"{name} is no whole encoded model: {error}; restore the file.", field="model") from error
    return model


def shorten(model: onnx.ModelProto) -> None:
    """Take away what costs bytes and does nothing: documentation, names of nodes, long names of inner values.

    Names of inputs and outputs stay, and so do all names where a node holds a graph of its own, which may see them.
    """
    graph = model.graph
    model.ClearField("producer_name")
    model.ClearField("producer_version")
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    graph.ClearField("value_info")
    graph.ClearField("doc_string")
    graph.name = "g"
    for node in graph.node:
        for field in ("name", "doc_string", "metadata_props"):
            node.ClearField(field)
        kept = [each for each in node.attribute if not _says_nothing(node, each)]
        del node.attribute[:]
        node.attribute.extend(kept)
    for tensor in graph.initializer:
        tensor.ClearField("doc_string")
    if any(_holds_graph(node) for node in graph.node):
        return
    known = {each.name for each in (*graph.input, *graph.output)}
    short = _short_names(known)
    given = {name: name for name in ("", *known)}
    for tensor in graph.initializer:
        tensor.name = given.setdefault(tensor.name, next(short)) if tensor.name not in given else given[tensor.name]
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name not in given:
                    given[name] = next(short)
                names[place] = given[name]


def _says_nothing(node: onnx.NodeProto, attribute: onnx.AttributeProto) -> bool:
    """Whether an attribute only repeats what the operator does without it."""
    if node.domain not in ("", "ai.onnx"):
        return False
    value = onnx.helper.get_attribute_value(attribute)
    if node.op_type in _WINDOWS and attribute.name in _EMPTY:
        return len(value) > 0 and all(each == _EMPTY[attribute.name] for each in value)
    return (node.op_type, attribute.name) in _DEFAULTS and value == _DEFAULTS[node.op_type, attribute.name]


def _holds_graph(node: onnx.NodeProto) -> bool:
    return any(each.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for each in node.attribute)


def _short_names(taken: set[str]) -> Iterator[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    for length in range(1, 9):
        for word in product(letters, repeat=length):
            name = "".join(word)
            if name not in taken:
                yield name


def _patterns(tensor: onnx.TensorProto) -> Array:
    """A tensor's bit patterns as unsigned whole numbers of the same width, in its shape.

    Raises:
        SteelyardError: if its type is not encoded.
    """
    width = _WIDTHS.get(tensor.data_type)
    if width is None:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        raise SteelyardError(f"encode can't store weights of type {kind}; take the step away.")
    array = np.ascontiguousarray(onnx.numpy_helper.to_array(tensor))
    return array.view(f"u{width}").reshape(array.shape).copy()


def _drop_values(tensor: onnx.TensorProto) -> None:
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(field)


def _declared(tensor: onnx.TensorProto) -> tuple[tuple[int, ...], int]:
    """The shape that a tensor of the skeleton declares, and the bytes of an element.

    Raises:
        ValueError: if its type is not encoded or a size is negative.
    """
    if tensor.data_type not in _WIDTHS or any(size < 0 for size in tensor.dims):
        raise ValueError("a weight has a type or a shape that is never written")
    return tuple(tensor.dims), _WIDTHS[tensor.data_type]


def _write_array(writer: BitWriter, array: Array) -> None:
    """An array of few values by its codebook in the layout that takes fewest bytes, any other deflated."""
    layout = None
    if array.size and len(book_of(array).patterns) <= MOST_ENTRIES:
        part = as_matrix(array)[: max(1, TRIED // max(1, as_matrix(array).shape[1]))]
        part = part.reshape(-1, *array.shape[1:]) if array.ndim > 1 else array
        layouts = list(_layouts(array))
        layout = min(layouts, key=lambda each: _cost(part, each)) if len(layouts) > 1 else layouts[0]
    packed = None if layout is not None and array.size < SMALL else _deflated(_planes(array))
    if layout is not None and (packed is None or len(packed) > array.size // 2 or _cost(array, layout) <= len(packed)):
        writer.code(1 << 15, 1)
        code_array(writer, array.copy(), layout)
        return
    packed = packed or b""
    writer.code(1 << 15, 0)
    code_number(writer, len(packed), 32)
    for each in packed:
        code_bits(writer, each, 8)


def _read_array(reader: Coder, shape: tuple[int, ...], width: int) -> Array:
    """The next array."""
    if reader.code(1 << 15, 0):
        array = np.zeros(shape, f"u{width}")
        code_array(reader, array, Layout())
        return array
    length = code_number(reader, 0, 32)
    size = prod(shape) * width
    # Deflating never adds more than this to what can't be made smaller: zlib.net, "compressBound".
    if length > size + size // 1000 + 64:
        raise ValueError("a weight is longer than its shape")
    packed = bytes(code_bits(reader, 0, 8) for _ in range(length))
    planes = _inflated(packed, size)
    if len(planes) != size:
        raise ValueError("a weight is shorter than its shape")
    return np.frombuffer(planes, np.uint8).reshape(width, -1).T.copy().view(f"<u{width}").reshape(shape)


def _planes(array: Array) -> bytes:
    """The first bytes of all elements, then the second ones: signs and exponents deflate better side by side."""
    return (
        np.frombuffer(array.astype(array.dtype.newbyteorder("<")).tobytes(), np.uint8)
        .reshape(-1, array.dtype.itemsize)
        .T.tobytes()
    )


def _layouts(array: Array) -> Iterator[Layout]:
    """Ways to walk a matrix that are worth a trial: kernels and pictures have neighbours a row further up."""
    width = as_matrix(array).shape[1]
    yield Layout()
    if array.ndim == 4:
        yield Layout(False, array.shape[3], array.shape[3] * array.shape[2])
    elif array.ndim == 2:
        yield Layout(is_turned=True)
        for side in {isqrt(width), 4, 8} if width >= 64 else ():
            yield Layout(False, side, side * side if side * side < width else 0)


def _cost(array: Array, layout: Layout) -> int:
    writer = BitWriter()
    code_array(writer, array.copy(), layout)
    return len(writer.finish())


def _skeleton_of(body: bytes) -> tuple[onnx.ModelProto, bytes]:
    """The skeleton, and the stream behind it."""
    length, start = _read_varint(body)
    if start + length > len(body):
        raise ValueError("its graph is cut short")
    model = onnx.ModelProto()
    model.ParseFromString(_inflated(body[start : start + length], LARGEST_SKELETON))
    return model, body[start + length :]


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, VOCABULARY)
    return packer.compress(data) + packer.flush()


def _inflated(data: bytes, most: int) -> bytes:
    """The bytes that were deflated, refused where there are more than `most`."""
    unpacker = zlib.decompressobj(-15, VOCABULARY)
    found = unpacker.decompress(data, most + 1)
    if len(found) > most or not unpacker.eof:
        raise ValueError("a part is longer than it declares")
    return found


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes) -> tuple[int, int]:
    """A number, and the place behind it."""
    value = 0
    for place in range(min(5, len(data))):
        value |= (data[place] & 127) << 7 * place
        if data[place] < 128:
            return value, place + 1
    raise ValueError("its graph has no length")


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()
