"""Gemm written as MatMul and Add, which dynamic and packed kernels know."""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import numpy_helper

from steelyard.graph.cleaning import drop_unread
from steelyard.graph.operators import attribute_of
from steelyard.graph.weighted import FLOATS, initializers, values_of


def gemm_as_matmul(model: onnx.ModelProto, exclude: Collection[str] = ()) -> onnx.ModelProto:
    """A copy whose Gemm operators with stored weights are MatMul and Add; MatMul keeps the name of the Gemm."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    stored = initializers(graph)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        weight = stored.get(node.input[1]) if node.op_type == "Gemm" else None
        is_plain = weight is not None and weight.data_type in FLOATS and not attribute_of(node, "transA", 0)
        if node.name in exclude or weight is None or not is_plain:
            nodes.append(node)
            continue
        scale = attribute_of(node, "alpha", 1.0)
        values = values_of(weight)
        name = weight.name
        if attribute_of(node, "transB", 0) or scale != 1.0:
            name = f"{weight.name}.matmul.{node.name}"
            values = np.ascontiguousarray(values.T if attribute_of(node, "transB", 0) else values) * np.float32(scale)
            graph.initializer.append(numpy_helper.from_array(values, name))
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
        factor = attribute_of(node, "beta", 1.0)
        if bias is not None and factor != 1.0 and bias in stored:
            graph.initializer.append(
                numpy_helper.from_array(values_of(stored[bias]) * np.float32(factor), f"{bias}.scaled")
            )
            bias = f"{bias}.scaled"
        product = node.output[0] if bias is None else f"{node.output[0]}.product"
        nodes.append(onnx.helper.make_node("MatMul", [node.input[0], name], [product], name=node.name))
        if bias is not None:
            nodes.append(onnx.helper.make_node("Add", [product, bias], [node.output[0]], name=f"{node.name}.bias"))
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unread(graph)
    return copy
