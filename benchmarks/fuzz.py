"""Mutated ONNX files, thousands of them: each ends in a model with its counts or in one sentence, none in a crash.

Files are changed as bytes (flipped, cut, repeated, spliced) and as messages (other operators, sizes, names, wires).
Each batch is read and counted in a process of its own, so that a crash can be seen and its file named.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from environment import command_line, write_result
from onnx import TensorProto, helper, numpy_helper

from steelyard.core.errors import SteelyardError
from steelyard.engine.limits import write_probes
from steelyard.graph.counting import count
from steelyard.graph.reading import read_model

BATCH = 250
LIMIT_S = 120.0
NUMBERS = (0, 1, -1, 2, 7, 255, 2**31 - 1, 2**31, 2**40, 10**12, 2**62, 2**63 - 1, -(2**63))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, help="run one batch here and print its counts: for the processes")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.batch is not None:
        print(json.dumps(run_batch(asked.batch)))
        return
    began, total, crashes, slowest_s = time.monotonic(), Counter[str](), [], 0.0
    for seed in range(asked.seed, asked.seed + -(-asked.files // BATCH)):
        if time.monotonic() - began > asked.seconds:
            break
        command = [sys.executable, __file__, "--batch", str(seed)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=True, text=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            crashes.append({"batch": seed, "how": str(error)[-300:], "said": str(error.stderr or "")[-500:]})
            continue
        found = json.loads(done.stdout)
        slowest_s = max(slowest_s, found.pop("slowest_s"))
        total.update(found)
    figures = {
        "files": total.total(),
        "outcomes": dict(total),
        "crashes": crashes,
        "slowest_s": slowest_s,
        "wall_s": time.monotonic() - began,
    }
    write_result(asked.json, command_line(), figures)


def run_batch(seed: int) -> dict[str, float]:
    """Outcomes of one batch; anything but a model or a sentence ends the process."""
    dice = random.Random(seed)
    outcomes: dict[str, float] = {"model": 0, "sentence": 0}
    slowest_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.onnx"
        sources = base_files(Path(folder))
        for _ in range(BATCH):
            path.write_bytes(mutated(dice, sources))
            start = time.perf_counter()
            try:
                count(read_model(path))
                outcomes["model"] += 1
            except SteelyardError as error:
                if "\n" in error.message or (not error.message.endswith(("]", ".")) and len(error.message) > 400):
                    raise SystemExit(f"no sentence: {error.message!r}") from error
                outcomes["sentence"] += 1
            slowest_s = max(slowest_s, time.perf_counter() - start)
    return {**outcomes, "slowest_s": slowest_s}


def base_files(folder: Path) -> list[bytes]:
    """Small models of every kind: products, convolutions, integers, a recurrent layer, a loop, a branch, functions."""
    probes = [probe.subject.path.read_bytes() for probe in write_probes(folder)]
    return [*(data for data in probes if len(data) < 200_000), *handmade()]


def handmade() -> list[bytes]:
    """Models with inner graphs, functions, external data, quantize-dequantize pairs and shape arithmetic."""
    true = numpy_helper.from_array(np.array(True), "c")
    shape = numpy_helper.from_array(np.array([2, -1], np.int64), "s")
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    scale = numpy_helper.from_array(np.float32(0.1), "scale")
    inner = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["r"])],
        "inner",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
    )
    branch = [helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)]
    moving = [
        helper.make_node("Shape", ["x"], ["h"]),
        helper.make_node("ConstantOfShape", ["h"], ["z"]),
        helper.make_node("Add", ["x", "z"], ["a"]),
        helper.make_node("Reshape", ["a", "s"], ["b"]),
        helper.make_node("Transpose", ["b"], ["t"], perm=[1, 0]),
        helper.make_node("Tile", ["t", "s"], ["y"]),
    ]
    pairs = [
        helper.make_node("QuantizeLinear", ["x", "scale"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["m"]),
        helper.make_node("Einsum", ["m", "w"], ["y"], equation="ij,jk->ik"),
    ]
    calls = [helper.make_node("F", ["x"], ["u"], domain="own"), helper.make_node("F", ["u"], ["y"], domain="own")]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    body = helper.make_function("own", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], opsets)
    made = []
    for nodes, functions in ((branch, []), (moving, []), (pairs, []), (calls, [body])):
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [true, shape, weight, scale],
        )
        model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)
        made.append(model.SerializeToString())
    return made


def mutated(dice: random.Random, sources: list[bytes]) -> bytes:
    """One file, changed in one to four places."""
    data = dice.choice(sources)
    if dice.random() < 0.5:
        return mutated_message(dice, data)
    for _ in range(dice.randint(1, 4)):
        where, length = dice.randrange(len(data)), dice.randint(1, 32)
        kind = dice.randrange(4)
        if kind == 0:
            data = data[:where] + dice.randbytes(length) + data[where + length :]
        elif kind == 1:
            data = data[: max(1, where)]
        elif kind == 2:
            data = data[:where] + data[where : where + length] * dice.randint(2, 50) + data[where:]
        else:
            other = dice.choice(sources)
            data = data[:where] + other[dice.randrange(len(other)) :][:200] + data[where:]
    return data


def mutated_message(dice: random.Random, data: bytes) -> bytes:
    """The same model with some of its fields changed: it still decodes, and lies."""
    model = onnx.ModelProto.FromString(data)
    operators = sorted({schema.name for schema in onnx.defs.get_all_schemas()})
    graph = model.graph
    for _ in range(dice.randint(1, 4)):
        node = dice.choice(graph.node)
        kind = dice.randrange(8)
        if kind == 0:
            node.op_type = dice.choice(operators)
        elif kind == 1 and node.attribute:
            change_attribute(dice, dice.choice(node.attribute))
        elif kind == 2 and graph.initializer:
            dims = dice.choice(graph.initializer).dims
            dims[:] = [dice.choice(NUMBERS) for _ in range(dice.randint(0, 4))]
        elif kind == 3 and node.input:
            node.input[dice.randrange(len(node.input))] = dice.choice([graph.node[-1].output[0], "x", "", "w"])
        elif kind == 4:
            axes = graph.input[0].type.tensor_type.shape.dim
            for axis in axes:
                axis.dim_value = dice.choice(NUMBERS)
        elif kind == 5:
            graph.node.append(node)
        elif kind == 6 and graph.initializer:
            tensor = dice.choice(graph.initializer)
            tensor.data_type = dice.randrange(25)
        elif node.input:
            del node.input[dice.randrange(len(node.input)) :]
    return model.SerializeToString()


def change_attribute(dice: random.Random, attribute: onnx.AttributeProto) -> None:
    """Another value, another type, or another name."""
    kind = dice.randrange(3)
    if kind == 0 and attribute.ints:
        attribute.ints[dice.randrange(len(attribute.ints))] = dice.choice(NUMBERS)
    elif kind == 1:
        attribute.i = dice.choice(NUMBERS)
        attribute.type = dice.randrange(14)
    else:
        attribute.name = dice.choice(["axis", "perm", "group", "strides", "equation", "body", "then_branch", "value"])


if __name__ == "__main__":
    main()
