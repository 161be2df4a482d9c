"""Several models as one file whose output is their vote: the mean of their probabilities, or of their values."""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import compose, helper, numpy_helper

from steelyard.core.errors import InputError
from steelyard.graph.tensors import named_tensors

SMALLEST = 1e-7
"""Probabilities are read as at least this, about the resolution of float32, so that their logarithm exists."""
OUTPUT = "y"


def vote_of(models: Sequence[onnx.ModelProto], *, decides: bool) -> onnx.ModelProto:
    """One model that runs all of them on the same input and averages their first outputs.

    Scores of classes are made probabilities and averaged; the logarithm of the mean is given, whose softmax is the
    mean again, so the vote's outputs are scores too.

    Args:
        models: two or more, of one input of the same name and type; they are left as they were.
        decides: whether the outputs are scores of classes (n, classes), and not values.

    Raises:
        InputError: if there are fewer than two, their inputs differ, or they speak different versions of ONNX.
    """
    if len(models) < 2:
        raise InputError(f"a vote must have two members or more, got {len(models)}.")
    inputs = [_inputs(each) for each in models]
    if any(len(each) != 1 or each[0].name != inputs[0][0].name for each in inputs):
        raise InputError("members of a vote must take the same single input.")
    opsets = _opsets(models)
    source = inputs[0][0]
    graph = onnx.GraphProto(name="vote", input=[source])
    outputs = []
    for number, model in enumerate(models):
        part = compose.add_prefix(model, f"m{number}/", rename_inputs=False).graph
        graph.node.extend(_reading(part, f"m{number}/", source.name))
        graph.initializer.extend(part.initializer)
        graph.sparse_initializer.extend(part.sparse_initializer)
        outputs.append(part.output[0].name)
    shape = models[0].graph.output[0]
    graph.node.extend(_mean(outputs, decides=decides))
    if decides:
        graph.initializer.append(numpy_helper.from_array(np.array(SMALLEST, np.float32), "vote/least"))
    result = graph.output.add()
    result.CopyFrom(shape)
    result.name = OUTPUT
    version = max(each.ir_version for each in models)
    return helper.make_model(graph, opset_imports=opsets, ir_version=version, producer_name="steelyard")


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """What a model is fed; older files list what is stored too."""
    stored = {name for name, _ in named_tensors(model.graph)}
    return [each for each in model.graph.input if each.name not in stored]


def _opsets(models: Sequence[onnx.ModelProto]) -> list[onnx.OperatorSetIdProto]:
    """The operator sets of all, each in one version.

    Raises:
        InputError: if two models have one in different versions, or one has functions of its own.
    """
    if any(model.functions for model in models):
        raise InputError("a member of a vote can't have functions of its own in its file.")
    versions: dict[str, int] = {}
    for model in models:
        for each in model.opset_import:
            domain = "" if each.domain == "ai.onnx" else each.domain
            if versions.setdefault(domain, each.version) != each.version:
                raise InputError(
                    f"members of a vote must be of one version of {domain or 'ONNX'}'s operators, got "
                    f"{versions[domain]} and {each.version}."
                )
    return [helper.make_opsetid(domain, version) for domain, version in versions.items()]


def _reading(part: onnx.GraphProto, prefix: str, source: str) -> Iterator[onnx.NodeProto]:
    """A member's operators, which read the one input whatever the prefix made of its name."""
    for node in part.node:
        for slot, name in enumerate(node.input):
            if name == prefix + source:
                node.input[slot] = source
        yield node


def _mean(outputs: Sequence[str], *, decides: bool) -> list[onnx.NodeProto]:
    """The operators that average."""
    if not decides:
        return [helper.make_node("Mean", outputs, [OUTPUT], "vote/mean")]
    chances = [f"vote/chance{number}" for number in range(len(outputs))]
    softmax = [
        helper.make_node("Softmax", [score], [chance], f"{chance}/softmax", axis=-1)
        for score, chance in zip(outputs, chances, strict=True)
    ]
    return [
        *softmax,
        helper.make_node("Mean", chances, ["vote/mean"], "vote/averaged"),
        helper.make_node("Max", ["vote/mean", "vote/least"], ["vote/some"], "vote/clamped"),
        helper.make_node("Log", ["vote/some"], [OUTPUT], "vote/log"),
    ]
