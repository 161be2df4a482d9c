"""The smallest model there is: what it costs to run it is the floor under every latency."""

from pathlib import Path

from onnx import TensorProto, helper

OPSET = 17
"""The operator set of the files that steelyard exports."""

_IR_VERSION = 8
"""The file version that belongs to operator set 17: ONNX, docs/Versioning.md."""


def identity_model(path: Path, shape: tuple[int, ...]) -> Path:
    """Write a model that returns its input, (batch, *shape) float32, and return the path."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]) for name in ("input", "output")]
    graph = helper.make_graph([helper.make_node("Identity", ["input"], ["output"])], "identity", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
    path.write_bytes(model.SerializeToString())
    return path
