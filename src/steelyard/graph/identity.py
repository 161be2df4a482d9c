"""The smallest model there is: what it costs to run it is the floor under every latency."""

from pathlib import Path

from onnx import TensorProto, helper

from steelyard.core.port import Port
from steelyard.graph.tensors import TYPE_NAMES

OPSET = 17
"""The operator set of the files that steelyard exports."""

_IR_VERSION = 8
"""The file version that belongs to operator set 17: ONNX, docs/Versioning.md."""
_TYPES = {name: number for number, name in TYPE_NAMES.items()}


def float_port(shape: tuple[int, ...], name: str = "input") -> Port:
    """An input of rows (n, *shape) float32."""
    return Port(name, "float32", ("n", *shape))


def identity_model(path: Path, ports: tuple[Port, ...]) -> Path:
    """Write a model that returns the first of its inputs, and return the path; the others it takes and leaves alone."""
    inputs = [
        helper.make_tensor_value_info(port.name, _TYPES.get(port.type, TensorProto.FLOAT), port.shape) for port in ports
    ]
    first = ports[0]
    output = helper.make_tensor_value_info("identity", _TYPES.get(first.type, TensorProto.FLOAT), first.shape)
    graph = helper.make_graph([helper.make_node("Identity", [first.name], ["identity"])], "identity", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
    path.write_bytes(model.SerializeToString())
    return path
